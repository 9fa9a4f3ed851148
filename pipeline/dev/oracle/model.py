"""The naive fold: the whole log in, every verdict and every user out.

Owns: the one pass over the log, in the order in which it was consumed, and what makes a command
acceptable.
Does not own: reading (reading.py), verdicts on completions (duplicates.py), what follows for a user
(users.py).
"""

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
from pipeline.dev.oracle.texts import is_id, is_note
from pipeline.dev.oracle.users import LAPS_MAX, UserModel, key_id
from pipeline.dev.oracle.zones import named


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
    policy = rules.at(append_time_ms)
    user = judgement.users.get(event.user_id) or UserModel(event.user_id)
    if isinstance(event, Completion):
        verdict = _judge_completion(user, event, coordinates, append_time_ms, policy)
    else:
        verdict = _judge_command(user, event, append_time_ms, rules)
    if verdict.word in ("accepted", "overlap", "applied"):
        judgement.users[event.user_id] = user
        user.unlock_due(policy, append_time_ms, coordinates)
    known = event.user_id if is_id(event.user_id) else None
    verdict = replace(verdict, user_id=known, revision=user.revision)
    judgement.verdicts[coordinates] = verdict
    return verdict


def _event_in(
    record: Logged, reader: Reader, partition_count: int
) -> Completion | SupportCommand | Verdict:
    if not record.key:
        return Verdict("dead_letter", "no_key")
    if home(record.key, partition_count) != record.partition:
        return Verdict("dead_letter", "wrong_partition")
    read = reader.completion if record.kind == "completions" else reader.command
    try:
        event = read(record.value)
    except UnreadableError as problem:
        return Verdict("dead_letter", problem.category)
    if event.user_id.encode() != record.key:
        return Verdict("dead_letter", "key_not_user")
    return event


def _judge_completion(
    user: UserModel,
    completion: Completion,
    coordinates: Coordinates,
    append_time_ms: int,
    policy: Policy,
) -> Verdict:
    examined = examine(completion, coordinates, append_time_ms, policy)
    if isinstance(examined, str):
        return Verdict("dead_letter", examined)
    word, alerts = compare(examined, user.counted, policy)
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


def _judge_command(
    user: UserModel, command: SupportCommand, append_time_ms: int, rules: Rules
) -> Verdict:
    day = command.local_date
    wrong = _wrong_with(command, append_time_ms, rules)
    if wrong:
        return Verdict("dead_letter", wrong, local_date=day)
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
    for name in ("user_id", "request_id", "actor"):
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
