"""The connection between a client and the broker: slow and unreliable.

Owns: requests and answers that are lost, delayed or doubled, and how long a client waits.
Does not own: what is asked (producer.py, consumers.py), what it does (broker.py).
Invariant: whatever happens to a request, the broker handles it at one moment.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from simulator.process import Process
from simulator.refusal import TRY_AGAIN, RefusedError, UnansweredError

if TYPE_CHECKING:
    from simulator.broker import Broker

Answer = TypeVar("Answer")

LATENCY_S: Final = (0.0005, 0.004)
"""Shortest and longest seconds of a request, and of a slow answer."""

SLOW_ANSWERS: Final = 0.3
"""Share of answers that take time."""

REQUEST_S: Final = 1.0
"""Seconds until a client sends a request again that was not answered."""

RETRY_S: Final = 0.1
"""Seconds until a client sends a request again that was refused, or could not be sent."""

LATE_S: Final = (0.5, 9.0)
"""Shortest and longest seconds that a late request or copy is under way."""


class Wire:
    """One client's connection.

    Attributes:
        asked_again: how many of its requests were sent more than once, or given up.
    """

    def __init__(self, process: Process, broker: "Broker") -> None:
        self.process = process
        self.broker = broker
        self.asked_again = 0

    def call(self, what: str, do: Callable[[], Answer], patience_s: float) -> Answer:
        """Have the broker do something.

        Args:
            what: name of the request.
            do: what the broker does; it may do it twice, or after the client gave up.
            patience_s: seconds for which the client sends the request again.

        Raises:
            RefusedError: the broker's answer.
            UnansweredError: none came.
        """
        process, world = self.process, self.process.world
        process.at(what)
        deadline = world.now + patience_s
        while True:
            fault = process.dice.at_request()
            process.rest(world.between(*LATENCY_S))
            if not self._reaches():
                self._count_away()
                process.rest(RETRY_S)
            elif fault:
                self._mistreat(fault, what, do, patience_s)
            else:
                try:
                    answer = do()
                except RefusedError as error:
                    if error.code not in TRY_AGAIN:
                        raise
                    process.rest(RETRY_S)
                else:
                    if world.random.random() < SLOW_ANSWERS:
                        process.rest(world.between(*LATENCY_S))
                    if self._reaches():
                        process.at(f"{what} answered")
                        return answer
                    self._count_away()
                    self.asked_again += 1
            if world.now > deadline:
                self.asked_again += 1
                raise UnansweredError(what)

    def _reaches(self) -> bool:
        return self.broker.is_up and self.process.world.now >= self.process.cut_off_until

    def _count_away(self) -> None:
        cause = "worker cut off" if self.broker.is_up else "broker restarted"
        self.process.world.effects[cause] += 1

    def _mistreat(self, fault: str, what: str, do: Callable[[], object], patience_s: float) -> None:
        """Apply a fault to one attempt of a request."""
        process, world = self.process, self.process.world
        world.tell(process.name, f"{what}: {fault}")

        def arrive() -> None:
            if not self.broker.is_up:
                return
            try:
                do()
            except RefusedError:
                world.tell("broker", f"refused a late {what} of {process.name}")

        if fault == "asked again later":
            process.rest(RETRY_S)
        elif fault == "request lost":
            process.rest(REQUEST_S)
        elif fault == "answer lost":
            self.asked_again += 1
            arrive()
            process.rest(REQUEST_S)
        elif fault == "late copy of a request":
            self.asked_again += 1
            world.later(world.between(*LATE_S), arrive)
            process.rest(RETRY_S)
        elif fault == "no answer":
            arrive()
            process.rest(patience_s)
        else:
            world.later(patience_s + world.between(*LATE_S), arrive)
            process.rest(patience_s)
        world.effects[fault] += 1
