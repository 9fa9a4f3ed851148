"""The status of a completion, as HTTP shows it.

Owns: the form of the answer, and which of several inputs of one id it is about.
Does not own: the index (index.py), the route (routes/ingest.py), verdicts (core).
Invariant: an answer has only what was published; where nothing was published yet, it says so, and
how far the index is.

A completion id may have arrived more than once. The answer is about the input that counts; without
one, about the first. The others are listed as `repeats`.

The records of one transaction arrive by several topics, one after the other. Until all of them are
indexed the status is pending; but after `PARTS_MS_MAX` the missing ones are taken to be older than
their topic's retention, and the answer shows what there is.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Final, Literal

import msgspec

from pipeline.api.outcomes.rows import Entry
from pipeline.api.reads.views import InstantText
from pipeline.clock import rfc3339
from pipeline.core.calendar import maybe_day_of
from pipeline.core.enumerations import DEDUPE_VERDICTS, PublishedAlertVerdict, PublishedVerdict
from pipeline.core.records import (
    AuditEntry,
    Cause,
    DeadLetter,
    PortalUnlocked,
    ReconciliationAlert,
)

State = Literal["pending", "accepted", "duplicate", "rejected"]

STATES: Final[Mapping[PublishedVerdict | PublishedAlertVerdict, State]] = {
    "accepted": "accepted",
    "overlap": "accepted",
    "exact": "duplicate",
    "twin": "duplicate",
    "collision": "duplicate",
    "dead_letter": "rejected",
}
PARTS_MS_MAX: Final = 60_000
"""Max ms for which a processed completion is pending because records are missing."""


class Position(msgspec.Struct, frozen=True):
    """Where a record is in the log."""

    topic: str
    partition: int
    offset: int


class Original(msgspec.Struct, frozen=True):
    """The accepted completion that this one repeats or crosses."""

    completion_id: str
    position: Position


class Unlocked(msgspec.Struct, frozen=True):
    """A portal that this completion unlocked."""

    unlock_id: str
    lap: int
    portal: str
    title: str
    field_keys: int


class Refusal(msgspec.Struct, frozen=True):
    """Why it does not count. `reason` is stable; `detail` is for a person."""

    stage: str
    reason: str
    detail: str


class Repeat(msgspec.Struct, frozen=True):
    """Another input of the same id."""

    verdict: str
    position: Position


class CompletionStatus(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What became of a completion.

    Attributes:
        status: pending (not processed yet), accepted, duplicate, rejected.
        verdict: as in the audit: accepted, overlap, exact, twin, collision or dead_letter.
        position: of the input. appended_at: by the brokers' clock.
        local_date: the date that it counts for. revision: of the user's progress after it.
        tz: the zone that decided the date. tz_assumed: it is the offset of completed_at, because
            nobody knows the zone that was named.
        revoked_by: requests that revoke the date: until they are withdrawn it does not count.
        portals: that it unlocked.
        original: of a duplicate or overlap; with the fields that differ.
        refusal: of a rejected one.
        audit: where the audit entry is.
        as_of: everything published before this instant was looked at; absent while loading.
    """

    user_id: str
    completion_id: str
    status: State
    verdict: str | None = None
    position: Position | None = None
    appended_at: InstantText | None = None
    local_date: date | None = None
    tz: str | None = None
    tz_assumed: bool = False
    revoked_by: tuple[str, ...] = ()
    revision: int | None = None
    policy_version: str | None = None
    portals: tuple[Unlocked, ...] = ()
    original: Original | None = None
    differing_fields: tuple[str, ...] = ()
    refusal: Refusal | None = None
    audit: Position | None = None
    repeats: tuple[Repeat, ...] = ()
    as_of: InstantText | None = None


