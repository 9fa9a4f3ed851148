"""What audit entries, dead letters and alerts have to say, field by field.

Owns: the tables of the three records about inputs, and of a cause.
Does not own: records about users (records_of_users.py), the formulas (records_meaning.py), the
audit's chain, which is no single record's (test_records.py).
Invariant: a key is the path of a field that holds no record; its value gives what stands there.
"""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Final, TypeAlias

from pipeline.dev.oracle import Completion, SupportCommand, UserModel
from pipeline.dev.oracle.events import Against, Alert, Coordinates
from tests.integration.records_meaning import (
    Published,
    digest_of,
    event_id,
    schema_id_of,
    unlocks_of,
    uuid_of,
)
from tests.integration.records_scene import SKIPPED

Table: TypeAlias = dict[str, Callable[[Published], Any]]

GENERATION: Final = "blue"
"""The default one; the ledger's workers are its group."""

CAUSE: Final[Table] = {
    "cause.topic": lambda t: t.scene.ledger.topic(t.step.logged.kind),
    "cause.partition": lambda t: t.step.logged.partition,
    "cause.offset": lambda t: t.step.logged.offset,
    "cause.id": event_id,
}


def _is_read(record: Published) -> bool:
    """Whether the rules judged the input."""
    return record.step.verdict is not None


def _action(record: Published) -> str:
    if record.step.logged.kind == "completions":
        return "completion"
    event = record.step.event
    return event.kind if isinstance(event, SupportCommand) else "unknown"


def _actor(record: Published) -> str:
    if record.step.sent.is_skipped:
        return SKIPPED[0]
    event = record.step.event
    if not _is_read(record) or event is None:
        return "unknown"
    if isinstance(event, Completion):
        return "user"
    return "unknown" if record.value["rejection"] == "bad_actor" else event.actor


def _reason(record: Published) -> str | None:
    if record.step.sent.is_skipped:
        return SKIPPED[1]
    event = record.step.event
    if isinstance(event, SupportCommand) and event.reason:
        return event.reason
    return _rejection(record)


def _rejection(record: Published) -> str | None:
    wrong = record.step.sent.wrong
    return None if wrong is None else wrong.reason


def _ticket(record: Published) -> str | None:
    if record.step.sent.is_skipped:
        return SKIPPED[2]
    event = record.step.event
    return event.ticket if isinstance(event, SupportCommand) else None


def _verdict(record: Published) -> str:
    verdict = record.step.verdict
    return "dead_letter" if verdict is None else verdict.word


def _user(record: Published) -> str | None:
    return record.step.verdict.user_id if record.step.verdict else None


def _of_user(record: Published, of: Callable[[UserModel], Any], *, before: bool = False) -> Any:
    user = record.step.before if before else record.step.after
    return None if _user(record) is None or user is None else of(user)


def _local_date(record: Published) -> Any:
    event = record.step.judged
    if isinstance(event, SupportCommand):
        return event.local_date
    return _counted(record).local_date if record.step.is_change else None


def _counted(record: Published) -> Any:
    assert record.step.is_change
    return record.user.counted[-1]


def _revoked_by(record: Published) -> list[str]:
    date = _local_date(record)
    if date is None or record.step.sent.wrong is not None:
        return []
    live = {
        c.request_id for c in record.user.commands if c.kind == "revoke" and c.local_date == date
    }
    live -= {c.withdraws for c in record.user.commands if c.kind == "withdraw" and c.withdraws}
    judged = record.step.judged
    return sorted(live - ({judged.request_id} if isinstance(judged, SupportCommand) else set()))


def _is_counted(record: Published) -> bool:
    return record.step.is_change and isinstance(record.step.judged, Completion)


def _operation(record: Published) -> str | None:
    event = record.step.event
    is_noted = isinstance(event, SupportCommand) and record.value["verdict"] == "applied"
    return event.operation if is_noted and isinstance(event, SupportCommand) else None


def _subject(record: Published) -> str | None:
    event = record.step.event
    if not isinstance(event, SupportCommand):
        return None
    return event.payload_cause if event.kind == "redrive" else _operation(record) and event.subject


