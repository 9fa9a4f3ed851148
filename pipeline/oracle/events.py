"""What the oracle is given, and what it says of each input.

Owns: the raw record, the two kinds of event it may hold, and the verdict.
Does not own: how bytes become events (reading.py), how verdicts come about (duplicates.py,
model.py).
Invariants: an instant is an integer of milliseconds since 1970-01-01T00:00:00Z; a local date is a
`datetime.date`; a record is named by its (topic, partition, offset).
"""

from dataclasses import dataclass
from datetime import date
from typing import Literal

Kind = Literal["completions", "commands"]

Place = tuple[str, int, int]
"""(kind of topic, partition, offset) of an input."""

Word = Literal[
    "accepted", "exact", "twin", "collision", "overlap", "dead_letter", "applied", "repeated"
]


ID_CHARS_MAX = 128
PRACTICE_CHARS_MAX = 64


def is_name(text: str | None, chars_max: int) -> bool:
    """Tell whether `text` can name something: short, printable, and not only spaces."""
    return bool(text and text.strip()) and len(text or "") <= chars_max and str(text).isprintable()


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
    def place(self) -> Place:
        """Where it lies."""
        return (self.kind, self.partition, self.offset)


@dataclass(frozen=True, slots=True)
class Completion:
    """One finished session, by the device's clock."""

    completion_id: str
    user_id: str
    session_id: str
    practice: str
    started_at_ms: int
    completed_at_ms: int
    tz: str
    sent_at_ms: int | None = None

    @property
    def content(self) -> tuple[str, str, int, int, str]:
        """What makes two reports the same session told twice: what the device said, unshifted."""
        return (
            self.user_id,
            self.session_id,
            self.started_at_ms,
            self.completed_at_ms,
            self.practice,
        )


@dataclass(frozen=True, slots=True)
class SupportCommand:
    """A credit, revoke, withdraw or claim_key."""

    request_id: str
    user_id: str
    kind: str
    actor: str
    reason: str | None = None
    ticket: str | None = None
    local_date: date | None = None
    key_id: str | None = None
    withdraws: str | None = None

    @property
    def about(self) -> date | str | None:
        """What it is about: a date, a key, or another request."""
        if self.kind in ("credit", "revoke"):
            return self.local_date
        return self.key_id if self.kind == "claim_key" else self.withdraws


@dataclass(frozen=True, slots=True)
class Verdict:
    """What ought to become of one input.

    Attributes:
        word: as in the audit entry.
        category: why, for a dead letter; "" otherwise.
        user_id: whose event it is; None where that could not be told.
        local_date: the date it counts for; None unless it counts.
        originals: places of the accepted completions that it repeats or crosses; the pipeline names
            one of them.
    """

    word: Word
    category: str = ""
    user_id: str | None = None
    local_date: date | None = None
    originals: tuple[Place, ...] = ()
