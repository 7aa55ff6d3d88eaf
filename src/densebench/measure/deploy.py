"""Start-up, memory and speed of an artifact in its user's own program: these compare engines.

A measuring child is forked from a process that has imported PyTorch, and holds PyTorch whatever the engine is. The
program is a fresh interpreter that runs the code of the artifact's README, and has nothing else in it.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from densebench.processes.child import Child
from densebench.schema import Frozen
from densebench.text import one_line

PROGRAM = Path(__file__).with_name("deploy_program.py")
LIMIT_S = 120.0


class Deployed(Frozen):
    """What the program measured. `deploy_reason` says why figures are blank."""

    deploy_batch_size: int
    deploy_start_s: float | None = None
    deploy_memory_mb: float | None = None
    deploy_throughput_samples_per_s: float | None = None
    deploy_reason: str = ""


def deploy(
    folder: Path,
    batch_size: int,
    seconds: float,
    environment: Mapping[str, str],
    *,
    log: Path,
    scratch: Path,
    limit_s: float = LIMIT_S,
) -> Deployed:
    """Run the README's code in a fresh interpreter, and call its `infer` again and again.

    Args:
        folder: the artifact's folder.
        batch_size: images in each call.
        seconds: how long the throughput is measured; at 0 the program isn't run.
        environment: all variables of the program.
        log: file that the program's output is appended to.
        scratch: folder in which the program's temporary files have a folder of their own.
        limit_s: how long the program may take, before it is killed.

    """
    if not seconds:
        return Deployed(deploy_batch_size=batch_size, deploy_reason="deploy-time is 0")
    facts: dict[str, object] = {}
    own = tempfile.TemporaryDirectory(dir=scratch, ignore_cleanup_errors=True)
    with log.open("ab") as output, own as temporary:
        started = time.monotonic()  # one clock for all processes of a machine
        command = [sys.executable, "-I", str(PROGRAM), *map(str, (started, batch_size, seconds))]
        try:
            with Child(command, output, {**environment, "TMPDIR": temporary}, folder) as program:
                while not {"deploy_memory_mb", "deploy_reason"} & facts.keys():
                    line = program.lines.next(started + limit_s)
                    facts |= json.loads(line) if line else {"deploy_reason": program.death().message}
        except TimeoutError:
            late = [f"not done in {limit_s:g} s", program.end()]
            facts["deploy_reason"] = "; ".join(filter(None, late))
        except OSError as error:
            facts["deploy_reason"] = str(error)
    if "deploy_reason" in facts:
        facts["deploy_reason"] = one_line(str(facts["deploy_reason"]))
    return Deployed.model_validate({"deploy_batch_size": batch_size, **facts})
