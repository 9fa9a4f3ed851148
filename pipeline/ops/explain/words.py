"""Why an input has its verdict, in words.

Owns: the sentences of an explanation.
Does not own: the rules (core/), which inputs are told (explain.py).
Invariant: a sentence says what the recorded verdict rests on; nothing is judged anew, so it cannot
contradict the log.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from pipeline.clock import rfc3339
from pipeline.core.dateline import BRIDGE_MS
from pipeline.core.enumerations import COUNTED, Action
from pipeline.core.reading import DayKind
from pipeline.core.records import (
    AuditEntry,
    Command,
    DeadLetter,
    Instant,
    PracticeCompleted,
    ReconciliationAlert,
)
from pipeline.core.rulebook import Policy
from pipeline.core.zones import zone_of
from pipeline.ops.explain.records import Input, Story

_DAY_MS: Final = 86_400_000
_DUPLICATES: Final[dict[str, str]] = {
    "exact": "The same id with the same content was accepted before: a retry. It does not count "
    "again.",
    "twin": "The same session was accepted before under another id: a second device, or a client "
    "that makes a new id for each try. It does not count again.",
    "collision": "The same id was accepted before with other content: a client that uses an id "
    "twice. It does not count.",
}
COMMAND_TEXTS: Final[dict[Action, str]] = {
    "credit": "The date was credited, so it counts unless it is revoked too.",
    "revoke": "The date was revoked: it does not count, whatever else there is for it.",
    "withdraw": "An earlier credit, revocation or claim was withdrawn: it has no effect any more.",
    "claim_key": "A Field Key was claimed. Dates are not concerned.",
    "redrive": "An input that had been rejected was judged once more, as of when it first came.",
    "operation": "An operator's step was recorded. It changes nothing by itself.",
}
"""What a command that was carried out does, by its kind."""


def policy_text(policy: Policy) -> str:
    """The limits of a policy that decide about completions."""
    start = policy.day_start_minutes
    return (
        f"the day starts at {start // 60:02}:{start % 60:02}; sessions of "
        f"{policy.session_ms_min // 1000} s to {policy.session_ms_max // 60_000} min count, up to "
        f"{policy.late_ms // _DAY_MS} days late; clocks up to "
        f"{policy.clock_ahead_ms_max // 3_600_000} h ahead are put right"
        + (
            "; the hours that a journey puts the clock forward count in a bridge"
            * policy.bridge_shift
        )
    )


def reason_of(
    entry: AuditEntry | None,
    sent: Input | None,
    alert: ReconciliationAlert | None,
    letter: DeadLetter | None,
    policy: Policy,
) -> str:
    """Why an input has its verdict.

    Args:
        entry: of the audit; None where it was not found.
        sent: None where the input is not there any more, or cannot be decoded.
        policy: in force at its append.
    """
    if letter is not None:
        return f"Refused at {letter.stage}, {letter.reason}: {letter.detail}."
    verdict = entry.verdict if entry is not None else alert.verdict if alert is not None else ""
    if verdict in _DUPLICATES:
        return _DUPLICATES[verdict]
    if verdict == "dead_letter":
        return "Refused; the dead letter that says why was not found."
    if isinstance(sent, PracticeCompleted):
        text = _counted(sent, entry, policy)
        if verdict == "overlap":
            text += " It overlaps an accepted session in time; both count, and it is reported."
        return text + revoked_text(entry)
    if verdict == "repeated":
        return "The same request was taken before; asked again it changes nothing."
    if entry is not None and entry.action in COMMAND_TEXTS:
        by = f" By {entry.actor}"
        because = f": {entry.reason}" if entry.reason else ""
        ticket = f" ({entry.ticket})" if entry.ticket else ""
        text = COMMAND_TEXTS[entry.action] + _subject_text(entry)
        return f"{text}{by}{because}{ticket}.{revoked_text(entry)}"
    if verdict in COUNTED:
        return "It counts for the date that the audit entry records."
    return "Nothing that says why was found."


def _subject_text(entry: AuditEntry) -> str:
    """What an operation or a redrive is about; empty for any other command."""
    if entry.action == "redrive":
        counts = " It counts now, for the date that the audit records." * (entry.verdict in COUNTED)
        return f"{counts} It is {entry.subject}."
    return f" {entry.operation}: {entry.subject}." if entry.action == "operation" else ""


def revoked_text(entry: AuditEntry | None) -> str:
    """What keeps the date of an input from counting, and what helps; empty when nothing does."""
    if entry is None or not entry.revoked_by:
        return ""
    return revoked_by_text(entry.revoked_by)


def revoked_by_text(requests: Sequence[str]) -> str:
    """That requests revoke a date, and what helps."""
    names = ", ".join(requests)
    them = "that request" if len(requests) == 1 else "those requests"
    return f" The date does not count all the same: it is revoked by {names}; withdraw {them}."


def _counted(sent: PracticeCompleted, entry: AuditEntry | None, policy: Policy) -> str:
    append_time = entry.append_time if entry is not None else sent.completed_at
    ahead_ms = 0 if sent.sent_at is None else sent.sent_at - append_time
    is_ahead = ahead_ms > policy.skew_tolerance_ms
    ended = sent.completed_at - ahead_ms if is_ahead else sent.completed_at
    tz = sent.tz if entry is None or entry.tz is None else entry.tz
    local = local_time(ended, tz)
    text = f"It ended on {local:%Y-%m-%d at %H:%M} in {tz}"
    if entry is not None and entry.tz_assumed:
        text += f" (assumed from the offset of completed_at: nobody knows the zone {sent.tz!r})"
    if is_ahead:
        text += f", the device's clock put back by the {ahead_ms // 1000} s that it was ahead"
    minutes = local.hour * 60 + local.minute
    start = policy.day_start_minutes
    if minutes < start:
        text += (
            f". That is before the day starts at {start // 60:02}:{start % 60:02}, so it counts "
            "for the date before."
        )
    else:
        text += ", and counts for that date."
    late_ms = append_time - ended
    if late_ms >= _DAY_MS:
        text += f" It arrived {spelled_ms(late_ms)} later, within the limit."
    return text


def why_of_day(kind: DayKind, stories: Sequence[Story]) -> str:
    """Why a date is what it is, by the inputs that concern it."""
    about = [one for one in stories if one.role == "about"]
    counted = [one for one in about if one.verdict in COUNTED]
    if kind is DayKind.PRACTISED:
        return f"Practised: {many(len(counted), 'accepted completion')} for it."
    if kind is DayKind.CREDITED:
        return "Credited by support; nobody practised on it."
    if kind is DayKind.REVOKED:
        behind = (
            f" {many(len(counted), 'accepted completion')} would count otherwise."
            if counted
            else ""
        )
        withdrawn = {one.sent.get("withdraws") for one in about if one.action == "withdraw"}
        live = sorted(
            {one.id for one in about if one.action == "revoke" and one.verdict == "applied"}
            - withdrawn
        )
        undo = f" To undo it, withdraw {', '.join(live)}." if live else ""
        return f"Revoked by support: a revocation wins over everything else.{behind}{undo}"
    if kind is DayKind.BRIDGED:
        return (
            "Bridged: the date was lost to travel over the date line. Between the last practice of "
            "the date before and the first of the date after lie, less what the journey put the "
            f"clock forward, under {spelled_ms(BRIDGE_MS)}, which no fixed zone allows."
        )
    if about:
        return f"Nothing counts for it, although {many(len(about), 'input')} concern it."
    return "Nothing counts for it, and no input was found that is about it."


def many(count: int, word: str) -> str:
    """So many of something."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def fields_of(sent: Input | None) -> dict[str, str]:
    """The fields of an input as text; those that are empty are left out."""
    if sent is None:
        return {}
    shown: dict[str, str] = {}
    for name in sent.__struct_fields__:
        value = getattr(sent, name)
        if value is None or value == {} or name == "offset_minutes":
            continue
        if name.endswith(("_at", "_time")):
            shown[name] = rfc3339(value)
        elif isinstance(value, bytes):
            shown[name] = f"{len(value)} bytes"
        elif isinstance(value, dict):
            shown[name] = msgspec.json.encode(value).decode()
        else:
            shown[name] = str(value)
    if isinstance(sent, Command) and sent.local_date is not None:
        shown["local_date"] = (
            datetime.fromtimestamp(sent.local_date * 86_400, UTC).date().isoformat()
        )
    return shown


def local_time(instant: Instant, tz: str) -> datetime:
    """An instant on the wall clock of a zone; of UTC where there is no such zone."""
    moment = datetime.fromtimestamp(instant / 1000, UTC)
    zone = zone_of(tz)
    return moment if zone is None else moment.astimezone(zone.info)


def spelled_ms(length_ms: int) -> str:
    """A length of time for a person: days and hours, hours and minutes, or minutes."""
    minutes = length_ms // 60_000
    days, hours = minutes // 1440, minutes // 60 % 24
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
