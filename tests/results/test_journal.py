"""The journal: what was appended comes back, whatever cut the file short."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Iterable
from io import FileIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from densebench.errors import InputError
from densebench.machine.interference import Interference
from densebench.report.markdown import report
from densebench.results import journal
from densebench.results.derive import derive
from densebench.results.header import Identity
from densebench.results.observation import MeasureObservation, Observation, Pair, ProcessSamples, Status
from densebench.schema import Caveat, Effect
from densebench.sinks.csv_file import write_csv
from tests.factory import IDENTITY, header, record, rounded, samples
from tests.journals import built, evaluated, measured, write_lines
from tests.journals import write as write_records

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
FIGURE = st.none() | st.floats(0, journal.MOST)
CALLS = st.lists(st.floats(*journal.LATENCY_MS), min_size=1, max_size=4).map(tuple)
PAIRS = st.lists(st.builds(Pair, own_ms=CALLS, reference_ms=CALLS), min_size=1, max_size=2).map(tuple)
MARKS = st.lists(st.builds(Interference, kind=TEXT, text=TEXT), max_size=2).map(tuple)
SAMPLES = st.builds(ProcessSamples, samples_ms=CALLS, load_s=FIGURE, interference=MARKS) | st.builds(
    ProcessSamples, pairs=PAIRS, page_faults=FIGURE, left_out=st.floats(0, 1), power_limited=st.booleans()
)
FOUND = st.builds(
    evaluated,
    recipe=TEXT,
    accuracy_top1=FIGURE,
    output_sqnr_db=st.none() | st.floats(-journal.MOST, journal.MOST),
    parameters=st.none() | st.integers(0, int(journal.MOST)),
    effect=st.none() | st.builds(Effect, seen=st.tuples(TEXT), none_because=TEXT),
    caveats=st.lists(st.builds(Caveat, text=TEXT), max_size=2).map(tuple),
)
OBSERVATIONS = st.lists(
    st.one_of(
        st.builds(built, recipe=TEXT, status=st.sampled_from(Status), reason=TEXT, limit_s=FIGURE),
        FOUND,
        st.builds(
            measured,
            recipe=TEXT,
            number=st.integers(0, 9),
            of=st.integers(1, 9),
            batch_size=st.integers(1, 512),
            stage=st.sampled_from(["sweep", "confirmation"]),
            samples=SAMPLES,
            discarded=st.booleans(),
            trace=TEXT,
        ),
        st.builds(measured, recipe=TEXT, status=st.just(Status.FAILED), reason=TEXT, out_of_memory=st.booleans()),
    ),
    max_size=6,
)


def write(folder: Path, observations: Iterable[Observation]) -> Path:
    """A journal with these observations; its path."""
    return write_lines(folder, observations) / journal.FILE_NAME


@given(OBSERVATIONS)
@settings(deadline=None)
def test_observations_round_trip(observations: list[Observation]) -> None:
    """Any sequence of observations comes back equal and in order, line separators in its text included."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), observations)
        found, read = journal.read(Path(folder))
    assert read == observations
    assert found == header()


@given(OBSERVATIONS.filter(bool), st.data())
@settings(deadline=None)
def test_a_cut_in_the_last_line_costs_that_observation_at_most(observations: list[Observation], data: st.DataObject) -> None:
    """Cut at any byte of the last line, the rest is read, goes on, and is whole again."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = write(folder, observations)
        content = path.read_bytes()
        start = content.rstrip(b"\n").rfind(b"\n") + 1
        cut = data.draw(st.integers(start, len(content) - 1))
        path.write_bytes(content[:cut])
        assert journal.read(folder)[1] == observations[:-1]
        kept, _, read = journal.reopen(folder, header())
        kept.append(observations[-1])
        kept.close()
        assert read == observations[:-1]
        assert path.read_bytes() == content


@given(OBSERVATIONS.filter(lambda observations: len(observations) > 1), st.data())
@settings(deadline=None)
def test_damage_before_the_last_line_is_refused(observations: list[Observation], data: st.DataObject) -> None:
    """A cut or an alteration in the middle raises, naming file and line."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = write(folder, observations)
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
    path = write(tmp_path, [built(reason="REASON")])
    path.write_bytes(path.read_bytes().replace(b"REASON", text.encode()))
    with pytest.raises(InputError, match="line 2 is damaged"):
        journal.read(tmp_path)


def calls(*ms: float) -> MeasureObservation:
    """A process whose calls took so long."""
    return measured(samples=ProcessSamples(samples_ms=ms))


def paired(own_ms: tuple[float, ...] = (1.0,), reference_ms: tuple[float, ...] = (1.0,)) -> MeasureObservation:
    """A process with one pair."""
    return measured(samples=ProcessSamples(pairs=(Pair(own_ms=own_ms, reference_ms=reference_ms),)))


