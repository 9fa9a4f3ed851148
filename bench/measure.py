"""How fast a peer goes, seen from outside, and what it takes for that.

Owns: the one method by which every peer is measured.
Does not own: starting and stopping peers (peer.py), whether they were right (outcome.py).
Invariant: nothing inside a peer reports its own speed.

The input stands complete in its topic. While a peer works, its group's committed offsets are read
every `POLL_S`; each rise is a step. The rate is the slope from the first step at or past a tenth of
the input (what comes before is start-up, joining the group and warming) to the last step before the
end (the step to the end itself may be a commit that waited for a timer, not for work). So a peer
that commits rarely (Faust: every 2.8 s) and one that commits with each transaction are treated
alike. Where there are too few steps for that, as in a quick run, it is the events over the time
since the start.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import psutil
from confluent_kafka import KafkaError

from bench.loading import PARTITIONS
from pipeline.kafka.errors import UnreadableLogError
from pipeline.kafka.reader import Reader

POLL_S: Final = 0.025
MEMORY_POLL_S: Final = 0.1
WARM_SHARE: Final = 0.1
WARM_SPAN_SHARE_MIN: Final = 0.3

NOT_YET: Final = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)
"""A new broker says these until its first group exists."""


@dataclass(frozen=True)
class Step:
    """So many events were committed, seen at `at_s` seconds after the peer's start.

    Attributes:
        cpu_s: processor time that the peer had taken by then, over all its threads.
    """

    at_s: float
    events: int
    cpu_s: float = 0.0


@dataclass(frozen=True)
class Rate:
    """Events per second, and what one event cost.

    Attributes:
        cpu_us: processor time of the peer per event, in microseconds, the broker's not included. It
            says what a busy machine hides from the rate.
        warm: a warm slope; False when the start-up is included.
    """

    events_per_s: float
    cpu_us: float
    warm: bool


def rate_of(steps: list[Step], events: int) -> Rate:
    """The rate that a series of commits shows.

    Args:
        steps: in order of time, rising; the last one is the end.
        events: in the input; 1 and up.

    Returns:
        The slope of the module's docstring, or the whole run's rate when there are no two steps
        between the warm mark and the end.
    """
    warm = [step for step in steps if events * WARM_SHARE <= step.events < events]
    if len(warm) >= 2 and warm[-1].events - warm[0].events >= events * WARM_SPAN_SHARE_MIN:
        return _slope(warm[0], warm[-1], warm=True)
    return _slope(Step(0.0, 0), steps[-1], warm=False)


def _slope(first: Step, last: Step, *, warm: bool) -> Rate:
    events = last.events - first.events
    cpu_us = (last.cpu_s - first.cpu_s) * 1e6 / events
    return Rate(events / (last.at_s - first.at_s), cpu_us, warm)


class CommitWatch:
    """The committed offsets of one group on one topic, as a series of steps.

    It asks the group coordinator and is no member of the group.
    """

    def __init__(self, bootstrap: str, group: str, topic: str) -> None:
        self._partitions = [(topic, partition) for partition in range(PARTITIONS)]
        self._reader = Reader({"bootstrap.servers": bootstrap}, group, timeout_s=10.0)
        self._start_s = 0.0
        self.steps: list[Step] = []

    def started(self) -> None:
        """The peer is started just now: time counts from here."""
        self._start_s = time.perf_counter()

    def look(self, cpu_s: Callable[[], float]) -> int:
        """Read the committed offsets once.

        Args:
            cpu_s: processor time of the peer so far; asked when there is a step.

        Returns:
            Events committed so far, over all partitions.
        """
        before = self.steps[-1].events if self.steps else 0
        try:
            committed = self._reader.committed(self._partitions)
        except UnreadableLogError as error:
            if error.code in NOT_YET:
                return before
            raise
        at_s = time.perf_counter() - self._start_s
        events = sum(at or 0 for at in committed.values())
        if events > before:
            self.steps.append(Step(at_s, events, cpu_s()))
        return events

    def close(self) -> None:
        """Let go of the connection."""
        self._reader.close()


class ProcessWatch:
    """What some processes and their children take. Memory is sampled on a thread."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._processes = [psutil.Process(pid) for pid in pids]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory-watch", daemon=True)
        self.peak_bytes = 0
        self._thread.start()

    def cpu_s(self) -> float:
        """Processor time so far, in user and system mode, over all threads; 0 once it has ended."""
        try:
            times = [member.cpu_times() for member in self._family()]
        except psutil.NoSuchProcess:
            return 0.0
        return sum(each.user + each.system for each in times)

    def close(self) -> int:
        """Stop sampling.

        Returns:
            The peak of resident memory, in bytes.
        """
        self._stop.set()
        self._thread.join()
        return self.peak_bytes

    def _family(self) -> list[psutil.Process]:
        return [
            member
            for process in self._processes
            for member in (process, *process.children(recursive=True))
        ]

    def _sample(self) -> None:
        while not self._stop.wait(MEMORY_POLL_S):
            try:
                resident = sum(member.memory_info().rss for member in self._family())
            except psutil.NoSuchProcess:
                continue  # one of them has just ended; the next sample tells
            self.peak_bytes = max(self.peak_bytes, resident)
