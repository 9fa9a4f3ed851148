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
    Told,
    digest_of,
    event_id,
    schema_id_of,
    unlocks_of,
    uuid_of,
)
from tests.integration.records_scene import SKIPPED

Table: TypeAlias = dict[str, Callable[[Told], Any]]

GENERATION: Final = "blue"
"""The default one; the ledger's workers are its group."""

CAUSE: Final[Table] = {
    "cause.topic": lambda t: t.scene.ledger.topic(t.step.logged.kind),
    "cause.partition": lambda t: t.step.logged.partition,
    "cause.offset": lambda t: t.step.logged.offset,
    "cause.id": event_id,
}


def _is_read(told: Told) -> bool:
    """Whether the rules judged the input."""
    return told.step.verdict is not None


def _action(told: Told) -> str:
    if told.step.logged.kind == "completions":
        return "completion"
    event = told.step.event
    return event.kind if isinstance(event, SupportCommand) else "unknown"


def _actor(told: Told) -> str:
    if told.step.sent.is_skipped:
        return SKIPPED[0]
    event = told.step.event
    if not _is_read(told) or event is None:
        return "unknown"
    if isinstance(event, Completion):
        return "user"
    return "unknown" if told.value["rejection"] == "bad_actor" else event.actor


def _reason(told: Told) -> str | None:
    if told.step.sent.is_skipped:
        return SKIPPED[1]
    event = told.step.event
    if isinstance(event, SupportCommand) and event.reason:
        return event.reason
    return _rejection(told)


def _rejection(told: Told) -> str | None:
    wrong = told.step.sent.wrong
    return None if wrong is None else wrong.reason


def _ticket(told: Told) -> str | None:
    if told.step.sent.is_skipped:
        return SKIPPED[2]
    event = told.step.event
    return event.ticket if isinstance(event, SupportCommand) else None


def _verdict(told: Told) -> str:
    verdict = told.step.verdict
    return "dead_letter" if verdict is None else verdict.word


def _user(told: Told) -> str | None:
    return told.step.verdict.user_id if told.step.verdict else None


def _of_user(told: Told, of: Callable[[UserModel], Any], *, before: bool = False) -> Any:
    user = told.step.before if before else told.step.after
    return None if _user(told) is None or user is None else of(user)


def _local_date(told: Told) -> Any:
    event = told.step.event
    if isinstance(event, SupportCommand):
        return event.local_date
    return _counted(told).local_date if told.step.is_change else None


def _counted(told: Told) -> Any:
    assert told.step.is_change
    return told.user.counted[-1]


def _revoked_by(told: Told) -> list[str]:
    date = _local_date(told)
    if date is None or told.step.sent.wrong is not None:
        return []
    live = {c.request_id for c in told.user.commands if c.kind == "revoke" and c.local_date == date}
    live -= {c.withdraws for c in told.user.commands if c.kind == "withdraw" and c.withdraws}
    return sorted(live - ({event_id(told)} if told.step.logged.kind == "commands" else set()))


def _is_counted(told: Told) -> bool:
    return told.step.is_change and isinstance(told.step.event, Completion)


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
    "policy_version": lambda t: t.policy.version,
    "tzdata_version": lambda t: version("tzdata"),
    "append_time": lambda t: t.at,
    "rejection": _rejection,
    "tz": lambda t: _counted(t).tz if _is_counted(t) else None,
    "tz_assumed": lambda t: _is_counted(t) and _counted(t).assumed,
    "revoked_by": _revoked_by,
} | CAUSE

CHAINED: Final = {"prev_hash", "hash"}
"""Fields of an audit entry that only the chain as a whole can be held to."""


def _wrong(told: Told) -> Any:
    assert told.step.sent.wrong is not None
    return told.step.sent.wrong


def _detail(told: Told) -> str | None:
    """The detail itself, when it says what it should."""
    detail: str = told.value["detail"]
    return detail if _wrong(told).says in detail else f"... {_wrong(told).says} ..."


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


def _alert(told: Told) -> Alert:
    assert told.step.verdict is not None
    return told.step.verdict.alerts[told.nth]


def _original(told: Told) -> Against:
    """The original that the alert names, when it may; else the one that it should."""
    named = told.value["original"]
    topic = named["topic"].removeprefix(told.scene.ledger.prefix)
    place: Coordinates = (topic, named["partition"], named["offset"])
    options = _alert(told).originals
    return next((one for one in options if one.place == place), options[0])


def _original_id(told: Told) -> str:
    event = told.scene.steps[_original(told).place].event
    assert isinstance(event, Completion)
    return event.completion_id


FIELDS_IN_ORDER: Final = ("session_id", "started_at", "completed_at", "practice", "tz")

RECONCILIATION_ALERT: Final[Table] = {
    "alert_id": lambda t: uuid_of(
        t.scene.ledger.topic("completions"),
        "zone" if _alert(t).word == "assumed_zone" else "alert",
        t.step.logged.partition,
        t.step.logged.offset,
    ),
    "user_id": lambda t: t.completion.user_id,
    "verdict": lambda t: _alert(t).word,
    "severity": lambda t: _original(t).severity,
    "completion_id": lambda t: t.completion.completion_id,
    "original.completion_id": _original_id,
    "original.topic": lambda t: t.scene.ledger.topic(_original(t).place[0]),
    "original.partition": lambda t: _original(t).place[1],
    "original.offset": lambda t: _original(t).place[2],
    "differing_fields": lambda t: [
        name for name in FIELDS_IN_ORDER if name in _original(t).differing
    ],
    "local_date": lambda t: _alert(t).local_date,
    "original_local_date": lambda t: _original(t).local_date,
} | CAUSE
