"""Streaks, derived from covered dates.

Owns: the current, longest and lifetime counts, the lap and the day in the cycle, what today is.
Does not own: which dates are covered (sets.py), which portals are due (portals.py).
Invariant: nothing here is stored; nothing happens at midnight.
"""

import msgspec

from pipeline.core.calendar import local_date, utc_date
from pipeline.core.records import Instant, LocalDate
from pipeline.core.rulebook import Policy
from pipeline.core.runs import Runs, first_reaching
from pipeline.core.zones import LAST_ON_EARTH, zone_of


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


def current_run(
    dates: Runs, tz: str, instant: Instant, policy: Policy
) -> tuple[LocalDate, int] | None:
    """Return the run that goes on at an instant; None when there is none.

    A run is current when its last date is yesterday or later in the user's zone. Of several (a
    credit for tomorrow, while today is still open) the earliest is.

    Args:
        dates: covered.
        tz: as in `today_of`.
    """
    # Anywhere on earth, and with any day start, today is from two dates before UTC's to one after
    # it. Mostly all of these give the same run, and the zone need not be asked.
    if not dates:
        return None
    utc = utc_date(instant)
    start, length = dates[-1]
    # equivalent (False, <, 4): a short cut; without it the two look-ups below find nothing
    if start + length <= utc - 3:
        # equivalent (removed): a short cut; without it the two look-ups below find nothing
        return None
    # equivalent (False, -, 2): a short cut; without it both look-ups below find this run, or the
    # zone is asked
    # equivalent (<=): yesterday is two dates before UTC's at the earliest, as zones go to 12 hours
    # behind and days start at noon at the latest, and the run before ended three dates before UTC's
    if start < utc - 1 and start + length > utc:
        # equivalent (removed): a short cut; without it both look-ups below find this run, or the
        # zone is asked
        return dates[-1]  # and the run before it, if any, ended too early
    # equivalent (assignment): without it the zone is asked, which is always right
    latest = first_reaching(dates, utc)
    # equivalent (4): the zone is asked more often, which is always right
    earliest = first_reaching(dates, utc - 3)
    # equivalent (False): a short cut; the zone may always be asked
    if earliest is latest:
        # equivalent (removed): a short cut; the zone may always be asked
        return latest
    return first_reaching(dates, today_of(tz, instant, policy) - 1)


def today_of(tz: str, instant: Instant, policy: Policy) -> LocalDate:
    """Return the local date at an instant, with the policy's day start.

    Args:
        tz: the user's zone. While it is not known (empty), a date lasts until it is over
            everywhere; UTC stands in for one that no longer exists.
    """
    zone = zone_of(tz or LAST_ON_EARTH) or zone_of("UTC")
    return local_date(instant, zone, policy.day_start_minutes) if zone else utc_date(instant)


def standing_of(dates: Runs, tz: str, instant: Instant, policy: Policy) -> Standing:
    """Return where a user stands at an instant.

    Args:
        dates: covered.
        tz: as in `today_of`.
    """
    current = current_run(dates, tz, instant, policy)
    if not dates:
        return Standing(0, 0, 0, 0, 0, None, None)
    longest_days = lifetime_days = 0
    for _, length in dates:
        lifetime_days += length
        # equivalent (>=): either of two equal numbers is the greater one
        longest_days = length if length > longest_days else longest_days
    start, length = dates[-1]
    if current is None:
        return Standing(0, longest_days, lifetime_days, 0, 0, start + length - 1, None)
    streak_days = current[1]
    lap, day = divmod(streak_days - 1, policy.cycle_days)
    return Standing(
        streak_days,
        longest_days,
        lifetime_days,
        lap,
        day + 1,
        start + length - 1,
        current[0] + streak_days - 1,
    )
