"""The part of the fold that commands and repairs go through.

Owns: the order of the steps for a command and for a repair, and what their outcome names.
Does not own: the checks on a command (commands.py), completions (fold.py), redrives (redrive.py).
Invariants: as of fold.py: pure, and total. What an outcome names can be written, whatever was sent.
"""

from msgspec.structs import replace

from pipeline.core.calendar import utc_date
from pipeline.core.commands import (
    Request,
    examine_command,
    examine_ids,
    examine_notes,
    examine_operation,
    grown_by,
    unexplained,
)
from pipeline.core.enumerations import DATED, CommandVerdict, Origin, is_command_kind
from pipeline.core.outcome import Outcome, World
from pipeline.core.records import Cause, Command, Instant, LocalDate
from pipeline.core.rejection import Rejection, rejected
from pipeline.core.repair import Repair, is_sensible
from pipeline.core.sets import Sets, digest_of, revoking
from pipeline.core.state import NEVER, UserState
from pipeline.core.texts import is_id, is_note
from pipeline.core.transition import StateDelta, Transition, Trigger, transition


def fold_command(
    state: UserState, command: Command, cause: Cause, append_time: Instant, world: World
) -> Outcome:
    """Fold one command.

    Args:
        state: of the command's user; `EMPTY` when there is none.
        command: of the right types, otherwise anything at all.
        append_time: of the command, within the years 2 to 9998.

    Returns:
        Its outcome, with a `CommandVerdict`.
    """
    judged_at = world.judged_at_or(append_time)
    policy = world.policies.at(judged_at)
    if command.kind == "operation":
        return _noted(command, state, policy.version)
    request = examine_command(command, state, judged_at, world.policies)
    sets = grown_by(state.sets, request) if isinstance(request, Request) else request
    if sets is None:
        return unchanged(command, state, "repeated", policy.version)
    if isinstance(sets, Rejection):
        return unchanged(command, state, "dead_letter", policy.version, sets)
    origin: Origin = "adjustment" if world.origin == "live" else world.origin
    now = world.policies.at(append_time)
    trigger = Trigger(command.user_id, None, origin, cause, append_time, now)
    tz = state.tz
    if isinstance(request, Request) and request.tz is not None and state.tz_at == NEVER:
        tz = request.tz
    delta = StateDelta(sets, tz, state.tz_at, state.tz_id, state.dateline, state.seen_filter)
    new = transition(state, delta, trigger, world)
    return _applied(command, state, new, policy.version)


def _noted(command: Command, state: UserState, policy_version: str) -> Outcome:
    """Return the outcome of an operation: it is in the audit, and changes nothing."""
    rejection = examine_operation(command)
    if rejection is not None:
        return unchanged(command, state, "dead_letter", policy_version, rejection)
    outcome = unchanged(command, state, "applied", policy_version)
    return replace(outcome, operation=command.operation, subject=command.subject)


def fold_repair(
    state: UserState,
    command: Command,
    repair: Repair | None,
    cause: Cause,
    append_time: Instant,
    world: World,
) -> Outcome:
    """Fold a command of kind repair.

    Args:
        state: of the command's user; `EMPTY` when there is none.
        repair: what the command carries; None where that is none.
        append_time: of the command, within the years 2 to 9998.

    Returns:
        Its outcome, applied or rejected.
    """
    policy = world.policies.at(append_time)
    last = utc_date(append_time) + 1
    rejection = _examine_repair(state, command, repair, (world.policies.earliest_date, last))
    if rejection is not None or repair is None:
        return unchanged(command, state, "dead_letter", policy.version, rejection)
    # The portals that are due and were not published follow as from any other change of the sets.
    before = replace(
        repair.state,
        revision=state.revision,
        digest=digest_of(repair.state.sets),
        frame_published=state.frame_published,
        checked_policy="",
    )
    delta = StateDelta(
        before.sets, before.tz, before.tz_at, before.tz_id, before.dateline, before.seen_filter
    )
    trigger = Trigger(command.user_id, None, "rebuild", cause, append_time, policy)
    new = transition(before, delta, trigger, world)
    return replace(_applied(command, state, new, policy.version), window=repair.window)


def _examine_repair(
    state: UserState, command: Command, repair: Repair | None, dates: tuple[LocalDate, LocalDate]
) -> Rejection | None:
    rejection = examine_ids(command) or examine_notes(command)
    if rejection is not None:
        return rejection
    # guard (False): a repair is explained
    if not (command.reason and command.ticket):
        return unexplained("repair")
    # guard (False): a repair leads to a state that a worker could have come to
    if repair is None or not is_sensible(repair.state, *dates):
        return rejected("bad_repair", "its payload is no repair of this user that makes sense")
    # guard (False): a repair never undoes what came after it was derived
    if (repair.revision, repair.digest) != (state.revision, state.digest):
        return rejected(
            "state_changed",
            f"it replaces revision {repair.revision}, and the user is at {state.revision} by now; "
            "the rebuild derives it anew",
        )
    return None


def _revoked_by(command: Command, sets: Sets) -> tuple[str, ...]:
    """Return the other requests that revoke the date of an adjustment."""
    if command.kind not in DATED or command.local_date is None:
        return ()
    found = revoking(sets, command.local_date)
    return tuple([request for request in found if request != command.request_id])


def _applied(command: Command, state: UserState, new: Transition, policy_version: str) -> Outcome:
    """Return the outcome of a command that was carried out."""
    return replace(
        unchanged(command, state, "applied", policy_version),
        revision=new.state.revision,
        state=new.state,
        standing=new.standing,
        unlocks=new.unlocks,
        geometry=new.geometry,
        digest_after=new.state.digest,
    )


def unchanged(
    command: Command,
    state: UserState,
    verdict: CommandVerdict,
    policy_version: str,
    rejection: Rejection | None = None,
) -> Outcome:
    """Return the outcome of a command that changes nothing; the audit names what can be named."""
    user_id = command.user_id if is_id(command.user_id) else None
    digest = None if user_id is None else state.digest
    return Outcome(
        action=command.kind if is_command_kind(command.kind) else "unknown",
        actor=command.actor if is_id(command.actor) else "unknown",
        reason=_note(command.reason) or (None if rejection is None else rejection.reason),
        ticket=_note(command.ticket),
        verdict=verdict,
        user_id=user_id,
        local_date=command.local_date,
        rejection=rejection,
        digest_before=digest,
        digest_after=digest,
        policy_version=policy_version,
        revision=0 if user_id is None else state.revision,
        revoked_by=_revoked_by(command, state.sets) if rejection is None else (),
    )


def _note(text: str | None) -> str | None:
    return text if text is None or is_note(text) else None
