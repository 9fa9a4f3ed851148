"""The rules in force, and since when.

Owns: the policy as values ready for the hot path, and which version rules an instant.
Does not own: the file and what makes it coherent (policy.py), what the rules are used for.
Invariant: a book has one cycle length, one window and one earliest date, whatever its versions say;
a version is in force from its first instant until the next one's, decided by append time alone.
"""

from bisect import bisect_right
from collections.abc import Callable
from typing import Final

import msgspec

from pipeline.core.calendar import DAY_MS
from pipeline.core.errors import PolicyError
from pipeline.core.records import Instant, LocalDate

SESSION_MS_CEILING: Final = DAY_MS
"""No policy allows longer sessions. The window's extra day is there to outlive a whole one."""

SESSION_MS_FLOOR: Final = 10_000
"""No policy allows shorter sessions: it bounds the cover of a cell (dedupe.py)."""


class Portal(msgspec.Struct, frozen=True, gc=False):
    """A milestone of the cycle.

    Attributes:
        day: of the cycle, 1..cycle_days. slug: its identity within a lap.
        figure: the slug of the figure drawn on that day. keys: Field Keys granted, 0..16.
    """

    day: int
    slug: str
    title: str
    figure: str
    keys: int


class Policy(msgspec.Struct, frozen=True):
    """One version of the rules.

    Attributes:
        version: names it in every output.
        effective_from: the first append time that it rules.
        day_start_minutes: wall-clock minutes before which it is still the previous date, 0..720.
        late_ms: how far before its append a completion may have ended.
        skew_tolerance_ms: a device clock further ahead than this is put right.
        clock_ahead_ms_max: unless it is further ahead than this: then nothing that it says counts.
        future_skew_ms: how far after its append a completion may end, clock put right.
        session_ms_min, session_ms_max: of a session's length, both allowed.
        bridge_shift: whether the hours that a journey puts the clock forward count in a bridge.
        portals: by day, each day at most once.
        cycle_days, earliest_date: the book's.
        by_day: the portal of each day of the cycle; index 0 is unused.
    """

    version: str
    effective_from: Instant
    day_start_minutes: int
    late_ms: int
    skew_tolerance_ms: int
    clock_ahead_ms_max: int
    future_skew_ms: int
    session_ms_min: int
    session_ms_max: int
    portals: tuple[Portal, ...]
    cycle_days: int
    earliest_date: LocalDate
    by_day: tuple[Portal | None, ...]
    bridge_shift: bool = False


class PolicyBook:
    """Every version of the policy.

    Args:
        versions: at least one, by effective_from; the first one's is 0.
        window_ms: how long accepted completions are remembered, by append time; long enough that
            none counts twice (policy.py derives how long that is).

    Attributes:
        cycle_days: 1..108, fixed for a generation.
        earliest_date: no local date before it is ever covered.
        late_ms_max: of any version.
        keys_max: for each slug that any version has, the most keys it ever granted.
    """

    def __init__(self, versions: tuple[Policy, ...], window_ms: int) -> None:
        self.versions = versions
        self.window_ms = window_ms
        self.cycle_days = versions[0].cycle_days
        self.earliest_date = versions[0].earliest_date
        self.late_ms_max = max(policy.late_ms for policy in versions)
        self.keys_max: dict[str, int] = {}
        for policy in versions:
            for portal in policy.portals:
                self.keys_max[portal.slug] = max(self.keys_max.get(portal.slug, 0), portal.keys)
        self._starts = [policy.effective_from for policy in versions]
        self._last = versions[-1]
        self._last_from = versions[-1].effective_from

    def at(self, append_time: Instant) -> Policy:
        """Return the version in force; the first one also rules what came before it."""
        if append_time >= self._last_from:
            return self._last
        return self.versions[max(0, bisect_right(self._starts, append_time) - 1)]


def check_figures(book: PolicyBook, figure_of: Callable[[int], str]) -> None:
    """Check that each portal names the figure that is drawn on its day.

    Args:
        figure_of: the catalogue's figure of a frame.

    Raises:
        PolicyError: one does not; its messages would show another figure than they name.
    """
    for policy in book.versions:
        for portal in policy.portals:
            drawn = figure_of(portal.day)
            if portal.figure != drawn:
                raise PolicyError(
                    f"version {policy.version!r}, portal {portal.slug!r}: day {portal.day} draws "
                    f"{drawn!r}, not {portal.figure!r}; name that figure or move the portal"
                )
