"""Names beside markers: none over another, none left out that has room."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from densebench.report.html.names import Box, Spot, _boxes, _marker, sides

SHARE = st.floats(0, 1)
SPOTS = st.lists(
    st.builds(Spot, SHARE, SHARE, st.sampled_from(["", "onnx", "openvino:precision=int8"])), max_size=12
)


def boxes(spots: list[Spot]) -> list[Box]:
    """Where the names came to stand."""
    return [dict(_boxes(spot))[side] for spot, side in zip(spots, sides(spots), strict=True) if side]


@given(SPOTS)
def test_no_name_is_written_over_another_or_over_a_marker(spots: list[Spot]) -> None:
    """Wherever the markers are."""
    placed = boxes(spots)
    assert not any(one.meets(other) for one, other in combinations(placed, 2))
    named = [spot for spot, side in zip(spots, sides(spots), strict=True) if side]
    for spot, box in zip(named, placed, strict=True):
        assert not any(box.meets(_marker(other)) for other in spots if other is not spot)


def test_a_name_alone_stands_beside_its_marker() -> None:
    """On the side of the plot's middle, so that it stays inside."""
    assert sides([Spot(0.05, 0.5, "baseline")]) == ["top right"]
    assert sides([Spot(1.0, 0.5, "openvino_int8")]) == ["top left"]
    assert sides([Spot(0.5, 0.5)]) == [""]


def test_at_the_same_accuracy_names_find_other_sides() -> None:
    """As many as there is room for: the first above, the second below, the third would be over one of them."""
    near = [Spot(0.90 + 0.03 * number, 0.5, "openvino_int8") for number in range(3)]
    assert sides(near) == ["top left", "bottom left", ""]


def test_who_has_no_room_has_no_name() -> None:
    """Five at one spot, which has four sides; one that is longer than the plot is wide."""
    assert sides([Spot(0.5, 0.5, "a")] * 5) == ["top right", "bottom right", "top left", "bottom left", ""]
    assert sides([Spot(0.5, 0.5, "a" * 200)]) == [""]
