"""What this machine can do at most, per precision and in copying memory; a row's share of it; and its cache.

A model whose every multiplication ran at the ceiling of its precision would have a share of 1. Layers that wait
for memory, and time outside of convolutions, are what keeps it below. What was reached once can be reached, so a
ceiling is the maximum of all surveys and rows; it only rises. Source: Williams et al., "Roofline: An
Insightful Visual Performance Model for Multicore Architectures", 2009.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import Field, ValidationError

from densebench.results.record import Row
from densebench.schema import Frozen

NAMES = {"float32": "FP32", "bfloat16": "BF16", "float16": "FP16", "int8": "INT8"}
ITEM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1}
# precision -> those that can take its place: what runs in a wider one is at least as exact
WIDER = {"bfloat16": ("float32",), "float16": ("float32",), "int8": ("float32", "bfloat16", "float16")}
METHOD = 2  # raised when what is measured changes, so that older files are passed over


class Ceiling(Frozen):
    """1e9 operations a second (a multiplication and an addition are two), and the engine or row that reached them."""

    gop_per_s: float = Field(gt=0)
    engine: str
    known_before: float | None = (
        None  # the ceiling that the run began with, where one of its rows reached more
    )


class Ceilings(Frozen):
    """By precision (`float32`, `bfloat16`, `float16`, `int8`); one that no engine runs here is not there."""

    device: str
    threads: int
    compute: dict[str, Ceiling]
    memory_gb_per_s: float = Field(gt=0)  # bytes read and bytes written, 1e9 a second
    interference: str = ""  # what else used the machine meanwhile: it could do more than was measured


def called(precision: str) -> str:
    """A precision's name in text."""
    return NAMES.get(precision, precision)


def share(macs_g: float | None, throughput: float | None, precision: str, ceilings: Ceilings) -> float | None:
    """The share of its precision's ceiling that a row reaches, or None where one of them isn't known.

    It passes 1 where the survey reached too little, or an algorithm saves multiplications (Winograd's); not where the
    ceilings are `raised` by the row.

    Args:
        macs_g: multiply-accumulates of one image, 1e9.
        throughput: images a second.
        precision: what most of its multiplications run in, as `Recipe.precision` says.
        ceilings: of the machine that it was measured on.

    """
    ceiling = ceilings.compute.get(precision)
    if macs_g is None or throughput is None or ceiling is None:
        return None
    return 2 * macs_g * throughput / ceiling.gop_per_s


def row_gop_per_s(row: Row) -> float | None:
    """1e9 operations a second of a row, or None where it wasn't timed or its multiplications weren't counted."""
    if row.macs_g is None or row.throughput_samples_per_s is None:
        return None
    return 2 * row.macs_g * row.throughput_samples_per_s


def highest(one: Ceilings, other: Ceilings | None) -> Ceilings:
    """The higher figure of two surveys of one machine. Neither is too low for interference that the other lacks."""
    if other is None:
        return one
    both = [*other.compute.items(), *one.compute.items()]
    compute: dict[str, Ceiling] = {}
    for name, ceiling in both:
        if name not in compute or ceiling.gop_per_s > compute[name].gop_per_s:
            compute[name] = ceiling
    return one.model_copy(
        update={
            "compute": compute,
            "memory_gb_per_s": max(one.memory_gb_per_s, other.memory_gb_per_s),
            "interference": one.interference if other.interference else "",
        }
    )


def raised(ceilings: Ceilings, rows: Iterable[Row]) -> Ceilings:
    """The ceilings where no row with their number of threads, and no wider precision, is above one of them."""
    compute = dict(ceilings.compute)
    for row in rows:
        found, ceiling = row_gop_per_s(row), compute.get(row.precision)
        if found is None or ceiling is None or row.threads != ceilings.threads or found <= ceiling.gop_per_s:
            continue
        compute[row.precision] = Ceiling(
            gop_per_s=found,
            engine=f"{row.recipe} at batch {row.batch_size}",
            known_before=ceiling.known_before or ceiling.gop_per_s,
        )
    return ceilings.model_copy(update={"compute": in_order(compute)})


def in_order(compute: Mapping[str, Ceiling]) -> dict[str, Ceiling]:
    """The ceilings where none is below that of a wider precision, which could run in its place."""
    found = dict(compute)
    for precision, wider in WIDER.items():
        names = [name for name in wider if name in compute]
        best = max(names, key=lambda name: compute[name].gop_per_s, default=None)
        if best and precision in found and compute[best].gop_per_s > found[precision].gop_per_s:
            engine = f"{compute[best].engine} in {called(best)}"
            found[precision] = Ceiling(gop_per_s=compute[best].gop_per_s, engine=engine)
    return found


def ceilings_of(kept: Mapping[str, object] | None) -> Ceilings | None:
    """The ceilings as a run's header keeps them; None where none were measured, or another version wrote them."""
    try:
        return Ceilings.model_validate(kept)
    except ValidationError:
        return None
