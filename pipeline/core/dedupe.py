"""The decision whether a completion is a duplicate.

Owns: the verdict on a completion against what was accepted of the same user within the window, and
what the window has to remember of an accepted one.
Does not own: where that is kept and when it expires (worker/window.py), what a verdict leads to
(fold.py).
Invariants: only accepted completions are remembered. The cost of a verdict is bounded, however many
completions a user has in the window: two look-ups, and one cover for each cell. The user's filter
spares the look-ups for what is new (seen_filter.py).

A completion is known by its id and by its session. Content is (user, session, start, end,
practice), so the same content implies the same session: there is nothing else to look for.

| id known | session known | content | verdict |
|---|---|---|---|
| yes | any | same | exact |
| yes | any | other | collision |
| no | yes | any | twin |
| no | no | | overlap when it overlaps an accepted session, else accepted |

**Cover.** Time is cut into cells. For each user and cell a few accepted sessions are kept whose
union, within the cell, is that of all accepted ones: a session that adds nothing is left out, and
one that others make superfluous is dropped. What overlaps any accepted session then overlaps a kept
one. In such a set no instant lies in more than two sessions, so there are at most `cover_size_max`
of them.

The cover may forget a session a window after it was last changed, by append time, although a
session that added nothing is newer: each instant of its union belongs to a kept session, which had
ended by its own append plus future_skew; and what may still arrive a window later starts after
that.
"""

from typing import Final, Protocol

import msgspec

from pipeline.core.enumerations import AlertVerdict, DuplicateVerdict, Severity
from pipeline.core.identity import uuid_of
from pipeline.core.records import (
    Cause,
    Instant,
    LocalDate,
    OriginalCompletion,
    PracticeCompleted,
    ReconciliationAlert,
)

CELL_MS: Final = 21_600_000
"""Length of a cell in milliseconds: six hours."""

SEVERITIES: Final[dict[AlertVerdict, Severity]] = {
    "exact": "info",
    "twin": "notice",
    "collision": "error",
    "overlap": "notice",
    "assumed_zone": "notice",
}
"""Severity of an alert by its verdict. Where a completion does not count, and its date is another
than its original's, the alert is an error whatever its verdict: a day may have been lost."""


