"""The naive fold: the whole log in, every verdict and every user out.

Owns: the one pass over the log, in the order in which it was consumed, and what makes a command
acceptable.
Does not own: reading (reading.py), verdicts on completions (duplicates.py), what follows for a user
(users.py).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from pipeline.dev.oracle.dates import EPOCH, ONE_DAY
from pipeline.dev.oracle.duplicates import compare, examine
from pipeline.dev.oracle.events import (
    Completion,
    Coordinates,
    Logged,
    SupportCommand,
    Verdict,
    Word,
)
from pipeline.dev.oracle.partition import home
from pipeline.dev.oracle.reading import Reader, UnreadableError
from pipeline.dev.oracle.rules import Policy, Rules
from pipeline.dev.oracle.texts import is_blank, is_id, is_note
from pipeline.dev.oracle.users import LAPS_MAX, UserModel, key_id
from pipeline.dev.oracle.zones import named

REMEMBERED = ("credit", "revoke", "withdraw", "claim_key")
"""Kinds of command that change a user, and that can be carried by a redrive."""

REDRIVE_MARGIN_MS = 86_400_000
"""By how much sooner a redrive finds that what counted is forgotten."""

COORDINATES = re.compile(r"[A-Za-z0-9._-]{1,249}\[\d{1,10}\]@\d{1,19}", re.ASCII)
"""Where a record is: topic[partition]@offset."""


@dataclass(slots=True)
class Judgement:
    """The verdicts and users that the log must lead to.

    Attributes:
        verdicts: one for each input, by where it lies.
        users: everyone of whom anything counted, by user id.
    """

    verdicts: dict[Coordinates, Verdict] = field(default_factory=dict)
    users: dict[str, UserModel] = field(default_factory=dict)


def judge(log: Iterable[Logged], rules: Rules, reader: Reader, partition_count: int) -> Judgement:
    """Judge raw records.

    Args:
        log: every record of the input topics, in the order in which it was consumed. Only the order
            of one user's records matters.
        reader: knows the writers' schemas.
        partition_count: of each input topic, 1 and up.
    """
    judgement = Judgement()
    for record in log:
        event = _event_in(record, reader, partition_count)
        if isinstance(event, Verdict):
            judgement.verdicts[record.coordinates] = event
        else:
            judge_read(judgement, event, record.coordinates, record.append_time_ms, rules)
    return judgement


def judge_read(
    judgement: Judgement,
    event: Completion | SupportCommand,
    coordinates: Coordinates,
    append_time_ms: int,
    rules: Rules,
) -> Verdict:
    """Judge one event that was readable, and add what follows from it to `judgement`."""
    user = judgement.users.get(event.user_id) or UserModel(event.user_id)
    redrive = event if isinstance(event, SupportCommand) and event.kind == "redrive" else None
    now = _When(coordinates, append_time_ms)
    carried: Completion | SupportCommand | str | None = event
    if redrive is not None:
        now = _When(coordinates, append_time_ms, redrive.carried_at_ms)
        carried = _wrong_redrive(redrive, append_time_ms) or redrive.carried
    if isinstance(carried, Completion):
        verdict = _judge_completion(user, carried, now, rules)
    elif isinstance(carried, SupportCommand):
        verdict = _judge_command(user, carried, now.judged_ms, rules)
    else:
        day = None if redrive is None else redrive.local_date
        verdict = Verdict("dead_letter", carried or "", local_date=day)
    is_noted = isinstance(carried, SupportCommand) and carried.kind == "operation"
    if verdict.word in ("accepted", "overlap", "applied") and not is_noted:
        judgement.users[event.user_id] = user
        user.unlock_due(rules.at(append_time_ms), append_time_ms, coordinates)
    known = event.user_id if is_id(event.user_id) else None
    verdict = replace(verdict, user_id=known, revision=user.revision)
    judgement.verdicts[coordinates] = verdict
    return verdict


@dataclass(frozen=True, slots=True)
class _When:
    """Where and when an event was appended, and when what it carries first was."""

    coordinates: Coordinates
    append_time_ms: int
    carried_at_ms: int | None = None

    @property
    def judged_ms(self) -> int:
        """By when it is judged."""
        return self.append_time_ms if self.carried_at_ms is None else self.carried_at_ms


def _event_in(
    record: Logged, reader: Reader, partition_count: int
) -> Completion | SupportCommand | Verdict:
    read = reader.completion if record.kind == "completions" else reader.command
    event: Completion | SupportCommand | Verdict
    try:
        event = read(record.value)
    except UnreadableError as problem:
        event = Verdict("dead_letter", problem.category)
    if isinstance(event, SupportCommand) and event.kind == "operation" and event.user_id == "":
        return event  # it is nobody's, so it is at home anywhere
    if not record.key:
        return Verdict("dead_letter", "no_key")
    if home(record.key, partition_count) != record.partition:
        return Verdict("dead_letter", "wrong_partition")
    if not isinstance(event, Verdict) and event.user_id.encode() != record.key:
        return Verdict("dead_letter", "key_not_user")
    return event


def _judge_completion(
    user: UserModel, completion: Completion, when: _When, rules: Rules
) -> Verdict:
    policy = rules.at(when.judged_ms)
    examined = examine(completion, when.coordinates, when.judged_ms, policy)
    if isinstance(examined, str):
        return Verdict("dead_letter", examined)
    examined = replace(examined, append_time_ms=when.append_time_ms)
    margin_ms = 0 if when.carried_at_ms is None else REDRIVE_MARGIN_MS
    word, alerts = compare(examined, user.counted, policy, margin_ms)
    if word not in ("accepted", "overlap"):
        return Verdict(word, alerts=tuple(alerts))
    user.count(examined, policy)
    return Verdict(
        word,
        local_date=examined.local_date,
        alerts=tuple(alerts),
        tz=examined.tz,
        assumed=examined.assumed,
        revoked_by=tuple(sorted(user.revokes(examined.local_date))),
    )


def _wrong_redrive(redrive: SupportCommand, append_time_ms: int) -> str:
    """Return what keeps a redrive from being judged by what it carries; empty if nothing does."""
    for name in ("user_id", "request_id", "actor"):
        if not is_id(getattr(redrive, name)):
            return f"bad_{name}"
    if not (is_note(redrive.reason) and is_note(redrive.ticket)):
        return "bad_note"
    if not redrive.reason or not redrive.ticket:
        return "no_reason"
    if redrive.payload_topic not in ("completions", "commands"):
        return "bad_topic"
    if not COORDINATES.fullmatch(redrive.payload_cause or ""):
        return "bad_cause"
    carried, carried_at_ms = redrive.carried, redrive.carried_at_ms
    if carried is None or carried_at_ms is None:
        return "nothing_carried"
    if carried_at_ms > append_time_ms:
        return "carried_from_future"
    if isinstance(carried, str):
        return f"carried_{carried}"
    if carried.user_id != redrive.user_id:
        return "carried_of_another_user"
    is_asked = isinstance(carried, Completion) or carried.kind in REMEMBERED
    return "" if is_asked else "kind_not_redriven"


def _judge_command(
    user: UserModel, command: SupportCommand, append_time_ms: int, rules: Rules
) -> Verdict:
    day = command.local_date
    wrong = _wrong_with(command, append_time_ms, rules)
    if wrong:
        return Verdict("dead_letter", wrong, local_date=day)
    if command.kind == "operation":
        return Verdict("applied", local_date=day)
    same_id = [c for c in user.commands if c.request_id == command.request_id]
    if same_id and (same_id[0].kind, about_of(same_id[0])) != (command.kind, about_of(command)):
        return Verdict("dead_letter", "request_id_reused", local_date=day)
    if not same_id:
        user.commands.append(command)
    others: set[str] = set()
    if command.kind in ("credit", "revoke"):
        others = user.revokes(day) - {command.request_id}
    word: Word = "repeated" if same_id else "applied"
    return Verdict(word, local_date=day, revoked_by=tuple(sorted(others)))


def about_of(command: SupportCommand) -> date | str | None:
    """Return the date, the key or the other request that a command is about."""
    if command.kind in ("credit", "revoke"):
        return command.local_date
    return command.key_id if command.kind == "claim_key" else command.withdraws


def _wrong_with(command: SupportCommand, append_time_ms: int, rules: Rules) -> str:
    names = ("user_id", "request_id", "actor")
    for name in names[1:] if command.kind == "operation" and not command.user_id else names:
        if not is_id(getattr(command, name)):
            return f"bad_{name}"
    if not (is_note(command.reason) and is_note(command.ticket)):
        return "bad_note"
    if command.kind in ("credit", "revoke"):
        return _wrong_adjustment(command, append_time_ms, rules.at(append_time_ms))
    if command.kind == "withdraw":
        if not is_id(command.withdraws):
            return "nothing_withdrawn"
        return "withdraws_itself" if command.withdraws == command.request_id else ""
    if command.kind == "claim_key":
        return "" if _possible(command.key_id, command.user_id, rules) else "impossible_key"
    if command.kind == "operation":
        is_said = is_id(command.operation) and is_note(command.subject)
        return "" if is_said and not is_blank(command.subject or "") else "nothing_done"
    return "unknown_kind"


def _wrong_adjustment(command: SupportCommand, append_time_ms: int, policy: Policy) -> str:
    if not command.reason or not command.ticket:
        return "no_reason"
    if command.local_date is None:
        return "no_date"
    append_date = (EPOCH + timedelta(milliseconds=append_time_ms)).date()
    if command.local_date > append_date + ONE_DAY:
        return "date_ahead"
    if command.local_date < policy.earliest_date:
        return "date_too_early"
    if command.written_zone is not None and named(command.written_zone) is None:
        return "unknown_zone"
    return ""


def _possible(wanted: str | None, user_id: str, rules: Rules) -> bool:
    """Tell whether any portal, of any version and lap, grants this user the key `wanted`."""
    portals = {portal for policy in rules.policies for portal in policy.portals}
    return any(
        wanted == key_id(user_id, lap, portal.slug, i)
        for lap in range(LAPS_MAX)
        for portal in portals
        for i in range(portal.keys)
    )
