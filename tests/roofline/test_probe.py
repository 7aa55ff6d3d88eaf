"""Ceilings are measured through the engines' own build and load, the fastest call of the fastest engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from densebench import engines
from densebench.engines import base, eager
from densebench.engines.base import Built, Engine, Target
from densebench.machine import facts as machine
from densebench.machine.interference import Interference, Watch
from densebench.measure.device import Cpu
from densebench.model.adapter import Served
from densebench.roofline import memory_copy, probe
from densebench.roofline.convolutions import Size
from densebench.roofline.probe import candidates, convolutions_gop_per_s, known_ceilings, measure_ceilings
from densebench.workloads.base import Workload

SMALL = Size(layers=2, channels=16, pixels=8, batch=3)
OPERATIONS = 2 * 3 * 8 * 8 * (16 * 3 + 2 * 16 * 16 * 9)  # 3 images, 3 -> 16 channels, then twice 3x3
CATALOGUE = dict.fromkeys(engines.catalogue().values())


class Clock(Cpu):
    """Calls, and says how long they took as it was told."""

    def __init__(self, *ms: float) -> None:
        self.ms = [*ms]

    def time_ms(self, call: Callable[[], object]) -> float:
        call()
        return self.ms.pop(0) if len(self.ms) > 1 else self.ms[0]


def holding(name: str, models: list[Served], **facts: Any) -> Engine:
    """An engine that runs the module that it was given, and notes it."""

    def build(model: nn.Module, workload: Workload, folder: Path, target: Target, **_: Any) -> Built:
        assert isinstance(model, Served)
        assert workload.data.calibration is not None
        assert target.batch_sizes == (SMALL.batch,)
        (folder / "file").touch()
        models.append(model)
        return Built()

    def load(folder: Path, details: Mapping[str, Any], device: str) -> base.Session:
        assert (folder / "file").exists()
        assert not details
        assert device == "cpu"
        return eager.EagerSession(models[-1])

    return Engine(name, "", build, load, **facts)


def test_operations_of_the_fastest_call() -> None:
    """Each multiply-accumulate of each image is two operations; slow calls do not count."""
    engine = holding("one", [])
    found = convolutions_gop_per_s(
        engine, "float32", {}, Target("cpu", (SMALL.batch,), 1), Clock(900.0, 50.0, 40.0, 700.0), SMALL
    )
    assert found == pytest.approx(OPERATIONS / 40e-3 / 1e9)


def test_the_model_has_the_precision_that_the_engine_leaves_to_it() -> None:
    """Cast for an engine that runs the model as it is; left in FP32 for one whose option decides."""
    target, models = Target("cpu", (SMALL.batch,), 1), list[Served]()
    plain = holding("one", models)
    own = holding("other", models, precision=lambda options: "bfloat16", refuses={"nhwc": "its own"})
    for engine in (plain, own):
        convolutions_gop_per_s(engine, "bfloat16", {}, target, Clock(1000.0), SMALL)
    assert [model.settings()["dtype"] for model in models] == ["bfloat16", "float32"]
    assert [model.channels_last for model in models] == [True, False]
    assert next(models[0].core.parameters()).dtype == torch.bfloat16


def test_the_best_engine_counts_and_a_broken_one_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three engines one fails, one is slow: the third gives the ceiling, under its name."""

    def fail(*_: object) -> Built:
        raise RuntimeError("no kernel")

    offered = {"ceilings": {"float32": {}}}
    broken = Engine("broken", "", fail, eager.load, **offered)
    absent = Engine("absent", "", fail, eager.load, unavailable=lambda device: "install it", **offered)
    slow, fast = holding("slow", [], **offered), holding("fast", [], **offered)
    found = {one.name: one for one in (broken, absent, slow, fast)}
    monkeypatch.setattr(engines, "catalogue", lambda: found)
    monkeypatch.setattr(probe, "open_device", lambda device: Clock(*[300.0] * 6, 200.0))
    monkeypatch.setattr(probe, "copy_gb_per_s", lambda clock: 7.0)
    monkeypatch.setattr(Watch, "end", lambda watch: (Interference(kind="others", text="a virus scanner"),))
    stages: list[str] = []
    ceilings = measure_ceilings("cpu", 1, stages.append, SMALL)
    assert {name: one.engine for name, one in ceilings.compute.items()} == {"float32": "fast"}
    assert ceilings.memory_gb_per_s == 7.0
    assert ceilings.interference == "a virus scanner"
    assert stages == ["memory", "float32 in broken", "float32 in slow", "float32 in fast"]


