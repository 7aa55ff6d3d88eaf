"""The journal: what was appended comes back, whatever cut the file short."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from io import FileIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from densebench.errors import InputError
from densebench.record import Record, Status
from densebench.rows import derive
from densebench.sinks import journal
from tests.factory import header, record, timed

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
FIGURE = st.none() | st.floats(allow_nan=False, allow_infinity=False)
RECORDS = st.lists(
    st.builds(
        record,
        recipe=TEXT,
        batch_size=st.integers(1, 512),
        status=st.sampled_from(Status),
        reason=TEXT,
        samples_ms=st.lists(
            st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=4).map(tuple), max_size=2
        ).map(tuple),
        accuracy_top1=FIGURE,
        load_s=FIGURE,
        parameters=st.none() | st.integers(),
        stable=st.none() | st.booleans(),
        caveats=st.lists(TEXT, max_size=2).map(tuple),
    ),
    max_size=6,
)


def write(folder: Path, records: list[Record]) -> Path:
    """A journal with these records; its path."""
    kept = journal.create(folder, header())
    for one in records:
        kept.append(one)
    kept.close()
    return folder / journal.FILE_NAME


@given(RECORDS)
@settings(deadline=None)
def test_records_round_trip(records: list[Record]) -> None:
    """Any sequence of records comes back equal and in order, line separators in its text included."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), records)
        found, read = journal.read(Path(folder))
    assert read == records
    assert found == header()


@given(RECORDS.filter(bool), st.data())
@settings(deadline=None)
def test_a_cut_in_the_last_line_costs_that_record_at_most(records: list[Record], data: st.DataObject) -> None:
    """Cut at any byte of the last line, the rest is read, goes on, and is whole again."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = write(folder, records)
        content = path.read_bytes()
        start = content.rstrip(b"\n").rfind(b"\n") + 1
        cut = data.draw(st.integers(start, len(content) - 1))
        path.write_bytes(content[:cut])
        assert journal.read(folder)[1] == records[:-1]
        kept, _, read = journal.reopen(folder, header())
        kept.append(records[-1])
        kept.close()
        assert read == records[:-1]
        assert path.read_bytes() == content


@given(RECORDS.filter(lambda records: len(records) > 1), st.data())
@settings(deadline=None)
def test_damage_before_the_last_line_is_refused(records: list[Record], data: st.DataObject) -> None:
    """A cut or an alteration in the middle raises, naming file and line."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = write(folder, records)
        lines = path.read_bytes().split(b"\n")[:-1]
        number = data.draw(st.integers(0, len(lines) - 2))
        how = data.draw(
            st.sampled_from([lambda line: line[:-1], lambda line: b"\x00" + line, lambda _: b"[]"])
        )
        lines[number] = how(lines[number])
        path.write_bytes(b"\n".join(lines) + b"\n")
        with pytest.raises(InputError, match=f"journal.jsonl line {number + 1}"):
            journal.read(folder)


@pytest.mark.parametrize("text", [r"\ud800", r"\udfff"])
def test_half_a_character_is_refused(tmp_path: Path, text: str) -> None:
    """JSON can say it, and no file of text could then be written."""
    path = write(tmp_path, [record(reason="REASON")])
    path.write_bytes(path.read_bytes().replace(b"REASON", text.encode()))
    with pytest.raises(InputError, match="line 2 is damaged"):
        journal.read(tmp_path)


def test_turns_have_all_calls(tmp_path: Path) -> None:
    """Those of both processes; else the line is damaged."""
    sides = {"samples_ms": ((1.0, 1.0, 2.0),), "beside_ms": ((5.0, 9.0),), "rounds": (0,)}
    whole = record(**sides, turns=(((2, 1), (1, 1)),))
    write(tmp_path / "whole", [whole])
    assert journal.read(tmp_path / "whole")[1] == [whole]
    for number, turns in enumerate(((((2, 1), (2, 1)),), (((3, 2), (0, 0)),), (((3, 2),), ((1, 1),)))):
        write(tmp_path / str(number), [record(**sides, turns=turns)])
        with pytest.raises(InputError, match=r"damaged \(turns\)"):
            journal.read(tmp_path / str(number))


def test_page_faults_are_of_each_process(tmp_path: Path) -> None:
    """Or of none; where an older run's processes are among them, nothing of those."""
    two = {"samples_ms": ((1.0,), (2.0,)), "rounds": (0, 1)}
    for number, told in enumerate(((), (None, 5000.0))):
        write(tmp_path / str(number), [record(**two, page_faults=told)])
        assert journal.read(tmp_path / str(number))[1][0].page_faults == told
    write(tmp_path / "damaged", [record(**two, page_faults=(5000.0,))])
    with pytest.raises(InputError, match=r"damaged \(page_faults\)"):
        journal.read(tmp_path / "damaged")