AUDIT_ENTRY: Final[Table] = {
    "audit_id": lambda t: uuid_of(GENERATION, t.step.logged.partition, t.value["sequence"]),
    "generation": lambda t: GENERATION,
    "partition": lambda t: t.step.logged.partition,
    "sequence": lambda t: [
        one.offset for one in t.scene.outputs["audit"] if one.partition == t.output.partition
    ].index(t.output.offset),
    "user_id": _user,
    "action": _action,
    "actor": _actor,
    "reason": _reason,
    "ticket": _ticket,
    "verdict": _verdict,
    "local_date": _local_date,
    "unlock_ids": lambda t: [uuid_of(_user(t), u.lap, u.slug) for u in unlocks_of(t.step)],
    "digest_before": lambda t: _of_user(t, digest_of, before=True),
    "digest_after": lambda t: _of_user(t, digest_of),
    "revision": lambda t: _of_user(t, lambda user: len(user.counted) + len(user.commands)) or 0,
    "policy_version": lambda t: t.judged_by.version,
    "tzdata_version": lambda t: version("tzdata"),
    "append_time": lambda t: t.at,
    "rejection": _rejection,
    "tz": lambda t: _counted(t).tz if _is_counted(t) else None,
    "tz_assumed": lambda t: _is_counted(t) and _counted(t).assumed,
    "revoked_by": _revoked_by,
    "operation": _operation,
    "subject": _subject,
} | CAUSE

CHAINED: Final = {"prev_hash", "hash"}
"""Fields of an audit entry that only the chain as a whole can be held to."""


def _wrong(record: Published) -> Any:
    assert record.step.sent.wrong is not None
    return record.step.sent.wrong


def _detail(record: Published) -> str | None:
    """The detail itself, when it says what it should."""
    detail: str = record.value["detail"]
    return detail if _wrong(record).says in detail else f"... {_wrong(record).says} ..."


DEAD_LETTER: Final[Table] = {
    "stage": lambda t: _wrong(t).stage,
    "reason": lambda t: _wrong(t).reason,
    "detail": _detail,
    "key": lambda t: t.step.logged.key,
    "value": lambda t: t.step.logged.value,
    "headers.key": lambda t: [name for name, _ in t.step.sent.headers],
    "headers.value": lambda t: [value for _, value in t.step.sent.headers],
    "schema_id": lambda t: schema_id_of(t.step.logged.value),
    "append_time": lambda t: t.at,
} | CAUSE


def _alert(record: Published) -> Alert:
    assert record.step.verdict is not None
    return record.step.verdict.alerts[record.nth]


def _original(record: Published) -> Against:
    """The original that the alert names, when it may; else the one that it should."""
    named = record.value["original"]
    topic = named["topic"].removeprefix(record.scene.ledger.prefix)
    coordinates: Coordinates = (topic, named["partition"], named["offset"])
    options = _alert(record).originals
    return next((one for one in options if one.coordinates == coordinates), options[0])


def _original_id(record: Published) -> str:
    event = record.scene.steps[_original(record).coordinates].judged
    assert isinstance(event, Completion)
    return event.completion_id


FIELDS_IN_ORDER: Final = ("session_id", "started_at", "completed_at", "practice", "tz")

RECONCILIATION_ALERT: Final[Table] = {
    "alert_id": lambda t: uuid_of(
        t.scene.ledger.topic(t.step.logged.kind),
        "zone" if _alert(t).word == "assumed_zone" else "alert",
        t.step.logged.partition,
        t.step.logged.offset,
    ),
    "user_id": lambda t: t.completion.user_id,
    "verdict": lambda t: _alert(t).word,
    "severity": lambda t: _original(t).severity,
    "completion_id": lambda t: t.completion.completion_id,
    "original.completion_id": _original_id,
    "original.topic": lambda t: t.scene.ledger.topic(_original(t).coordinates[0]),
    "original.partition": lambda t: _original(t).coordinates[1],
    "original.offset": lambda t: _original(t).coordinates[2],
    "differing_fields": lambda t: [
        name for name in FIELDS_IN_ORDER if name in _original(t).differing
    ],
    "local_date": lambda t: _alert(t).local_date,
    "original_local_date": lambda t: _original(t).local_date,
} | CAUSE
