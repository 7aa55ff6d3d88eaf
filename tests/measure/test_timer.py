"""How a process's calls are warmed up, refused and sliced, on a device whose clock is a list."""

from __future__ import annotations

import math
import mmap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from densebench.errors import TooSlow
from densebench.machine.counters import Counters
from densebench.machine.interference import Interference
from densebench.measure import timer
from densebench.measure.timer import (
    LEAST_SAMPLES,
    MOST_SLICES,
    REWARM_BELOW_MS,
    WARM_UP_S,
    Slice,
    Timer,
    every_call,
    slice_count,
    undisturbed,
)
from tests.measure.scripted import ScriptedDevice

BACKUP = Interference(kind="others", text="a backup")


class Watching:
    """Stands for the watch: it sees what a test put there."""

    span = Counters(clock_s=1.0)
    power_limited = False
    found: tuple[Interference, ...] = ()
    at_work: bool | None = None

    def begin(self, *, at_work: bool) -> None:
        """Note whether clocks are compared."""
        self.at_work = at_work

    def end(self) -> tuple[Interference, ...]:
        """What disturbed the slice."""
        return self.found


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watching:
    """What every timer's watch sees."""
    made = Watching()
    monkeypatch.setattr(timer, "Watch", lambda *_, **__: made)
    return made


def warmed_up(device: ScriptedDevice, first_s: float = 0.0, limit_s: float = 1e9, rounds: int = 1) -> Timer:
    """A timer after its warm-up."""
    made = Timer(device.call, device, 1)
    made.warm_up(first_s, limit_s, "FP16 is emulated here" if rounds > 1 else "", rounds)
    return made


@pytest.mark.parametrize(("call_ms", "calls"), [(1.0, 500), (100.0, 5), (300.0, 2), (2000.0, 1)])
def test_warm_up_lasts_half_a_second(call_ms: float, calls: int) -> None:
    """However steady the calls are; with the first inference there are two at least."""
    device = ScriptedDevice(steady_ms=call_ms)
    assert warmed_up(device).call_ms == call_ms
    assert len(device.timed_ms) == calls
    assert sum(device.timed_ms) >= 1000 * WARM_UP_S


def test_the_first_inference_predicts_nothing() -> None:
    """It may have compiled for most of the limit: then one more call is warm-up enough."""
    device = ScriptedDevice(steady_ms=100.0)
    warmed_up(device, first_s=89.7, limit_s=100.0)
    assert len(device.timed_ms) == 1


@pytest.mark.parametrize(
    ("call_ms", "rounds", "said"),
    [
        (26_800.0, 1, "too slow here: 26.8 s a batch, so 107 s would come too near --cell-timeout"),
        (
            10_000.0,
            3,
            "FP16 is emulated here: 10.0 s a batch, so 120 s in 3 rounds would come too near --cell-timeout",
        ),
    ],
)
def test_what_would_not_fit_is_refused_with_its_figures(call_ms: float, rounds: int, said: str) -> None:
    """Before it is ended for its time; rounds of a recipe that is known to be slow share the limit."""
    with pytest.raises(TooSlow) as refusal:
        warmed_up(ScriptedDevice(steady_ms=call_ms), limit_s=100.0, rounds=rounds)
    assert str(refusal.value) == said
    if rounds > 1:
        warmed_up(ScriptedDevice(steady_ms=call_ms), limit_s=100.0)


@pytest.mark.usefixtures("watch")
@pytest.mark.parametrize(("call_ms", "calls"), [(10.0, 10), (30.0, 4), (600.0, 1)])
def test_how_many_calls_a_slice_has_is_decided_beforehand(call_ms: float, calls: int) -> None:
    """By the last call of the warm-up: calls of the slice that happen to be slow don't make it shorter."""
    device = ScriptedDevice(steady_ms=call_ms)
    made = warmed_up(device)
    device._steady_ms = 5 * call_ms
    assert made.slice(0.1).calls_ms == (5 * call_ms,) * calls


