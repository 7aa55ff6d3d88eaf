"""Own times add up, whatever the calls look like."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from densebench.viewer.nesting import nest

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30)), max_size=25).map(
    lambda spans: sorted(
        ((start, start + length) for start, length in spans), key=lambda span: (span[0], -span[1])
    )
)
TREES = st.recursive(st.just(()), lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=20)


def columns(spans: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Starts and ends."""
    return [start for start, _ in spans], [end for _, end in spans]


@given(SPANS)
def test_own_times_add_up_to_the_time_that_is_covered(spans: list[tuple[int, int]]) -> None:
    """Overlaps included: each moment belongs to the call that began last."""
    found = nest(*columns(spans))
    covered = {moment for start, end in spans for moment in range(start, end)}
    assert sum(found.own) == len(covered)
    assert all(0 <= own <= end - start for own, (start, end) in zip(found.own, spans, strict=True))
    for event, own in enumerate(found.own):
        mine = range(*spans[event])
        later = [range(*span) for span in spans[event + 1 :]]
        assert own == sum(not any(moment in span for span in later) for moment in mine)


@given(SPANS)
def test_rows_hold_no_overlaps(spans: list[tuple[int, int]]) -> None:
    """Calls of one depth can be drawn beside each other; a parent is one row higher and began earlier."""
    found = nest(*columns(spans))
    ends: dict[int, int] = {}
    for event, (start, end) in enumerate(spans):
        depth, parent = found.depths[event], found.parents[event]
        assert start >= ends.get(depth, 0)
        ends[depth] = end
        assert (parent < 0) == (depth == 0)
        if parent >= 0:
            assert found.depths[parent] == depth - 1
            assert spans[parent][0] <= start <= spans[parent][1]


@given(TREES)
def test_a_tree_of_calls_is_found_again(tree: tuple[object, ...]) -> None:
    """Calls that lie properly inside each other come out as they were."""
    spans: list[tuple[int, int]] = []
    parents: list[int] = []

    def lay(node: tuple[object, ...], start: int, parent: int) -> int:
        mine = len(spans)
        spans.append((start, 0))
        parents.append(parent)
        at = start + 1
        for child in node:
            assert isinstance(child, tuple)
            at = lay(child, at, mine) + 1
        spans[mine] = (start, at)
        return at

    lay(tree, 0, -1)
    found = nest(*columns(spans))
    assert found.parents == parents
    lengths = [end - start for start, end in spans]
    for event, length in enumerate(lengths):
        inside = sum(one for child, one in enumerate(lengths) if parents[child] == event)
        assert found.own[event] == length - inside
