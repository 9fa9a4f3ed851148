"""A producer of inputs that goes on after whatever happens to the broker.

Owns: how a record is produced, the client, replacing one that has gone silent.
Does not own: what is sent, and when (load.py, cohort.py).
Invariant: a record that a client does not take, or still has when it is replaced, is not sent
again: the log alone says what was sent.

After a restart of the only broker some clients deliver nothing any more, for good, and do not say
so: while it starts, its metadata names no broker at all, and the client then forgets the one it
knew (librdkafka, issue 5301, fits what was seen).
"""

import time
from typing import Any, Final

import confluent_kafka as ck

from chaos.ledger import Ledger
from pipeline.dev.workload.ground_truth import InputRecord

KEEP_MS: Final = 300_000
"""Time for which a client tries to deliver a record."""

SILENT_S: Final = 20.0
"""Seconds without an acknowledgement, with records to deliver, after which a client is replaced."""

POLL_S: Final = 0.05


def produce(ledger: Ledger, producer: ck.Producer, record: InputRecord, **more: Any) -> None:
    """Produce a record to its topic; `more` goes to the client."""
    producer.produce(
        ledger.topic(record.kind),
        record.value,
        record.key,
        partition=-1 if record.partition is None else record.partition,
        headers=list(record.headers),
        **more,
    )


class Sender:
    """Sends records, used by one thread.

    Args:
        ledger: whose inputs these are.

    Attributes:
        replaced: clients that had gone silent.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.replaced = 0
        self._begin()

    def _begin(self) -> None:
        settings = {"linger.ms": 5, "enable.idempotence": True, "message.timeout.ms": KEEP_MS}
        self._client = self._ledger.new_producer(**settings)
        self._heard_s = time.monotonic()
        self._is_refused = False

    def send(self, record: InputRecord) -> None:
        """Hand a record over; one that the client does not take is not sent."""
        was_idle = not len(self._client)
        try:
            produce(self._ledger, self._client, record, on_delivery=self._delivered)
        except (BufferError, ck.KafkaException):
            self._is_refused = True
            self.poll(POLL_S)
            return
        self._is_refused = False
        if was_idle:
            self._heard_s = time.monotonic()

    def poll(self, wait_s: float = 0.0) -> None:
        """Let the client work, and replace it if it has gone silent."""
        self._client.poll(wait_s)
        is_waiting = len(self._client) > 0 or self._is_refused
        if is_waiting and time.monotonic() - self._heard_s > SILENT_S:
            self._client.purge()
            self.replaced += 1
            self._begin()

    def flush(self) -> None:
        """Return when what was sent is in the log, or its client has gone silent."""
        replaced = self.replaced
        while len(self._client) and self.replaced == replaced:
            self.poll(POLL_S)

    def _delivered(self, error: Any, _message: Any) -> None:
        if error is None:
            self._heard_s = time.monotonic()
