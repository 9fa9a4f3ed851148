"""Which local date an instant belongs to.

Owns: the IANA zones (those of the pinned tzdata, not the machine's), the local date with its day
start on the wall clock, and the dates that a zone skipped altogether.
Does not own: whether an instant is acceptable (completion.py), whose zone it is (state.py).
Invariant: date arithmetic only. Local midnight, which may not exist or come twice, is never formed.
"""

from datetime import UTC, date, datetime
from functools import lru_cache
from importlib import resources
from typing import Final
from zoneinfo import ZoneInfo

import tzdata  # type: ignore[import-untyped]

from pipeline.core.records import Instant, LocalDate

DAY_MS: Final = 86_400_000
TZDATA_VERSION: Final[str] = tzdata.IANA_VERSION
"""The IANA release that decides local dates, as every audit entry names it."""

_DAY_S: Final = 86_400
_HOUR_S: Final = 3_600
_EPOCH_ORDINAL: Final = 719_163
_SAMPLED_UNTIL_S: Final = 2_600_000_000
"""2052; offsets further ahead are only repetitions of the last rule."""

_SAMPLE_EVERY_S: Final = 180 * _DAY_S
_HOURS_MAX: Final = 4_096
_SKIP_S_MIN: Final = 20 * _HOUR_S
"""A change of offset this large moves a place over the date line; daylight saving never comes
near."""


class Zone:
    """An IANA zone.

    Attributes:
        name: its key.
        info: its rules.
        skipped: dates since 1970 that never came in this zone, because it moved over the date line.
    """

    __slots__ = ("_steady", "info", "name", "skipped")

    def __init__(self, name: str, info: ZoneInfo) -> None:
        self.name = name
        self.info = info
        self.skipped = frozenset(_skipped_dates(info))
        self._steady: dict[int, int | None] = {}

    def offset_s(self, at_s: int) -> int:
        """Return how far the wall clock is ahead of UTC at a second since 1970.

        Events come close together, so whole hours without a change are kept. An hour has one change
        at most, so that the same offset at both its ends means none.
        """
        hour = at_s // _HOUR_S
        try:
            offset = self._steady[hour]
        except KeyError:
            if len(self._steady) >= _HOURS_MAX:
                self._steady.clear()
            first = _offset_s(hour * _HOUR_S, self.info)
            last = _offset_s(hour * _HOUR_S + _HOUR_S - 1, self.info)
            offset = self._steady[hour] = first if first == last else None
        return _offset_s(at_s, self.info) if offset is None else offset


def _offset_s(at_s: int, info: ZoneInfo) -> int:
    offset = datetime.fromtimestamp(at_s, info).utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0


def _skipped_dates(info: ZoneInfo) -> list[LocalDate]:
    """Return the dates that a jump of the offset by a day leaves out.

    Such a jump is for good, so samples half a year apart see it; halving then finds its second.
    """
    skipped: list[LocalDate] = []
    before_s, before = 0, _offset_s(0, info)
    for at_s in range(_SAMPLE_EVERY_S, _SAMPLED_UNTIL_S, _SAMPLE_EVERY_S):
        offset = _offset_s(at_s, info)
        if offset - before > _SKIP_S_MIN:
            low, high = before_s, at_s
            while high - low > 1:
                middle = (low + high) // 2
                if _offset_s(middle, info) - before > _SKIP_S_MIN:
                    high = middle
                else:
                    low = middle
            last_date = (low + _offset_s(low, info)) // _DAY_S
            next_date = (high + _offset_s(high, info)) // _DAY_S
            skipped.extend(range(last_date + 1, next_date))
        before_s, before = at_s, offset
    return skipped


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Return every zone name there is, in its exact spelling."""
    listed = resources.files(tzdata).joinpath("zones").read_text(encoding="ascii")
    return frozenset(listed.split()) - {"Factory"}


_zones: Final[dict[str, Zone]] = {}


def zone_of(name: str) -> Zone | None:
    """Return the zone called `name`; None when there is none.

    Args:
        name: any text. Only an exact name out of `zone_names` is looked up, so neither paths nor
            other spellings nor a flood of inventions reach the disk or the cache.
    """
    zone = _zones.get(name)
    if zone is None and name in zone_names():
        path = resources.files(tzdata).joinpath("zoneinfo", *name.split("/"))
        with path.open("rb") as rules:
            zone = _zones[name] = Zone(name, ZoneInfo.from_file(rules, key=name))
    return zone


def local_date(instant: Instant, zone: Zone, day_start_minutes: int) -> LocalDate:
    """Return the date that an instant counts for.

    Args:
        instant: within the years 2 to 9998.
        zone: where the user was.
        day_start_minutes: wall-clock time, 0..720, before which it is still the previous date.
    """
    at_s = instant // 1000
    return (at_s + zone.offset_s(at_s) - day_start_minutes * 60) // _DAY_S


def utc_date(instant: Instant) -> LocalDate:
    """Return the date of an instant in UTC, from midnight on."""
    return instant // DAY_MS


def date_of(day: date) -> LocalDate:
    """Return a calendar date as days since 1970-01-01."""
    return day.toordinal() - _EPOCH_ORDINAL


def instant_of(moment: datetime) -> Instant:
    """Return an aware date and time as an instant."""
    return round(moment.astimezone(UTC).timestamp() * 1000)
