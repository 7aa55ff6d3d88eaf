"""Events come out of a trace file whole and in order, however its text falls into pieces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from densebench.viewer import reading
from densebench.viewer.reading import NoTrace, events
from tests.viewer.making import document, layers, network, write

LEFT_OUT = {"Concrete Inputs", "Input type", "Input Strides", "Input Dims", ""}
TEXT = st.text(max_size=12) | st.sampled_from(
    ['},{"ph":', '"traceEvents": [', "\\", '"', "]}", "Concrete Inputs"]
)
VALUES = st.recursive(
    st.none() | st.integers(-9, 9) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
)
EVENTS = st.lists(
    st.builds(
        lambda args, name: {"ph": "X", "name": name, "args": args},
        st.dictionaries(TEXT, VALUES, max_size=3),
        TEXT,
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVENTS, st.sampled_from([None, 1, 2]), st.sampled_from([16, 61, 997]))
def test_what_was_written_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: list[Any], indent: int | None, piece: int
) -> None:
    """Any event, any layout, pieces of any size."""
    monkeypatch.setattr(reading, "PIECE", piece)
    path = tmp_path / "x.pt.trace.json"
    path.write_text(
        json.dumps({"a": [1], "traceEvents": found, "b": [{"ph": 1}]}, indent=indent), encoding="utf-8"
    )
    assert [plain(event) for event in events(path)] == [plain(event) for event in found]


def plain(value: Any) -> Any:
    """A value without what reading may leave out or turn into text."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items() if key not in LEFT_OUT}
    return [plain(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("piece", [700, 5000, 10_000_000])
@pytest.mark.parametrize("name", ["x.pt.trace.json", "x.pt.trace.json.gz"])
def test_pieces_and_compression_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int, name: str
) -> None:
    """Shapes arrive, be it as lists or as their text; what nobody reads may be left out."""
    monkeypatch.setattr(reading, "PIECE", piece)
    written = network(blocks=3)
    read = list(events(write(tmp_path / name, written)))
    assert [event["ts"] for event in read] == [event["ts"] for event in written]
    for one, other in zip(read, written, strict=True):
        dims = one["args"].get("Input Dims")
        assert (json.loads(dims) if isinstance(dims, str) else dims) == other["args"].get("Input Dims")


def test_a_bare_list_is_a_trace_too(tmp_path: Path) -> None:
    """Some tools write no object around the events."""
    path = write(tmp_path / "x.pt.trace.json", [], json.dumps(layers()))
    assert list(events(path)) == layers()


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("name", ["x.pt.trace.json", "x.pt.trace.json.gz"])
def test_a_file_that_breaks_off_gives_what_is_whole_and_says_so(
    tmp_path: Path, share: float, name: str
) -> None:
    """As a run that was killed leaves it."""
    path = write(tmp_path / name, network())
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    read, broken = taken(path)
    assert "breaks off or is damaged after event" in str(broken)
    whole = [event["ts"] for event in network()]
    assert read == whole[: len(read)]
    assert len(read) > 0.6 * share * len(whole) or name.endswith("gz")


def taken(path: Path) -> tuple[list[float], NoTrace | None]:
    """When each event began, and what was said at the end."""
    read: list[float] = []
    try:
        for event in events(path):
            read.append(event["ts"])  # noqa: PERF401 - what came before the error counts
    except NoTrace as broken:
        return read, broken
    return read, None


def test_only_the_end_of_the_list_is_missing(tmp_path: Path) -> None:
    """The last event counts if it is whole."""
    text = document(layers())
    path = write(tmp_path / "x.pt.trace.json", [], text[: text.rindex("}", 0, text.rindex("]")) + 1])
    read, broken = taken(path)
    assert read == [event["ts"] for event in layers()]
    assert f"after event {len(layers())};" in str(broken)


@pytest.mark.parametrize("text", ["", "{}", "no json", '{"traceEvents": 3}', '{"traceEvents": [nonsense'])
def test_no_trace_says_so(tmp_path: Path, text: str) -> None:
    """Other files are refused in a sentence."""
    with pytest.raises(NoTrace, match="no Chrome trace"):
        list(events(write(tmp_path / "x.pt.trace.json", [], text)))
