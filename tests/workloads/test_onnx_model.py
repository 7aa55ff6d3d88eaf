"""A user's own ONNX file as the model: what is found out about it, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from densebench.errors import InputError, Unavailable, UsageError
from densebench.model.inspection import observe
from densebench.spec import RunSpec
from densebench.workloads import Workload, WorkloadRequest, open_workload
from densebench.workloads.onnx_file import fitted
from tests.onnx_models import ANY, CLASSES, FILTERS, MACS, SIZE, classifier, cut, with_outputs
from tests.small import tiny_model


def opened(path: Path, **changes: str | int) -> Workload:
    """The file as a workload, without data unless told otherwise."""
    return open_workload(WorkloadRequest(model=str(path), data="none", **changes))


def test_a_file_says_what_it_is(tmp_path: Path) -> None:
    """Size, channels, classes, weights and counts come from the file and one inference of it."""
    workload = opened(classifier(tmp_path / "my.onnx"))
    file = workload.onnx_file
    assert file is not None
    assert workload.input_shape == (3, SIZE, SIZE)
    assert (workload.model_name, workload.weights.label) == ("my.onnx", "my.onnx")
    assert workload.weights.classes == tuple(map(str, range(CLASSES)))
    assert (file.parameters, file.macs) == (FILTERS * 27 + FILTERS * CLASSES, MACS)
    assert file.zero_fraction == 0
    assert file.batch_size is None
    said = " ".join(workload.notes)
    assert "baseline is the file in ONNX Runtime" in said
    assert "ImageNet's resize, crop and normalization" in said
    assert f"{SIZE} pixels" in said
    with pytest.raises(Unavailable, match=r"my\.onnx"):
        workload.build_model()


def test_counts_are_those_of_the_model_it_was_exported_from(tmp_path: Path) -> None:
    """Multiplications and zeros of an exported file are PyTorch's own, grouped convolutions included."""
    model = tiny_model()
    with torch.no_grad():
        model.head.weight[:5] = 0
    images = torch.zeros(2, 3, SIZE, SIZE)
    program = torch.onnx.export(model, (images,), dynamo=True, dynamic_shapes=({0: "n"},), verbose=False)
    program.save(tmp_path / "exported.onnx")
    file = opened(tmp_path / "exported.onnx").onnx_file
    assert file.macs == observe(model, model, images[:1]).macs.total()
    weights = sum(p.numel() for p in model.parameters() if p.ndim > 1)
    assert file.zero_fraction == pytest.approx(5 * 8 / weights)
    inputs = torch.randn(3, 3, SIZE, SIZE)
    with torch.inference_mode():
        assert torch.allclose(file.run(inputs), model(inputs), atol=1e-5)


def test_free_sizes_come_from_the_request(tmp_path: Path) -> None:
    """Where the file takes images of any size, --image-size decides, and multiplications follow."""
    path = classifier(tmp_path / "any.onnx", ("n", 3, "h", "w"))
    workload = opened(path, image_size=64)
    assert workload.input_shape == (3, 64, 64)
    assert workload.onnx_file.macs == 4 * (MACS - FILTERS * CLASSES) + FILTERS * CLASSES


def test_grey_images(tmp_path: Path) -> None:
    """A file for images of one channel gets a normalization of one channel."""
    workload = opened(classifier(tmp_path / "grey.onnx", ("n", 1, SIZE, SIZE)))
    assert workload.input_shape == (1, SIZE, SIZE)
    assert len(workload.weights.preprocessing.mean) == 1


def test_old_files_list_weights_among_the_inputs(tmp_path: Path) -> None:
    """Only inputs without a value are asked for."""
    assert opened(classifier(tmp_path / "old.onnx", weights_as_inputs=True)).onnx_file.input == "pixels"


def test_probabilities_are_noted(tmp_path: Path) -> None:
    """A softmax at the end is no reason to refuse a file, but the reader is told."""
    assert any("Softmax" in note for note in opened(classifier(tmp_path / "s.onnx", head="Softmax")).notes)


def test_weights_beside_the_file_count_as_its_own(tmp_path: Path) -> None:
    """The hash covers both files, so that other weights under the same graph are another model."""
    path = classifier(tmp_path / "big.onnx", beside="big.data")
    first = opened(path)
    assert first.onnx_file.parameters == FILTERS * 27 + FILTERS * CLASSES
    weights = np.fromfile(tmp_path / "big.data", np.float32)
    (weights * 2).tofile(tmp_path / "big.data")
    assert opened(path).weights.sha256 != first.weights.sha256


