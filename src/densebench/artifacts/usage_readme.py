"""The README in an artifact's folder: what it is, what to feed it, and code that runs it without densebench."""

from __future__ import annotations

from densebench.artifacts.manifest import Manifest
from densebench.engines.base import Engine
from densebench.schema import Caveat

FILE_NAME = "README.md"


def deploy_notes(manifest: Manifest, engine: Engine, caveats: tuple[Caveat, ...]) -> str:
    """The text, in Markdown. Its code expects float32 `images` (n, c, h, w), preprocessed as the text says."""
    expected = manifest.input
    batch, channels, height, width = expected.shape
    count = "" if batch else f", n up to {expected.largest_batch:,}" if expected.largest_batch else ", any n"
    what = (
        f"`{manifest.steps}`, built for {manifest.device} on {manifest.created[:10]}. Input: float32 NCHW images "
        f"({batch or 'n'}, {channels}, {height}, {width}){count}: shorter side resized to {expected.resize} "
        f"({expected.interpolation}), centre {expected.crop} x {expected.crop} kept, values in 0..1, then "
        f"(value - mean) / std per channel with mean {list(expected.mean)} and std {list(expected.std)}. Output: "
        f"{len(manifest.classes)} logits an image; the classes are in `manifest.json`."
    )
    how = (
        f"Measured with {manifest.threads} threads"
        + "".join(
            f" and `{key}={value}`, set before the process starts"
            for key, value in manifest.variables.items()
            if not key.startswith("DENSEBENCH_")  # for the measuring process alone
        )
        + ". In this folder, without densebench:"
    )
    code = ["```python", engine.usage(manifest.details, manifest.device).rstrip(), "```"]
    notes = ["", *(f"- {caveat.text}" for caveat in caveats)] if caveats else []
    lines = [f"# {manifest.model}, {manifest.recipe}", "", what, "", how, "", *code, *notes]
    return "\n".join(lines) + "\n"
