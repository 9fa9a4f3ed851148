"""Completions on their way to the brokers.

Owns: the producer, how many records may be in flight, how long the brokers may take, what an
acknowledgement is.
Does not own: what is a completion (ingest.py), HTTP.
Invariants: a record counts as recorded only when all in-sync replicas have it (acks=all), and the
producer is idempotent, so that its own retries append it once. Records and bytes in flight are
bounded.
A record that was not acknowledged may be in the log all the same: sending it again is safe, because
the pipeline counts a completion once.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import confluent_kafka as ck
import structlog
from confluent_kafka import KafkaError, KafkaException

from pipeline.errors import AwawayError

LINGER_MS: Final = 2
SLOW_S: Final = 2.0
"""With records in flight and no acknowledgement for this long, no more are taken."""

_POLL_S: Final = 0.1
_STOP_S: Final = 5.0
_log = structlog.get_logger("awaway.api.producing")
_client_log = logging.getLogger("awaway.api.kafka")

Headers = list[tuple[str, bytes]]


class BusyError(AwawayError):
    """As many records are in flight as may be.

    **Operator action**: when it lasts, look at the brokers; raise `api_ingest_records_max` when
    they keep up.
    """


class NotAcknowledgedError(AwawayError):
    """The brokers did not acknowledge a record in time, or refused it.

    **Operator action**: look at the brokers and at the topic's in-sync replicas; clients send the
    record again.
    """


class Acknowledged(NamedTuple):
    """Where a record is in the log."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class ProducerLimits:
    """Bounds. `delivery_ms_max`: from a record's hand-over to its acknowledgement."""

    records_max: int
    bytes_max: int
    delivery_ms_max: int


class CompletionProducer:
    """Produces to one topic from an event loop; a Service.

    Args:
        client: librdkafka settings that reach the cluster.
        topic: full name.
        limits: bounds.
        monotonic_s: a clock that never goes back.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        topic: str,
        limits: ProducerLimits,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.topic = topic
        self._client = dict(client)
        self._limits = limits
        self._now_s = monotonic_s
        self._records = 0
        self._bytes = 0
        self.told = {"acknowledged": 0, "failed": 0}
        """How many records the brokers took or did not take."""
        self._moved_s = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="completions", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._producer: Any = None

    @property
    def in_flight(self) -> int:
        """Records that are not acknowledged yet."""
        return self._records

    @property
    def is_dead(self) -> bool:
        """Whether acknowledgements are not served any more, and never will be; False at a stop."""
        began = self._thread.ident is not None
        return began and not self._thread.is_alive() and not self._stopping.is_set()

    async def start(self) -> None:
        """Connect, and serve acknowledgements."""
        self._loop = asyncio.get_running_loop()
        self._producer = self._make()
        self._thread.start()

    async def stop(self) -> None:
        """Wait for what is in flight, for a few seconds."""
        deadline_s = self._now_s() + _STOP_S
        while self._records and self._now_s() < deadline_s:
            await asyncio.sleep(0.02)
        self._stopping.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, 1.0)

    def check_room(self, records: int, size_bytes: int) -> None:
        """Whether some records may be sent now; so that a batch is taken whole or not at all.

        Raises:
            BusyError: too much is in flight.
            NotAcknowledgedError: the brokers do not answer.
        """
        if self._records and self._now_s() - self._moved_s > SLOW_S:
            raise NotAcknowledgedError("the brokers acknowledge nothing at the moment")
        within = self._records + records <= self._limits.records_max
        if not within or self._bytes + size_bytes > self._limits.bytes_max:
            raise BusyError("too many completions are on their way to the brokers")

    def send(self, key: bytes, value: bytes, headers: Headers) -> "asyncio.Future[Acknowledged]":
        """Hand one record over. Call it on the event loop.

        Returns:
            Its acknowledgement, or NotAcknowledgedError, within `delivery_ms_max` and a little.

        Raises:
            BusyError: librdkafka's queue is full.
            NotAcknowledgedError: it cannot be produced, such as when it is too large.
        """
        if self._loop is None:
            raise NotAcknowledgedError("the producer was not started")
        loop, producer, size = self._loop, self._producer, len(key) + len(value)
        answer: asyncio.Future[Acknowledged] = loop.create_future()

        def delivered(error: KafkaError | None, message: Any) -> None:
            loop.call_soon_threadsafe(self._settle, producer, answer, size, error, message)

        try:
            producer.produce(self.topic, value, key, headers=headers, on_delivery=delivered)
        except BufferError as error:
            raise BusyError("the queue to the brokers is full") from error
        except KafkaException as error:
            self._renew_if_dead(producer, error.args[0])
            raise NotAcknowledgedError("it cannot be produced", why=error.args[0].str()) from error
        if not self._records:
            self._moved_s = self._now_s()
        self._records += 1
        self._bytes += size
        return answer

    def _settle(
        self,
        producer: Any,
        answer: "asyncio.Future[Acknowledged]",
        size: int,
        error: KafkaError | None,
        message: Any,
    ) -> None:
        self._records -= 1
        self._bytes -= size
        self.told["acknowledged" if error is None else "failed"] += 1
        if error is None:
            self._moved_s = self._now_s()
        else:
            self._renew_if_dead(producer, error)
        if answer.done():
            return
        if error is None:
            answer.set_result(Acknowledged(message.partition(), message.offset()))
        else:
            failure = NotAcknowledgedError("the brokers did not acknowledge it", why=error.str())
            answer.set_exception(failure)
            answer.exception()  # told, even when nobody waits any more

    def _renew_if_dead(self, producer: Any, error: KafkaError) -> None:
        """An idempotent producer that may have lost its sequence is dead for good: make another.

        What the old one has in flight is answered by it, with this error.
        """
        is_fatal = error.fatal() or error.code() == KafkaError._FATAL
        if is_fatal and producer is self._producer:
            _log.error("the producer is made again", reason=error.str())
            self._producer = self._make()

    def _make(self) -> Any:
        return ck.Producer(
            {
                **self._client,
                "client.id": "awaway-api-completions",
                "acks": "all",
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": LINGER_MS,
                "compression.type": "none",
                "delivery.timeout.ms": self._limits.delivery_ms_max,
                "queue.buffering.max.messages": self._limits.records_max,
                "queue.buffering.max.kbytes": max(1, self._limits.bytes_max // 1024),
                "message.max.bytes": 2 * self._limits.bytes_max,
            },
            logger=_client_log,
        )

    def _run(self) -> None:
        served: set[Any] = set()
        while not self._stopping.is_set():
            producer = self._producer
            served.add(producer)
            self._poll(producer, _POLL_S)
            for old in list(served - {producer}):
                self._poll(old, 0)
                if not len(old):
                    served.discard(old)

    def _poll(self, producer: Any, wait_s: float) -> None:
        try:
            producer.poll(wait_s)
        except KafkaException as error:  # how a fatal error is told
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._renew_if_dead, producer, error.args[0])