class _Input(msgspec.Struct):
    """What was published about one input.

    Attributes:
        alert: the alert that it repeats or overlaps another.
        is_assumed: whether an alert says that its zone is assumed.
    """

    cause: Cause
    audit: Entry | None = None
    alert: ReconciliationAlert | None = None
    is_assumed: bool = False
    letter: DeadLetter | None = None
    portals: list[PortalUnlocked] = msgspec.field(default_factory=list)

    @property
    def verdict(self) -> PublishedVerdict | PublishedAlertVerdict:
        """Return the verdict of the audit entry, else what the other records tell of it."""
        record = self.audit.record if self.audit else None
        if isinstance(record, AuditEntry):
            return record.verdict
        if self.alert is not None:
            return self.alert.verdict
        return "dead_letter" if self.letter else "accepted"

    def is_whole(self, as_of_ms: int | None) -> bool:
        """Tell whether all records that its audit entry names are indexed, or will never be."""
        record = self.audit.record if self.audit else None
        if not isinstance(record, AuditEntry):
            return self.letter is not None  # without valid ids the audit entry names no user
        if as_of_ms is not None and as_of_ms - record.append_time > PARTS_MS_MAX:
            return True
        unlocked = {portal.unlock_id for portal in self.portals}
        return (
            unlocked.issuperset(record.unlock_ids)
            and (self.alert is not None or record.verdict not in DEDUPE_VERDICTS)
            and (self.is_assumed or not record.tz_assumed)
            and (self.letter is not None or record.verdict != "dead_letter")
        )


def status_of(
    user_id: str, completion_id: str, entries: Sequence[Entry], as_of_ms: int | None
) -> CompletionStatus | None:
    """Make the status of a completion.

    Args:
        entries: the entries about the completion, in any order.
        as_of_ms: until when the index is complete, ms since the epoch; None while loading.

    Returns:
        None when nothing was published about it, or not everything yet.
    """
    inputs = [one for one in _by_input(entries) if one.is_whole(as_of_ms)]
    if not inputs:
        return None
    counted = [one for one in inputs if STATES.get(one.verdict) == "accepted"]
    chosen = (counted or inputs)[0]
    record = chosen.audit.record if chosen.audit else None
    entry = record if isinstance(record, AuditEntry) else None
    return CompletionStatus(
        user_id=user_id,
        completion_id=completion_id,
        status=STATES.get(chosen.verdict, "rejected"),
        verdict=chosen.verdict,
        position=_position(chosen.cause),
        appended_at=_instant(chosen),
        local_date=None if entry is None else maybe_day_of(entry.local_date),
        tz=None if entry is None else entry.tz,
        tz_assumed=entry is not None and entry.tz_assumed,
        revoked_by=() if entry is None else entry.revoked_by,
        revision=None if entry is None or not entry.revision else entry.revision,
        policy_version=None if entry is None else entry.policy_version,
        portals=tuple(_unlocked(chosen.portals)),
        original=None if chosen.alert is None else _original(chosen.alert),
        differing_fields=() if chosen.alert is None else chosen.alert.differing_fields,
        refusal=None if chosen.letter is None else _refusal(chosen.letter),
        audit=None
        if chosen.audit is None
        else Position(chosen.audit.topic, chosen.audit.partition, chosen.audit.offset),
        repeats=tuple(Repeat(one.verdict, _position(one.cause)) for one in inputs if one != chosen),
        as_of=None if as_of_ms is None else rfc3339(as_of_ms),
    )


def _by_input(entries: Iterable[Entry]) -> list[_Input]:
    """Group entries by input, in the order of the log."""
    found: dict[tuple[str, int, int], _Input] = {}
    for entry in entries:
        cause, record = entry.cause, entry.record
        place = (cause.topic, cause.partition, cause.offset)
        one = found.setdefault(place, _Input(cause))
        if isinstance(record, AuditEntry):
            one.audit = entry
        elif isinstance(record, ReconciliationAlert):
            if record.verdict == "assumed_zone":  # it may come beside an alert about a repeat
                one.is_assumed = True
            else:
                one.alert = record
        elif isinstance(record, DeadLetter):
            one.letter = record
        else:
            one.portals.append(record)
    return [found[place] for place in sorted(found)]


def _instant(chosen: _Input) -> str | None:
    if chosen.letter is not None:
        return rfc3339(chosen.letter.append_time)
    record = chosen.audit.record if chosen.audit else None
    return rfc3339(record.append_time) if isinstance(record, AuditEntry) else None


def _position(cause: Cause) -> Position:
    return Position(cause.topic, cause.partition, cause.offset)


def _original(alert: ReconciliationAlert) -> Original:
    found = alert.original
    return Original(found.completion_id, Position(found.topic, found.partition, found.offset))


def _refusal(letter: DeadLetter) -> Refusal:
    return Refusal(letter.stage, letter.reason, letter.detail)


def _unlocked(portals: Iterable[PortalUnlocked]) -> Iterable[Unlocked]:
    for one in sorted(portals, key=lambda portal: (portal.lap, portal.cycle_day)):
        yield Unlocked(one.unlock_id, one.lap, one.portal, one.title, len(one.field_keys))
