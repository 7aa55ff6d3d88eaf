"""How a recipe's answers agree with the baseline's where no label tells its accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from densebench.measure.accuracy import Accuracy, Outputs, accuracy, agreement, fitting
from densebench.spec import AGREEMENT_IMAGES
from densebench.workloads.base import ImageSet

if TYPE_CHECKING:
    from densebench.engines.base import Session
    from densebench.processes.messages import Evaluate
    from densebench.workloads.base import Workload

MOST_VALUES = 2**26  # of all images together, 256 MB: of large images fewer are taken


def agree_without_labels(job: Evaluate, session: Session, workload: Workload) -> dict[str, object]:
    """Agreement and SQNR on the images that are timed, which the baseline saw too: fields of `Quality`.

    The baseline takes as many as there is time for, and the others take the same. Without the baseline's outputs
    there is nothing to say.
    """
    images = _unlabelled(workload)
    if job.is_reference:
        found = _passed(job, session, images)
        if isinstance(found, float):
            images = _first(images, fitting(len(images), job.batch_size, found, job.seconds))
            found = _passed(job, session, images)
        if isinstance(found, float):
            return {"reason": _too_slow(images, found)}
        found.outputs.write(job.reference)
        return {}
    if not job.reference.exists():
        return {}
    reference = Outputs.read(job.reference)
    images = _first(images, len(reference.top1))
    found = _passed(job, session, images)
    if isinstance(found, float):
        return {"reason": _too_slow(images, found)}
    same, sqnr = agreement(found.outputs, reference)
    return {
        "top1_agreement": same,
        "output_sqnr_db": sqnr,
        "agreement_images": len(images),
        "agreement_on_noise": workload.data.noise,
    }


def _passed(job: Evaluate, session: Session, images: ImageSet) -> Accuracy | float:
    return accuracy(session, images, job.device, job.batch_size, job.seconds)


def _unlabelled(workload: Workload) -> ImageSet:
    """The images that are timed, each once: where there are few, they are repeated to fill a batch."""
    import torch

    channels, height, width = workload.input_shape
    wanted = max(1, min(AGREEMENT_IMAGES, MOST_VALUES // (channels * height * width)))
    images = workload.data.timing(wanted)
    repeats = (place for place in range(1, wanted) if torch.equal(images[place], images[0]))
    count = next(repeats, wanted)
    return ImageSet((0,) * count, lambda positions: images[list(positions)])


def _first(images: ImageSet, count: int) -> ImageSet:
    return images.subset(range(min(count, len(images))))


def _too_slow(images: ImageSet, predicted_s: float) -> str:
    return f"no agreement: {len(images)} images would take about {predicted_s:.0f} s"