def test_each_append_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record is synced before append returns, and readable while the journal is open."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    kept = journal.create(tmp_path, header())
    before = len(synced)
    kept.append(record())
    assert len(synced) == before + 1
    assert journal.read(tmp_path)[1] == [record()]
    kept.close()


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a write fails half way, the file ends after the last whole line and the error goes on."""
    kept = journal.create(tmp_path, header())
    kept.append(record())
    before = (tmp_path / journal.FILE_NAME).read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            kept.append(record(batch_size=8))
    assert (tmp_path / journal.FILE_NAME).read_bytes() == before
    kept.append(record(batch_size=16))
    kept.close()
    assert [one.batch_size for one in journal.read(tmp_path)[1]] == [1, 16]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    """A write that the system itself refuses is raised onward."""
    kept = journal.Journal(FileIO("/dev/full", "w"))
    with pytest.raises(OSError, match="No space"):
        kept.append(record())
    kept.close()


def test_create_refuses_what_is_there(tmp_path: Path) -> None:
    """An existing journal is never written over."""
    path = write(tmp_path, [record()])
    before = path.read_bytes()
    with pytest.raises(InputError, match="already exists"):
        journal.create(tmp_path, header())
    assert path.read_bytes() == before


def test_create_makes_the_folder_and_names_what_it_can_not(tmp_path: Path) -> None:
    """A missing folder is made; a file in its place is an input error."""
    journal.create(tmp_path / "a" / "b", header()).close()
    assert journal.read(tmp_path / "a" / "b")[1] == []
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--output-dir"):
        journal.create(tmp_path / "file", header())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "does not exist"),
        (b"", "line 1"),
        (b'{"type": "run"', "line 1"),
        (b"not json\n", "line 1 is damaged"),
        (b'{"type": "row"}\n', 'line 1 is not a line of type "run"'),
        (b'{"type": "run", "format_version": 2}\n', "format_version 2 is unknown"),
        (b'{"type": "run"}\n', "format_version None is unknown"),
        (b'{"type": "run", "format_version": 1}\n', "line 1 is damaged .identity"),
        (b"[" * 100_000 + b"\n", "line 1 is damaged"),
    ],
)
def test_what_is_no_journal_is_refused(tmp_path: Path, content: bytes | None, said: str) -> None:
    """Missing, empty, foreign and newer journals are refused in one line that names the file."""
    if content is not None:
        (tmp_path / journal.FILE_NAME).write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        journal.read(tmp_path)
    assert str(tmp_path / journal.FILE_NAME) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_record_with_an_unknown_field_is_refused(tmp_path: Path) -> None:
    """A line that a newer densebench may have written is named, not half read."""
    path = write(tmp_path, [record()])
    with path.open("a") as file:
        file.write(json.dumps({"type": "row", **record().model_dump(mode="json"), "novelty": 1}) + "\n")
    with pytest.raises(InputError, match=r"line 3 is damaged \(novelty"):
        journal.read(tmp_path)


def test_resume_goes_on(tmp_path: Path) -> None:
    """Reopening gives the records back and appends after them."""
    write(tmp_path, [record()])
    other = header(command="another", spec={"recipes": ["more"]}, notes=("a drummer",))
    kept, together, records = journal.reopen(tmp_path, other)
    kept.append(record(batch_size=8))
    kept.close()
    assert records == [record()]
    found, records = journal.read(tmp_path)
    assert [one.batch_size for one in records] == [1, 8]
    assert found == together
    assert (found.notes, found.command) == (("a drummer",), "densebench run --quick && another")
    assert found.spec == {"max_accuracy_drop": 1.0, "recipes": ["more"]}


@pytest.mark.parametrize("damage", ['"type": "pause"', '"type": "resume", "novelty": 1', '"type": []'])
def test_a_damaged_resume_is_refused(tmp_path: Path, damage: str) -> None:
    """What a resume says is checked as what the run says is; the line is named."""
    path = write(tmp_path, [record()])
    journal.reopen(tmp_path, header(notes=("a drummer",)))[0].close()
    path.write_text(path.read_text().replace('"type": "resume"', damage), encoding="utf-8")
    with pytest.raises(InputError, match=r"journal.jsonl line 3 is") as caught:
        journal.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_resume_of_other_steps_is_refused(tmp_path: Path) -> None:
    """A recipe that is another one by now is named with both; one that is not asked for may be what it was."""
    write(tmp_path, [record(), record(recipe="mine", steps="amp+eager")])
    with pytest.raises(InputError, match=r"recipe mine was amp.eager and is now bf16.eager"):
        journal.reopen(tmp_path, header(), {"baseline": "eager", "mine": "bf16+eager"})
    journal.reopen(tmp_path, header(), {"baseline": "eager"})[0].close()


@pytest.mark.parametrize(
    ("identity", "said"),
    [
        ({"weights_sha256": "ab" * 32, "threads": 4, "device": "cuda"}, "threads was 2 and is now 4"),
        ({"weights_sha256": "ab" * 32, "threads": 2}, "device was cpu and is now not set"),
        (
            {"weights_sha256": "ab" * 32, "threads": 2, "device": "cpu", "seed": 1},
            "seed was not set and is now 1",
        ),
    ],
)
def test_resume_of_another_run_is_refused(tmp_path: Path, identity: dict[str, str | int], said: str) -> None:
    """The first thing that differs is named with both values, and what to do."""
    path = write(tmp_path, [record()])
    before = path.read_bytes()
    with pytest.raises(InputError, match=said) as caught:
        journal.reopen(tmp_path, header(identity=identity))
    assert "--output-dir" in str(caught.value)
    assert "--resume" in str(caught.value)
    assert path.read_bytes() == before


def test_a_row_is_kept_as_its_record(tmp_path: Path) -> None:
    """Derived figures stay out of the journal: they follow from the records again."""
    kept = journal.create(tmp_path, header())
    kept.append(derive([timed("a", 1, 10)])[0])
    kept.close()
    assert journal.read(tmp_path)[1] == [timed("a", 1, 10)]
