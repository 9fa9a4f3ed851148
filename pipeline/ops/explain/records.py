"""What an explanation is made from, and what it is.

Owns: the values that pass between reading (log.py), reasoning (explain.py) and showing (the
command, the console).
Does not own: any of the three.
Invariant: every statement names the coordinates of the record that it rests on.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date as Date
from typing import Protocol

import msgspec

from pipeline.core.enumerations import PublishedVerdict
from pipeline.core.records import (
    AuditEntry,
    Command,
    DeadLetter,
    Instant,
    PortalUnlocked,
    PracticeCompleted,
    ProgressUpdated,
    ReconciliationAlert,
    RecordCoordinates,
)

Input = PracticeCompleted | Command


class Looked(msgspec.Struct, frozen=True):
    """A range of a partition that was read.

    Attributes:
        first: the first offset. next_offset: the end. since_ms: that `first` was chosen by; None:
            it is the earliest that there is.
        note: why it is less than was meant; empty mostly.
        partition: −1 is all of them, by an index that has no offsets to tell.
    """

    topic: str
    partition: int
    first: int
    next_offset: int
    since_ms: Instant | None = None
    note: str = ""


class RawInput(msgspec.Struct, frozen=True):
    """An input as it was sent.

    Attributes:
        form: how it was encoded. record: None where it cannot be decoded, and `refused` says why.
    """

    append_time: Instant
    form: str
    record: Input | None
    refused: str = ""


class Findings(msgspec.Struct):
    """Everything published about a user, by kind. Lists are in no order.

    Attributes:
        progress: the latest, and where it is.
        not_read: how many inputs of the user are not in this, where no day was asked for.
        looked: where this comes from.
    """

    audit: list[tuple[RecordCoordinates, AuditEntry]] = []
    alerts: list[tuple[RecordCoordinates, ReconciliationAlert]] = []
    letters: list[tuple[RecordCoordinates, DeadLetter]] = []
    portals: list[tuple[RecordCoordinates, PortalUnlocked]] = []
    progress: tuple[RecordCoordinates, ProgressUpdated] | None = None
    looked: list[Looked] = []
    not_read: int = 0

    def add(self, coordinates: RecordCoordinates, record: object) -> None:
        """Sort in a record of a topic that is kept whole; any other is passed over."""
        if isinstance(record, AuditEntry):
            self.audit.append((coordinates, record))
        elif isinstance(record, ReconciliationAlert):
            self.alerts.append((coordinates, record))
        elif isinstance(record, DeadLetter):
            self.letters.append((coordinates, record))
        elif isinstance(record, PortalUnlocked):
            self.portals.append((coordinates, record))


ReadInputs = Callable[[Sequence[RecordCoordinates]], Mapping[RecordCoordinates, RawInput]]
"""Inputs by their coordinates; those that the topics no longer have are left out."""


class Evidence(Protocol):
    """Where an explanation comes from."""

    def findings(self, user_id: str, day: Date | None = None) -> Findings:
        """What was published about a user, at least all that concerns a day."""
        ...

    def inputs(self, wanted: Sequence[RecordCoordinates]) -> Mapping[RecordCoordinates, RawInput]:
        """As ReadInputs."""
        ...


class Told(msgspec.Struct, frozen=True):
    """Something published because of an input. `kind`: portal, alert, dead letter, audit."""

    kind: str
    text: str
    place: RecordCoordinates


class Repeated(msgspec.Struct, frozen=True):
    """The accepted completion that a duplicate repeats, or an overlap crosses.

    Attributes:
        local_date: that it counts for. own_date: that the other one counts for, or would.
    """

    completion_id: str
    place: RecordCoordinates
    differing_fields: tuple[str, ...]
    local_date: Date | None
    own_date: Date | None = None


class Story(msgspec.Struct, frozen=True):
    """One input, from what was sent to what was published.

    Attributes:
        place: of the input; id: its completion or request id, empty where it could not be read.
        role: about (the date that is asked for), beside (a date next to it).
        sent: its fields as text, in the order of the record; empty where it is not there any more.
        reason: why it has that verdict. counts_for: the date that it counts for, or is about.
        revision: of the user's progress after it; 0 where nothing changed.
    """

    place: RecordCoordinates
    id: str
    role: str
    append_time: Instant
    form: str
    sent: Mapping[str, str]
    action: str
    verdict: PublishedVerdict
    reason: str
    counts_for: Date | None
    policy_version: str
    policy: str
    revision: int
    repeats: Repeated | None
    told: tuple[Told, ...]


class DayAnswer(msgspec.Struct, frozen=True):
    """Whether a date counts.

    Attributes:
        kind: practised, bridged, credited, revoked or nothing. reason: one sentence or two.
        run: the run that it is in, `day` of it; None and 0 without one.
    """

    date: Date
    kind: str
    counts: bool
    reason: str
    run: tuple[Date, Date] | None
    day: int


class Standing(msgspec.Struct, frozen=True):
    """Where the user stands now, by the published progress.

    Attributes:
        today: the date in `tz`, which is where a date ends last while `tz_known` is false.
    """

    place: RecordCoordinates
    revision: int
    generation: str
    updated_at: Instant
    today: Date
    tz: str
    tz_known: bool
    streak_days: int
    longest_days: int
    lifetime_days: int
    safe_until: Date | None
    last_date: Date | None
    policy_version: str


class Explanation(msgspec.Struct, frozen=True):
    """Why a day counts or not, or, without a date, what became of the latest inputs.

    Attributes:
        partition: of the user, by murmur2, out of `partitions`.
        stories: in the order of append. left_out: more that there are.
        hints: what to look at next, where there is something to say.
    """

    user_id: str
    date: Date | None
    partition: int
    partitions: int
    standing: Standing | None
    day: DayAnswer | None
    stories: tuple[Story, ...]
    left_out: int
    looked: tuple[Looked, ...]
    hints: tuple[str, ...]
