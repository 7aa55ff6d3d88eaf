"""Several batches at once: how many a recipe asks for, and streams that are threads of this process."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

ABOUT = (
    "batches answered at once, each on its share of the threads; images per second are then of all of them"
)


def of_details(details: Mapping[str, object], auto: int) -> int:
    """The streams of an artifact; those from before there was a choice have one.

    Args:
        details: of the manifest.
        auto: how many `auto` means.

    """
    asked = details.get("streams", 1)
    return asked if isinstance(asked, int) else auto


def refuses_with(options: Mapping[str, object]) -> Mapping[str, str]:
    """Streams within processes that share the threads already: nothing would tell which of the two helps."""
    return {} if options["streams"] == 1 else {"instances": "it has streams of its own: give one of the two"}


def described(streams: int, threads: int) -> list[str]:
    """`4 streams of 2 threads`; nothing of a single one."""
    own = max(1, threads // streams)
    return [f"{streams} streams of {own} thread{'s' * (own > 1)}"] if streams > 1 else []


def answered(calls: Sequence[Callable[[], object]], count: int) -> list[float]:
    """Make so many calls, each stream's own call in a thread of its own.

    Args:
        calls: one for each stream; they give the interpreter free while they compute.
        count: calls in all.

    Returns:
        When each call was done, in seconds of `time.perf_counter`, in any order.

    """
    numbers = itertools.count()

    def work(call: Callable[[], object]) -> list[float]:
        done = []
        while next(numbers) < count:
            call()
            done.append(time.perf_counter())
        return done

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(itertools.chain.from_iterable(pool.map(work, calls)))
