"""Wait until this process computes nothing any more: threads of some engines go on spinning after a call."""

from __future__ import annotations

import time

REST_S = 0.01  # a process that used no more than a tenth of this long in CPU time is at rest
REST_LIMIT_S = 1.0


def wait_until_idle(limit_s: float = REST_LIMIT_S) -> bool:
    """Wait until no thread of this process computes any more; whether that came about in time."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        used_s = time.process_time()
        time.sleep(REST_S)
        if time.process_time() - used_s <= REST_S / 10:
            return True
    return False
