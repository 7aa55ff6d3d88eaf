"""Checkpoints of the user's own: the habits that are understood, and one clear line for everything else."""

from __future__ import annotations

import json
import os
import pickle
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision import models

from densebench.errors import InputError
from densebench.workloads import WorkloadRequest, open_workload
from densebench.workloads.checkpoint_file import open_checkpoint

from .conftest import resnet_state

if TYPE_CHECKING:
    from pathlib import Path


def refusal(path: Path, model: str = "resnet18") -> str:
    """The one line that a bad file is refused with."""
    with pytest.raises(InputError) as caught:
        open_checkpoint(path, model, 64)
    line = str(caught.value)
    assert "\n" not in line
    assert str(path) in line
    return line


def test_a_plain_state_dict_is_read(resnet_file: Path) -> None:
    """The class count is that of the last layer, and the model computes what the original does."""
    workload = open_workload(WorkloadRequest("resnet18", str(resnet_file), image_size=64))
    assert workload.weights.classes == ("0", "1", "2", "3")
    assert workload.weights.label == "resnet.pth"
    assert workload.data.label == "none"
    assert "doesn't say" in workload.notes[0]
    original = models.resnet18(num_classes=4).eval()
    original.load_state_dict(torch.load(resnet_file, weights_only=True))
    images = workload.data.timing(2)
    with torch.inference_mode():
        assert torch.equal(workload.build_model()(images), original(images))


def test_each_built_model_owns_its_weights(resnet_file: Path) -> None:
    """Changing one model, as pruning does, changes neither the workload nor the next model."""
    workload = open_workload(WorkloadRequest("resnet18", str(resnet_file), image_size=64))
    first = workload.build_model()
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.zero_()
    assert workload.build_model().get_parameter("fc.weight").count_nonzero() > 0


@pytest.mark.parametrize("prefix", ["module.", "model.", "module.model.", "_orig_mod."])
def test_wrapped_and_prefixed_states_are_unwrapped(tmp_path: Path, prefix: str) -> None:
    """What training frameworks put around a state dict is taken off."""
    path = tmp_path / "wrapped.ckpt"
    state = {prefix + key: value for key, value in resnet_state().items()}
    torch.save({"epoch": 3, "state_dict": state, "optimizer": {"lr": 0.1}}, path)
    assert set(open_checkpoint(path, "resnet18", 64).state) == set(resnet_state())


def test_old_and_half_precision_files_are_completed(tmp_path: Path) -> None:
    """Missing batch counters are added, and floats of any precision come as float32."""
    path = tmp_path / "old.safetensors"
    state = {k: v.half() for k, v in resnet_state().items() if not k.endswith("num_batches_tracked")}
    save_file(state, path)
    found = open_checkpoint(path, "resnet18", 64).state
    assert set(found) == set(resnet_state())
    assert all(v.dtype == torch.float32 for v in found.values() if v.is_floating_point())


def test_names_of_the_first_densenets_are_understood(tmp_path: Path) -> None:
    """Published DenseNet files write `norm.1` where the model has `norm1`."""
    torch.manual_seed(0)
    new = models.densenet121(num_classes=3).state_dict()
    old = {k.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): v for k, v in new.items()}
    torch.save(old, tmp_path / "old.pth")
    assert set(open_checkpoint(tmp_path / "old.pth", "densenet121", 64).state) == set(new)


def test_a_grey_scale_checkpoint_takes_one_channel(tmp_path: Path) -> None:
    """One input channel in the first convolution gives one-channel preprocessing, inputs and model."""
    torch.save(resnet_state(channels=1), tmp_path / "grey.pth")
    workload = open_workload(WorkloadRequest("resnet18", str(tmp_path / "grey.pth"), image_size=48))
    assert workload.input_shape == (1, 48, 48)
    with torch.inference_mode():
        assert workload.build_model()(workload.data.timing(3)).shape == (3, 4)


def test_metadata_of_densebench_is_honoured(tmp_path: Path) -> None:
    """Classes, normalization and sizes come from the file where it has them; another size is noted."""
    metadata = {
        "format": "densebench-checkpoint-1",
        "model": "resnet18",
        "classes": json.dumps(["a", "b", "c", "d"]),
        "mean": "[0.1, 0.2, 0.3]",
        "std": "[1, 1, 1]",
        "image_sizes": "[48, 64]",
    }
    path = tmp_path / "mine.safetensors"
    save_file(resnet_state(), path, metadata)
    weights = open_checkpoint(path, "resnet18", 64)
    assert weights.classes == ("a", "b", "c", "d")
    assert weights.preprocessing.mean == (0.1, 0.2, 0.3)
    assert weights.image_sizes == (48, 64)
    assert not weights.notes
    assert "48, 64 pixels, not 224" in open_checkpoint(path, "resnet18", 224).notes[0]
    assert "--model resnet18" in refusal(path, "densenet121")
    save_file(resnet_state(), path, metadata | {"classes": '["only one"]'})
    assert "write it again" in refusal(path)
    save_file(resnet_state(), path, metadata | {"mean": "nonsense"})
    assert "can't be read" in refusal(path)


