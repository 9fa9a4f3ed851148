"""Takes corrections of operators: previews them, sends them, tells what became of them.

Owns: what an operator may ask for over HTTP, the command that it becomes, sending it.
Does not own: the preview (ops/adjust/preview.py), what is known of a user (known_state.py), reading
the effect back (read_back.py), HTTP (routes/adjustments.py) and pages (console/adjusting.py).
Invariants: the actor is the principal of the token, and nothing that a body says; what the fold
would reject is not sent; a request id is carried out once, however often it is sent, so whatever is
not answered may be sent again under the same id.
"""

from collections.abc import Callable
from datetime import date
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from pipeline.api.http.auth import Principal
from pipeline.api.http.problems import Problem, ProblemError
from pipeline.api.ingest.known_state import KnownStates
from pipeline.api.ingest.producing import (
    BusyError,
    Headers,
    InputProducer,
    NotAcknowledgedError,
    RecordRefusedError,
)
from pipeline.api.ingest.read_back import AdjustmentStatus, ReadBack
from pipeline.api.outcomes.statuses import Position
from pipeline.core.outcome import World
from pipeline.core.records import Command
from pipeline.core.sets import request_of
from pipeline.core.state import UserState
from pipeline.core.texts import ID_CHARS_MAX, NOTE_CHARS_MAX, is_blank, is_id, is_note
from pipeline.ops.adjust.preview import AdjustmentPreview, RejectionShown, preview
from pipeline.ops.adjust.request import (
    Asked,
    Correction,
    command_of,
    encoded,
    new_request_id,
)
from pipeline.ops.adjust.user_state import KeyNotClaimedError, claim_of

AdjustmentKind = Literal["credit_day", "revoke_day", "withdraw", "claim_key", "return_key"]

CORRECTIONS: Final[dict[AdjustmentKind, Correction]] = {
    "credit_day": "credit-day",
    "revoke_day": "revoke-day",
    "withdraw": "withdraw",
    "claim_key": "claim-key",
    "return_key": "return-key",
}
ABOUT: Final[dict[AdjustmentKind, tuple[str, ...]]] = {
    "credit_day": ("local_date",),
    "revoke_day": ("local_date",),
    "withdraw": ("withdraws",),
    "claim_key": ("key_id",),
    "return_key": ("key_id", "withdraws"),
}
"""The fields that say what a correction is about; where there are two, either will do."""

OLDER: Final = (
    "this server knows the requests of its history alone; the command awaway adjust reads the "
    "whole log"
)

_Note = Annotated[str, Meta(min_length=1, max_length=NOTE_CHARS_MAX)]
_Id = Annotated[str, Meta(min_length=1, max_length=ID_CHARS_MAX)]


class AdjustmentIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A correction.

    `credit_day` and `revoke_day` need `local_date`, and may name `tz`, the user's zone, where no
    completion has said one. `withdraw` needs `withdraws`, the request that it cancels. `claim_key`
    needs `key_id`; so does `return_key`, which may instead name the claim's request in `withdraws`.
    `request_id` is made when it is missing: send your own, to be able to repeat the request.
    """

    kind: AdjustmentKind
    reason: _Note
    ticket: _Note
    local_date: date | None = None
    key_id: _Id | None = None
    withdraws: _Id | None = None
    tz: _Id | None = None
    request_id: _Id | None = None


class AdjustmentRefused(Problem, frozen=True):
    """The problem of a correction that is refused, or was not acknowledged.

    Attributes:
        rejection: why the pipeline would reject it, or has; absent where it did not come so far.
        position: in the log, where it was sent all the same, as something came in between.
    """

    request_id: str = ""
    rejection: RejectionShown | None = None
    position: Position | None = None


class Prepared(msgspec.Struct, frozen=True):
    """A correction that can be sent, and what it would change."""

    command: Command
    preview: AdjustmentPreview


class Adjuster:
    """Takes corrections.

    Args:
        world: policies and catalogue, as the worker's.
        states: what is known of users.
        commands: the producer to the topic of commands.
        read_back: waits for the effect.
        now_ms: the time of day, ms since the epoch.
    """

    def __init__(
        self,
        world: World,
        states: KnownStates,
        commands: InputProducer,
        read_back: ReadBack,
        now_ms: Callable[[], int],
    ) -> None:
        self._world = world
        self._states = states
        self._commands = commands
        self._read_back = read_back
        self._now_ms = now_ms

    async def prepare(self, user_id: str, given: AdjustmentIn, principal: Principal) -> Prepared:
        """Make the command of a correction, and preview it; nothing is sent.

        Raises:
            ProblemError: 422, it says too little or too much; 403, the principal has no name that
                fits into the audit; 503, the user's state cannot be read at the moment.
        """
        actor = principal.name
        if not is_id(actor):
            raise ProblemError(
                403,
                "no-actor",
                "No actor",
                "the sub of this token is too long to be recorded as who asked",
            )
        _check(given)
        request_id = given.request_id or new_request_id()
        state = await self._states.of(user_id)
        asked = Asked(
            CORRECTIONS[given.kind],
            user_id,
            _about(given, state, request_id),
            given.reason,
            given.ticket,
            given.tz,
        )
        command = command_of(asked, actor, request_id)
        found = preview(state, command, self._world, self._now_ms())
        target = command.withdraws
        if found.rejection is None and target and request_of(state.sets, target) is None:
            found = replace(found, notes=(*found.notes, OLDER))
        return Prepared(command, found)

    async def send(self, prepared: Prepared, headers: Headers) -> AdjustmentStatus:
        """Send a correction, and wait for its effect.

        Raises:
            ProblemError: 422, it would be rejected, or was, as something came in between; 429 or
                503, it was not acknowledged.
        """
        command, rejection = prepared.command, prepared.preview.rejection
        if rejection is not None:
            raise rejected(command.request_id, rejection)
        value = encoded(command)
        try:
            self._commands.check_room(1, len(value))
            sent = self._commands.send(command.user_id.encode(), value, headers)
            at = await sent
        except BusyError as error:
            raise _not_sent(command, error, 429) from error
        except (NotAcknowledgedError, RecordRefusedError) as error:
            raise _not_sent(command, error, 503) from error
        position = Position(self._commands.topic, at.partition, at.offset)
        found = await self._read_back.of(command.user_id, command.request_id, position)
        if found.refusal is not None:
            refusal = RejectionShown(found.refusal.reason, found.refusal.detail)
            raise rejected(command.request_id, refusal, position)
        return found

    async def known(self, user_id: str, request_id: str) -> AdjustmentStatus | None:
        """Return what is known of a request by now; None when nothing is."""
        return await self._read_back.known(user_id, request_id)


def _check(given: AdjustmentIn) -> None:
    """Check what the type does not say.

    Raises:
        ProblemError: 422, a field is missing, or is not for this kind.
    """
    for name in ("reason", "ticket"):
        if is_blank(getattr(given, name)) or not is_note(getattr(given, name)):
            raise invalid(f"{name} says why for the audit: write something that a person can read")
    wanted = ABOUT[given.kind]
    present = [n for n in ("local_date", "key_id", "withdraws") if getattr(given, n) is not None]
    if len([name for name in present if name in wanted]) != 1:
        raise invalid(f"a {given.kind} needs {' or '.join(wanted)}, and says what it is about once")
    others = [name for name in present if name not in wanted]
    if given.tz is not None and "local_date" not in wanted:
        others.append("tz")
    if others:
        raise invalid(f"a {given.kind} is not about {', '.join(others)}; leave that out")


def _about(given: AdjustmentIn, state: UserState, request_id: str) -> date | str:
    """Return what a correction is about; of a return_key the request that claimed the key."""
    if given.kind == "return_key" and given.key_id is not None:
        try:
            return claim_of(state, given.key_id, request_id)
        except KeyNotClaimedError as error:
            raise invalid(f"{error.what}: {error.why}; {OLDER}") from error
    found = given.local_date or given.withdraws or given.key_id
    if found is None:  # _check refuses it
        raise invalid("it does not say what it is about")
    return found


def invalid(why: str) -> ProblemError:
    """Make the answer to a correction that says too little, too much, or nothing that is known."""
    return ProblemError(422, "invalid-adjustment", "Invalid correction", why)


def rejected(
    request_id: str, why: RejectionShown, position: Position | None = None
) -> ProblemError:
    """Make the answer to a correction that the pipeline would reject, or has."""
    body = AdjustmentRefused("", "", 0, "", request_id, why, position)
    members = msgspec.to_builtins(body)
    sent = "; something came in between: it was sent, and rejected" if position else ""
    return ProblemError(
        422,
        "adjustment-rejected",
        "Correction rejected",
        f"{why.detail}{sent}",
        body={name: members[name] for name in ("request_id", "rejection", "position")},
    )


def _not_sent(command: Command, error: Exception, status: Literal[429, 503]) -> ProblemError:
    is_busy = status == 429
    return ProblemError(
        status,
        "too-many-in-flight" if is_busy else "not-acknowledged",
        "Too many in flight" if is_busy else "Not acknowledged",
        f"{error}; send it again with the same request_id, it is carried out once",
        headers={"Retry-After": "2"},
        body={"request_id": command.request_id},
    )
