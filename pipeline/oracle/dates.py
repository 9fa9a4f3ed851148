"""Local dates, bridges and stretches of dates, by counting on fingers.

Owns: the date of an instant, the bridged dates, the stretches of consecutive dates.
Does not own: which dates count (users.py).
Invariant: date arithmetic only; local midnight, which may not exist or come twice, is never formed.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ONE_DAY = timedelta(days=1)
BRIDGE_GAP_MS = 23 * 3_600_000
"""No place skips a date in less time than this; only a traveller does."""


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Return every IANA zone name there is."""
    return frozenset(available_timezones())


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """Return the zone called `name`, which is one of `zone_names`."""
    return ZoneInfo(name)


def local_date(instant_ms: int, tz: str, day_start: timedelta) -> date:
    """Return the date that `instant_ms` counts for.

    Args:
        instant_ms: within the years 2 to 9998.
        tz: one of `zone_names`.
        day_start: wall-clock time before which it is still the previous date's evening.
    """
    on_the_wall = (EPOCH + timedelta(milliseconds=instant_ms)).astimezone(zone(tz))
    since_midnight = timedelta(
        hours=on_the_wall.hour,
        minutes=on_the_wall.minute,
        seconds=on_the_wall.second,
        microseconds=on_the_wall.microsecond,
    )
    return on_the_wall.date() - ONE_DAY if since_midnight < day_start else on_the_wall.date()


def bridged(instants: Mapping[date, Sequence[int]]) -> set[date]:
    """Return the dates that travel skipped.

    Args:
        instants: for each practised date, the completion instants that counted for it.

    Returns:
        Each date, not itself practised, whose two neighbours were, the last completion of the one
        less than 23 hours before the first of the other.
    """
    return {
        before + ONE_DAY
        for before in instants
        if before + ONE_DAY not in instants
        and before + 2 * ONE_DAY in instants
        and min(instants[before + 2 * ONE_DAY]) - max(instants[before]) < BRIDGE_GAP_MS
    }


def stretches(dates: Iterable[date]) -> list[tuple[date, int]]:
    """Return the stretches of consecutive `dates`, earliest first, as (first date, days)."""
    found: list[tuple[date, int]] = []
    for day in sorted(set(dates)):
        if found and found[-1][0] + found[-1][1] * ONE_DAY == day:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((day, 1))
    return found