def test_a_missing_file_a_folder_and_an_empty_file(tmp_path: Path) -> None:
    """Paths that are no checkpoint are told apart."""
    assert "doesn't exist" in refusal(tmp_path / "none.pth")
    assert "is a folder" in refusal(tmp_path)
    for name in ("empty.pth", "empty.safetensors"):
        (tmp_path / name).touch()
        assert "not a whole" in refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["cut.pth", "cut.safetensors"])
@pytest.mark.parametrize("share", [0.0001, 0.5, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, share: float) -> None:
    """A half download is called what it is, wherever it broke off."""
    path = tmp_path / name
    torch.save(resnet_state(), path) if name.endswith("pth") else save_file(resnet_state(), path)
    os.truncate(path, int(path.stat().st_size * share))
    assert "not a whole" in refusal(path)


class _Trap:
    """Unpickling this writes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_code_in_a_pickle_is_never_run(tmp_path: Path, how: str) -> None:
    """A checkpoint that would run a command is refused, and the command did not run."""
    marker, path = tmp_path / "it-ran", tmp_path / "trap.pth"
    contents = {"state_dict": resnet_state(), "extra": _Trap(marker)}
    if how == "torch":
        torch.save(contents, path)
    else:
        path.write_bytes(pickle.dumps({"extra": _Trap(marker)}))
    assert "could run code" in refusal(path)
    assert not marker.exists()
    torch.load(path, weights_only=False) if how == "torch" else pickle.loads(path.read_bytes())
    assert marker.exists()  # the trap was a real one


def test_a_whole_pickled_model_is_refused(tmp_path: Path) -> None:
    """`torch.save(model)` stores classes to import; the line says what to save instead."""
    torch.save(models.squeezenet1_1(num_classes=2), tmp_path / "model.pt")
    assert "model.state_dict()" in refusal(tmp_path / "model.pt")


def test_a_torchscript_file_is_refused(tmp_path: Path) -> None:
    """A TorchScript archive holds code."""
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "script.pt"))  # type: ignore[no-untyped-call]
    assert "could run code" in refusal(tmp_path / "script.pt")


def test_another_architecture_is_named_by_its_keys(resnet_file: Path) -> None:
    """The first missing and unexpected keys show what the file really is."""
    line = refusal(resnet_file, "densenet121")
    assert "missing classifier.bias" in line
    assert "unexpected bn1.bias" in line
    assert "more" in line
    assert len(line) < 400


def test_another_size_of_the_same_family_is_refused(resnet_file: Path, tmp_path: Path) -> None:
    """Same names with other shapes are no match either."""
    state = resnet_state()
    state["layer1.0.conv1.weight"] = torch.zeros(8, 64, 3, 3)
    torch.save(state, tmp_path / "narrow.pth")
    assert "layer1.0.conv1.weight has shape (8, 64, 3, 3)" in refusal(tmp_path / "narrow.pth")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    """One NaN makes every answer meaningless; the line names the tensor."""
    state = resnet_state()
    state["layer2.0.bn1.weight"][3] = value
    torch.save(state, tmp_path / "broken.pth")
    assert "layer2.0.bn1.weight holds values that are not finite" in refusal(tmp_path / "broken.pth")


def _chexnet() -> dict[str, Tensor]:
    state = models.densenet121(num_classes=14).state_dict()
    renamed = {k.replace("classifier.", "classifier.0."): v for k, v in state.items()}
    return {f"module.densenet121.{k}": v for k, v in renamed.items()}


def _xrayvision() -> dict[str, Tensor]:
    state: dict[str, Tensor] = models.densenet121(num_classes=18).state_dict()
    return {**state, "op_threshs": torch.zeros(18)}


@pytest.mark.parametrize("state", [_chexnet, _xrayvision])
def test_multi_label_models_are_refused(tmp_path: Path, state: object) -> None:
    """CheXNet's and TorchXRayVision's files have no top-1, and the line says so."""
    assert callable(state)
    torch.save(state(), tmp_path / "chest.pth")
    assert "multi-label" in refusal(tmp_path / "chest.pth", "densenet121")


@pytest.mark.parametrize("contents", [[1, 2], {"epoch": 3}, 7])
def test_files_without_weights_are_refused(tmp_path: Path, contents: object) -> None:
    """A file that PyTorch can read but that has no tensors is no checkpoint."""
    torch.save(contents, tmp_path / "log.pth")
    assert "torch.save(model.state_dict(), FILE)" in refusal(tmp_path / "log.pth")