HUGE = 10**400


@pytest.mark.parametrize(
    ("field", "odd"),
    [
        *(("samples_ms", calls(*ms)) for ms in ((1.0, 1e308), (1e10,), (1e-9,), (0.0,), (-1.0,), ())),
        ("samples_ms", paired(own_ms=(1e308,))),
        *(("pairs", paired(reference_ms=ms)) for ms in ((1e308,), (1e-9,), ())),
        *(("page_faults", measured(samples=samples((1.0,), page_faults=x))) for x in (1e308, -1.0)),
        ("energy_j_per_image", measured(samples=samples((1.0,), energy_j_per_image=1e308))),
        ("load_s", measured(samples=samples((1.0,), load_s=-1.0))),
        *((name, evaluated(**{name: x})) for name in ("build_s", "macs_g", "accuracy_top1") for x in (1e308, -1.0)),
        *((name, evaluated(**{name: x})) for name in ("activations", "parameters") for x in (HUGE, -1)),
        *(("output_sqnr_db", evaluated(output_sqnr_db=x)) for x in (1e308, -1e308)),
        *(("batch_size", measured(batch_size=x)) for x in (HUGE, -1, 0)),
        ("of", measured(of=0)),
        ("round", measured(number=-1)),
        ("spent_s", built(spent_s=1e308)),
    ],
)
def test_a_figure_that_none_can_be_is_refused(tmp_path: Path, field: str, odd: Observation) -> None:
    """What would overflow in a sum or a quotient is named with its line, whatever it belongs to."""
    write(tmp_path, [built(), odd])
    with pytest.raises(InputError, match=rf"line 3 is damaged \({field}\): restore the file or start"):
        journal.read(tmp_path)


def test_a_measurement_that_went_well_has_samples(tmp_path: Path) -> None:
    """One that did not needs none."""
    write(tmp_path, [measured(status=Status.FAILED, reason="boom")])
    assert journal.read(tmp_path)[1][0].reason == "boom"
    path = write(tmp_path / "well", [measured(status=Status.FAILED, reason="boom")])
    path.write_text(path.read_text().replace('"status": "failed", ', ""), encoding="utf-8")
    with pytest.raises(InputError, match=r"line 2 is damaged \(samples\)"):
        journal.read(tmp_path / "well")


def test_the_oddest_figures_that_are_read_are_reported(tmp_path: Path) -> None:
    """The longest and the shortest calls in two rounds, whose interval is wider than a float could hold."""
    least, most = journal.LATENCY_MS
    pairs = [[((least,), (most,))], [((most,), (least,))]]
    figures = dict.fromkeys(("build_s", "macs_g", "accuracy_top1", "load_s"), journal.MOST)
    write_records(tmp_path, [record(recipe=name, pairs=pairs, **figures) for name in ("baseline", "a")])
    found, records = journal.records_of(tmp_path)
    rows = derive(records)
    write_csv(tmp_path / "rows.csv", rows)
    assert report(found, rows)
    assert len(rows) == 2


def test_a_folder_gives_a_record_for_each_cell_that_is_known(tmp_path: Path) -> None:
    """Those of the records that its observations amount to, as the run asked for them; the confirmation apart."""
    records = [rounded("baseline", 8, 30.0), rounded("x", 8, 60.0, output_sqnr_db=30.0), rounded("x", 1, 60.0)]
    fresh = [rounded("x", 8, 55.0, stage="confirmation")]
    header_, found = journal.records_of(write_records(tmp_path, [*records, *fresh]))
    assert header_.planned == (("baseline", 1), ("baseline", 8), ("x", 1), ("x", 8))
    assert [one.key for one in found] == [("baseline", 8), ("x", 1), ("x", 8)]
    speeds = {one.key: one.all_samples_ms for one in found}
    assert speeds == {one.key: one.all_samples_ms for one in records}


