"""The one way in: an input and what is known before it, to everything that follows from it.

Owns: the order of the steps for a completion and for a command.
Does not own: the steps (the modules it imports), what becomes of an outcome (engine).
Invariants: pure, and total: bad data is an outcome, never an exception. The same input, state,
view, append time and world always give the same outcome.
"""

import msgspec

from pipeline.core.commands import DATED, Request, examine_command, grown_by
from pipeline.core.completion import Sitting, examine
from pipeline.core.dateline import kept_from, observe
from pipeline.core.dedupe import (
    CELL_MS,
    SeenCompletion,
    SeenUpdate,
    SeenView,
    Session,
    admit,
    alert_for,
    assumption_alert,
    duplicate_of,
)
from pipeline.core.outcome import Outcome, World
from pipeline.core.records import (
    COMMAND_KINDS,
    Cause,
    Command,
    Instant,
    LocalDate,
    PracticeCompleted,
    ReconciliationAlert,
)
from pipeline.core.rejection import Rejection
from pipeline.core.runs import with_number
from pipeline.core.seen_filter import Traces, may_be_seen, trace_of, with_trace
from pipeline.core.sets import Sets, revoking
from pipeline.core.state import NEVER, UserState
from pipeline.core.texts import is_id, is_note
from pipeline.core.transition import Change, Grown, settle

__all__ = ["Outcome", "Rejection", "World", "fold_command", "fold_completion"]

_COMPLETION = "completion"
_USER = "user"
_UNKNOWN = "unknown"


def fold_completion(
    state: UserState,
    seen: SeenView,
    completion: PracticeCompleted,
    cause: Cause,
    append_time: Instant,
    world: World,
) -> Outcome:
    """Fold one completion.

    Args:
        state: of the completion's user; `EMPTY` when there is none.
        seen: the windowed table, up to date with everything before this event.
        completion: of the right types, otherwise anything at all.
        append_time: of the event, within the years 2 to 9998.

    Returns:
        Its outcome; the verdict is accepted, exact, twin, collision, overlap or dead_letter.
    """
    policy = world.policies.at(append_time)
    sitting = examine(completion, append_time, policy)
    if isinstance(sitting, Rejection):
        return _aside(completion, state, sitting, policy.version)
    user_id, completion_id = completion.user_id, completion.completion_id
    traces = state.traces
    trace = trace_of(completion_id, completion.session_id)
    # guard (False): what may be seen is looked up
    if may_be_seen(traces, trace):
        duplicate = duplicate_of(seen, completion)
        if duplicate is not None:
            return _duplicate(completion, state, sitting, duplicate, cause, policy.version)
    session = Session(
        sitting.started_at,
        sitting.completed_at,
        completion_id,
        cause.topic,
        cause.partition,
        cause.offset,
    )
    crossed, covers = admit(seen, user_id, session, traces.last_cell)
    keep_from = kept_from(append_time, world.policies.late_ms_max)
    change = Change(user_id, completion.practice, world.origin, cause, append_time, policy)
    last_cell = (session.end - 1) // CELL_MS
    traces = with_trace(traces, trace, last_cell, append_time, world.policies.window_ms)
    grown = _grown(state, completion, sitting, keep_from, traces, policy.bridge_shift)
    settled = settle(state, grown, change, world)
    is_noticed = crossed is not None or sitting.zone_assumed
    return Outcome(
        _COMPLETION,
        _USER,
        None,
        None,
        "accepted" if crossed is None else "overlap",
        user_id,
        sitting.local_date,
        settled.state,
        settled.standing,
        SeenUpdate(_remembered(completion, sitting, cause, append_time), covers),
        settled.unlocks,
        settled.geometry,
        _noticed(seen, completion, sitting, crossed, cause) if is_noticed else (),
        None,
        state.digest,
        settled.state.digest,
        policy.version,
        settled.state.revision,
        sitting.zone.name,
        sitting.zone_assumed,
        revoking(state.sets, sitting.local_date),
    )


def _grown(
    state: UserState,
    completion: PracticeCompleted,
    sitting: Sitting,
    keep_from: LocalDate,
    traces: Traces,
    shift_counts: bool,
) -> Grown:
    """Return the sets, zone and crossing with an accepted completion in them."""
    sets, date = state.sets, sitting.local_date
    crossing, bridges = observe(
        state.crossing, date, sitting.completed_at, sitting.zone, keep_from, shift_counts
    )
    practised = with_number(sets.practised, date)
    bridged = sets.bridged
    for bridge in bridges:
        bridged = with_number(bridged, bridge)
    if practised is not sets.practised or bridged is not sets.bridged:
        sets = Sets(
            practised,
            bridged,
            sets.credits,
            sets.revocations,
            sets.withdrawals,
            sets.claims,
            sets.unlocked,
        )
    tz, tz_at, tz_id = state.tz, state.tz_at, state.tz_id
    if (sitting.completed_at, completion.completion_id) > (tz_at, tz_id):
        tz, tz_at, tz_id = sitting.zone.name, sitting.completed_at, completion.completion_id
    return Grown(sets, tz, tz_at, tz_id, crossing, traces)


