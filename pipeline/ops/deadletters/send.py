"""Sends requests about many letters at a rate, and gathers what became of each.

Owns: the rate, how many are on their way at once, when nothing more is sent.
Does not own: sending one and reading back (ops/adjust/send.py), which are sent (plan.py).
Invariants: after a request whose effect does not come, nothing more is sent. What was handed to the
brokers is never said to be unsent: it is in the log or may be, and the next run finds out.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final, Literal, Protocol, TypeAlias

import msgspec

from pipeline.codec.partitioner import OF_ITS_KEY
from pipeline.core.enumerations import PublishedVerdict
from pipeline.core.records import Command
from pipeline.ops.adjust.bulk import Pace
from pipeline.ops.adjust.send import Effect, Pending, overdue

IN_FLIGHT_MAX: Final = 200
"""Requests that wait for their effect at the same time."""

Became: TypeAlias = PublishedVerdict | Literal["not_read_back", "not_sent"]


class Result(msgspec.Struct, frozen=True):
    """What became of a request.

    Attributes:
        rejection: the reason, where it was rejected. why: its effect is not known.
        revision: of the user after it; 0 without a user. seconds: until it was read back.
    """

    became: Became
    rejection: str | None = None
    why: str = ""
    revision: int = 0
    seconds: float = 0.0


class Sends(Protocol):
    """What of `Corrections` is needed here."""

    pending: dict[str, Pending]

    def send(self, command: Command, create_time_ms: int = 0, partition: int = OF_ITS_KEY) -> None:
        """Hand it to the brokers."""
        ...

    def poll(self) -> list[Effect]:
        """The effects that are known by now."""
        ...

    def forget(self, one: Pending) -> None:
        """Wait no more for it."""
        ...


def send_all(
    commands: Sequence[tuple[Command, int]],
    corrections: Sends,
    pace: Pace,
    tell: Callable[[int, int], None],
) -> dict[str, Result]:
    """Send requests in their order, and wait for their effects.

    Args:
        commands: each with its partition, or `OF_ITS_KEY`.
        tell: told how many are done, of how many.

    Returns:
        What became of each, by request id.

    Raises:
        NotSentError, UnreadableLogError: the brokers take nothing, or refuse.
    """
    queue = list(reversed(commands))
    unsent = Result("not_sent", why="the run ended before")
    results = {one.request_id: unsent for one, _ in commands}
    began_s, sent, done = time.monotonic(), 0, 0
    while queue or corrections.pending:
        due = 1 + int((time.monotonic() - began_s) * pace.per_s)
        while queue and sent < due and len(corrections.pending) < IN_FLIGHT_MAX:
            command, partition = queue.pop()
            corrections.send(command, partition=partition)
            sent += 1
        for effect in corrections.poll():
            done += 1
            results[effect.request_id] = Result(
                effect.verdict, effect.rejection, "", effect.revision, effect.seconds
            )
        for one in _overdue(corrections, pace.wait_s):
            queue.clear()
            corrections.forget(one)
            done += 1
            why = str(overdue(one, pace.wait_s))
            results[one.command.request_id] = Result("not_read_back", why=why)
        tell(done, len(commands))
    return results


def _overdue(corrections: Sends, wait_s: float) -> list[Pending]:
    now_s = time.monotonic()
    return [
        one
        for one in corrections.pending.values()
        if one.error is not None or now_s - one.sent_s > wait_s
    ]