@pytest.mark.parametrize("engine", CATALOGUE, ids=lambda engine: engine.name)
def test_engines_offer_what_their_options_give(engine: Engine) -> None:
    """The options of each ceiling are the engine's own, and compute in that precision."""
    for precision, options in engine.ceilings.items():
        checked = engine.options.model_validate(options).model_dump()
        assert engine.precision(checked) in (None, precision)


def test_imitated_precisions_are_no_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor without 16-bit arithmetic has no ceiling of it, and the others all the same."""
    monkeypatch.setattr(machine, "cpu_flags", lambda: frozenset({"avx2"}))
    precisions = {precision for _, precision, _ in candidates("cpu")}
    assert "float32" in precisions
    assert not precisions & {"bfloat16", "float16"}


@pytest.mark.filterwarnings("ignore")
def test_every_engine_that_is_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Real engines run convolutions in every precision that they offer; a later run surveys again, and never less."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(probe, "saturating", lambda device, threads: SMALL)
    monkeypatch.setattr(probe, "SAMPLE_MS", 1.0)
    monkeypatch.setattr(memory_copy, "LEAST_BYTES", 1 << 20)
    monkeypatch.setattr(memory_copy, "last_cache_bytes", lambda: 0)
    monkeypatch.setattr(Watch, "end", lambda watch: "")
    offered = {precision for _, precision, _ in candidates("cpu")}
    found = known_ceilings("0badcafe", "cpu", torch.get_num_threads())
    assert set(found.compute) == offered
    for ceiling in found.compute.values():
        name = ceiling.engine.partition(" in ")[0]  # of a wider precision, where that was faster
        assert engines.catalogue()[name].ceilings
    lower = {name: one.model_copy(update={"gop_per_s": 1e-9}) for name, one in found.compute.items()}
    again = found.model_copy(update={"compute": lower, "memory_gb_per_s": 1e6})
    monkeypatch.setattr(probe, "measure_ceilings", lambda *_: again)
    later = known_ceilings("0badcafe", "cpu", torch.get_num_threads())
    assert later == found.model_copy(update={"memory_gb_per_s": 1e6})


def test_a_copy_reads_and_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both count: 1 MiB in 2 ms at best is 1.05 GB/s."""
    monkeypatch.setattr(memory_copy, "LEAST_BYTES", 1 << 20)
    monkeypatch.setattr(memory_copy, "last_cache_bytes", lambda: 0)
    assert memory_copy.copy_gb_per_s(Clock(9.0, 2.0, 5.0)) == pytest.approx(2 * 2**20 / 2e-3 / 1e9)


def test_a_copy_on_a_gpu_is_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """In small parts an H100 showed 1.9 TB/s of its 3.0: starting each took half as long as the part."""
    monkeypatch.setattr(memory_copy, "LEAST_BYTES", 4 * memory_copy.PART * 2)
    monkeypatch.setattr(memory_copy, "last_cache_bytes", lambda: 0)
    monkeypatch.setattr(memory_copy.torch, "ones", lambda count, device: torch.empty(count))
    clock = Clock(2.0)
    clock.name = "cuda"
    assert memory_copy.copy_gb_per_s(clock) == pytest.approx(2 * 8 * memory_copy.PART / 2e-3 / 1e9)


def test_all_last_level_caches_count(tmp_path: Path) -> None:
    """Two groups of cores with a cache each: both; the smaller levels and unreadable entries not."""
    for cpu, level, shared, size in (
        (0, 2, "0", "2048K"),
        (0, 3, "0-1", "32768K"),
        (1, 3, "0-1", "32768K"),
        (2, 3, "2-3", "32768K"),
        (3, 3, "2-3", "large"),
    ):
        folder = tmp_path / f"cpu{cpu}" / "cache" / f"index{level}"
        folder.mkdir(parents=True)
        for name, text in (("level", str(level)), ("shared_cpu_list", shared), ("size", size)):
            (folder / name).write_text(f"{text}\n")
    assert memory_copy.last_cache_bytes(tmp_path) == 64 << 20
    assert memory_copy.last_cache_bytes(tmp_path / "nowhere") == 0
