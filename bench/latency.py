"""From a producer's send to a consumer's sight of the progress record.

Owns: an open-loop producer and a read_committed consumer, a process each, and joining what they
saw.
Does not own: the worker in between (ours.py), the numbers' presentation (histogram.py, report.py).
Invariant: neither side computes anything while the clock runs: both write down raw bytes and times
and are joined afterwards, so that neither is the bottleneck.

Sends are paced by a schedule that waits for nothing (open loop); the send's time is taken just
before `produce`, the sight's just after `poll` returned the record; both are the machine's
monotonic clock, which its processes share. No user comes twice, so that each completion has a
progress record of its own whether the worker collapses or not. The first `WARM_S` seconds are sent
but not counted.
"""

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final

from confluent_kafka import Producer

from bench.errors import BenchError
from bench.loading import PARTITIONS
from pipeline.core.records import PracticeCompleted
from pipeline.dev.workload.ground_truth import InputRecord
from pipeline.dev.workload.steady import Steady, completions_of, records_of, users_once
from pipeline.kafka.reader import Reader

WARM_S: Final = 3.0
SIGHT_TIMEOUT_S: Final = 20.0
START_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True)
class Plan:
    """What to send and where it is to be seen.

    Attributes:
        events_per_s: of the schedule. seconds: counted, without the warming.
        now_ms: milliseconds since 1970, for the events' instants.
    """

    bootstrap: str
    completions: str
    progress: str
    events_per_s: int
    seconds: int
    now_ms: int

    @property
    def warm_events(self) -> int:
        """How many are sent before counting begins."""
        return int(WARM_S * self.events_per_s)

    @property
    def events(self) -> int:
        """How many are sent in all."""
        return self.warm_events + self.seconds * self.events_per_s


@dataclass(frozen=True)
class Latency:
    """What was seen.

    Attributes:
        delays_ms: of each counted event.
        pacing_ms_max: by how much the producer was late on its own schedule, at worst.
    """

    delays_ms: list[float]
    pacing_ms_max: float


def one_each(plan: Plan) -> tuple[list[PracticeCompleted], list[InputRecord]]:
    """One completion for each of `plan.events` users, as values and as records."""
    steady = Steady(plan.events, plan.events, plan.now_ms, duplicate_share=0.0)
    completions = completions_of(steady, users_once(steady))
    return completions, list(records_of(steady, completions))


def measure_latency(plan: Plan, cause_id: Callable[[bytes], str]) -> Latency:
    """Send, see, join. The worker must be up and idle.

    Args:
        cause_id: the completion id in a progress record's bytes.

    Raises:
        BenchError: a completion's progress was not seen within 20 s of the last send.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    ours_sent, theirs_sent = context.Pipe()
    completions, records = one_each(plan)
    seer = context.Process(target=_see, args=(plan, theirs), daemon=True)
    sender = context.Process(target=_send, args=(plan, records, theirs_sent), daemon=True)
    try:
        seer.start()
        _receive(ours, START_TIMEOUT_S, "the consumer did not start")
        sender.start()
        whole_s = WARM_S + plan.seconds + SIGHT_TIMEOUT_S + START_TIMEOUT_S
        sent: list[tuple[float, float]] = _receive(ours_sent, whole_s, "the producer did not end")
        ours.send(None)
        seen: list[tuple[bytes, float]] = _receive(
            ours, SIGHT_TIMEOUT_S + START_TIMEOUT_S, "the consumer did not end"
        )
    finally:
        for process in (sender, seer):
            if process.pid is not None:
                process.kill()
                process.join()
    return _join(plan, completions, sent, {cause_id(value): at_s for value, at_s in seen})


def _join(
    plan: Plan,
    completions: list[PracticeCompleted],
    sent: list[tuple[float, float]],
    seen: dict[str, float],
) -> Latency:
    delays_ms = []
    missing = 0
    for completion, (_, sent_s) in zip(completions, sent, strict=True):
        seen_s = seen.get(completion.completion_id)
        if seen_s is None:
            missing += 1
        else:
            delays_ms.append((seen_s - sent_s) * 1_000)
    if missing:
        raise BenchError("progress records were not seen in time", missing=missing)
    late_ms = max((sent_s - due_s) * 1_000 for due_s, sent_s in sent[plan.warm_events :])
    return Latency(delays_ms[plan.warm_events :], late_ms)


def _receive(connection: Connection, timeout_s: float, what: str) -> Any:
    if not connection.poll(timeout_s):
        raise BenchError(what, timeout_s=timeout_s)
    return connection.recv()


def _send(plan: Plan, records: list[InputRecord], report: Connection) -> None:
    producer = Producer(
        {
            "bootstrap.servers": plan.bootstrap,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "linger.ms": 1,
        }
    )
    producer.list_topics(plan.completions, timeout=10)
    times: list[tuple[float, float]] = []
    start_s = time.monotonic() + 0.1
    for index, record in enumerate(records):
        due_s = start_s + index / plan.events_per_s
        while (wait_s := due_s - time.monotonic()) > 0:
            time.sleep(wait_s)
        sent_s = time.monotonic()
        producer.produce(plan.completions, record.value, record.key)
        times.append((due_s, sent_s))
        producer.poll(0)
    producer.flush(SIGHT_TIMEOUT_S)
    report.send(times)


def _see(plan: Plan, report: Connection) -> None:
    settings = {"bootstrap.servers": plan.bootstrap, "fetch.wait.max.ms": 50}
    reader = Reader(settings, "bench-latency")
    reader.assign(reader.ends([(plan.progress, partition) for partition in range(PARTITIONS)]))
    reader.poll(1, 1)
    report.send(None)
    seen: list[tuple[bytes, float]] = []
    deadline_s = float("inf")
    while len(seen) < plan.events and time.monotonic() < deadline_s:
        records = reader.poll(1, 0.1).records
        seen_s = time.monotonic()
        if not records and deadline_s == float("inf") and report.poll():
            deadline_s = time.monotonic() + SIGHT_TIMEOUT_S
        seen += [(record.value() or b"", seen_s) for record in records]
    reader.close()
    report.send(seen)
