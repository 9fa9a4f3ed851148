"""What support asks for, as a command.

Owns: the words for corrections, the command that each becomes, and its bytes.
Does not own: whether it makes sense (core/commands.py says so, and the preview shows it), sending
it (send.py), who asks (kafka/principal.py).
Invariant: the actor is given by who knows the credentials, and is no part of what was asked for.
"""

import uuid
from datetime import date
from typing import Final, Literal, TypeAlias

import msgspec

from pipeline.clock import rfc3339
from pipeline.core.calendar import date_of, day_of
from pipeline.core.enumerations import RequestKind
from pipeline.core.records import Command

Correction: TypeAlias = Literal["credit-day", "revoke-day", "withdraw", "claim-key", "return-key"]
"""What support may ask for, in its own words."""

KINDS: Final[dict[Correction, RequestKind]] = {
    "credit-day": "credit",
    "revoke-day": "revoke",
    "withdraw": "withdraw",
    "claim-key": "claim_key",
    "return-key": "withdraw",
}


class Asked(msgspec.Struct, frozen=True):
    """A correction that was asked for.

    Attributes:
        about: the date of credit-day and revoke-day, the request that withdraw cancels, the key of
            claim-key; of return-key the request that claimed the key (`user_state.claim_of`).
        reason, ticket: for the audit.
        tz: the user's zone, in credit-day and revoke-day, where no completion has said one.
    """

    correction: Correction
    user_id: str
    about: date | str
    reason: str
    ticket: str
    tz: str | None = None


def command_of(asked: Asked, actor: str, request_id: str) -> Command:
    """Return the command of a correction.

    Args:
        actor: who asks, from the credentials.
        request_id: names the request for ever; the same request under the same id counts once.
    """
    about = asked.about
    kind = KINDS[asked.correction]
    is_text = isinstance(about, str)
    return Command(
        request_id,
        asked.user_id,
        kind,
        actor,
        asked.reason,
        asked.ticket,
        local_date=None if isinstance(about, str) else date_of(about),
        key_id=str(about) if is_text and kind == "claim_key" else None,
        withdraws=str(about) if is_text and kind == "withdraw" else None,
        tz=asked.tz,
    )


def new_request_id() -> str:
    """Return an id that no request has had."""
    return f"adjust-{uuid.uuid4()}"


def encoded(command: Command) -> bytes:
    """A command as JSON, which the topic takes beside Avro, and people can read."""
    fields = {
        name: value for name in command.__struct_fields__ if (value := getattr(command, name))
    }
    fields["user_id"] = command.user_id  # also where it is empty: an operation may concern nobody
    if command.local_date is not None:
        fields["local_date"] = day_of(command.local_date).isoformat()
    if command.payload_append_time is not None:
        fields["payload_append_time"] = rfc3339(command.payload_append_time)
    return msgspec.json.encode(fields)
