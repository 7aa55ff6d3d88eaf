"""From what a user wrote to a request that can be carried out, or to the one line that says why not."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from densebench.artifacts.load import read_manifest
from densebench.artifacts.manifest import Manifest
from densebench.errors import InputError, UsageError
from densebench.loadtest.plan import SCENARIOS, Request, Scenario
from densebench.machine.cpus import THREADS, placement

TARGET_P99_MS = 50.0
BATCH_SIZE = 8


@dataclass(frozen=True)
class Asked:
    """The command's options, None where not given."""

    folder: Path
    scenario: str
    target_p99_ms: float | None = None
    seconds: float = 10.0
    batch_size: int | None = None
    streams: int = 1
    threads: int | None = None
    seed: int = 0
    trust: bool = False


def _scenario(asked: Asked) -> Scenario:
    """The scenario, which every option that was given goes with."""
    if asked.scenario not in SCENARIOS:
        raise UsageError(
            f"--scenario is {', '.join(SCENARIOS[:-1])} or {SCENARIOS[-1]} (got '{asked.scenario}')"
        )
    scenario = asked.scenario
    if asked.batch_size is not None and scenario != "offline":
        raise UsageError(f"--batch-size is for --scenario offline: a {scenario} query is one image")
    if asked.target_p99_ms is not None and scenario != "server":
        raise UsageError("--target-p99-ms is for --scenario server, which looks for the rate that holds it")
    if asked.streams > 1 and scenario == "single-stream":
        raise UsageError("--streams is for --scenario offline or server: single-stream is one stream")
    for flag, value in (("--seconds", asked.seconds), ("--target-p99-ms", asked.target_p99_ms)):
        if value is not None and not 0 < value < float("inf"):
            raise UsageError(f"{flag} must be above 0 (got {value:g})")
    return scenario


def request(asked: Asked) -> tuple[Request, Manifest]:
    """What to do, with every default decided.

    Raises:
        UsageError: options that don't go together, no LoadGen, or an artifact that must not be loaded.

    """
    scenario = _scenario(asked)
    manifest = read_manifest(asked.folder, trusted=asked.trust)
    if find_spec("mlperf_loadgen") is None:
        raise UsageError("LoadGen is not installed: pip install 'densebench[load]'")
    fixed, *image = manifest.input.shape
    batch_size = asked.batch_size or (fixed or BATCH_SIZE if scenario == "offline" else 1)
    if fixed is not None and batch_size != fixed:
        wanted = f"give --batch-size {fixed}" if scenario == "offline" else "use --scenario offline"
        raise InputError(f"{asked.folder} takes batches of {fixed} images and no others: {wanted}")
    own = manifest.variables.get(THREADS)  # a recipe that sets the number of threads
    threads = asked.threads or (int(own) if own else placement().threads)
    if asked.streams > threads:
        raise UsageError(
            f"--streams {asked.streams} needs as many threads, and there are {threads}: fewer streams, or --threads"
        )
    return Request(
        folder=asked.folder.resolve(),
        scenario=scenario,
        device=manifest.device,
        shape=cast("tuple[int, int, int]", tuple(image)),
        batch_size=batch_size,
        streams=asked.streams,
        threads=threads,
        seconds=asked.seconds,
        target_p99_ms=asked.target_p99_ms or TARGET_P99_MS,
        seed=asked.seed,
        trust=asked.trust,
    ), manifest
