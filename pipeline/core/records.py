"""The public records, as values.

Owns: one frozen struct for each Avro record that crosses a topic, and the cause that links an
output to the input it came from.
Does not own: their bytes (codec/), what they mean (fold.py), state (state.py).
Invariants: a field has the name it has in `schemas/`; an instant is an integer of milliseconds
since 1970-01-01T00:00:00Z (Avro `timestamp-millis`); a local date is an integer of days since
1970-01-01 in the user's calendar (Avro `date`); an identifier made by us is a lower-case
hexadecimal or UUID string.
"""

from typing import Final

import msgspec

from pipeline.core.enumerations import (
    Action,
    PublishedAlertVerdict,
    PublishedOrigin,
    PublishedSeverity,
    PublishedStage,
    PublishedVerdict,
)

Instant = int
"""Milliseconds since 1970-01-01T00:00:00Z."""

LocalDate = int
"""Days since 1970-01-01 in the user's own calendar."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """What all public records share: they are immutable and compare by value."""


class RecordCoordinates(Record, frozen=True, order=True, gc=False):
    """Which record of the log: the topic's full name, the partition and the record's own offset."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"


class Cause(Record, frozen=True, gc=False):
    """The input that an output was derived from.

    Attributes:
        topic: name of the input topic.
        partition: 0 and up.
        offset: the input's own offset.
        id: its completion_id or request_id; empty where it could not be read.
    """

    topic: str
    partition: int
    offset: int
    id: str = ""

    @property
    def coordinates(self) -> RecordCoordinates:
        """The input's own."""
        return RecordCoordinates(self.topic, self.partition, self.offset)


class PracticeCompleted(Record, frozen=True, gc=False):
    """One finished practice session, as a client reports it.

    Attributes:
        started_at, completed_at: by the device's clock.
        sent_at: the device's clock when it sent; shows how far ahead that clock is.
        tz: the zone the user was in, as the client names it (zones.py says what is known).
        context: free-form labels, carried and not interpreted.
        offset_minutes: how far east of UTC the text of `completed_at` said it was, -1439 to 1439;
            None where the input had no such text (Avro). It is no field of the schema.
    """

    completion_id: str
    user_id: str
    session_id: str
    practice: str
    started_at: Instant
    completed_at: Instant
    tz: str
    sent_at: Instant | None = None
    device_id: str | None = None
    app_version: str | None = None
    context: dict[str, str] = {}
    offset_minutes: int | None = None


class Command(Record, frozen=True, gc=False):
    """What support, an operator or a service asks for. Flat, so that kinds can be added.

    A step of an operator that concerns nobody's state is an operation. Its sender writes, in JSON,
    `{"request_id": "rb-17-2-approve-3", "user_id": "", "kind": "operation", "actor": "ops:lea",
    "reason": "looked at all of it", "ticket": "OPS-9", "operation": "rebuild.approve",
    "subject": "rb-17: diff 3f2a90c1"}`, with an empty key or none, to the partition in whose audit
    it is to stand; with a `user_id`, key and partition are the user's, as for every command.
    `reason` and `ticket` may be left out.

    A redrive has all `payload…` fields, reason and ticket; its user id, key and partition are those
    of the user in its payload. Of a redrive that was rejected, the next one carries the payload.

    Attributes:
        user_id: empty in an operation that concerns no user.
        kind: a `CommandKind`; the codec refuses any other, here it may be any text.
        local_date: the date of a credit or revoke.
        key_id: the Field Key of a claim_key.
        withdraws: the request id that a withdraw cancels.
        payload: the whole value of a redriven record; what a repair carries.
        payload_append_time: the append time that the redriven record had.
        tz: the user's zone, in a credit or revoke; it holds until a completion says one.
        operation, subject: what was done, such as `rebuild.approve`, and to what.
        payload_topic: of a redrive: `completions` or `commands`.
        payload_cause: where the redriven record is, as `RecordCoordinates` writes it.
    """

    request_id: str
    user_id: str
    kind: str
    actor: str
    reason: str | None = None
    ticket: str | None = None
    local_date: LocalDate | None = None
    key_id: str | None = None
    withdraws: str | None = None
    payload: bytes | None = None
    payload_append_time: Instant | None = None
    tz: str | None = None
    operation: str | None = None
    subject: str | None = None
    payload_topic: str | None = None
    payload_cause: str | None = None


