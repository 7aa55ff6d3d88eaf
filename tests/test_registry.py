"""Registration by presence, and through entry points of other packages."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from densebench import engines, techniques
from densebench.engines.base import Engine
from densebench.registry import discover
from densebench.techniques import _template
from densebench.techniques.base import Technique
from tests.small import images, tiny_model

OTHER = """
from densebench.techniques.base import Technique

def twice(model, workload=None):
    return model

TWICE = Technique("twice", "does it twice", twice, changes="count", aliases=("double",))
NAMESAKE = Technique("pruning", "claims a name that is taken", twice, changes="count")
NOTHING = object()
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Makes `other_package` look installed, with this line of entry points."""
    techniques.catalogue()  # is found once per process: without this package
    (tmp_path / "other_package.py").write_text(OTHER, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    def install(line: str) -> None:
        info = tmp_path / "other_package-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-package\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[densebench.techniques]\n{line}\n")
        importlib.invalidate_caches()

    yield install
    sys.modules.pop("other_package", None)


def found() -> dict[str, Technique]:
    """The catalogue, looked for anew."""
    return discover(techniques, Technique, "densebench.techniques")


def test_a_technique_of_another_package_is_found(installed: Callable[[str], None]) -> None:
    """An entry point of an installed package registers its technique, by name and alias, beside ours."""
    installed("anything = other_package:TWICE")
    catalogue = found()
    assert catalogue["twice"].about == "does it twice"
    assert catalogue["double"] is catalogue["twice"]
    assert set(techniques.catalogue()) < set(catalogue)


def test_two_claims_to_one_name_are_told(installed: Callable[[str], None]) -> None:
    """A package can't replace a technique unseen."""
    installed("anything = other_package:NAMESAKE")
    with pytest.raises(AssertionError, match="claim the name 'pruning'"):
        found()


def test_an_entry_point_that_is_no_technique_is_told(installed: Callable[[str], None]) -> None:
    """What an entry point names must be a registration of its group."""
    installed("anything = other_package:NOTHING")
    with pytest.raises(AssertionError, match="other_package:NOTHING is no Technique"):
        found()


def test_every_file_registers_and_the_template_does_not() -> None:
    """Each module of the two folders but base and template is in the catalogue; the template's names are not."""
    for package, kind in ((techniques, Technique), (engines, Engine)):
        folder = Path(package.__file__ or "").parent
        for path in folder.glob("*.py"):
            if path.stem in {"__init__", "base"}:
                continue
            module = importlib.import_module(f"{package.__name__}.{path.stem}")
            held = [value for value in vars(module).values() if isinstance(value, kind)]
            assert held or path.stem.startswith("_"), f"{path.name} registers nothing"
            for value in held:
                assert (package.catalogue().get(value.name) is value) == (not path.stem.startswith("_"))


def test_there_is_one_default_engine() -> None:
    """Exactly one engine runs the recipes that name none, and its artifact needs no trust."""
    defaults = {engine for engine in engines.catalogue().values() if engine.default}
    assert defaults == {engines.default()}
    assert not engines.default().contains_code


def test_the_template_works_as_it_says() -> None:
    """A copy of the technique template changes the weights as its options say and leaves its input alone."""
    model = tiny_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    technique = _template.TECHNIQUE
    options = technique.options.model_validate({"factor": "2"}).model_dump()
    changed = technique.apply(model, None, **options)
    assert torch.equal(changed.core.head.weight, 2 * before["head.weight"])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert changed(images(3)).shape == (3, 10)
    with pytest.raises(ValueError, match="greater than 0"):
        technique.options.model_validate({"factor": "-1"})


def test_registrations_can_be_keys() -> None:
    """A registration is itself alone, so that a catalogue with aliases can be listed without repeats."""
    for catalogue in (techniques.catalogue(), engines.catalogue()):
        assert sorted({what.name for what in catalogue.values()}) == sorted(
            w.name for w in set(catalogue.values())
        )
