"""Whatever stands in a file from outside: it is read, or refused in one line; nothing else happens."""

from __future__ import annotations

import functools
import io
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from densebench.errors import InputError, UsageError
from densebench.recipes.parse import plan
from densebench.report.html import page
from densebench.report.markdown import report
from densebench.results import journal
from densebench.results.assemble import confirmation_records
from densebench.results.derive import derive
from densebench.results.header import METHODS
from densebench.sinks.csv_file import write_csv
from densebench.spec import RunSpec
from densebench.viewer.parsing import parse
from densebench.viewer.reading import NoTrace
from densebench.workloads.base import Preprocessing, Weights
from densebench.workloads.checkpoint_file import read_tensors
from densebench.workloads.folder import open_folder
from tests.factory import record, rounded
from tests.journals import measured, observations_of, write_lines
from tests.report.html.shapes import CEILINGS, COUNTED
from tests.viewer.making import document, network

bounded = functools.partial(
    settings, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
WORDS = st.sampled_from(
    [
        *("amp", "compile", "pruning", "amount", "eager", "threads", "count", "baseline", "+", ":", "=", ","),
        *("0.5", "-1", "", "..", "/", "\0", "nan", "1e999", "é", "\u2028", "_template", "__init__"),
    ]
)
RECIPE = st.lists(WORDS, max_size=6).map("".join)
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["\ud800", "\0", "../..", "x" * 5000, 10**400, [], {}, [[]], [[0.0]], [[1e308, 1e308]]]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """A file with some bytes changed, put in, taken out or cut off."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        length = draw(st.integers(0, 40))
        content[at : at + length] = draw(st.binary(max_size=40))
    return bytes(content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content)


def said(refusal: Exception, name: str = "") -> None:
    """A refusal has words, in one line, and names the file."""
    assert str(refusal)
    assert name in str(refusal)


KEYS = [name.replace("_", "-") for name in RunSpec.model_fields]
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | RECIPE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(RECIPE, inner, max_size=2),
    max_leaves=4,
)


def toml(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


SUITES = st.one_of(
    st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=3).map(
        lambda keys: "\n".join(f"{key} = {toml(value)}" for key, value in keys.items()).encode()
    ),
    st.lists(RECIPE, max_size=3).map(lambda recipes: f"recipes = {toml(recipes)}".encode()),
    st.binary(max_size=60),
    damaged(b'recipes = ["amp"]\nbatch-sizes = [1, 8]\n[named]\nmine = "pruning:amount=0.5+compile"\n'),
)


@bounded(max_examples=120)
@given(SUITES)
def test_any_suite_is_planned_or_refused(tmp_path: Path, content: bytes) -> None:
    """A suite file gives recipes or a line that says what to change."""
    path = tmp_path / "suite.toml"
    path.write_bytes(content)
    try:
        spec = RunSpec.create(path)
        assert plan(spec.recipes, spec.named)
        spec.model_dump_json()
    except UsageError as refusal:
        said(refusal)


def paths(content: object, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to every value in a JSON document."""
    pairs: Any = content.items() if isinstance(content, dict) else ()
    for key, value in enumerate(content) if isinstance(content, list) else pairs:
        yield (*at, key)
        yield from paths(value, (*at, key))


def lines(folder: Path) -> list[Any]:
    """The lines of a journal, written in this folder, as JSON."""
    spec = {"recipes": ["baseline", "a"], "batch_sizes": [1, 8], "max_accuracy_drop": 1.0, "log_dir": "log"}
    spec |= {"named": {"b": "eager"}, "rounds": 3, "precision_target": 2.0, "objective": "throughput"}
    spec |= {"serving_batch_size": 1, "max_latency_ms": 1e3, "max_size_mb": None}
    facts: dict[str, Any] = {"build_s": 1.0, "correct_top1": "110", "precision": "int8", **COUNTED}
    facts |= {"accuracy_top1": 90.0, "output_sqnr_db": 40.0, "energy_j_per_image": 1.2}
    records = []
    for recipe, speed in (("baseline", 10.0), ("a", 20.0)):
        records += [rounded(recipe, 1, speed, stage=stage, **facts) for stage in ("sweep", "confirmation")]
        pairs = [[((9.0, 9.0), (5.0,)), ((speed,), (9.0,))], [((speed,), (5.0, 5.0))]]
        faults = (2000.0, 5000.0)
        records.append(record(recipe=recipe, batch_size=8, pairs=pairs, page_faults=faults, **facts))
    repeated = measured("a", 9, discarded=True)
    failed = measured("a", 9, status="timed_out", reason="60 s were over", limit_s=60.0)
    write_lines(
        folder,
        [*observations_of(records), repeated, failed],
        spec=spec,
        ceilings=CEILINGS.model_dump(mode="json"),
        energy=METHODS[0],
        clock_step_us=0.1,
    )
    return [json.loads(line) for line in (folder / journal.FILE_NAME).read_bytes().splitlines()]


@bounded(max_examples=80)
@given(data=st.data())
def test_any_journal_is_reported_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    """One value edited by hand, or bytes damaged: the rows, the CSV and the report are made, or a line says where."""
    (tmp_path / journal.FILE_NAME).unlink(missing_ok=True)  # the last case's
    edited = lines(tmp_path)
    at = data.draw(st.sampled_from(list(paths(edited))))
    holder = functools.reduce(lambda inner, key: inner[key], at[:-1], edited)
    if data.draw(st.booleans()):
        del holder[at[-1]]
    else:
        holder[at[-1]] = data.draw(JUNK)
    content = b"".join(json.dumps(line).encode() + b"\n" for line in edited)
    if data.draw(st.integers(0, 3)) == 0:
        content = data.draw(damaged(content))
    (tmp_path / journal.FILE_NAME).write_bytes(content)
    try:
        found, observations = journal.read(tmp_path)
    except InputError as refusal:
        said(refusal, journal.FILE_NAME)
        return
    records = journal.records_of(tmp_path)[1]
    rows = derive(records, found.spec.get("recipes", ()), known=found.known)
    write_csv(tmp_path / "rows.csv", rows)
    fresh = confirmation_records(observations, found.identity)
    assert report(found, rows, fresh)
    assert page(found, rows, [], fresh)


class Trap:
    """An object whose unpickling makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> object:
        return Path.touch, (self.mark,)


def _saved(state: object) -> bytes:
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


STATE = {"a.weight": torch.arange(12.0).reshape(3, 4), "a.bias": torch.zeros(3)}


@bounded(max_examples=150)
@given(data=st.data())
def test_any_weights_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    """A damaged checkpoint of either kind, one with code in it too, is read or refused; no code is run."""
    mark = tmp_path / "sprung"
    wholes = {
        "a.pth": [_saved(STATE), _saved({"state_dict": Trap(mark)}), pickle.dumps(Trap(mark))],
        "a.safetensors": [safetensors.torch.save(STATE, {"format": "densebench-checkpoint-1"})],
    }
    name = data.draw(st.sampled_from(list(wholes)))
    whole = data.draw(st.sampled_from(wholes[name]))
    (tmp_path / name).write_bytes(data.draw(damaged(whole) | st.just(whole) | st.binary(max_size=50)))
    try:
        assert read_tensors(tmp_path / name).tensors
    except InputError as refusal:
        said(refusal, name)
    assert not mark.exists()


@pytest.fixture(scope="module")
def image() -> bytes:
    """A small PNG."""
    file = io.BytesIO()
    PIL.Image.fromarray(np.arange(300, dtype=np.uint8).reshape(10, 10, 3)).save(file, "PNG")
    return file.getvalue()


@bounded(max_examples=40)
@given(data=st.data())
def test_any_image_is_used_or_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: bytes, data: st.DataObject
) -> None:
    """A folder with a damaged image opens, and every image that it then has can be read."""
    monkeypatch.setenv("DENSEBENCH_CACHE", "/dev/null")
    for number in range(6):
        path = tmp_path / "images" / "cat" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image)
    strange = data.draw(st.sampled_from(["x.png", "x.jpg", "x.webp", "x.tiff", "x.bmp"]))
    (tmp_path / "images" / "cat" / strange).write_bytes(data.draw(damaged(image) | st.binary(max_size=80)))
    weights = Weights("some", {}, ("cat", "dog"), Preprocessing(10, 8, (0.5,) * 3, (0.5,) * 3), "0" * 64)
    splits = open_folder(tmp_path / "images", weights, 0)
    assert splits.validation is not None
    assert len(splits.validation.read(range(len(splits.validation)))) == len(splits.validation)
    assert splits.timing(8).isfinite().all()


@bounded(max_examples=120)
@given(data=st.data())
def test_any_trace_is_shown_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    """A damaged trace, packed or not, gives what is whole in it, or a sentence."""
    path = tmp_path / data.draw(st.sampled_from(["bs1.pt.trace.json", "bs1.pt.trace.json.gz"]))
    whole = document(network(blocks=1)).encode()
    path.write_bytes(data.draw(damaged(whole) | st.binary(max_size=80)))
    try:
        assert parse(path).names
    except NoTrace as refusal:
        said(refusal)
    except OSError:
        assert path.suffix == ".gz"