class Run(Record, frozen=True, gc=False):
    """Consecutive local dates: `length` (1 and up) of them from `start`."""

    start: LocalDate
    length: int


class Dates(Record, frozen=True, gc=False):
    """A user's dates by what made them count, each as sorted, disjoint, non-adjacent runs."""

    practised: tuple[Run, ...] = ()
    bridged: tuple[Run, ...] = ()
    credited: tuple[Run, ...] = ()
    revoked: tuple[Run, ...] = ()


class PortalReached(Record, frozen=True, gc=False):
    """A portal that was published, in a user's progress.

    Attributes:
        asset_id: pinned when it was published, whatever is drawn later.
    """

    lap: int
    slug: str
    reached_on: LocalDate
    unlocked_at: Instant
    asset_id: str


class Keys(Record, frozen=True, gc=False):
    """Field Key ids, each list sorted."""

    granted: tuple[str, ...] = ()
    claimed: tuple[str, ...] = ()


class NextPortal(Record, frozen=True, gc=False):
    """The next portal ahead of the current run. `days_away` is 1 and up."""

    slug: str
    title: str
    days_away: int


class PortalUnlocked(Record, frozen=True, gc=False):
    """A portal was unlocked; once for a user, lap and slug, for ever.

    Attributes:
        lap: 0 and up. portal: the slug. cycle_day: the portal's day, 1..cycle_days.
        streak_days, longest_days, lifetime_days: after the event.
        reached_on: the local date on which the run reached the portal's day.
        figure, frame, asset_id, asset_url: the portal's own, in the user's variant.
        field_keys: ids granted with it. field_keys_pending: count over all portals, after it.
        unlocked_at: append time of the cause.
    """

    unlock_id: str
    user_id: str
    lap: int
    portal: str
    title: str
    cycle_day: int
    streak_days: int
    longest_days: int
    lifetime_days: int
    reached_on: LocalDate
    tz: str
    practice: str | None
    figure: str
    frame: int
    asset_id: str
    asset_url: str
    field_keys: tuple[str, ...]
    field_keys_pending: int
    next_portal: NextPortal | None
    policy_version: str
    origin: PublishedOrigin
    unlocked_at: Instant
    cause: Cause


class ProgressUpdated(Record, frozen=True, gc=False):
    """The whole readable state of a user; the read model needs nothing else.

    Attributes:
        revision: grows with each change of the user.
        streak_days: the current run at `updated_at`; 0 when it is broken.
        lap: 0 and up, and cycle_day: 1..cycle_days, of the current run; 0 and 0 without one.
        last_local_date: the latest covered date; None when there is none.
        streak_safe_until: the local date after which the current run breaks; None without one.
        figure, frame, asset_id: of cycle_day; None, 0 and None without a current run.
        variant: 0..11, by user.
        updated_at: append time of the cause.
        tz: UTC while `tz_known` is false: nothing said where the user is.
    """

    user_id: str
    revision: int
    streak_days: int
    longest_days: int
    lifetime_days: int
    lap: int
    cycle_day: int
    last_local_date: LocalDate | None
    streak_safe_until: LocalDate | None
    tz: str
    dates: Dates
    portals: tuple[PortalReached, ...]
    keys: Keys
    field_keys_pending: int
    figure: str | None
    frame: int
    variant: int
    asset_id: str | None
    policy_version: str
    generation: str
    updated_at: Instant
    cause: Cause
    tz_known: bool = True


