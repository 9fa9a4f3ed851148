"""Each step of a rebuild in the audit, before it has any effect.

Owns: the operation that a step is, sending it, knowing where it lies.
Does not own: what a worker does with an operation (core/), what a step does (job.py).

Ordering that it relies on: a step is one operation in each partition that it concerns, and it is
acknowledged there before anything of the step is done: of all for start and abort, of those with
users who change for approve and rollback. Repairs go to the same partitions, so in each chain the
entry that says who approved what stands before the first repair, whatever was killed in between. In
one partition alone it would prove that for the users of that partition only; in all of them, a
partition that nobody processes would hold up the repairs of the others.
A step that goes on is the same operation: where it lies is known, and it is not sent again. Where
somebody was killed before that could be noted, it is sent again under the same request id; it
changes nothing, and the audit may have it twice.
"""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Final

from pipeline.core.records import Command
from pipeline.errors import AwawayError
from pipeline.ops.adjust.send import Corrections, Effect, Pending, overdue
from pipeline.ops.rebuilds import Rebuild, Step

SENT_S_MAX: Final = 20.0
"""Seconds within which the brokers must acknowledge a step."""

AUDITED_S_MAX: Final = 60.0
"""Seconds within which workers must audit a step that has users repaired."""


class NotAuditedError(AwawayError):
    """A worker refused the operation that a step is.

    **Operator action**: do all workers run this release? Nothing was changed.
    """


def enter(
    corrections: Corrections,
    rebuild: Rebuild,
    partitions: Collection[int],
    stamp: int,
    note: Callable[[], None],
    *,
    is_awaited: bool,
) -> None:
    """Have the last step of a rebuild in the log of some partitions.

    Args:
        corrections: entered.
        partitions: that it concerns; where it lies already it is not sent again.
        stamp: of the commands where topics have simulated time, ms; 0 is now.
        note: writes the rebuild down, with the places that are known.
        is_awaited: wait until workers have audited it, too; until then no place is known.

    Raises:
        NotSentError, NotReadBackError, UnreadableLogError: see there; nothing of the step is done.
        NotAuditedError: a worker refused it.
    """
    number, step = len(rebuild.steps) - 1, rebuild.steps[-1]
    for partition in partitions:
        if partition not in step.places:
            corrections.send(_command(rebuild, number, partition), stamp, partition)
    within_s = AUDITED_S_MAX if is_awaited else SENT_S_MAX
    deadline_s = time.monotonic() + within_s
    waiting = list(corrections.pending.values())
    try:
        while waiting:
            effects = corrections.poll()
            waiting = _left(waiting, step, effects if is_awaited else None)
            if waiting and (waiting[0].error is not None or time.monotonic() > deadline_s):
                raise overdue(waiting[0], within_s)
    finally:
        note()


def _left(
    waiting: Sequence[Pending], step: Step, effects: Sequence[Effect] | None
) -> list[Pending]:
    """Note the places of what is done, and return what is waited for yet.

    Args:
        effects: that were read; None where being in the log is enough.
    """
    for effect in effects or ():
        if effect.verdict not in ("applied", "repeated"):
            raise NotAuditedError(
                f"{step.what} was refused, and nothing is done: {effect.rejection}",
                why=f"{effect.place} became a {effect.verdict}",
                fix="do all workers run this release? then look at it with `awaway explain`",
            )
    known = {effect.request_id: effect.place for effect in effects or ()}
    left = []
    for one in waiting:
        place = one.place if effects is None else known.get(one.command.request_id)
        if place is None:
            left.append(one)
        else:
            step.places[place.partition] = place.offset
    return left


def _command(rebuild: Rebuild, number: int, partition: int) -> Command:
    step = rebuild.steps[number]
    return Command(
        f"{rebuild.id}-{number}-{step.what}-{partition}",
        "",
        "operation",
        step.actor,
        step.reason or None,
        step.ticket or None,
        operation=f"rebuild.{step.what}",
        subject=step.about,
    )
