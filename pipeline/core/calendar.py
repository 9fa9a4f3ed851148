"""The local date that an instant belongs to.

Owns: the local date with its day start on the wall clock.
Does not own: the zones (zones.py), whether an instant is acceptable (completion.py), whose zone it
is (state.py).
Invariant: date arithmetic only. Local midnight, which may not exist or come twice, is never formed.
"""

from datetime import UTC, date, datetime
from typing import Final

from pipeline.core.records import Instant, LocalDate
from pipeline.core.zones import Zone

DAY_MS: Final = 86_400_000
_DAY_S: Final = 86_400
_EPOCH_ORDINAL: Final = 719_163


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


def day_of(local_date: LocalDate) -> date:
    """Return a local date of the years 1 to 9999 as a calendar date; undoes `date_of`."""
    return date.fromordinal(local_date + _EPOCH_ORDINAL)


def maybe_day_of(local_date: LocalDate | None) -> date | None:
    """Return the same of a local date that may be missing."""
    return None if local_date is None else day_of(local_date)


def instant_of(moment: datetime) -> Instant:
    """Return an aware date and time as an instant."""
    return round(moment.astimezone(UTC).timestamp() * 1000)
