"""Saved models put to use: `densebench predict` from the command line, and `densebench.load` from Python."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

import densebench
from densebench.cli import main
from densebench.errors import RefusedArtifact
from densebench.processes import messages
from densebench.recipes.parse import resolve
from densebench.worker import jobs as worker
from densebench.worker.build import build_artifact
from densebench.workloads.base import Workload
from tests.artifacts.test_manifest import content_of, rewrite
from tests.e2e.program import Finished
from tests.onnx_models import SIZE, classifier

pytest_plugins = ["tests.fixtures"]
pytestmark = pytest.mark.usefixtures("own_key")


def job_of(folder: Path, recipe: str, model: str, *sizes: int) -> messages.Build:
    """The build of one recipe of one model."""
    return messages.Build(
        workload=messages.WorkloadJob(model=model, weights="auto", data="none", image_size=SIZE, seed=0),
        recipe=recipe,
        named={},
        device="cpu",
        batch_sizes=sizes,
        folder=folder,
        threads=1,
    )


@pytest.fixture
def artifact(tiny: Workload, tmp_path: Path) -> Path:
    """A small model as the default engine saves it."""
    job = job_of(tmp_path / "artifact", "channels_last", "tiny", 2)
    build_artifact(job, resolve("channels_last", {}), tiny, lambda stage: None)
    return job.folder


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Two pictures of noise."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / "one.png", tmp_path / "two.jpeg"]
    for path in paths:
        PIL.Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(path)
    return paths


@pytest.fixture
def predict(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Finished]:
    """`densebench predict`, in this process."""

    def run(*arguments: Path) -> Finished:
        monkeypatch.setattr("sys.argv", ["densebench", "predict", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main.main()
        said = capfd.readouterr()
        return Finished(int(end.value.code or 0), said.out, said.err)

    return run


def shares(lines: list[str]) -> list[tuple[float, str]]:
    """Percentages and classes of printed lines."""
    return [(float(line.split(" %")[0]), line.split(" %")[1].strip()) for line in lines]


def test_the_five_likeliest_classes_are_printed(
    predict: Callable[..., Finished], artifact: Path, images: list[Path]
) -> None:
    """For each image its path and five lines, the likeliest first: what the model says of it, in percent."""
    done = predict(artifact, *images)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert len(lines) == 12
    for start, path in zip((0, 6), images, strict=True):
        assert lines[start] == str(path)
        found = shares(lines[start + 1 : start + 6])
        assert found == sorted(found, reverse=True)
        assert all(name.startswith("class ") for _, name in found)
        assert len({name for _, name in found}) == 5


def test_a_model_of_one_batch_size_is_fed_as_many_copies(
    predict: Callable[..., Finished], tmp_path: Path, images: list[Path]
) -> None:
    """It says of a picture what the same model of any batch size says."""
    said = []
    for name, shape in (("four", (4, 3, SIZE, SIZE)), ("any", ("n", 3, SIZE, SIZE))):
        classifier(tmp_path / f"{name}.onnx", shape)
        job = job_of(tmp_path / name, "onnx", str(tmp_path / f"{name}.onnx"), 4)
        worker.build(job, lambda stage: None)
        done = predict(job.folder, images[0])
        assert (done.code, done.err) == (0, "")
        said.append(shares(done.out.splitlines()[1:]))
    assert json.loads((tmp_path / "four" / "manifest.json").read_bytes())["input"]["shape"][0] == 4
    assert [name for _, name in said[0]] == [name for _, name in said[1]]
    assert [share for share, _ in said[0]] == pytest.approx([share for share, _ in said[1]], abs=0.11)


@pytest.mark.parametrize("damage", ["missing", "text", "cut", "bomb"])
def test_what_is_no_image_is_one_line(
    predict: Callable[..., Finished],
    artifact: Path,
    images: list[Path],
    damage: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever its reader makes of it; exit 2, the file by its name."""
    path = images[0]
    if damage == "missing":
        path.unlink()
    elif damage == "text":
        path.write_text("no image", encoding="utf-8")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:60])
    else:
        monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 10)  # raises an error of Pillow's own
    done = predict(artifact, path)
    assert done.code == 2
    assert len(done.err.splitlines()) == 1, done.err
    assert "one.png can't be read as an image: " in done.err


def test_a_model_that_answers_otherwise_is_refused(
    predict: Callable[..., Finished], artifact: Path, images: list[Path]
) -> None:
    """Its files may be whole: what it says of the probe is not what it said when it was built."""
    logits = densebench.load(artifact)(torch.zeros(3, 3, 16, 16))
    assert logits.shape == (3, 10)
    content = content_of(artifact)
    content["probe"]["outputs"][0][3] += 0.5
    rewrite(artifact, content)
    with pytest.raises(
        RefusedArtifact, match=r"it gives other outputs than when it was built.*build the recipe"
    ):
        densebench.load(artifact)
    done = predict(artifact, images[0])
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert str(artifact) in done.err


@pytest.mark.parametrize("outputs", [[], [[1.0, 2.0]]], ids=["none", "other classes"])
def test_a_probe_of_another_shape_is_refused(artifact: Path, outputs: list[list[float]]) -> None:
    """A manifest that has nothing to check by is no check passed."""
    content = content_of(artifact)
    content["probe"]["outputs"] = outputs
    rewrite(artifact, content)
    with pytest.raises(RefusedArtifact, match="other outputs"):
        densebench.load(artifact)


@pytest.mark.parametrize("flag", ["--output-dir={file}/below", "--output-dir={file}"])
def test_training_into_no_folder_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], flag: str
) -> None:
    """Before the minutes that it takes, in one line."""
    (tmp_path / "file").touch()
    monkeypatch.setattr("densebench.workloads.training.fit", lambda *_, **__: pytest.fail("it trains"))
    monkeypatch.setattr("sys.argv", ["densebench", "train", flag.format(file=tmp_path / "file")])
    with pytest.raises(SystemExit) as end:
        main.main()
    said = capfd.readouterr().err
    assert (end.value.code, len(said.splitlines())) == (2, 1), said
    assert "can't be written" in said
    assert "name another folder" in said


def test_training_that_can_not_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A disk that filled up meanwhile."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("densebench.workloads.training.train", full)
    monkeypatch.setattr("sys.argv", ["densebench", "train", f"--output-dir={tmp_path}"])
    with pytest.raises(SystemExit) as end:
        main.main()
    said = capfd.readouterr().err
    assert (end.value.code, len(said.splitlines())) == (1, 1), said
    assert "No space left" in said
