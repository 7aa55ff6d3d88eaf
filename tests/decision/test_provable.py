"""What the images of a run can show, said before anything is measured."""

from __future__ import annotations

from densebench.decision.provable import limit_note


def test_a_limit_that_the_images_can_not_show_is_said_at_the_start() -> None:
    """200 images bound an unchanged model's loss by 1.33 points; 1,000 are enough for a limit of one point."""
    note = limit_note(1.0, 200)
    assert "200 validation images can't show" in note
    assert "1.33" in note
    assert limit_note(1.0, 1000) == ""
    assert "268 images could" in note


def test_without_labels_no_recommendation_is_announced() -> None:
    """A run without labelled images says before it starts that it will recommend nothing."""
    assert "no recipe will be recommended" in limit_note(1.0, 0)
