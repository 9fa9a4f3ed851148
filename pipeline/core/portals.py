"""Portals.

Owns: which portals are due, and the next one ahead.
Does not own: the milestones (rulebook.py), what an unlock changes and tells (transition.py).
Invariant: a (lap, slug) is unlocked once for a user, for ever. Which are unlocked follows from the
longest run there ever was, so no order of arrival changes it.
"""

import msgspec

from pipeline.core.records import LocalDate, NextPortal
from pipeline.core.rulebook import Policy, Portal
from pipeline.core.runs import Runs
from pipeline.core.sets import Sets, is_unlocked


class Due(msgspec.Struct, frozen=True, gc=False):
    """A portal that is to be unlocked.

    Attributes:
        reached_on: the date on which the run reached it.
    """

    lap: int
    portal: Portal
    reached_on: LocalDate


def due_portals(
    sets: Sets, dates: Runs, policy: Policy, above_days: int, longest_days: int
) -> tuple[Due, ...]:
    """Return the portals to unlock, by the length of run that they need.

    Args:
        dates: covered.
        above_days: portals up to this length of run are unlocked already.
        longest_days: of the longest run in `dates`.
    """
    cycle_days = policy.cycle_days
    due: list[Due] = []
    for days in range(above_days + 1, longest_days + 1):
        portal = policy.by_day[(days - 1) % cycle_days + 1]
        lap = (days - 1) // cycle_days
        # guard (argument): a portal that is unlocked is not due
        if portal is None or is_unlocked(sets, lap, portal.slug):
            continue
        start = next(start for start, length in dates if length >= days)
        due.append(Due(lap, portal, start + days - 1))
    return tuple(due)


def next_portal(sets: Sets, policy: Policy, streak_days: int) -> NextPortal:
    """Return the first portal ahead of the current run that is still to be unlocked."""
    cycle_days = policy.cycle_days
    days = streak_days
    while True:
        days += 1
        portal = policy.by_day[(days - 1) % cycle_days + 1]
        if portal is not None and not is_unlocked(sets, (days - 1) // cycle_days, portal.slug):
            return NextPortal(portal.slug, portal.title, days - streak_days)
