"""Agreement with the baseline where there are no labels: on which images, how many, and within the time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from densebench.measure import accuracy as module
from densebench.processes import messages
from densebench.schema import Effect
from densebench.spec import AGREEMENT_IMAGES
from densebench.worker import jobs as worker
from densebench.workloads.base import Splits, Workload
from densebench.workloads.none import open_no_data
from tests.small import SIZE, tiny_model, tiny_workload


class Model:
    """The tiny model with a bias, each batch of which takes so many seconds."""

    def __init__(self, bias: float = 0.0, batch_s: float = 0.0) -> None:
        self.model, self.bias, self.batch_s, self.now = tiny_model(), torch.zeros(10), batch_s, 0.0
        self.bias[0] = bias
        self.seen: list[Tensor] = []

    def perf_counter(self) -> float:
        return self.now

    def __call__(self, images: Tensor) -> Tensor:
        self.now += self.batch_s
        self.seen.append(images)
        return self.model(images) + self.bias

    def effect(self, images: Tensor) -> Effect:
        return Effect(none_because="made by hand")

    def close(self) -> None:
        pass


class Evaluations:
    """Evaluates models on one workload, within 100 seconds each."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch
        self.use(open_no_data(3, SIZE, seed=5))

    def use(self, data: Splits) -> None:
        workload: Workload = replace(tiny_workload(), data=data)
        self.monkeypatch.setattr(worker, "_open", lambda job: workload)

    def of(self, model: Model, *, baseline: bool = False) -> dict[str, Any]:
        """What an evaluation finds out about accuracy."""
        self.monkeypatch.setattr(module, "time", model)
        job = messages.Evaluate(
            folder=self.folder,
            device="cpu",
            threads=1,
            trust=False,
            workload=messages.WorkloadJob(model="tiny", weights="tiny", data="none", image_size=SIZE, seed=5),
            batch_size=4,
            reference=self.folder / "reference",
            is_reference=baseline,
            seconds=100.0,
            images=0,
        )
        return worker._accuracy(job, model)


@pytest.fixture
def evaluations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluations:
    """Of a workload without data."""
    return Evaluations(tmp_path, monkeypatch)


def test_without_labels_outputs_are_compared_on_random_images(evaluations: Evaluations) -> None:
    """An equal model agrees everywhere, a biased one less; accuracy stays unmeasured, with its reason."""
    evaluations.of(Model(), baseline=True)
    equal, biased, other = (evaluations.of(Model(bias)) for bias in (0.0, 0.01, 1e6))
    assert equal["top1_agreement"] == 1
    assert equal["output_sqnr_db"] is None  # to the last bit
    assert biased["output_sqnr_db"] > other["output_sqnr_db"]
    assert other["top1_agreement"] < 1
    for found in (equal, biased, other):
        assert (found["agreement_images"], found["agreement_on_noise"]) == (AGREEMENT_IMAGES, True)
        assert found["reason"] == "accuracy not measured: the data has no labelled images"
        assert "accuracy_top1" not in found
        messages.Quality.model_validate(
            {
                "parameters": 1,
                "macs_g": 1,
                "zero_fraction": 0,
                "model_size_mb": 1,
                "build_s": 1,
                "cold_start_s": 1,
            }
            | {"effect": Effect(seen=("x",))}
            | found
        )


def test_without_the_baselines_outputs_there_is_nothing_to_compare(evaluations: Evaluations) -> None:
    """The baseline's own evaluation failed, or its file is gone; the baseline isn't compared with itself."""
    assert "top1_agreement" not in evaluations.of(Model())
    assert "top1_agreement" not in evaluations.of(Model(), baseline=True)


def test_pictures_without_labels_are_no_noise_and_count_once(evaluations: Evaluations) -> None:
    """Where the data has seven, which fill larger batches by repetition, agreement is on seven."""
    pictures = torch.rand(7, 3, SIZE, SIZE)
    few = Splits("few", None, None, lambda size: pictures[[place % 7 for place in range(size)]])
    evaluations.use(few)
    evaluations.of(Model(), baseline=True)
    found = evaluations.of(model := Model())
    assert (found["agreement_images"], found["agreement_on_noise"]) == (7, False)
    assert all(len(batch) == 4 for batch in model.seen)


def test_a_slow_model_keeps_to_its_time(evaluations: Evaluations) -> None:
    """A slow baseline takes fewer images, and recipes the same ones; a recipe that is too slow for these says so."""
    evaluations.of(slow := Model(batch_s=9.0), baseline=True)
    assert slow.now < 3 * 100
    found = evaluations.of(Model())
    assert 0 < found["agreement_images"] < AGREEMENT_IMAGES
    assert found["top1_agreement"] == 1
    late = evaluations.of(Model(batch_s=500.0))
    assert "top1_agreement" not in late
    assert late["reason"].startswith("accuracy not measured: the data has no labelled images; no agreement: ")