@pytest.mark.parametrize(
    ("call_ms", "from_idle", "uncounted", "at_work"),
    [
        (10.0, True, 1, True),
        (10.0, False, 0, True),
        (REWARM_BELOW_MS, True, 0, False),
    ],
)
def test_after_a_pause_a_short_call_does_not_count(
    watch: Watching, call_ms: float, uncounted: int, *, from_idle: bool, at_work: bool
) -> None:
    """A long one hardly notices the pause; where it is the first, the clock of a CPU at rest isn't compared."""
    device = ScriptedDevice(steady_ms=call_ms)
    made = warmed_up(device)
    before = len(device.timed_ms)
    found = made.slice(0.0, from_idle=from_idle)
    assert len(device.timed_ms) - before == found.ran == len(found.calls_ms) + uncounted == 1 + uncounted
    assert watch.at_work == at_work


def test_steal_marks_a_slice(watch: Watching) -> None:
    """By the kernel's word, beside all that the watch sees; as a share of the CPU time that was wanted."""
    made = warmed_up(ScriptedDevice())
    watch.found, watch.power_limited = (BACKUP,), True
    watch.span = Counters(clock_s=1.0, busy_s=0.97, stolen_s=0.02)
    assert made.slice(0.1).interference == (BACKUP,)
    watch.span = Counters(clock_s=1.0, busy_s=0.97, stolen_s=0.03)
    found = made.slice(0.1)
    assert found.interference == (
        BACKUP,
        Interference(kind="steal", text="3 % of the CPU time stolen by the host"),
    )
    assert found.power_limited


@pytest.mark.usefixtures("watch")
def test_memory_that_calls_take_anew_is_counted() -> None:
    """Pages that calls touch, the uncounted ones too, and not what is touched between slices."""
    pages, kept = 4000, []

    class Touching(ScriptedDevice):
        def call(self) -> None:
            fresh = mmap.mmap(-1, pages * mmap.PAGESIZE)
            fresh.madvise(mmap.MADV_NOHUGEPAGE)
            fresh.write(b"1" * len(fresh))
            kept.append(fresh)

    touching = Touching(steady_ms=100.0)
    found = warmed_up(touching).slice(0.2, from_idle=True)
    assert found.page_faults >= pages * found.ran == pages * 3
    quiet = warmed_up(ScriptedDevice(steady_ms=100.0))
    touching.call()
    assert quiet.slice(0.2).page_faults < pages


@pytest.mark.usefixtures("watch")
@pytest.mark.parametrize(
    ("call_ms", "slices", "calls"),
    [(1.0, 12, 50), (10.0, 12, 5), (100.0, 6, 1), (400.0, 2, 1), (900.0, 1, 2)],
)
def test_alone_a_process_is_timed_in_slices(call_ms: float, slices: int, calls: int) -> None:
    """They fill the seconds; of long calls there are fewer, and two calls at least."""
    found = warmed_up(ScriptedDevice(steady_ms=call_ms)).slices(0.6)
    assert [len(one.calls_ms) for one in found] == [calls] * slices
    assert {one.ran for one in found} == {calls}  # nothing comes between them


@given(st.floats(1e-6, 100), st.floats(0, 100))
def test_there_are_never_too_many_slices_nor_too_few_calls(call_s: float, seconds: float) -> None:
    """Whatever the latency and the seconds."""
    count = slice_count(call_s, seconds)
    assert 1 <= count <= MOST_SLICES
    assert count * math.ceil(LEAST_SAMPLES / count) >= LEAST_SAMPLES


@pytest.mark.parametrize(
    ("disturbed", "kept"), [((), 4), ((1,), 3), ((1, 2), 2), ((0, 1, 2), 4), ((0, 1, 2, 3), 4)]
)
def test_what_was_disturbed_is_left_out_if_half_remains(disturbed: tuple[int, ...], kept: int) -> None:
    """Else everything counts: what is left might be quiet by chance."""
    slices = [Slice((float(place),), (BACKUP,) * (place in disturbed)) for place in range(4)]
    found = undisturbed(slices, lambda one: one.interference)
    assert len(every_call(found)) == kept
    assert undisturbed([], lambda one: ()) == []
