"""Produces inputs to the brokers.

Owns: the producer, how many records may be in flight, how long the brokers may take, what counts as
an acknowledgement.
Does not own: what a completion is (receiving.py), what a correction is (adjusting.py), HTTP.
Invariants: a record counts as recorded only when all in-sync replicas have it (acks=all), and the
producer is idempotent, so its own retries append the record once. Records and bytes in flight are
bounded.
A record that was not acknowledged may be in the log all the same: sending it again is safe, because
the pipeline counts a completion once, and carries a request out once.
A record is refused for good only when the brokers refused it alone: they judge a whole batch, so a
record that is too large or invalid gets its neighbours refused with it. Each of those is sent once
more, alone.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import confluent_kafka as ck
import structlog
from confluent_kafka import KafkaError, KafkaException

from pipeline.codec.partitioner import OF_ITS_KEY
from pipeline.errors import AwawayError

LINGER_MS: Final = 2
"""Max ms that a record waits for others of its batch."""

SLOW_S: Final = 2.0
"""Seconds without an acknowledgement, while records are in flight, after which none is accepted."""

SILENT_S: Final = 15.0
"""Seconds between two records that timed out, with no acknowledgement between, after which the
producer is replaced: after a restart of the only broker some never send anything again."""

BATCH_BYTES: Final = 1_000_000
"""Max bytes of a batch (librdkafka's `batch.size`); a larger record is a batch of its own."""

RefusalReason = Literal["too_large", "invalid_record"]
_REFUSALS: Final[Mapping[int, RefusalReason]] = {
    KafkaError.MSG_SIZE_TOO_LARGE: "too_large",
    KafkaError.RECORD_LIST_TOO_LARGE: "too_large",
    KafkaError.INVALID_RECORD: "invalid_record",
}
_OF_THE_BATCH: Final = frozenset({*_REFUSALS, KafkaError._INVALID_DIFFERENT_RECORD})
"""Errors that the brokers give for all records of a batch because of one of them."""

_POLL_S: Final = 0.1
_STOP_S: Final = 5.0
_log = structlog.get_logger("awaway.api.producing")
_client_log = logging.getLogger("awaway.api.kafka")

Headers = list[tuple[str, bytes]]


class BusyError(AwawayError):
    """The max number of records is in flight.

    **Operator action**: if it lasts, look at the brokers; raise `api_ingest_records_max` if they
    keep up.
    """


class NotAcknowledgedError(AwawayError):
    """The brokers did not acknowledge a record in time, or refused it.

    **Operator action**: look at the brokers and at the topic's in-sync replicas; clients send the
    record again.
    """


class RecordRefusedError(AwawayError):
    """The brokers will never take this record, however often it is sent.

    Args:
        reason: too_large or invalid_record.

    **Operator action**: none while it is rare; else compare `api_body_bytes_max` with the topic's
    `max.message.bytes`, which the record's key and headers count towards as well.
    """

    def __init__(self, reason: RefusalReason, why: str) -> None:
        super().__init__("the brokers never take this record", why=why, reason=reason)
        self.reason = reason


class Acknowledged(NamedTuple):
    """The position of an acknowledged record in the log."""

    partition: int
    offset: int


class TooLargeRequestError(AwawayError):
    """A request has more than may ever be in flight.

    **Operator action**: none; where clients need it, raise `api_ingest_records_max` and
    `api_ingest_mib_max`.
    """


@dataclass(slots=True)
class _Sending:
    """A record in flight. `is_alone`: whether it is a batch of its own."""

    key: bytes
    value: bytes
    headers: Headers
    answer: "asyncio.Future[Acknowledged]"
    partition: int
    is_alone: bool = False

    @property
    def size(self) -> int:
        return len(self.key) + len(self.value)


@dataclass(frozen=True, slots=True)
class ProducerLimits:
    """Bounds of the records in flight.

    Attributes:
        delivery_ms_max: max ms from a record's hand-over to its acknowledgement.
    """

    records_max: int
    bytes_max: int
    delivery_ms_max: int


class InputProducer:
    """Produces to one topic from an event loop; a Service.

    Args:
        client: librdkafka settings that reach the cluster.
        topic: full name of the topic.
        limits: bounds of the records in flight.
        monotonic_s: a monotonic clock, s.
        inputs: what is sent, in the plural; it names the client and the thread.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        topic: str,
        limits: ProducerLimits,
        monotonic_s: Callable[[], float] = time.monotonic,
        inputs: Literal["completions", "commands"] = "completions",
    ) -> None:
        self.topic = topic
        self._inputs = inputs
        self._client = dict(client)
        self._limits = limits
        self._now_s = monotonic_s
        self._records = 0
        self._bytes = 0
        self.results: dict[Literal["acknowledged", "refused", "failed"], int] = {
            "acknowledged": 0,
            "refused": 0,
            "failed": 0,
        }
        """Number of records that the brokers took, refused for good, or did not take in time."""
        self._moved_s = 0.0
        self._timed_out_s: float | None = None  # the first since the last acknowledgement
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=inputs, daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._producer: Any = None
        self._one_by_one: Any = None

    @property
    def in_flight(self) -> int:
        """Return the number of records that are not acknowledged yet."""
        return self._records

    @property
    def is_dead(self) -> bool:
        """Tell whether the thread that serves acknowledgements has died; False at a stop."""
        began = self._thread.ident is not None
        return began and not self._thread.is_alive() and not self._stopping.is_set()

    async def start(self) -> None:
        """Make the producer, and begin to serve acknowledgements."""
        self._loop = asyncio.get_running_loop()
        self._producer = self._make()
        self._thread.start()

    async def stop(self) -> None:
        """Wait a few seconds for the records in flight."""
        deadline_s = self._now_s() + _STOP_S
        while self._records and self._now_s() < deadline_s:
            await asyncio.sleep(0.02)
        self._stopping.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, 1.0)

    def check_room(self, records: int, size_bytes: int) -> None:
        """Check that some records may be sent now, so that a request is sent whole or not at all.

        Raises:
            TooLargeRequestError: there are more than may ever be in flight.
            BusyError: too many are in flight now.
            NotAcknowledgedError: the brokers do not answer.
        """
        limits = self._limits
        if records > limits.records_max or size_bytes > limits.bytes_max:
            raise TooLargeRequestError(
                f"{limits.records_max} {self._inputs} of {limits.bytes_max} bytes in all may be on "
                "their way; send fewer at once"
            )
        if self._records and self._now_s() - self._moved_s > SLOW_S:
            raise NotAcknowledgedError("the brokers acknowledge nothing at the moment")
        within = self._records + records <= limits.records_max
        if not within or self._bytes + size_bytes > limits.bytes_max:
            raise BusyError(f"too many {self._inputs} are on their way to the brokers")

    def send(
        self, key: bytes, value: bytes, headers: Headers, partition: int = OF_ITS_KEY
    ) -> "asyncio.Future[Acknowledged]":
        """Hand one record over, on the event loop.

        Args:
            partition: for a command without a user, who decides it otherwise.

        Returns:
            The acknowledgement, or RecordRefusedError or NotAcknowledgedError, within
            `delivery_ms_max` and a little; twice that when the record is sent once more, alone.

        Raises:
            BusyError: librdkafka's queue is full.
            RecordRefusedError: the record is larger than any broker accepts.
            NotAcknowledgedError: the record cannot be produced.
        """
        if self._loop is None:
            raise NotAcknowledgedError("the producer was not started")
        sending = _Sending(key, value, headers, self._loop.create_future(), partition)
        sending.is_alone = sending.size > BATCH_BYTES
        self._hand_over(self._producer, sending)
        if not self._records:
            self._moved_s = self._now_s()
        self._records += 1
        self._bytes += sending.size
        return sending.answer

    def _hand_over(self, producer: Any, sending: _Sending) -> None:
        loop = self._loop

        def delivered(error: KafkaError | None, message: Any) -> None:
            if loop is not None:
                loop.call_soon_threadsafe(self._on_delivery, producer, sending, error, message)

        try:
            producer.produce(
                self.topic,
                sending.value,
                sending.key,
                partition=sending.partition,
                headers=sending.headers,
                on_delivery=delivered,
            )
        except BufferError as error:
            raise BusyError("the queue to the brokers is full") from error
        except KafkaException as error:
            cause = error.args[0]
            self._recreate_if_dead(producer, cause)
            refusal = _REFUSALS.get(cause.code())
            if refusal is not None:
                raise RecordRefusedError(refusal, cause.str()) from error
            raise NotAcknowledgedError("it cannot be produced", why=cause.str()) from error

    def _on_delivery(
        self, producer: Any, sending: _Sending, error: KafkaError | None, message: Any
    ) -> None:
        if error is not None:
            self._recreate_if_dead(producer, error)
            if error.code() in _OF_THE_BATCH and not sending.is_alone and self._is_sent(sending):
                return
        self._records -= 1
        self._bytes -= sending.size
        answer = sending.answer
        if error is None:
            self._moved_s = self._now_s()
            self._timed_out_s = None
            self.results["acknowledged"] += 1
            if not answer.done():
                answer.set_result(Acknowledged(message.partition(), message.offset()))
            return
        refusal = _REFUSALS.get(error.code()) if sending.is_alone else None
        failure: AwawayError
        if refusal is not None:
            self._moved_s = self._now_s()
            self.results["refused"] += 1
            failure = RecordRefusedError(refusal, error.str())
        else:
            self.results["failed"] += 1
            failure = NotAcknowledgedError("the brokers did not acknowledge it", why=error.str())
        if not answer.done():
            answer.set_exception(failure)
            answer.exception()  # mark it as retrieved, even when nobody waits any more

    def _is_sent(self, sending: _Sending) -> bool:
        """Send a record in a batch of its own; returns False when that is impossible."""
        if self._one_by_one is None:
            self._one_by_one = self._make(records_at_once=1)
        try:
            self._hand_over(self._one_by_one, sending)
        except AwawayError:
            return False
        sending.is_alone = True
        return True

    def _recreate_if_dead(self, producer: Any, error: KafkaError) -> None:
        """Replace a producer that never works again: it lost its sequence, or has gone silent.

        The old one still answers its records in flight, with this error.
        """
        is_fatal = error.fatal() or error.code() == KafkaError._FATAL
        if not is_fatal and not self._is_silent(error):
            return
        if producer is self._producer:
            _log.error("the producer is made again", reason=error.str())
            self._producer = self._make()
        elif producer is self._one_by_one:
            self._one_by_one = None

    def _is_silent(self, error: KafkaError) -> bool:
        """Tell whether nothing was acknowledged for so long that the client may be at fault."""
        if error.code() != KafkaError._MSG_TIMED_OUT:
            return False
        now_s = self._now_s()
        since_s = self._timed_out_s
        if since_s is None:
            self._timed_out_s = now_s
        if since_s is None or now_s - since_s < SILENT_S:
            return False
        self._timed_out_s = None
        return True

    def _make(self, records_at_once: int = 10_000) -> Any:
        return ck.Producer(
            {
                **self._client,
                "client.id": f"awaway-api-{self._inputs}",
                "acks": "all",
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": LINGER_MS,
                "batch.num.messages": records_at_once,
                "batch.size": BATCH_BYTES,
                "compression.type": "none",
                "delivery.timeout.ms": self._limits.delivery_ms_max,
                "queue.buffering.max.messages": self._limits.records_max,
                # This counts keys, which check_room does not know; check_room is the bound.
                "queue.buffering.max.kbytes": 1024 + self._limits.bytes_max // 512,
                "message.max.bytes": 2 * self._limits.bytes_max,
            },
            logger=_client_log,
        )

    def _run(self) -> None:
        served: set[Any] = set()
        while not self._stopping.is_set():
            producer, one_by_one = self._producer, self._one_by_one
            served |= {producer} if one_by_one is None else {producer, one_by_one}
            self._poll(producer, _POLL_S)
            for old in list(served - {producer}):
                self._poll(old, 0)
                if not len(old):
                    served.discard(old)

    def _poll(self, producer: Any, wait_s: float) -> None:
        try:
            producer.poll(wait_s)
        except KafkaException as error:  # a fatal error is raised here
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._recreate_if_dead, producer, error.args[0])
