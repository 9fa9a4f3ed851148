"""The commands of support and services.

Owns: the checks on a command, and how each kind grows the sets.
Does not own: what follows from it (transition.py), who may ask (the topic's access rules).
Invariant: a request id is taken once: asked again the same, it is repeated; asked otherwise,
rejected. A withdrawal may come before what it withdraws. Operations alone are not remembered:
nothing depends on them, so one that is sent twice is in the audit twice.
"""

import msgspec

from pipeline.core.calendar import utc_date
from pipeline.core.completion import unknown_zone
from pipeline.core.enumerations import (
    SENDABLE,
    DatedKind,
    RequestKind,
    is_command_kind,
    is_request_kind,
)
from pipeline.core.keys import can_exist
from pipeline.core.records import Command, Instant, LocalDate
from pipeline.core.rejection import Rejection, bad_id, quoted, rejected
from pipeline.core.rulebook import PolicyBook
from pipeline.core.sets import REQUESTS_MAX, Sets, request_count, request_of, with_request
from pipeline.core.state import UserState
from pipeline.core.texts import NOTE_CHARS_MAX, is_blank, is_id, is_note
from pipeline.core.zones import zone_of


class Request(msgspec.Struct, frozen=True, gc=False):
    """A valid command.

    Attributes:
        about: the date of a credit or revoke, the id that another kind names.
        tz: the user's zone, where a credit or revoke names one.
    """

    request_id: str
    kind: RequestKind
    about: LocalDate | str
    tz: str | None = None


def examine_command(
    command: Command, state: UserState, append_time: Instant, book: PolicyBook
) -> Request | Rejection:
    """Check a command against everything but earlier requests.

    Args:
        command: of the right types, otherwise anything at all.
        append_time: of the command.

    Returns:
        What it asks for, or the first reason to reject it.
    """
    rejection = examine_ids(command)
    if rejection is not None:
        return rejection
    kind = command.kind
    if not is_command_kind(kind):
        return rejected("unknown_kind", f"kind {quoted(kind)} is none of {', '.join(SENDABLE)}")
    if not is_request_kind(kind):
        return rejected("kind_not_supported", f"{kind} commands are not carried out here")
    rejection = examine_notes(command)
    if rejection is not None:
        return rejection
    if kind == "withdraw":
        return _withdrawal(command)
    if kind == "claim_key":
        return _claim(command, state, append_time, book)
    return _dated(command, kind, append_time, book)


def examine_operation(command: Command) -> Rejection | None:
    """Return why an operation cannot be noted, if it cannot; it may be about no user."""
    rejection = examine_ids(command, command.user_id != "") or examine_notes(command)
    if rejection is not None:
        return rejection
    operation, subject = command.operation or "", command.subject or ""
    if not is_id(operation):
        return bad_id("operation", operation)
    if is_blank(subject) or not is_note(subject):
        return rejected(
            "bad_subject",
            f"subject must say what the operation is about, in at most {NOTE_CHARS_MAX} characters "
            "of valid Unicode",
        )
    return None


def examine_ids(command: Command, has_user: bool = True) -> Rejection | None:
    """Return why the ids of a command cannot be used, if they cannot."""
    ids = [("request_id", command.request_id), ("actor", command.actor)]
    if has_user:
        ids.insert(0, ("user_id", command.user_id))
    return next((bad_id(field, value) for field, value in ids if not is_id(value)), None)


def examine_notes(command: Command) -> Rejection | None:
    """Return why the reason or the ticket of a command cannot be kept, if they cannot."""
    for note in (command.reason, command.ticket):
        if note is not None and not is_note(note):
            return rejected(
                "bad_note",
                f"reason and ticket must have at most {NOTE_CHARS_MAX} characters of valid Unicode",
            )
    return None


def unexplained(kind: str) -> Rejection:
    """Return the rejection of a command of a kind that has to say why."""
    return rejected("unexplained", f"a {kind} needs a reason and a ticket, for the audit")


def _dated(
    command: Command, kind: DatedKind, append_time: Instant, book: PolicyBook
) -> Request | Rejection:
    date = command.local_date
    # guard (False): a credit is explained
    if not (command.reason and command.ticket):
        return unexplained(kind)
    if date is None:
        return rejected("no_local_date", f"a {kind} needs the local_date that it is about")
    if date < book.earliest_date:
        return rejected("date_too_early", "local_date is before the first that the policy allows")
    if date > utc_date(append_time) + 1:
        return rejected("date_too_far_ahead", "local_date is beyond tomorrow's, in UTC")
    if command.tz is None or is_blank(command.tz):
        return Request(command.request_id, kind, date)
    zone = zone_of(command.tz)
    if zone is None:
        return unknown_zone(command.tz)
    return Request(command.request_id, kind, date, zone.name)


def _withdrawal(command: Command) -> Request | Rejection:
    target = command.withdraws or ""
    if not is_id(target):
        return bad_id("withdraws", target)
    if target == command.request_id:
        return rejected("withdraws_itself", "a withdrawal cancels another request, not itself")
    return Request(command.request_id, "withdraw", target)


def _claim(
    command: Command, state: UserState, append_time: Instant, book: PolicyBook
) -> Request | Rejection:
    key_id = command.key_id
    if key_id is None:
        return rejected("no_key_id", "a claim_key needs the key_id that it claims")
    # guard (False): a key that nothing can grant is not claimed
    if key_id not in state.granted and not can_exist(book, command.user_id, key_id, append_time):
        return rejected(
            "unknown_key", f"no portal of this user can ever grant the key {quoted(key_id)}"
        )
    return Request(command.request_id, "claim_key", key_id)


def grown_by(sets: Sets, request: Request) -> Sets | Rejection | None:
    """Take a request into the sets.

    Returns:
        The new sets; None when the same was asked before under the same id; a rejection when
        something else was, or when there are too many requests.
    """
    earlier = request_of(sets, request.request_id)
    # guard (False): a request that was taken in changes nothing again
    if earlier == (request.kind, request.about):
        return None
    # guard (False): a request id names one request
    if earlier is not None:
        return rejected(
            "request_id_reused",
            f"the request id was used for a {earlier[0]} of {quoted(str(earlier[1]))}; a new "
            "request needs a new id",
        )
    if request_count(sets, request.kind) >= REQUESTS_MAX:
        return rejected("too_many_requests", f"the user has {REQUESTS_MAX} requests of this kind")
    return with_request(sets, request.kind, request.request_id, request.about)
