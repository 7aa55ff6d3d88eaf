"""One TensorBoard server in a process of its own, which ends when its parent does: see `serve`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

EVERYTHING, PROFILES = "everything", "profiles"


def plugins(kind: str) -> list[Any]:
    """TensorBoard's own and installed plugins, or this project's viewer alone."""
    if kind == EVERYTHING:
        from tensorboard import default

        return list(default.get_plugins())
    from tensorboard.plugins.core.core_plugin import CorePluginLoader
    from tensorboard.plugins.hparams.hparams_plugin import HParamsPlugin

    from densebench.viewer.plugin import ProfilePlugin

    class Answering(HParamsPlugin):  # type: ignore[misc] # the package has no types
        """No tab: TensorBoard's page asks this plugin whatever it shows, and reports an error without it."""

        def is_active(self) -> bool:
            return False

        def data_plugin_names(self) -> tuple[str, ...]:
            return ()

    return [CorePluginLoader(include_debug_info=True), ProfilePlugin, Answering]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or until standard input closes; return TensorBoard's exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=[EVERYTHING, PROFILES])
    parser.add_argument("--log-dir", required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    asked = parser.parse_args(arguments)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from tensorboard import program

    board = program.TensorBoard(plugins=plugins(asked.kind))
    board.configure(
        ("tensorboard",),
        logdir=asked.log_dir,
        host=asked.host,
        port=asked.port,
        load_fast="false",  # no data server as a third process: the logs are small
        window_title=f"densebench {asked.kind}",
    )
    return int(board.main())


def _end_with_parent() -> None:
    """Wait for the pipe from the parent to close, which it does even if the parent is killed."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