def test_a_fixed_batch_is_the_only_one(tmp_path: Path) -> None:
    """A file of batch 4 takes 4, says so for others, and validates on whole batches only."""
    path = classifier(tmp_path / "four.onnx", (4, 3, SIZE, SIZE))
    workload = open_workload(WorkloadRequest(model=str(path), data="digits"))
    workload.onnx_file.check_batches([4])
    with pytest.raises(UsageError, match="--batch-sizes 4"):
        workload.onnx_file.check_batches([1, 4])
    assert workload.onnx_file.macs == MACS
    assert len(workload.data.validation) == 1000


def test_fewer_images_than_a_batch_are_not_called_unlabelled(tmp_path: Path) -> None:
    """Why there is no accuracy is told by the two numbers that don't fit."""
    data = open_workload(WorkloadRequest(model="densenet121", data="digits", image_size=32)).data
    left = fitted(data, 1500)
    assert left.validation is None
    assert left.no_validation.startswith("fewer labelled images (1000) than a batch of 1500 has")


def test_digits_fit_a_file_with_ten_classes(tmp_path: Path) -> None:
    """Images to calibrate and validate with come in the file's own size."""
    workload = open_workload(WorkloadRequest(model=str(classifier(tmp_path / "ten.onnx")), data="digits"))
    images, _ = next(workload.data.calibration.batches(2))
    assert images.shape == (2, 3, SIZE, SIZE)


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda path: path, "doesn't exist"),
    "folder": (lambda path: path.mkdir() or path, "is a folder"),
    "cut": (lambda path: cut(classifier(path)), "not a whole ONNX file"),
    "empty": (lambda path: cut(classifier(path), 0), "not a whole ONNX file"),
    "text": (lambda path: path.write_text("no model") and path, "not a whole ONNX file"),
    "integers": (
        lambda path: classifier(path, kind=TensorProto.INT64),
        r"int64 \(n, 3, 32, 32\), not images",
    ),
    "three dimensions": (lambda path: classifier(path, ANY[:3]), r"float \(n, 3, 32\), not images"),
    "five channels": (lambda path: classifier(path, ("n", 5, SIZE, SIZE)), "not images"),
    "not square": (lambda path: classifier(path, ("n", 3, SIZE, 48)), "32 x 48"),
    "two inputs": (lambda path: classifier(path, more_inputs=["mask"]), r"2 inputs \(pixels, mask\)"),
    "two outputs": (lambda path: with_outputs(classifier(path), "scores", "flat"), "2 outputs"),
    "no logits": (lambda path: with_outputs(classifier(path), "active"), r"\(2, 8, 32, 32\): export"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused(tmp_path: Path, case: str) -> None:
    """What isn't a whole image classifier is refused in one line that names the file."""
    make, said = BAD[case]
    with pytest.raises(InputError, match=said) as refusal:
        opened(make(tmp_path / "bad.onnx"))
    assert "bad.onnx" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_missing_and_damaged_external_weights_are_refused(tmp_path: Path) -> None:
    """The message names the file with the weights, and what to do about it."""
    path = classifier(tmp_path / "big.onnx", beside="big.data")
    cut(tmp_path / "big.data", 0.1)
    with pytest.raises(InputError, match="can't be read"):
        opened(path)
    (tmp_path / "big.data").unlink()
    with pytest.raises(InputError, match=r"weights in big\.data, which isn't there"):
        opened(path)


def test_weights_of_another_source_are_refused(tmp_path: Path) -> None:
    """--weights has nothing to say about a file that has its own."""
    with pytest.raises(UsageError, match="leave out --weights digits"):
        opened(classifier(tmp_path / "my.onnx"), weights="digits")


def test_unknown_operators_are_refused(tmp_path: Path) -> None:
    """What ONNX Runtime can't load is said with its own words, in one line."""
    model = onnx.load(classifier(tmp_path / "own.onnx"))
    model.graph.node[0].domain, model.graph.node[0].op_type = "mine", "Nonsense"
    model.opset_import.append(onnx.helper.make_opsetid("mine", 1))
    onnx.save(model, tmp_path / "own.onnx")
    with pytest.raises(InputError, match="mine:Nonsense") as refusal:
        opened(tmp_path / "own.onnx")
    assert "\n" not in str(refusal.value)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(share=st.floats(0, 0.99))
def test_no_cut_breaks_out(tmp_path: Path, share: float) -> None:
    """Wherever a file ends too early, the answer is a refusal and nothing else."""
    with pytest.raises(InputError):
        opened(cut(classifier(tmp_path / "cut.onnx"), share))


def test_the_baseline_of_a_file_is_not_eager() -> None:
    """`baseline` names another engine where there is no PyTorch model, and only there."""
    assert RunSpec.create(model="some/MY.ONNX").named["baseline"] == "onnx"
    assert RunSpec.create(model="densenet121").named["baseline"] == "eager"
