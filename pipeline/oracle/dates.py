"""Local dates, bridges and stretches of dates, by counting on fingers.

Owns: the date of an instant, the bridged dates, the stretches of consecutive dates.
Does not own: which dates count (users.py).
Invariant: date arithmetic only; local midnight, which may not exist or come twice, is never formed.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ONE_DAY = timedelta(days=1)
BRIDGE_GAP_MS = 23 * 3_600_000
"""No place skips a date in less time than this; only a traveller does."""


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Return the name of every place that the pinned tzdata knows; `Factory` is none."""
    names = resources.files("tzdata").joinpath("zones").read_text(encoding="ascii").split()
    return frozenset(names) - {"Factory"}


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """Return the zone called `name`, one of `zone_names`, as tzdata (not the machine) has it."""
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as rules:
        return ZoneInfo.from_file(rules, key=name)


@lru_cache(maxsize=4096)
def never_came(day: date, tz: str) -> bool:
    """Tell whether no minute of `day` ever came in `tz`, as with Samoa's 2011-12-30."""
    utc_noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    quarters = (utc_noon + timedelta(minutes=15 * n) for n in range(-160, 160))
    return all(instant.astimezone(zone(tz)).date() != day for instant in quarters)


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


def bridged(ends: Mapping[date, Collection[tuple[int, str]]]) -> set[date]:
    """Return the dates that nobody could practise on.

    Args:
        ends: for each practised date, when and in which zone its completions ended.

    Returns:
        Each date, not itself practised, whose two neighbours were, if either less than 23 hours
        passed from the last completion of the one to the first of the other, or the date never came
        in the zone of one of their completions.
    """
    found = set()
    for before, earlier in ends.items():
        day = before + ONE_DAY
        later = ends.get(day + ONE_DAY)
        if day in ends or later is None:
            continue
        gap_ms = min(later)[0] - max(earlier)[0]
        zones = {tz for _, tz in (*earlier, *later)}
        if gap_ms < BRIDGE_GAP_MS or any(never_came(day, tz) for tz in zones):
            found.add(day)
    return found


def stretches(dates: Iterable[date]) -> list[tuple[date, int]]:
    """Return the stretches of consecutive `dates`, earliest first, as (first date, days)."""
    found: list[tuple[date, int]] = []
    for day in sorted(set(dates)):
        if found and found[-1][0] + found[-1][1] * ONE_DAY == day:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((day, 1))
    return found
