"""Local dates, bridges and runs of dates, by plain counting.

Owns: the date of an instant, the bridged dates, the runs of consecutive dates.
Does not own: which dates count (users.py), what a zone's name means (zones.py).
Invariant: date arithmetic only; local midnight, which may not exist or come twice, is never formed.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from pipeline.dev.oracle.zones import clock_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ONE_DAY = timedelta(days=1)
MINUTE_MS = 60_000
BRIDGE_GAP_MINUTES = 23 * 60
"""No place skips a date in less time than this; only a traveller does."""


@dataclass(frozen=True, slots=True)
class Ending:
    """When and where a completion ended."""

    at_ms: int
    tz: str


@lru_cache(maxsize=4096)
def never_came(day: date, tz: str) -> bool:
    """Tell whether no minute of `day` ever came in `tz`, as with Samoa's 2011-12-30."""
    utc_noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    quarters = (utc_noon + timedelta(minutes=15 * n) for n in range(-160, 160))
    return all(instant.astimezone(clock_of(tz)).date() != day for instant in quarters)


def local_date(instant_ms: int, tz: str, day_start: timedelta) -> date:
    """Return the date that `instant_ms` counts for.

    Args:
        instant_ms: within the years 2 to 9998.
        tz: a canonical name.
        day_start: wall-clock time before which it is still the previous date's evening.
    """
    on_the_wall = (EPOCH + timedelta(milliseconds=instant_ms)).astimezone(clock_of(tz))
    since_midnight = timedelta(
        hours=on_the_wall.hour,
        minutes=on_the_wall.minute,
        seconds=on_the_wall.second,
        microseconds=on_the_wall.microsecond,
    )
    return on_the_wall.date() - ONE_DAY if since_midnight < day_start else on_the_wall.date()


def offset_minutes(tz: str, instant: datetime) -> int:
    """Return how many minutes east of UTC the clock of `tz` is at `instant`."""
    east = instant.astimezone(clock_of(tz)).utcoffset() or timedelta()
    return east // timedelta(minutes=1)


def bridged_beside(
    day: date, ends: Mapping[date, Collection[Ending]], *, with_shift: bool
) -> set[date]:
    """Return the dates next to `day` that nobody could practise on.

    Args:
        ends: for each practised date, how its completions ended.
        with_shift: whether the time by which travel put the clock forward is taken off.
    """
    return {
        between
        for between in (day - ONE_DAY, day + ONE_DAY)
        if between not in ends and is_bridged(between, ends, with_shift=with_shift)
    }


def is_bridged(day: date, ends: Mapping[date, Collection[Ending]], *, with_shift: bool) -> bool:
    """Tell whether `day` was skipped.

    Returns:
        Whether both its neighbours were practised, and: less than 23 hours passed from some
        completion of the one to some completion of the other; or would have, had travel not put
        the clock forward; or the date never came in the zone of one of them.
    """
    before, after = ends.get(day - ONE_DAY, ()), ends.get(day + ONE_DAY, ())
    if not before or not after:
        return False
    if any(never_came(day, one.tz) for one in (*before, *after)):
        return True
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    for a in before:
        for c in after:
            if c.at_ms - a.at_ms < BRIDGE_GAP_MINUTES * MINUTE_MS:
                return True
            passed = c.at_ms // MINUTE_MS - a.at_ms // MINUTE_MS
            shift = offset_minutes(c.tz, noon) - offset_minutes(a.tz, noon)
            if with_shift and passed - shift < BRIDGE_GAP_MINUTES:
                return True
    return False


def runs_of(dates: Iterable[date]) -> list[tuple[date, int]]:
    """Return the runs of consecutive `dates`, earliest first, as (first date, days)."""
    found: list[tuple[date, int]] = []
    for day in sorted(set(dates)):
        if found and found[-1][0] + found[-1][1] * ONE_DAY == day:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((day, 1))
    return found
