"""The rest of the month, sent slowly while other things happen, and how soon it is processed.

Owns: the pace, what is on its way, the longest wait of a partition.
Does not own: what happens meanwhile (rebuild.py), the records (pipeline/dev/workload).
Invariant: inputs are sent in their order; when it is closed, the broker has all of them.
"""

import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, Message, Producer

from pipeline.dev.demo.causes import coordinates_of
from pipeline.dev.demo.errors import DemoError
from pipeline.dev.demo.plain_reader import PlainReader
from pipeline.dev.demo.sending import FLUSH_TIMEOUT_S, PRODUCER, produce
from pipeline.dev.demo.stage import Stage
from pipeline.dev.oracle.events import Coordinates
from pipeline.dev.workload.ground_truth import InputRecord

TRICKLE_S: Final = 120.0
"""Seconds over which the first half of the records is spread."""

MEASURED_S: Final = 20.0
"""Seconds over which the other half is spread, once pauses are measured."""

_TURN_S: Final = 0.05


class Traffic:
    """A thread that sends records; a context manager, which sends what is left at its end.

    Args:
        records: in their order, at least one.

    Attributes:
        audited: how many inputs got an audit entry since this began.
    """

    def __init__(self, stage: Stage, records: Sequence[InputRecord]) -> None:
        self._stage = stage
        self._records = records
        self._kinds = {full: short for short, full in stage.inputs.items()}
        self._next = 0
        self._hurry = threading.Event()
        self._errors: list[Exception] = []
        self._acknowledged: dict[Coordinates, float] = {}
        self._moved: dict[int, float] = {}
        self._measured_from = float("inf")
        self.audited = 0
        self._pause_s = 0.0
        self._producer = Producer({**stage.settings.kafka_client(), **PRODUCER})
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def __enter__(self) -> "Traffic":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._hurry.set()
        self._thread.join()

    def check(self) -> None:
        """See that everything was sent.

        Raises:
            DemoError: the broker refused a record, or a topic cannot be read.
        """
        if self._errors:
            raise DemoError("the traffic broke off", why=str(self._errors[0]))

    def append_time_ms(self) -> int:
        """The stamp of the record that was sent last, ms since the epoch."""
        return self._records[max(0, self._next - 1)].append_time_ms

    def measure(self) -> None:
        """Measure pauses from now on."""
        self._measured_from = time.monotonic()

    def measured(self) -> float:
        """The longest time that a partition with something to do made no progress, in s."""
        return self._pause_s

    def _run(self) -> None:
        settings = self._stage.settings
        began_s = time.monotonic()
        try:
            with PlainReader(
                settings.bootstrap_servers, settings.registry_url, [self._stage.outputs["audit"]]
            ) as reader:
                for _ in reader.rest(FLUSH_TIMEOUT_S):
                    pass  # of the inputs before
                while not self._hurry.is_set():
                    now_s = time.monotonic()
                    trickled = min(0.5, (now_s - began_s) / TRICKLE_S / 2)
                    self._send(trickled + max(0.0, now_s - self._measured_from) / MEASURED_S / 2)
                    for message in reader.poll(_TURN_S):
                        self._note(reader.decode(message.value()))
            self._send(1.0)
            if self._producer.flush(FLUSH_TIMEOUT_S):
                raise DemoError(f"not acknowledged within {FLUSH_TIMEOUT_S:.0f} s")
        except Exception as error:  # noqa: BLE001 - told to whoever waits for this thread
            self._errors.append(error)

    def _send(self, share: float) -> None:
        until = min(len(self._records), int(len(self._records) * share))
        for record in self._records[self._next : until]:
            topic = self._stage.inputs[record.kind]
            produce(self._producer, topic, record, partial(self._delivered, record.kind))
            self._next += 1
        self._producer.poll(0)

    def _delivered(self, kind: str, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._errors.append(DemoError(str(error)))
            return
        place = {"topic": kind, "partition": message.partition(), "offset": message.offset()}
        self._acknowledged[coordinates_of(place, {kind: kind})] = time.monotonic()

    def _note(self, entry: dict[str, Any]) -> None:
        now_s = time.monotonic()
        coordinates = coordinates_of(entry["cause"], self._kinds)
        partition = coordinates[1]
        # A pause begins when the partition has something to do, and has done everything before.
        sent_s = self._acknowledged.pop(coordinates, now_s)
        since_s = max(sent_s, self._moved.get(partition, 0.0), self._measured_from)
        self._pause_s = max(self._pause_s, now_s - since_s)
        self._moved[partition] = now_s
        self.audited += 1
