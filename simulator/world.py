"""Virtual time, randomness and scheduling: the events of a run, in an order that the seed decides.

Owns: the virtual clock, the queue of what happens next, tasks that wait, the trace.
Does not own: what happens (run.py, storm.py), faults (faults.py).
Invariant: one thing happens at a time, and what happens next depends on the seed alone; so a seed
replays exactly, in any process. (Nothing may iterate over a set of strings.)

A task is a greenlet: the engine is plain synchronous code, and any call of it into the simulated
world may wait while other workers go on.
"""

import heapq
from collections import Counter
from collections.abc import Callable
from random import Random

from greenlet import getcurrent, greenlet

Trace = list[tuple[float, str, str]]


class World:
    """One run.

    Attributes:
        now: seconds since the start of the run.
        random: the one source of chance.
        trace: (time, who, what), when it is kept.
        effects: how often each fault was seen to have an effect.
    """

    def __init__(self, seed: int, *, keep_trace: bool = False) -> None:
        self.now = 0.0
        self.random = Random(seed)
        self.trace: Trace | None = [] if keep_trace else None
        self.effects: Counter[str] = Counter()
        self._queue: list[tuple[float, int, Callable[[], object]]] = []
        self._number = 0
        self._hub = getcurrent()

    def tell(self, who: str, what: str) -> None:
        """Note what happens now."""
        if self.trace is not None:
            self.trace.append((round(self.now, 6), who, what))

    def later(self, delay_s: float, call: Callable[[], object]) -> None:
        """Have something happen after a while."""
        self._number += 1
        heapq.heappush(self._queue, (self.now + delay_s, self._number, call))

    def spawn(self, run: Callable[[], None]) -> None:
        """Start a task."""
        self.later(0.0, greenlet(run, self._hub).switch)

    def sleep(self, seconds: float) -> None:
        """Let others go on; only a task may call this."""
        self._number += 1
        heapq.heappush(self._queue, (self.now + seconds, self._number, getcurrent().switch))
        self._hub.switch()

    def run(self, until: Callable[[], bool], deadline_s: float) -> bool:
        """Let things happen until a condition holds, looked at after each; returns whether it does.

        Args:
            until: the condition.
            deadline_s: time of the run after which nothing more happens.
        """
        queue = self._queue
        while queue and not until():
            when, _, call = queue[0]
            if when > deadline_s:
                self.now = deadline_s
                break
            heapq.heappop(queue)
            self.now = when
            call()
        return until()

    def between(self, low: float, high: float) -> float:
        """A moment of chance."""
        return low + (high - low) * self.random.random()