class SeenCompletion(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An accepted completion, as the window remembers it.

    Attributes:
        started_at, completed_at: as reported, before a clock was put right: the same in every copy.
        topic, partition, offset, append_time: of the record that was accepted.
        tz, local_date: the zone that decided, and the date that it counts for.
    """

    completion_id: str
    session_id: str
    practice: str
    started_at: Instant
    completed_at: Instant
    topic: str
    partition: int
    offset: int
    append_time: Instant
    tz: str = ""
    local_date: LocalDate = 0


class Session(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An accepted session in a cover: from `start` up to, not including, `end`, clock put right."""

    start: Instant
    end: Instant
    completion_id: str
    topic: str
    partition: int
    offset: int


Cover = tuple[Session, ...]
"""Sessions of one cell by start; none is within the union of the others."""


class SeenView(Protocol):
    """What the window remembers: nothing that was appended longer ago than the window."""

    def by_id(self, user_id: str, completion_id: str) -> SeenCompletion | None:
        """Return the accepted completion of that id."""
        ...

    def by_session(self, user_id: str, session_id: str) -> SeenCompletion | None:
        """Return the accepted completion of that session."""
        ...

    def cover(self, user_id: str, cell: int) -> Cover:
        """Return the cover of a cell (an instant divided by `CELL_MS`); empty when there is
        none."""
        ...


class SeenUpdate(msgspec.Struct, frozen=True, gc=False):
    """The entries to write to the window: `entry` under its id and its session, and whole covers.

    Attributes:
        covers: (cell, its new cover); only those that changed.
    """

    entry: SeenCompletion
    covers: tuple[tuple[int, Cover], ...]


def duplicate_of(
    seen: SeenView, completion: PracticeCompleted
) -> tuple[DuplicateVerdict, SeenCompletion] | None:
    """Return the verdict on a duplicate, with its original; None for a completion that counts."""
    user_id = completion.user_id
    # guard (assignment): an id that is known does not count again
    original = seen.by_id(user_id, completion.completion_id)
    if original is not None:
        same = (
            original.session_id == completion.session_id
            and original.started_at == completion.started_at
            and original.completed_at == completion.completed_at
            and original.practice == completion.practice
        )
        # guard (True): an id with other content is a collision
        return ("exact" if same else "collision"), original
    # guard (assignment): a session that is known does not count again
    original = seen.by_session(user_id, completion.session_id)
    return None if original is None else ("twin", original)


def admit(
    seen: SeenView, user_id: str, session: Session, last_cell: int
) -> tuple[Session | None, tuple[tuple[int, Cover], ...]]:
    """Take an accepted session into the covers of its cells.

    Args:
        session: longer than nothing, at most a day, so a few cells.
        last_cell: cells after it are known to have no cover, and are not looked up.

    Returns:
        The earliest accepted session that it overlaps (touching is not overlapping), None without
        one; and the covers that changed.
    """
    overlapped: Session | None = None
    changed: list[tuple[int, Cover]] = []
    for cell in range(session.start // CELL_MS, (session.end - 1) // CELL_MS + 1):
        cover = seen.cover(user_id, cell) if cell <= last_cell else ()
        # equivalent (False): a short cut; a session added to an empty cover is a cover of that one
        # session
        if not cover:
            changed.append((cell, (session,)))
            continue
        for other in cover:
            # guard (False): sessions that overlap are found
            if other.start < session.end and session.start < other.end:
                # equivalent (<=): of sessions that start at the same instant, every cell keeps the
                # same one
                if overlapped is None or other.start < overlapped.start:
                    overlapped = other
                break
        extended = with_session(cover, session, cell)
        if extended is not cover:
            # guard (removed): a cover takes a session in
            changed.append((cell, extended))
    return overlapped, tuple(changed)


def with_session(cover: Cover, session: Session, cell: int) -> Cover:
    """Return the cover with one more session; the same object when it adds nothing to the cell.

    The sessions kept are chosen greedily: at each point, of those that start by then, the one that
    reaches furthest. That is the fewest there can be, so none is within the union of the others.
    Of those that start at once the longest is kept, also where both reach beyond the cell: it is
    the same one in every cell.
    """
    low, high = cell * CELL_MS, (cell + 1) * CELL_MS
    by_start = sorted((*cover, session), key=_reach_at_start)
    kept: list[Session] = []
    covered_to = low
    best: Session | None = None
    for candidate in by_start:
        if best is not None and candidate.start > covered_to:
            kept.append(best)
            covered_to, best = min(best.end, high), None
        covered_to = max(covered_to, candidate.start)
        if min(candidate.end, high) > (covered_to if best is None else min(best.end, high)):
            best = candidate
    if best is not None:
        kept.append(best)
    return tuple(kept) if any(one is session for one in kept) else cover


def _reach_at_start(session: Session) -> tuple[Instant, Instant]:
    return session.start, -session.end


def cover_size_max(session_ms_min: int) -> int:
    """Return how many sessions a cover can have: twice what fits a cell, and one over each edge."""
    return 2 * CELL_MS // session_ms_min + 2


def alert_for(
    verdict: AlertVerdict,
    completion: PracticeCompleted,
    tz: str,
    local_date: LocalDate,
    original: SeenCompletion | Session,
    cause: Cause,
) -> ReconciliationAlert:
    """Return the alert of a duplicate or overlap; its id is the same however often it is made.

    Args:
        tz, local_date: the completion's zone and date, as they were or would have been decided.
        original: the accepted completion that it repeats or overlaps; a session of a cover where
            the window has forgotten the rest of it.
    """
    known = original if isinstance(original, SeenCompletion) else None
    original_date = None if known is None else known.local_date
    is_lost = verdict != "overlap" and local_date != original_date
    return ReconciliationAlert(
        alert_id=uuid_of(f"{cause.topic}/alert/{cause.partition}/{cause.offset}"),
        user_id=completion.user_id,
        verdict=verdict,
        severity="error" if is_lost else SEVERITIES[verdict],
        completion_id=completion.completion_id,
        original=OriginalCompletion(
            original.completion_id, original.topic, original.partition, original.offset
        ),
        differing_fields=() if known is None else _differing(completion, tz, known),
        local_date=local_date,
        original_local_date=original_date,
        cause=cause,
    )


def assumption_alert(
    completion: PracticeCompleted, local_date: LocalDate, cause: Cause
) -> ReconciliationAlert:
    """Return the alert of a completion that counts although nobody knows its zone."""
    completion_id = completion.completion_id
    return ReconciliationAlert(
        alert_id=uuid_of(f"{cause.topic}/zone/{cause.partition}/{cause.offset}"),
        user_id=completion.user_id,
        verdict="assumed_zone",
        severity=SEVERITIES["assumed_zone"],
        completion_id=completion_id,
        original=OriginalCompletion(completion_id, cause.topic, cause.partition, cause.offset),
        differing_fields=("tz",),
        local_date=local_date,
        original_local_date=local_date,
        cause=cause,
    )


def _differing(completion: PracticeCompleted, tz: str, original: SeenCompletion) -> tuple[str, ...]:
    """Return the names of the fields in which a completion differs from its original."""
    content = tuple(
        name
        for name in ("session_id", "started_at", "completed_at", "practice")
        if getattr(completion, name) != getattr(original, name)
    )
    return content if tz == original.tz else (*content, "tz")
