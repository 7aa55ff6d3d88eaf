"""What TensorBoard finds through the entry point, without importing more than it has already."""

from __future__ import annotations

import re
from importlib import metadata
from typing import Any

from tensorboard.plugins import base_plugin

from densebench.viewer import PLUGIN_NAME

PUBLISHED = "torch-tb-profiler"  # PyTorch's own plugin of the same name, no longer kept
GROUP = "tensorboard_plugins"


class ViewerLoader(base_plugin.TBLoader):  # type: ignore[misc] # the package has no types
    """The viewer, unless a plugin of its name is there: two of one name stop TensorBoard."""

    def load(self, context: Any) -> base_plugin.TBPlugin | None:
        """The plugin, or None where the published one is installed or loaded."""
        if PLUGIN_NAME in (context.plugin_name_to_instance or {}) or published_is_installed():
            return None
        from densebench.viewer.plugin import ProfilePlugin

        return ProfilePlugin(context)


def published_is_installed() -> bool:
    """Whether a distribution of the published plugin's name brings a plugin into TensorBoard."""
    return any(
        point.dist is not None and re.sub(r"[-_.]+", "-", point.dist.name).lower() == PUBLISHED
        for point in metadata.entry_points(group=GROUP)
    )