class GeometryUpdated(Record, frozen=True, gc=False):
    """The user's current frame changed, or a figure was completed on `local_date`."""

    user_id: str
    local_date: LocalDate
    figure: str
    frame: int
    variant: int
    figure_completed: bool
    asset_id: str
    asset_url: str
    generator_version: str
    cause: Cause


class OriginalCompletion(Record, frozen=True, gc=False):
    """The accepted completion that another one repeats or overlaps."""

    completion_id: str
    topic: str
    partition: int
    offset: int

    @property
    def coordinates(self) -> RecordCoordinates:
        """The completion's own."""
        return RecordCoordinates(self.topic, self.partition, self.offset)


class ReconciliationAlert(Record, frozen=True, gc=False):
    """A completion that repeats or overlaps an accepted one, or that counts by an assumption.

    Attributes:
        original: the completion itself for assumed_zone.
        differing_fields: names of the fields that differ from the original's: of the content, and
            tz where another zone decided.
        local_date, original_local_date: that the two count for, or would.
    """

    alert_id: str
    user_id: str
    verdict: PublishedAlertVerdict
    severity: PublishedSeverity
    completion_id: str
    original: OriginalCompletion
    differing_fields: tuple[str, ...]
    local_date: LocalDate | None
    original_local_date: LocalDate | None
    cause: Cause


class Header(Record, frozen=True, gc=False):
    """One Kafka record header; a value may be null."""

    key: str
    value: bytes | None


class DeadLetter(Record, frozen=True, gc=False):
    """A rejected input, whole, with its reason.

    Attributes:
        reason: a stable code in snake_case. detail: for a person, with the fix where there is one.
        key, value, headers: the input's own bytes, untouched.
        schema_id: of the Confluent framing, where there was one.
        append_time: of the input.
    """

    stage: PublishedStage
    reason: str
    detail: str
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]
    schema_id: int | None
    cause: Cause
    append_time: Instant


class AuditEntry(Record, frozen=True, gc=False):
    """What became of one input, or of one operator action; a link of its partition's chain.

    Attributes:
        audit_id: uuid5 of generation, partition and sequence.
        sequence: 0 and up, without gaps, per generation and partition.
        reason: a command's own; of another rejected input, as `rejection`.
        digest_before, digest_after: of the user's sets, 16 hexadecimal digits; None without a user.
        revision: of the user, after, whether the input changed it or not; 0 without a user.
        rejection: reason of the dead letter; None without one.
        tz: zone that decided `local_date`; None without one. tz_assumed: it is the offset of
            completed_at, because nobody knows the zone that the input named.
        revoked_by: requests that revoke `local_date`.
        operation, subject: of an operation. Of a redrive, subject is where the original record is.
        prev_hash, hash: SHA-256, 32 bytes. `hash` is the schema's last field: of prev_hash, then of
            every byte of this entry's own body before it. The first prev_hash is `audit.genesis`.
    """

    audit_id: str
    generation: str
    partition: int
    sequence: int
    user_id: str | None
    action: Action
    actor: str
    reason: str | None
    ticket: str | None
    verdict: PublishedVerdict
    local_date: LocalDate | None
    unlock_ids: tuple[str, ...]
    digest_before: str | None
    digest_after: str | None
    revision: int
    policy_version: str
    tzdata_version: str
    append_time: Instant
    cause: Cause
    rejection: str | None
    tz: str | None
    tz_assumed: bool
    revoked_by: tuple[str, ...]
    operation: str | None = None
    subject: str | None = None
    prev_hash: bytes = b""
    hash: bytes = b""


RECORD_TYPES: Final[tuple[type[Record], ...]] = (
    PracticeCompleted,
    Command,
    PortalUnlocked,
    ProgressUpdated,
    GeometryUpdated,
    ReconciliationAlert,
    DeadLetter,
    AuditEntry,
)
"""Every record that crosses a topic."""
