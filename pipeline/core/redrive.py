"""The redrive: an input that was rejected, judged once more as of when it first came.

Owns: the checks on a redrive and on what it carries, and what its outcome names.
Does not own: the payload's bytes (codec/), the judgement (fold.py, fold_command.py), which dead
letters are redriven (ops/deadletters).
Invariant: whatever a redrive carries, it counts at most once, as any input does.

**Two times.** A redrive is appended at B, and carries a record that was appended at A, not after B.
By A it is judged: whether it came too late, how far ahead its clock was, by which policy. For all
else B is now: what the window remembers, and what is published. Portals, frames and progress are
those of B, by the policy of B: progress as of an earlier instant than the record before it would
tell of a streak that may be over.

**Why it cannot count twice.** A command that was carried out is in the user's sets for ever. A
completion is in the window, whose length is W, under the append time of the record by which it
counted; of a redrive that is B, not A. A redrive sees what was remembered since B - W +
`MEMORY_MARGIN_MS`, though its record is older.

- It comes again, as it was or redriven, before or after this: it is seen, as any duplicate is. The
  order of A and of other append times is of no matter: what counted is remembered from then on.
- It comes again as it was, later than B + W. By A it had ended by A + F, so by B + F: the argument
  of policy.py holds with B for the time at which it counted, and it is too late.
- It counted, and that is forgotten: B is more than W - `MEMORY_MARGIN_MS` after that. Then it is
  accepted once more, and its date is one that is practised already: no date is won, no portal and
  no key follow, and all that grows is the revision. The date is the same because what decides it
  is: the session's end and its zone, which are the record's own, and the policy. The one way to
  another date is that the two records, of one session, name different zones, or that a clock which
  was ahead was put right by other amounts on the two sides of a day's start; then it is a date
  beside the first. `awaway deadletters redrive` can say so beforehand only within the window.

The margin is for the window's sweep, which goes by the append times of completions: up to so much
may they be ahead of B, without the verdict depending on whether the sweep was there.

Dates lost to travel are bridged as long as their neighbours are kept (dateline.py); a redrive of
what ended longer ago counts for its own date alone.
"""

import re
from typing import Final

from msgspec.structs import replace

from pipeline.core.calendar import DAY_MS
from pipeline.core.commands import examine_ids, examine_notes, unexplained
from pipeline.core.enumerations import REQUEST_KINDS, is_request_kind
from pipeline.core.fold_command import unchanged
from pipeline.core.outcome import Outcome
from pipeline.core.records import Command, Instant, PracticeCompleted
from pipeline.core.rejection import Rejection, quoted, rejected
from pipeline.core.state import UserState

MEMORY_MARGIN_MS: Final = DAY_MS

PAYLOAD_TOPICS: Final = ("completions", "commands")

_are_coordinates: Final = re.compile(r"[A-Za-z0-9._-]{1,249}\[[0-9]{1,10}\]@[0-9]{1,19}").fullmatch


def examine_redrive(command: Command, append_time: Instant) -> Rejection | None:
    """Return why a redrive cannot be carried out, whatever its payload says, if it cannot.

    Args:
        append_time: of the redrive itself.
    """
    rejection = examine_ids(command) or examine_notes(command)
    if rejection is not None:
        return rejection
    if not (command.reason and command.ticket):
        return unexplained("redrive")
    if command.payload_topic not in PAYLOAD_TOPICS:
        return rejected(
            "bad_payload_topic", f"payload_topic must be one of {', '.join(PAYLOAD_TOPICS)}"
        )
    cause = command.payload_cause or ""
    if _are_coordinates(cause) is None:
        return rejected(
            "bad_payload_cause",
            f"payload_cause must say where the record is, such as awaway.completions[3]@17, not "
            f"{quoted(cause)}",
        )
    if command.payload is None:
        return rejected("no_payload", "a redrive needs the payload that is judged once more")
    if command.payload_append_time is None:
        return rejected("no_payload_append_time", "a redrive needs its record's append time")
    # guard (False): nothing is judged as if it came later than it did
    if command.payload_append_time > append_time:
        return rejected(
            "payload_from_future", "payload_append_time is after the append of the redrive itself"
        )
    return None


def examine_payload(command: Command, event: PracticeCompleted | Command) -> Rejection | None:
    """Return why what a redrive carries is not judged, if it is not.

    Args:
        command: that `examine_redrive` has no objection to.
        event: its payload.
    """
    # guard (False): nobody's input is judged as another user's
    if event.user_id != command.user_id:
        return Rejection(
            "transport",
            "key_not_user",
            f"the redrive is of user {quoted(command.user_id)} and its payload of "
            f"{quoted(event.user_id)}; send it with the key of the payload's user",
        )
    # guard (False): a redrive within a redrive is not carried out
    if isinstance(event, Command) and not is_request_kind(event.kind):
        return rejected(
            "kind_not_redriven",
            f"a redrive carries a completion or a command of kind {', '.join(REQUEST_KINDS)}, not "
            f"{quoted(event.kind)}; of a redrive that was rejected, send the payload",
        )
    return None


def of_redrive(command: Command, outcome: Outcome) -> Outcome:
    """Return the outcome of a redrive from that of what it carries: who asked, and what for."""
    return replace(
        outcome,
        action="redrive",
        actor=command.actor,
        reason=command.reason,
        ticket=command.ticket,
        rejection=None if outcome.rejection is None else _placed(command, outcome.rejection),
        subject=command.payload_cause,
    )


def redrive_rejected(
    command: Command, state: UserState, rejection: Rejection, policy_version: str
) -> Outcome:
    """Return the outcome of a redrive whose payload is not judged."""
    # equivalent (string): neither has the form of coordinates
    cause = command.payload_cause or ""
    is_placed = _are_coordinates(cause) is not None
    shown = _placed(command, rejection) if is_placed else rejection
    outcome = unchanged(command, state, "dead_letter", policy_version, shown)
    return replace(outcome, subject=cause if is_placed else None)


def _placed(command: Command, rejection: Rejection) -> Rejection:
    """Return a rejection that names the original record."""
    return replace(rejection, detail=f"Redriven from {command.payload_cause}: {rejection.detail}")
