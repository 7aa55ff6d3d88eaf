"""Frames of torchvision's classifiers, to be filled with weights."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
import torch
from torchvision import models

from densebench.errors import UsageError
from densebench.workloads.models import check_model, construct, head_weight, model_names, stem_weight


@pytest.mark.parametrize(
    "name", ["densenet121", "resnet18", "vgg11_bn", "densenet161", "googlenet", "squeezenet1_1"]
)
def test_a_filled_frame_computes_what_the_model_does(name: str) -> None:
    """A frame with a model's state assigned leaves nothing on meta and gives that model's outputs."""
    torch.manual_seed(0)
    extra = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    original = models.get_model(name, num_classes=7, **extra).eval()
    frame = construct(name, 7, 3)
    frame.load_state_dict(original.state_dict(), assign=True)
    held = [*frame.parameters(), *frame.buffers()]
    assert not any(value.is_meta for value in held)
    assert not any(part.training for part in frame.modules())
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(frame(images), original(images))


FAMILIES = (
    "alexnet",
    "convnext_tiny",
    "densenet169",
    "efficientnet_v2_s",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet50",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "squeezenet1_0",
    "swin_t",
    "swin_v2_t",
    "vgg16_bn",
    "vit_b_16",
    "wide_resnet50_2",
)


def test_every_family_has_a_frame() -> None:
    """One classifier of each torchvision family builds, and its first and last weight are found."""
    assert set(FAMILIES) <= set(model_names())
    for name in FAMILIES:
        frame = construct(name, 11, 3)
        state = frame.state_dict()
        assert state[head_weight(frame)].shape[0] == 11, name
        assert state[stem_weight(frame)].shape[1] == 3, name


@pytest.mark.parametrize("name", ["densenet121", "vgg11_bn", "efficientnet_b0"])
def test_one_channel_replaces_the_first_convolution(name: str) -> None:
    """A frame for grey images differs from the usual one in the first convolution's channels only."""
    usual, grey = construct(name, 5, 3).state_dict(), construct(name, 5, 1)
    stem = stem_weight(grey)
    for key, value in grey.state_dict().items():
        shape = list(usual[key].shape)
        assert list(value.shape) == ([shape[0], 1, *shape[2:]] if key == stem else shape)


def test_construct_is_quick_and_needs_no_scikit_learn() -> None:
    """The artifact loader builds DenseNet-121 in a fraction of a second, without scikit-learn."""
    construct("densenet121", 10, 3)
    fastest = min(_seconds(lambda: construct("densenet121", 10, 3)) for _ in range(5))
    assert fastest < 0.5  # 0.1 s
    code = "import sys; from densebench.workloads.models import construct; construct('resnet18', 2, 3)"
    subprocess.run([sys.executable, "-c", code + "; assert 'sklearn' not in sys.modules"], check=True)


def _seconds(call: object) -> float:
    assert callable(call)
    started = time.thread_time()  # of this thread alone: other programs may share the cores
    call()
    return time.thread_time() - started


@pytest.mark.parametrize(("wrong", "near"), [("densenet12", "densenet121"), ("ResNet-18", "resnet18")])
def test_an_unknown_name_is_answered_with_the_nearest(wrong: str, near: str) -> None:
    """A mistyped model is a usage error that names the nearest one."""
    with pytest.raises(UsageError, match=f"did you mean {near}"):
        check_model(wrong, 224)


def test_models_of_another_kind_are_unknown() -> None:
    """Detection and segmentation models are no classifiers."""
    with pytest.raises(UsageError, match="no model is called"):
        check_model("fasterrcnn_resnet50_fpn", 224)


def test_a_model_of_one_size_refuses_another() -> None:
    """A vision transformer takes the size that its position embedding has, and the line says which."""
    check_model("vit_b_16", 224)
    with pytest.raises(UsageError, match="--image-size 224"):
        check_model("vit_b_16", 64)


def test_images_too_small_for_the_model_are_refused() -> None:
    """DenseNet halves an image five times; what is too small for that is refused before anything runs."""
    check_model("densenet121", 29)
    with pytest.raises(UsageError, match="at least 29"):
        check_model("densenet121", 28)