def test_each_append_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An observation is synced before append returns, and readable while the journal is open."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    kept = journal.create(tmp_path, header())
    before = len(synced)
    kept.append(measured())
    assert len(synced) == before + 1
    assert journal.read(tmp_path)[1] == [measured()]
    kept.close()


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a write fails half way, the file ends after the last whole line and the error goes on."""
    kept = journal.create(tmp_path, header())
    kept.append(measured())
    before = (tmp_path / journal.FILE_NAME).read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            kept.append(measured(batch_size=8))
    assert (tmp_path / journal.FILE_NAME).read_bytes() == before
    kept.append(measured(batch_size=16))
    kept.close()
    found = journal.read(tmp_path)[1]
    assert found == [measured(), measured(batch_size=16)]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    """A write that the system itself refuses is raised onward."""
    kept = journal.Journal(FileIO("/dev/full", "w"))
    with pytest.raises(OSError, match="No space"):
        kept.append(measured())
    kept.close()


def test_create_refuses_what_is_there(tmp_path: Path) -> None:
    """An existing journal is never written over."""
    path = write(tmp_path, [measured()])
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
        (b'{"type": "run", "format_version": 1}\n', "format_version 1 is unknown here .known: 2."),
        (b'{"type": "run"}\n', "format_version None is unknown"),
        (b'{"type": "run", "format_version": 2}\n', "line 1 is damaged .identity"),
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


def test_a_header_that_does_not_say_what_was_measured_is_refused(tmp_path: Path) -> None:
    """Every record has these facts of it."""
    for name in Identity.model_fields:
        identity = {key: value for key, value in IDENTITY.items() if key != name}
        write_lines(tmp_path / name, [], identity=identity)
        with pytest.raises(InputError, match=rf"journal.jsonl line 1 is damaged \({name}: Field required"):
            journal.read(tmp_path / name)


def test_an_observation_with_an_unknown_field_is_refused(tmp_path: Path) -> None:
    """A line that a newer densebench may have written is named, not half read."""
    path = write(tmp_path, [measured()])
    with path.open("a") as file:
        line = {"type": "observation", **measured().model_dump(mode="json"), "novelty": 1}
        file.write(json.dumps(line) + "\n")
    with pytest.raises(InputError, match=r"line 3 is damaged \(measure.novelty"):
        journal.read(tmp_path)


def test_resume_goes_on(tmp_path: Path) -> None:
    """Reopening gives the observations back and appends after them."""
    write(tmp_path, [measured()])
    other = header(command="another", spec={"recipes": ["more"]}, notes=("a drummer",))
    kept, together, observations = journal.reopen(tmp_path, other)
    kept.append(measured(batch_size=8))
    kept.close()
    assert observations == [measured()]
    found, observations = journal.read(tmp_path)
    assert observations == [measured(), measured(batch_size=8)]
    assert found == together
    assert (found.notes, found.command) == (("a drummer",), "densebench run --quick && another")
    assert found.spec == {"max_accuracy_drop": 1.0, "recipes": ["more"]}


@pytest.mark.parametrize("damage", ['"type": "pause"', '"type": "resume", "novelty": 1', '"type": []'])
def test_a_damaged_resume_is_refused(tmp_path: Path, damage: str) -> None:
    """What a resume says is checked as what the run says is; the line is named."""
    path = write(tmp_path, [measured()])
    journal.reopen(tmp_path, header(notes=("a drummer",)))[0].close()
    path.write_text(path.read_text().replace('"type": "resume"', damage), encoding="utf-8")
    with pytest.raises(InputError, match=r"journal.jsonl line 3 is") as caught:
        journal.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_resume_of_other_steps_is_refused(tmp_path: Path) -> None:
    """A recipe that is another one by now is named with both; one that is not asked for may be what it was."""
    write(tmp_path, [built(), built("mine", steps="amp+eager")])
    with pytest.raises(InputError, match=r"recipe mine was amp.eager and is now bf16.eager"):
        journal.reopen(tmp_path, header(), {"baseline": "eager", "mine": "bf16+eager"})
    journal.reopen(tmp_path, header(), {"baseline": "eager"})[0].close()


@pytest.mark.parametrize(
    ("identity", "said"),
    [
        (IDENTITY | {"threads": 4, "device": "cuda"}, "device was cpu and is now cuda"),
        (
            {name: value for name, value in IDENTITY.items() if name != "weights_sha256"},
            "weights_sha256 was abab.* and is now not set",
        ),
        (IDENTITY | {"weights_path": "a.pth"}, "weights_path was not set and is now a.pth"),
    ],
)
def test_resume_of_another_run_is_refused(tmp_path: Path, identity: dict[str, str | int], said: str) -> None:
    """The first thing that differs is named with both values, and what to do."""
    path = write(tmp_path, [measured()])
    before = path.read_bytes()
    with pytest.raises(InputError, match=said) as caught:
        journal.reopen(tmp_path, header(identity=identity))
    assert "--output-dir" in str(caught.value)
    assert "--resume" in str(caught.value)
    assert path.read_bytes() == before


def test_rounds_that_a_resume_adds_are_known(tmp_path: Path) -> None:
    """How many rounds focus batch sizes had before any interval was seen; asking for no more adds nothing."""
    first = {"recipes": ["a"], "focus_rounds": 6}
    write_lines(tmp_path, [measured()], spec=first)
    assert journal.read(tmp_path)[0].focus_rounds_at_first == 0
    for rounds, at_first in ((6, 0), (12, 6), (20, 6)):
        more = header(spec=first | {"focus_rounds": rounds}, command=f"to {rounds}")
        journal.reopen(tmp_path, more)[0].close()
        assert journal.read(tmp_path)[0].focus_rounds_at_first == at_first
