"""What several builds of a sweep need is made once, and its seconds are counted each time."""

from pathlib import Path

import pytest

from densebench.build_cache import SCRATCH, keep, once, recall


class Maker:
    """Writes a file, and counts how often."""

    def __init__(self, *, parts: bool = False) -> None:
        self.times = 0
        self.parts = parts

    def __call__(self, path: Path) -> None:
        self.times += 1
        path.write_bytes(b"graph")
        if self.parts:
            path.with_suffix(".data").write_bytes(b"weights")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Where two builds write."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    return first, second


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a sweep's temporary files."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv(SCRATCH, str(folder))
    return folder


@pytest.mark.usefixtures("scratch")
def test_the_second_build_takes_the_first_ones_file(folders: tuple[Path, Path]) -> None:
    """The file is there, it was made once, and the second build is told how long that took."""
    make = Maker()
    assert once(["onnx", "a"], folders[0] / "model.onnx", make) == 0
    spared_s = once(["onnx", "a"], folders[1] / "model.onnx", make)
    assert (folders[1] / "model.onnx").read_bytes() == b"graph"
    assert make.times == 1
    assert spared_s > 0


@pytest.mark.usefixtures("scratch")
def test_another_model_is_made_itself(folders: tuple[Path, Path]) -> None:
    """Only what depends on the very same is taken."""
    make = Maker()
    once(["onnx", "a"], folders[0] / "model.onnx", make)
    assert once(["onnx", "b"], folders[1] / "model.onnx", make) == 0
    assert make.times == 2


@pytest.mark.usefixtures("scratch")
def test_a_file_with_parts_is_not_kept(folders: tuple[Path, Path]) -> None:
    """Weights beside a graph of more than 2 GB would be missing in the second folder."""
    make = Maker(parts=True)
    for folder in folders:
        assert once(["onnx", "a"], folder / "model.onnx", make) == 0
        assert (folder / "model.data").exists()
    assert make.times == 2


@pytest.mark.usefixtures("scratch")
def test_what_was_cut_short_is_not_taken(folders: tuple[Path, Path]) -> None:
    """A build that is killed while it keeps files leaves no memory of them, and the next one can."""

    def killed(folder: Path) -> None:
        (folder / "file").write_bytes(b"gra")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keep(["onnx", "a"], 1.0, killed)
    assert recall(["onnx", "a"]) is None
    make = Maker()
    assert once(["onnx", "a"], folders[0] / "model.onnx", make) == 0
    assert once(["onnx", "a"], folders[1] / "model.onnx", make) > 0
    assert make.times == 1


def test_outside_a_sweep_it_is_always_made(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no folder of this run's own to keep it in."""
    monkeypatch.delenv(SCRATCH, raising=False)
    keep(["onnx", "a"], 1.0, lambda folder: pytest.fail("nothing is to be kept"))
    make = Maker()
    for folder in folders:
        assert once(["onnx", "a"], folder / "model.onnx", make) == 0
    assert make.times == 2


@pytest.mark.usefixtures("scratch")
def test_what_is_kept_again_is_the_later_one() -> None:
    """A build that adds to what it found leaves the sum for the next."""
    for content in ("one", "one two"):
        keep(["timings"], 1.0, lambda folder, content=content: (folder / "file").write_text(content))
    found = recall(["timings"])
    assert found
    assert (found.folder / "file").read_text() == "one two"
