"""Producers that send completions all the while, with nearly everything that clients get wrong.

Owns: the stream of a ledger, how its records are produced, the thread that sends them at a rate.
Does not own: what is in the stream (pipeline/dev/workload/stream.py), and what must follow from it,
which the oracle says.
Invariant: a record that the producer does not take, while the broker is away, is never sent.
"""

import functools
import threading
import time
from typing import Final

import confluent_kafka as ck

from chaos.judge import policy
from chaos.ledger import Ledger
from pipeline.clock import now_ms
from pipeline.dev.workload.ground_truth import InputRecord
from pipeline.dev.workload.reports import Limits, limits_of
from pipeline.dev.workload.stream import Stream
from pipeline.dev.workload.wire import json_only

TICK_S: Final = 0.05
KEEP_MS: Final = 300_000
"""Time for which the producer tries to deliver a record."""


def new_stream(ledger: Ledger, seed: int, users: int) -> Stream:
    """Return a stream of JSON for a ledger's partitions, within the bounds of today's policy."""
    return Stream(seed, users, _limits(), json_only(ledger.partitions))


@functools.cache
def _limits() -> Limits:
    return limits_of(policy().at(now_ms()))


def produce(ledger: Ledger, producer: ck.Producer, record: InputRecord) -> None:
    """Produce a record of a stream to its topic."""
    producer.produce(
        ledger.topic(record.kind),
        record.value,
        record.key,
        partition=-1 if record.partition is None else record.partition,
        headers=list(record.headers),
    )


class Load:
    """Sends a stream at a rate until it is stopped, on a thread of its own.

    Args:
        ledger: whose inputs these are.
        seed, users: of the stream.
        events_per_s: completions or commands a second; duplicates and withdrawals come on top.
    """

    def __init__(self, ledger: Ledger, seed: int, users: int, events_per_s: int) -> None:
        self._producer = ledger.new_producer(
            **{"linger.ms": 5, "enable.idempotence": True, "message.timeout.ms": KEEP_MS}
        )
        self._ledger = ledger
        self._stream = new_stream(ledger, seed, users)
        self._rate = events_per_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self.sent = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and return when what was sent is in the log."""
        self._stop.set()
        self._thread.join()
        self._producer.flush(KEEP_MS / 1000)

    def _run(self) -> None:
        began = time.monotonic()
        asked = 0
        while not self._stop.wait(TICK_S):
            due = int((time.monotonic() - began) * self._rate)
            while asked < due:
                self._send()
                asked += 1
            self._producer.poll(0)

    def _send(self) -> None:
        for record in self._stream.next(now_ms()):
            try:
                produce(self._ledger, self._producer, record)
                self.sent += 1
            except (BufferError, ck.KafkaException):
                self._producer.poll(TICK_S)
