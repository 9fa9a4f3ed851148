"""Commands with a payload: repairs and redrives, from their bytes to their outcome.

Owns: decoding a payload, and which fold it goes through.
Does not own: the rules of either (core/fold_command.py, core/redrive.py), writing (processing.py).
Invariant: whatever a payload's bytes, the outcome is one of the command that carries it. Only a
registry that does not answer fails the batch, as for any input.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from pipeline.codec.errors import DecodeError, RegistryUnavailableError
from pipeline.codec.repairs import decode_repair
from pipeline.codec.state import StateDecodeError, encode_state
from pipeline.core.outcome import Outcome
from pipeline.core.progress import progress_standing
from pipeline.core.records import Cause, Command, Instant, PracticeCompleted
from pipeline.core.redrive import (
    MEMORY_MARGIN_MS,
    examine_payload,
    examine_redrive,
    of_redrive,
    redrive_rejected,
)
from pipeline.core.rejection import Rejection
from pipeline.core.state import EMPTY, UserState
from pipeline.engine.errors import BatchPostponedError
from pipeline.worker.outputs import Outputs
from pipeline.worker.rules import Rules
from pipeline.worker.window import Window, is_record

StateOf = Callable[[str], UserState]

_COMMANDS: Final = "commands"


def fold_repair(
    command: Command,
    cause: Cause,
    now: Instant,
    state_of: StateOf,
    outputs: Outputs,
    rules: Rules,
) -> Outcome:
    """Fold a repair.

    Args:
        cause, now: its place and its append time.
        state_of: what the table holds of a user; raises StateDecodeError.
    """
    try:
        state = state_of(command.user_id)
    except StateDecodeError:
        state = EMPTY  # what cannot be decoded is what a repair is for
    repair = decode_repair(command.payload, command.user_id)
    if repair is not None and not all(is_record(*record) for record in repair.window):
        repair = None
    outcome = rules.fold_repair(state, command, repair, cause, now, rules.world)
    if outcome.state is not None and outcome.standing is not None:
        # What cannot be encoded is found here, where it costs this command alone.
        user = (command.user_id, outcome.state, outcome.standing)
        outputs.progress(progress_standing(*user, cause, now, rules.world))
        encode_state(outcome.state)
    return outcome


def fold_redrive(
    command: Command,
    cause: Cause,
    now: Instant,
    state_of: StateOf,
    window: Window,
    rules: Rules,
) -> Outcome:
    """Fold a redrive.

    Args:
        cause, now, state_of: as of `fold_repair`.
        window: of the partition.

    Raises:
        BatchPostponedError: a schema of the payload cannot be asked for; try again.
    """
    state = state_of(command.user_id)
    event = examine_redrive(command, now) or _event_in(command, cause, now, rules)
    judged_at = command.payload_append_time
    if isinstance(event, Rejection):
        return redrive_rejected(command, state, event, rules.world.policies.at(now).version)
    world = msgspec.structs.replace(rules.world, judged_at=judged_at)
    if isinstance(event, Command):
        return of_redrive(command, rules.fold_command(state, event, cause, now, world))
    window.now = now + MEMORY_MARGIN_MS
    return of_redrive(command, rules.fold_completion(state, window, event, cause, now, world))


def _event_in(
    command: Command, cause: Cause, now: Instant, rules: Rules
) -> PracticeCompleted | Command | Rejection:
    """Return what a redrive carries, or why that is not judged."""
    event: PracticeCompleted | Command
    try:
        if command.payload_topic == _COMMANDS:
            event = rules.decoder.decode_command(command.payload)
        else:
            completions = f"{cause.topic.removesuffix(_COMMANDS)}{command.payload_topic}"
            rules.begin(completions, cause.partition, now)
            event = rules.decoder.decode_completion(command.payload)
    except DecodeError as error:
        return Rejection(error.stage, error.reason, error.detail)
    except RegistryUnavailableError as error:
        raise BatchPostponedError("a schema cannot be read yet", why=str(error)) from error
    return examine_payload(command, event) or event
