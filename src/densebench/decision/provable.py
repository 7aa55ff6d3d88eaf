"""What the validation images can show of a limit on accuracy, before anything is measured."""

from __future__ import annotations

from densebench.stats.proportion import drop_at_most, images_needed
from densebench.text import points


def limit_note(limit_pp: float, images: int) -> str:
    """What to say at the start of a run whose images can't show that any recipe keeps the limit; else "".

    Args:
        limit_pp: percentage points of top-1 that may be lost.
        images: labelled validation images.

    """
    if not images:
        return (
            "there are no labelled images, so accuracy is not judged and no recipe will be recommended: name some "
            "with --data"
        )
    bound = 100 * drop_at_most(0, 0, images)
    if bound <= limit_pp:
        return ""
    needed = images_needed(0, 0, images, limit_pp / 100)
    enough = (
        f"{needed:,} images could, or a higher --max-accuracy-drop" if needed else "no number of images could"
    )
    return (
        f"{images:,} validation images can't show that a recipe loses at most {points(limit_pp)} of top-1: with no "
        f"image changed it may still lose {bound:.2f} with 95 % confidence; {enough}"
    )
