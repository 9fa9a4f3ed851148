"""Streaks, derived from covered dates.

Owns: the current, longest and lifetime counts, the lap and the day in the cycle.
Does not own: which dates are covered (sets.py), which portals are due (portals.py).
Invariant: nothing here is stored; nothing happens at midnight.
"""

import msgspec

from pipeline.core.calendar import local_date, zone_of
from pipeline.core.records import Instant, LocalDate
from pipeline.core.rulebook import Policy
from pipeline.core.runs import Runs, first_reaching, longest, total


class Standing(msgspec.Struct, frozen=True, gc=False):
    """Where a user stands at an instant.

    Attributes:
        streak_days: of the current run; 0 without one.
        lap: 0 and up, cycle_day: 1..cycle_days, both of the current run; 0 and 0 without one.
        last_date: the latest covered date. current_end: the last date of the current run.
    """

    streak_days: int
    longest_days: int
    lifetime_days: int
    lap: int
    cycle_day: int
    last_date: LocalDate | None
    current_end: LocalDate | None


def today_of(tz: str, instant: Instant, policy: Policy) -> LocalDate:
    """Return the user's date at an instant; UTC's in a zone that no longer exists."""
    zone = zone_of(tz) or zone_of("UTC")
    return local_date(instant, zone, policy.day_start_minutes) if zone else 0


def standing_of(dates: Runs, today: LocalDate, cycle_days: int) -> Standing:
    """Return where a user stands.

    Args:
        dates: covered.
        today: the user's date. A run is current when its last date is yesterday or later; of
            several (a credit for tomorrow, today still open) the earliest is.
        cycle_days: 1 and up.
    """
    if not dates:
        return Standing(0, 0, 0, 0, 0, None, None)
    last_start, last_length = dates[-1]
    current = first_reaching(dates, today - 1)
    streak_days = current[1] if current else 0
    return Standing(
        streak_days,
        longest(dates),
        total(dates),
        (streak_days - 1) // cycle_days if streak_days else 0,
        (streak_days - 1) % cycle_days + 1 if streak_days else 0,
        last_start + last_length - 1,
        current[0] + current[1] - 1 if current else None,
    )
