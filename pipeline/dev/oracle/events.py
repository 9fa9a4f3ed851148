"""The records and events that the oracle is given, and its verdict on each input.

Owns: the raw record, the two kinds of event it may hold, and the verdict.
Does not own: how bytes become events (reading.py), how verdicts come about (duplicates.py,
model.py).
Invariants: an instant is an integer of milliseconds since 1970-01-01T00:00:00Z; a local date is a
`datetime.date`; a record is named by its (topic, partition, offset).
"""

from dataclasses import dataclass
from datetime import date
from typing import Literal

from pipeline.dev.oracle.texts import is_blank

Kind = Literal["completions", "commands"]

Coordinates = tuple[str, int, int]
"""(kind of topic, partition, offset) of an input."""

Word = Literal[
    "accepted", "exact", "twin", "collision", "overlap", "dead_letter", "applied", "repeated"
]


@dataclass(frozen=True, slots=True)
class Logged:
    """One record of an input topic, as it lies in the log.

    Attributes:
        kind: which of the two input topics.
        append_time_ms: the record's Kafka timestamp.
    """

    kind: Kind
    partition: int
    offset: int
    append_time_ms: int
    key: bytes | None
    value: bytes | None

    @property
    def coordinates(self) -> Coordinates:
        """Its coordinates."""
        return (self.kind, self.partition, self.offset)


@dataclass(frozen=True, slots=True)
class Completion:
    """One finished session, by the device's clock.

    Attributes:
        tz: the zone as the client named it.
        offset_minutes: how far east of UTC the text of the end was; None where it was no text.
    """

    completion_id: str
    user_id: str
    session_id: str
    practice: str
    started_at_ms: int
    completed_at_ms: int
    tz: str
    sent_at_ms: int | None = None
    offset_minutes: int | None = None

    @property
    def content(self) -> tuple[str, str, int, int, str]:
        """The fields that two reports of the same session share, as the device sent them."""
        return (
            self.user_id,
            self.session_id,
            self.started_at_ms,
            self.completed_at_ms,
            self.practice,
        )


@dataclass(frozen=True, slots=True)
class SupportCommand:
    """What support, an operator or a service asked for.

    Attributes:
        carried: what a redrive carries, as it was read; a category where it cannot be; None where
            it carries nothing.
        carried_at_ms: when that was appended.
    """

    request_id: str
    user_id: str
    kind: str
    actor: str
    reason: str | None = None
    ticket: str | None = None
    local_date: date | None = None
    key_id: str | None = None
    withdraws: str | None = None
    tz: str | None = None
    operation: str | None = None
    subject: str | None = None
    payload_topic: str | None = None
    payload_cause: str | None = None
    carried_at_ms: int | None = None
    carried: "Completion | SupportCommand | str | None" = None

    @property
    def written_zone(self) -> str | None:
        """The zone as it was written; None for a blank one, which says nothing."""
        return None if self.tz is None or is_blank(self.tz) else self.tz


@dataclass(frozen=True, slots=True)
class Against:
    """The fields that an alert must have if it names the original at `coordinates`.

    Attributes:
        local_date: that the original counts for.
        differing: names of the fields that differ.
        severity: info, notice or error.
    """

    coordinates: Coordinates
    local_date: date
    differing: frozenset[str]
    severity: str


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert that must be published about a completion.

    Attributes:
        word: exact, twin, collision, overlap or assumed_zone.
        local_date: that the completion counts for, or would.
        originals: the pipeline names one of them.
    """

    word: str
    local_date: date
    originals: tuple[Against, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict that one input must get.

    Attributes:
        word: as in the audit entry.
        category: why, for a dead letter; "" otherwise.
        user_id: whose event it is; None where it cannot be known.
        local_date: the date it counts for, or that a command names; None otherwise.
        alerts: one of each word at most.
        tz: canonical zone of a completion that counts. assumed: it is but an offset.
        revoked_by: requests, sorted, that keep the date from counting.
        revision: how often anything of the user had changed by then, with this input.
    """

    word: Word
    category: str = ""
    user_id: str | None = None
    local_date: date | None = None
    alerts: tuple[Alert, ...] = ()
    tz: str | None = None
    assumed: bool = False
    revoked_by: tuple[str, ...] = ()
    revision: int = 0

    @property
    def originals(self) -> tuple[Coordinates, ...]:
        """Coordinates of the accepted completions that it repeats or overlaps."""
        return tuple(
            one.coordinates
            for alert in self.alerts
            if alert.word != "assumed_zone"
            for one in alert.originals
        )
