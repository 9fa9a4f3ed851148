"""What happened to a person's inputs, as rows of a table.

Owns: the words for an audit entry, an alert, a dead letter and a portal, and their places in the
log.
Does not own: the index (index.py), why a day counts (ops/explain/explanation.py).
Invariant: every row names the place of its input and its own.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final, Literal

import msgspec

from pipeline.api.outcomes.index import Outcomes
from pipeline.api.outcomes.rows import Entry
from pipeline.core.calendar import day_of, maybe_day_of
from pipeline.core.records import (
    AuditEntry,
    DeadLetter,
    Instant,
    PortalUnlocked,
    ReconciliationAlert,
)

PAGE: Final = 12
"""Rows of a page."""

TOPICS: Final = {
    "alerts": "reconciliation", "dead-letters": "deadletters", "audit": "audit",
}  # fmt: skip
"""The topics that are listed on a person's page, by the name of the list."""

Tone = Literal["good", "quiet", "notice", "bad"]
TONES: Final[Mapping[str, Tone]] = {
    "accepted": "good", "applied": "good", "overlap": "notice", "dead_letter": "bad",
    "collision": "bad",
}  # fmt: skip
"""The tones of verdicts; other verdicts are quiet."""


RowKind = Literal["audit", "alert", "dead-letter", "portal"]


class Row(msgspec.Struct, frozen=True):
    """One record.

    Attributes:
        word: the verdict, reason or title.
        tone: decides the colour.
        text: what a person wants to know.
        date: the date that the record is about, if any.
        source: the place of the input.
        published: the place of the record itself.
    """

    kind: RowKind
    time_ms: Instant
    word: str
    tone: Tone
    text: str
    date: date | None
    source: str
    published: str


class Rows(msgspec.Struct, frozen=True):
    """A page of rows; `before` begins the next page, and is empty on the last."""

    rows: Sequence[Row]
    before: str


def place(topic: str, partition: int, offset: int) -> str:
    """Return the place of a record in the log."""
    return f"{topic}[{partition}]@{offset}"


def rows_of(
    outcomes: Outcomes, prefix: str, user_id: str, name: str, before: str = "", limit: int = PAGE
) -> Rows:
    """Return the rows about a person, the newest first.

    Args:
        prefix: the prefix of the topics.
        name: the name of a list in TOPICS.
        before: that of the previous page, hexadecimal; anything else begins at the newest row.
    """
    try:
        since = bytes.fromhex(before)
    except ValueError:
        since = b""
    entries, more = outcomes.of_user(user_id, (TOPICS[name],), before=since, limit=limit)
    return Rows([row_of(entry, prefix) for entry in entries], more.hex())


def row_of(entry: Entry, prefix: str) -> Row:
    """Put an indexed record into words."""
    kind, word, tone, text, at = _words_of(entry.record, prefix)
    cause = entry.cause
    return Row(
        kind,
        entry.time_ms,
        word,
        tone,
        text,
        at,
        place(cause.topic, cause.partition, cause.offset),
        place(f"{prefix}{entry.topic}", entry.partition, entry.offset),
    )


def _words_of(
    record: AuditEntry | ReconciliationAlert | DeadLetter | PortalUnlocked, prefix: str
) -> tuple[RowKind, str, Tone, str, date | None]:
    if isinstance(record, AuditEntry):
        return (
            "audit",
            record.verdict,
            _tone(record),
            _audited(record),
            maybe_day_of(record.local_date),
        )
    if isinstance(record, ReconciliationAlert):
        return (
            "alert",
            record.verdict,
            _SEVERITIES.get(record.severity, "quiet"),
            _alerted(record, prefix),
            maybe_day_of(record.local_date),
        )
    if isinstance(record, DeadLetter):
        return "dead-letter", record.reason, "bad", f"{record.stage}: {record.detail}", None
    text = f"day {record.cycle_day}, lap {record.lap + 1}; {len(record.field_keys)} Field Keys"
    return "portal", record.title, "good", text, day_of(record.reached_on)


_SEVERITIES: Final[Mapping[str, Tone]] = {"error": "bad", "notice": "notice"}


def _alerted(record: ReconciliationAlert, prefix: str) -> str:
    if record.verdict == "assumed_zone":
        return (
            f"{record.completion_id} counts by the offset of its end: nobody knows the zone that "
            "it names"
        )
    original = record.original
    where = place(original.topic.removeprefix(prefix), original.partition, original.offset)
    said = [f"{record.completion_id} against {original.completion_id} at {where}"]
    if record.differing_fields:
        said.append(f"differs in {', '.join(record.differing_fields)}")
    own, others = record.local_date, record.original_local_date
    if own is not None and others is not None and own != others:
        at_stake = "" if record.verdict == "overlap" else "a date was at stake: "
        said.append(f"{at_stake}it is of {day_of(own)}, the original of {day_of(others)}")
    return "; ".join(said)


def _tone(record: AuditEntry) -> Tone:
    """Return the tone of an entry: `notice` for a good one that was revoked or rests on a guess."""
    tone = TONES.get(record.verdict, "quiet")
    is_noticed = record.tz_assumed or (record.revoked_by and record.action != "revoke")
    return "notice" if tone == "good" and is_noticed else tone


def _audited(record: AuditEntry) -> str:
    said = [record.action.replace("_", " ")]
    if record.cause.id:
        said.append(record.cause.id)
    if record.actor != "user":
        said.append(f"by {record.actor}")
    if record.rejection:
        said.append(f"rejected: {record.rejection.replace('_', ' ')}")
    if record.reason and record.reason != record.rejection:
        said.append(f"“{record.reason}”")
    if record.ticket:
        said.append(record.ticket)
    if record.tz_assumed:
        said.append(f"zone assumed from the offset of its end: {record.tz}")
    if record.revoked_by:
        requests = ", ".join(record.revoked_by)
        is_revoked = record.action == "revoke"
        said.append(
            f"also revoked by {requests}"
            if is_revoked
            else f"the date does not count: withdraw {requests}"
        )
    if record.digest_before != record.digest_after:
        said.append(f"revision {record.revision}")
    return ", ".join(said)
