"""Folders of images: how classes are found, how images are shared out, and what is refused."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from densebench.errors import InputError
from densebench.processes import messages
from densebench.worker import jobs as worker
from densebench.workloads import WorkloadRequest, folder, open_workload
from densebench.workloads.base import Preprocessing, Weights
from densebench.workloads.decoding import read_image, undecodable
from densebench.workloads.folder import class_indices, open_folder

Draw = Callable[..., Path]
Make = Callable[..., Weights]


def refusal(root: Path, weights: Weights) -> str:
    """The one line that a bad folder is refused with."""
    with pytest.raises(InputError) as caught:
        open_folder(root, weights, 0)
    line = str(caught.value)
    assert "\n" not in line
    assert str(root) in line
    return line


def test_a_folder_of_classes_is_shared_out(draw_folder: Draw, some_weights: Make) -> None:
    """A fifth each to timing and calibration, the rest to validation, every image once."""
    data = open_folder(draw_folder(["cat", "dog"], 10), some_weights(), 0)
    assert data.label == "images"
    assert data.notes == ()
    assert data.calibration is not None
    assert data.validation is not None
    assert (len(data.calibration), len(data.validation)) == (4, 12)
    seen = torch.cat([data.calibration.read(range(4)), data.validation.read(range(12)), data.timing(4)])
    assert len({image.numpy().tobytes() for image in seen}) == 20
    assert data.timing(9).shape == (9, 3, 16, 16)
    assert torch.equal(data.timing(9)[4:8], data.timing(9)[:4])


@given(count=st.integers(5, 3000), seed=st.integers(0, 2**31))
def test_sets_never_overlap(count: int, seed: int) -> None:
    """Whatever the number of images and the seed: disjoint, complete, and within their bounds."""
    names = tuple(Path(str(i)) for i in range(count))
    listing = folder._Listing(names, tuple(range(count)), ())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder, "_list", lambda *_: listing)
        look = Preprocessing(16, 16, (0.5,) * 3, (0.5,) * 3)
        data = open_folder(Path(__file__).parent, Weights("w", {}, ("a",), look, ""), seed)
    assert data.calibration is not None
    assert data.validation is not None
    timing = {int(path.name) for path in data.timing.paths}  # type: ignore[attr-defined]
    calibration, validation = set(data.calibration.labels), set(data.validation.labels)
    assert len(timing) + len(calibration) + len(validation) == count
    assert timing | calibration | validation == set(range(count))
    assert 1 <= len(timing) <= min(64, count // 5)
    assert 1 <= len(calibration) <= min(256, count // 5)


def test_the_seed_chooses_the_images(draw_folder: Draw, some_weights: Make) -> None:
    """The same seed gives the same sets, another seed others."""
    root = draw_folder(["cat", "dog"], 15)
    first, again, other = (open_folder(root, some_weights(), seed).timing(6) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_train_and_val_keep_apart(draw_folder: Draw, some_weights: Make) -> None:
    """With both subfolders, training and calibration come from one, validation and timing from the other."""
    draw_folder(["train/cat", "train/dog"], 10)
    root = draw_folder(["val/cat", "val/dog"], 5)
    data = open_folder(root, some_weights(), 0)
    assert data.training is not None
    assert data.calibration is not None
    assert data.validation is not None
    assert (len(data.training), len(data.calibration), len(data.validation)) == (20, 4, 8)


@pytest.mark.parametrize(
    ("names", "classes", "expected"),
    [
        (["Golden_Retriever", "cat"], ["cat", "golden retriever"], [1, 0]),
        (["2", "0"], ["a", "b", "c"], [2, 0]),
        (["002", "000"], ["a", "b", "c"], [2, 0]),
        (["n01440764", "n03888257"], [str(i) + "x" for i in range(1000)], [0, 701]),
        (["n1", "n2", "n3"], ["a", "b", "c"], [0, 1, 2]),
    ],
)
def test_class_folders_find_their_class(names: list[str], classes: list[str], expected: list[int]) -> None:
    """By name, by number, by Imagenette's ids, else by order where there are as many."""
    assert list(class_indices(names, classes, Path("x"))[0].values()) == expected


def test_folders_of_other_classes_are_refused(draw_folder: Draw, some_weights: Make) -> None:
    """Classes that the model doesn't have can't be validated; the line names one."""
    line = refusal(draw_folder(["cat", "unicorn"], 1), some_weights(["cat", "dog", "cow"]))
    assert "'unicorn'" in line
    assert "3 classes" in line


def test_one_typo_is_not_taken_for_another_order(draw_folder: Draw, some_weights: Make) -> None:
    """As many folders as classes, most of them named after one: those that are not are named, nothing is guessed."""
    line = refusal(draw_folder(["bird", "cat", "dgo"], 5), some_weights(["dog", "cat", "bird"]))
    assert "1 of the folders are none of them ('dgo')" in line
    many = refusal(draw_folder(["a", "b", "c", "d", "cat"], 5, "many"), some_weights(["cat", *"vwxy"]))
    assert "('a', 'b', 'c' and 1 more)" in many


def test_sorted_order_is_told(draw_folder: Draw, some_weights: Make) -> None:
    """It may be right, and accuracy is worth nothing if it isn't: a note says what was taken for what."""
    data = open_folder(draw_folder(["n1", "n2"], 5), some_weights(["cat", "dog"]), 0)
    (note,) = data.notes
    assert "sorted order: n1 is cat, n2 is dog" in note


