"""The C library's memory: how much of what is freed goes back to the kernel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def memory_kept() -> Iterator[None]:
    """Tell glibc to keep freed memory for the time being.

    Fetching it from the system at every step was seen to be up to 20 times slower in a virtual machine.
    """
    import ctypes

    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of <malloc.h>
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(trim_threshold, 2**31 - 1)
        libc.mallopt(mmap_max, 0)
    except (OSError, AttributeError, TypeError):  # not glibc: only slower
        yield
        return
    try:
        yield
    finally:
        libc.mallopt(trim_threshold, 128 * 1024)  # glibc's own values
        libc.mallopt(mmap_max, 65536)
        libc.malloc_trim(0)