def _remembered(
    completion: PracticeCompleted, sitting: Sitting, cause: Cause, append_time: Instant
) -> SeenCompletion:
    return SeenCompletion(
        completion.completion_id,
        completion.session_id,
        completion.practice,
        completion.started_at,
        completion.completed_at,
        cause.topic,
        cause.partition,
        cause.offset,
        append_time,
        sitting.zone.name,
        sitting.local_date,
    )


def _aside(
    completion: PracticeCompleted, state: UserState, rejection: Rejection, policy_version: str
) -> Outcome:
    user_id = completion.user_id if is_id(completion.user_id) else None
    digest = None if user_id is None else state.digest
    return Outcome(
        action=_COMPLETION,
        actor=_USER,
        reason=rejection.reason,
        verdict="dead_letter",
        user_id=user_id,
        rejection=rejection,
        digest_before=digest,
        digest_after=digest,
        policy_version=policy_version,
        revision=0 if user_id is None else state.revision,
    )


def _duplicate(
    completion: PracticeCompleted,
    state: UserState,
    sitting: Sitting,
    duplicate: tuple[str, SeenCompletion],
    cause: Cause,
    policy_version: str,
) -> Outcome:
    verdict, original = duplicate
    return Outcome(
        action=_COMPLETION,
        actor=_USER,
        verdict=verdict,
        user_id=completion.user_id,
        alerts=(
            alert_for(verdict, completion, sitting.zone.name, sitting.local_date, original, cause),
        ),
        digest_before=state.digest,
        digest_after=state.digest,
        policy_version=policy_version,
        revision=state.revision,
    )


def _noticed(
    seen: SeenView,
    completion: PracticeCompleted,
    sitting: Sitting,
    crossed: Session | None,
    cause: Cause,
) -> tuple[ReconciliationAlert, ...]:
    """Return the alerts of a completion that counts: an overlap, an assumed zone, or both."""
    zone, date = sitting.zone.name, sitting.local_date
    alerts: tuple[ReconciliationAlert, ...] = ()
    if crossed is not None:
        original = seen.by_id(completion.user_id, crossed.completion_id) or crossed
        alerts = (alert_for("overlap", completion, zone, date, original, cause),)
    if sitting.zone_assumed:
        alerts = (*alerts, assumption_alert(completion, date, cause))
    return alerts


def fold_command(
    state: UserState, command: Command, cause: Cause, append_time: Instant, world: World
) -> Outcome:
    """Fold one command.

    Args:
        state: of the command's user; `EMPTY` when there is none.
        command: of the right types, otherwise anything at all.
        append_time: of the command, within the years 2 to 9998.

    Returns:
        Its outcome; the verdict is applied, repeated or dead_letter.
    """
    policy = world.policies.at(append_time)
    request = examine_command(command, state, append_time, world.policies)
    grown = grown_by(state.sets, request) if isinstance(request, Request) else request
    if grown is None:
        return _asked(command, state, "repeated", policy.version)
    if isinstance(grown, Rejection):
        return _asked(command, state, "dead_letter", policy.version, grown)
    origin = "adjustment" if world.origin == "live" else world.origin
    change = Change(command.user_id, None, origin, cause, append_time, policy)
    tz = state.tz
    if isinstance(request, Request) and request.tz is not None and state.tz_at == NEVER:
        tz = request.tz
    kept = Grown(grown, tz, state.tz_at, state.tz_id, state.crossing, state.traces)
    settled = settle(state, kept, change, world)
    return msgspec.structs.replace(
        _asked(command, state, "applied", policy.version),
        revision=settled.state.revision,
        state=settled.state,
        standing=settled.standing,
        unlocks=settled.unlocks,
        geometry=settled.geometry,
        digest_after=settled.state.digest,
    )


def _revoked_by(command: Command, sets: Sets) -> tuple[str, ...]:
    """Return the other requests that revoke the date of an adjustment."""
    if command.kind not in DATED or command.local_date is None:
        return ()
    found = revoking(sets, command.local_date)
    return tuple([request for request in found if request != command.request_id])


def _asked(
    command: Command,
    state: UserState,
    verdict: str,
    policy_version: str,
    rejection: Rejection | None = None,
) -> Outcome:
    """Return the outcome of a command that changes nothing, with only what can be told of it."""
    user_id = command.user_id if is_id(command.user_id) else None
    digest = None if user_id is None else state.digest
    return Outcome(
        action=command.kind if command.kind in COMMAND_KINDS else _UNKNOWN,
        actor=command.actor if is_id(command.actor) else _UNKNOWN,
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