def test_missing_empty_and_flat_folders_are_refused(tmp_path: Path, some_weights: Make) -> None:
    """Each says what to put where."""
    assert "doesn't exist" in refusal(tmp_path / "nowhere", some_weights())
    file = tmp_path / "file"
    file.touch()
    assert "is a file" in refusal(file, some_weights())
    (tmp_path / "empty").mkdir()
    assert "is empty" in refusal(tmp_path / "empty", some_weights())
    (tmp_path / "hollow" / "cat").mkdir(parents=True)
    (tmp_path / "hollow" / "dog").mkdir()
    assert "no images" in refusal(tmp_path / "hollow", some_weights())
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "1.png").touch()
    assert "one folder per class" in refusal(tmp_path / "flat", some_weights())
    (tmp_path / "flat" / "labels.csv").touch()
    assert "multi-label" in refusal(tmp_path / "flat", some_weights())


def test_too_few_images_are_refused(draw_folder: Draw, some_weights: Make) -> None:
    """Four images can't be shared out."""
    assert "at least 5" in refusal(draw_folder(["cat", "dog"], 2), some_weights())


def test_broken_images_are_left_out_and_named(draw_folder: Draw, some_weights: Make) -> None:
    """Truncated, foreign, empty and dangling files are counted, and every image that is left can be read."""
    root = draw_folder(["cat", "dog"], 10)
    whole = (root / "cat" / "0.jpeg").read_bytes()
    (root / "cat" / "0.jpeg").write_bytes(whole[: len(whole) * 2 // 3])
    (root / "cat" / "1.jpeg").write_text("no image")
    (root / "dog" / "2.jpeg").write_bytes(b"")
    (root / "dog" / "3.jpeg").unlink()
    (root / "dog" / "3.jpeg").symlink_to("gone.jpeg")
    data = open_folder(root, some_weights(), 0)
    (note,) = data.notes
    assert "4 of 20 images" in note
    assert "cat/0.jpeg, cat/1.jpeg, dog/2.jpeg and 1 more" in note
    assert data.validation is not None
    assert sum(len(images) for images, _ in data.validation.batches(4)) == 10


def test_what_was_checked_is_remembered(draw_folder: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are decoded once, and again only after one of them changed."""
    root = draw_folder(["cat"], 3)
    paths = sorted((root / "cat").iterdir())
    assert not undecodable(paths)
    monkeypatch.setattr("densebench.workloads.decoding._decodes", lambda _: False)
    assert not undecodable(paths)
    paths[1].write_bytes(b"changed")
    assert undecodable(paths) == set(paths)


def test_colour_and_grey_meet_the_models_channels(
    tmp_path: Path, draw_folder: Draw, some_weights: Make
) -> None:
    """Grey images fill three channels, colour is reduced for a one-channel model."""
    grey = open_folder(draw_folder(["cat", "dog"], 5, "grey", "L"), some_weights(), 0).timing(1)
    assert grey.shape == (1, 3, 16, 16)
    assert torch.equal(grey[0, 0], grey[0, 2])
    colour = open_folder(draw_folder(["cat", "dog"], 5, "colour"), some_weights(channels=1), 0)
    assert colour.timing(2).shape == (2, 1, 16, 16)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    """An X-ray with 16 bits a pixel keeps its shades."""
    ramp = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)
    PIL.Image.fromarray(ramp).save(tmp_path / "ray.png")
    image = read_image(tmp_path / "ray.png", Preprocessing(32, 32, (0.0,), (1.0,)))
    assert torch.allclose(image[0], torch.from_numpy(ramp / 65535).float(), atol=0.01)


def test_preprocessing_is_that_of_torchvisions_preset(draw_folder: Draw) -> None:
    """An image is prepared exactly as torchvision's own ImageNet transform does it."""
    from torchvision.transforms._presets import ImageClassification

    path = draw_folder(["cat"], 1) / "cat" / "0.jpeg"
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    preset = ImageClassification(crop_size=14, resize_size=16, mean=mean, std=std)
    with PIL.Image.open(path) as image:
        expected = preset(image.convert("RGB"))
    assert torch.equal(read_image(path, Preprocessing(16, 14, mean, std)), expected)


def test_a_folder_as_data_of_a_run(draw_folder: Draw, resnet_file: Path) -> None:
    """The whole way: a checkpoint for four classes and four class folders."""
    root = draw_folder(["ant", "bee", "cow", "dog"], 5)
    workload = open_workload(WorkloadRequest("resnet18", str(resnet_file), str(root), 32))
    assert workload.data.validation is not None
    images, labels = next(workload.data.validation.batches(6))
    assert workload.build_model()(images).shape == (6, 4)
    assert set(labels.tolist()) <= {0, 1, 2, 3}


def test_what_may_not_be_read_is_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's refusal is told in one line that names the file, as a request that can't be carried out."""

    def refused(workload: messages.WorkloadJob) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/data/val")

    monkeypatch.setattr(worker, "_open", refused)
    workload = messages.WorkloadJob(model="resnet18", weights="random", data="/data", image_size=32, seed=0)
    job = messages.Describe(
        workload=workload, device="cpu", batch_sizes=(1,), timing_file=tmp_path / "file", threads=1
    )
    with pytest.raises(
        InputError, match=r"/data/val can't be used \(Permission denied\): mend that, or name"
    ):
        worker.describe(job, lambda stage: None)
