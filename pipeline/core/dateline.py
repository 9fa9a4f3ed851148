"""Dates that a journey over the date line skipped, and that are bridged therefore.

Owns: what is kept of the completions of each recent date, and which single dates they bridge.
Does not own: what a bridged date counts for (sets.py).
Invariants: whether x is bridged depends on all completions of x-1 and of x+1 and on nothing else,
so under one policy any order of them ends the same; and every date that a completion may still
arrive for, with the dates two away from it, is kept.

Date x is bridged when its neighbours have completions and

- the last of x-1 and the first of x+1 are less than 23 hours apart: a journey eastwards over the
  date line lets a whole date pass between them, and no fixed zone does but Antarctica/Troll, whose
  dates have 22 hours when its clock goes forward by two; or,
- where the policy counts the shift, some completion a of x-1 and some c of x+1 are, when the hours
  that the journey put the clock forward are taken off:

      (c.time - a.time) - (offset(c.zone) - offset(a.zone)) < 23 h.

  Somebody who practises at seven each morning and flies from Los Angeles to Auckland (19 hours
  forward) has 29 hours between the two, of which 10 remain. Both offsets are those at noon UTC of
  x, and not when the two took place: so one zone takes nothing off, whatever it does to its own
  clock (daylight saving, Samoa's whole day), nor do two zones that keep the same time; or
- a neighbour's completion took place in a zone that never had that date (Samoa on 2011-12-30):
  those who stayed at home could not practise on it either.

Each is a comparison of two extremes: the greatest of x-1 and the least of x+1, of the times and of
the times less their offset. The one only grows and the other only shrinks, so a bridge once made
stays, and the extremes are all that must be kept.
"""

from typing import Final

import msgspec

from pipeline.core.calendar import DAY_MS
from pipeline.core.records import Instant, LocalDate
from pipeline.core.zones import Zone

BRIDGE_MS: Final = 23 * 3_600_000
"""Completions on both sides of a date bridge it when they are less apart than this, in ms."""

_BRIDGE_MINUTES: Final = 23 * 60
_MINUTE_MS: Final = 60_000
_DAY_MINUTES: Final = 1_440
_DAY_S: Final = 86_400
_NOON_S: Final = 43_200
_MARGIN_DAYS: Final = 6
"""A local date is at most 1 day before or after UTC's, a neighbour 2 dates away; the rest is for
append times that step back."""

Kept = tuple[LocalDate, int, int, int, int]
"""A date; its first and its last completion, in ms since 00:00 UTC of the date, so that they are
small; and of those times in whole minutes, the least less its zone's offset at noon UTC of the date
before, and the greatest less its zone's offset at noon UTC of the date after."""

Recent = tuple[Kept, ...]
"""By date."""


class DatelineWindow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The recent completions that a bridge may need.

    Attributes:
        recent: the dates of the late window, with the extremes of their completions.
        absent: dates of the late window that the zone of a completion next to them never had,
            sorted.
    """

    recent: Recent = ()
    absent: tuple[LocalDate, ...] = ()


def kept_from(append_time: Instant, late_ms: int) -> LocalDate:
    """Return the earliest date whose instants may still matter.

    Args:
        append_time: of the event at hand; later events may be appended a little before it.
        late_ms: the longest that any policy version allows a completion to be late.
    """
    return (append_time - late_ms) // DAY_MS - _MARGIN_DAYS


def observe(
    dateline: DatelineWindow,
    date: LocalDate,
    completed_at: Instant,
    zone: Zone,
    keep_from: LocalDate,
    shift_counts: bool,
) -> tuple[DatelineWindow, tuple[LocalDate, ...]]:
    """Take in an accepted completion.

    Args:
        date: that the completion counts for. completed_at: its clock put right.
        zone: that it took place in.
        keep_from: as from `kept_from`.
        shift_counts: as the policy in force has it.

    Returns:
        The window with it, and the dates, 0 to 2, that are bridged by now next to `date`; they may
        have been before.
    """
    at = completed_at - date * DAY_MS
    absent = dateline.absent
    # equivalent (True): a short cut; where no date is skipped, no neighbour is among the skipped
    if zone.skipped:
        new = zone.skipped & {date - 1, date + 1}
        # equivalent (True): a short cut; with nothing new the dates stay the same
        absent = tuple(sorted(new.union(absent))) if new else absent
    # equivalent (True, <=): a short cut; where no date is too old, all of them are kept
    if absent and absent[0] < keep_from:
        absent = tuple(x for x in absent if x >= keep_from)
    recent, i = _with(dateline.recent, _kept(date, at, zone))
    bridged = _bridged_beside(recent, i, absent, shift_counts)
    if recent is dateline.recent and absent is dateline.absent:
        return dateline, bridged  # perhaps by a rule that was not in force when it last changed
    # equivalent (True, <=): a short cut; where no date is too old, all of them are kept
    if recent[0][0] < keep_from:
        recent = tuple(kept for kept in recent if kept[0] >= keep_from)
    return DatelineWindow(recent, absent), bridged


def _kept(date: LocalDate, at: int, zone: Zone) -> Kept:
    """Return what is kept of a date with one completion, `at` ms after 00:00 UTC of it."""
    minutes = at // _MINUTE_MS
    noon_s = date * _DAY_S + _NOON_S
    return (
        date,
        at,
        at,
        minutes - zone.offset_s(noon_s - _DAY_S) // 60,
        minutes - zone.offset_s(noon_s + _DAY_S) // 60,
    )


def _with(recent: Recent, new: Kept) -> tuple[Recent, int]:
    """Return the dates with one more completion, and the index of its date among them; the same
    object when it is no extreme of its date."""
    date = new[0]
    i = len(recent)
    while i and recent[i - 1][0] > date:
        i -= 1
    if not (i and recent[i - 1][0] == date):
        return (*recent[:i], new, *recent[i:]), i
    i -= 1
    known = recent[i]
    merged = (
        date,
        min(
            known[1],
            # equivalent (2): the one completion of `new` is its first and its last
            new[1],
        ),
        max(known[2], new[2]),
        min(known[3], new[3]),
        max(known[4], new[4]),
    )
    return (recent if merged == known else (*recent[:i], merged, *recent[i + 1 :])), i


def _bridged_beside(
    recent: Recent, i: int, absent: tuple[LocalDate, ...], shift_counts: bool
) -> tuple[LocalDate, ...]:
    """Return the dates that are bridged just before and after that of index `i`."""
    one = recent[i]
    date = one[0]
    bridged: tuple[LocalDate, ...] = ()
    # equivalent (False, 3, >=): a short cut; a date two before is at one of the two indexes before
    # this one, and earlier ones do not match
    for other in recent[i - 2 if i > 2 else 0 : i]:
        if other[0] == date - 2 and (_is_short(other, one, shift_counts) or date - 1 in absent):
            bridged = (date - 1,)
    # equivalent (4): a date two after is at one of the two indexes after this one, and later ones
    # do not match
    for other in recent[i + 1 : i + 3]:
        if other[0] == date + 2 and (_is_short(one, other, shift_counts) or date + 1 in absent):
            bridged = (*bridged, date + 1)
    return bridged


def _is_short(before: Kept, after: Kept, shift_counts: bool) -> bool:
    """Tell whether too little time passed between two dates, one apart, for the one between."""
    if after[1] - before[2] + 2 * DAY_MS < BRIDGE_MS:
        return True
    return shift_counts and after[3] - before[4] + 2 * _DAY_MINUTES < _BRIDGE_MINUTES
