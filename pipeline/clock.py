"""The wall clock.

Owns: every reading of the time of day, how instants and lengths of time are written.
Does not own: the domain's idea of now, which is the append time of the record at hand, and elapsed
time, which anything outside the core takes from `time.monotonic`.
Invariant: no other module of the pipeline asks the operating system what time it is.
"""

import time
from datetime import UTC, datetime
from typing import Final

_UNITS: Final = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))


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


def length_text(length_ms: int) -> str:
    """A length of time in the largest unit of which it has one, rounded down.

    Args:
        length_ms: less than a second, and less than nothing, is `0 s`.

    Returns:
        Such as `12 min`, or `3 d`.
    """
    for size_ms, unit in _UNITS:
        if length_ms >= size_ms:
            return f"{length_ms // size_ms} {unit}"
    return "0 s"
