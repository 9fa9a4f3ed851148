"""Dates that travel skipped.

Owns: the first and last completion of each recent date, and which single dates they bridge.
Does not own: what a bridged date counts for (sets.py).
Invariants: whether x is bridged depends on all completions of x-1 and of x+1 and on nothing else,
so any order of them ends the same; and every date that a completion may still arrive for, with the
dates two away from it, is kept.

Date x is bridged when its neighbours have completions and the last of x-1 and the first of x+1 are
less than 23 hours apart: no fixed zone lets a whole date pass between them, a journey eastwards
over the date line does. The last only grows and the first only shrinks, so a bridge once made
stays. It is also bridged when a neighbour's completion took place in a zone that never had that
date (Samoa on 2011-12-30): those who stayed at home could not practise on it either.
"""

from typing import Final

import msgspec

from pipeline.core.calendar import DAY_MS
from pipeline.core.records import Instant, LocalDate

BRIDGE_MS: Final = 23 * 3_600_000
_MARGIN_DAYS: Final = 6
"""A local date is at most 1 day before or after UTC's, a neighbour 2 dates away; the rest is for
append times that step back."""

Recent = tuple[tuple[LocalDate, int, int], ...]
"""(date, first, last) by date; instants in milliseconds since 00:00 UTC of the date, so that they
are small."""


class Crossing(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What bridging needs to remember.

    Attributes:
        recent: the dates of the late window.
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
    crossing: Crossing,
    date: LocalDate,
    completed_at: Instant,
    skipped: frozenset[LocalDate],
    keep_from: LocalDate,
) -> tuple[Crossing, tuple[LocalDate, ...]]:
    """Take in an accepted completion.

    Args:
        date: that the completion counts for. completed_at: its clock put right.
        skipped: dates that the completion's zone never had.
        keep_from: as from `kept_from`.

    Returns:
        What to remember from now on, and the dates, 0 to 2, that are bridged by now next to `date`;
        they may have been before.
    """
    at = completed_at - date * DAY_MS
    absent = crossing.absent
    if skipped:
        new = skipped & {date - 1, date + 1}
        absent = tuple(sorted(new.union(absent))) if new else absent
    if absent and absent[0] < keep_from:
        absent = tuple(x for x in absent if x >= keep_from)
    recent, i = _with_instant(crossing.recent, date, at)
    if recent is crossing.recent and absent is crossing.absent:
        return crossing, ()
    bridged = _bridged_beside(recent, i, absent)
    if recent[0][0] < keep_from:
        recent = tuple(kept for kept in recent if kept[0] >= keep_from)
    return Crossing(recent, absent), bridged


def _with_instant(recent: Recent, date: LocalDate, at: int) -> tuple[Recent, int]:
    """Return the dates with one more instant, and the place of its date among them."""
    i = len(recent)
    while i and recent[i - 1][0] > date:
        i -= 1
    if i and recent[i - 1][0] == date:
        i -= 1
        _, first, last = recent[i]
        if first <= at <= last:
            return recent, i
        return (*recent[:i], (date, min(first, at), max(last, at)), *recent[i + 1 :]), i
    return (*recent[:i], (date, at, at), *recent[i:]), i


def _bridged_beside(recent: Recent, i: int, absent: tuple[LocalDate, ...]) -> tuple[LocalDate, ...]:
    """Return the dates just before and after that of place `i` that are bridged."""
    date, first, last = recent[i]
    bridged: tuple[LocalDate, ...] = ()
    for other, _, other_last in recent[i - 2 if i > 2 else 0 : i]:
        if other == date - 2 and (
            first - other_last + 2 * DAY_MS < BRIDGE_MS or date - 1 in absent
        ):
            bridged = (date - 1,)
    for other, other_first, _ in recent[i + 1 : i + 3]:
        if other == date + 2 and (
            other_first - last + 2 * DAY_MS < BRIDGE_MS or date + 1 in absent
        ):
            bridged = (*bridged, date + 1)
    return bridged
