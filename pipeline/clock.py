"""The wall clock.

Owns: every reading of the time of day.
Does not own: the domain's idea of now, which is the append time of the record at hand, and elapsed
time, which anything outside the core takes from `time.monotonic`.
Invariant: no other module of the pipeline asks the operating system what time it is.
"""

import time
from datetime import UTC, datetime


def now_ms() -> int:
    """The time of day.

    Returns:
        Milliseconds since 1970-01-01T00:00:00Z.
    """
    return time.time_ns() // 1_000_000


def rfc3339(instant_ms: int) -> str:
    """An instant as people and logs write it.

    Args:
        instant_ms: milliseconds since 1970-01-01T00:00:00Z, within the years 1 to 9999.

    Returns:
        RFC 3339 in UTC with milliseconds, such as `2026-03-01T06:30:00.000Z`.
    """
    moment = datetime.fromtimestamp(instant_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
