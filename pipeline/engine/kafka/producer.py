"""The engine's producer on librdkafka.

Owns: the producer settings that exactly-once rests on, and what each librdkafka error means to a
transaction.
Does not own: the order of calls (machine.py).

Errors are judged in librdkafka's order: a transaction that must be aborted first, then what may be
tried again, then all else, which loses the producer. A producer is fenced in two cases: its
transaction outlived its time-out, or another worker runs under the slot; only in the second it was
fenced before its time was up.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException

from pipeline.engine.errors import (
    BrokerError,
    ProducerLostError,
    SlotTakenError,
    TransactionAbortedError,
)
from pipeline.engine.kafka.bounded_call import BoundedCaller, GivenUpError
from pipeline.engine.kafka.config import KafkaConfig, logger
from pipeline.engine.ports import Message, TopicPartition

CALL_S_MAX: Final = 2.0
"""One call into the client waits for this long; a call that timed out may be made again."""

HANG_S: Final = 2 * CALL_S_MAX
"""A call that has not come back by then will not: the client does not keep its own time limit."""

BACKOFF_S: Final = 0.1

RETRY_MS: Final = 500
"""librdkafka waits this long, but for a fifth, before it asks the same again."""

ASKED_ONCE_S_MAX: Final = 0.35
"""A request that was answered sooner was asked once only; one of a slow broker may have been."""

_FENCED: Final = frozenset(
    {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}
)


class KafkaProducer:
    """`TransactionalProducer` on librdkafka.

    Attributes:
        is_spent: whether a request of its took so long that it may have been asked twice.
    """

    def __init__(self, config: KafkaConfig) -> None:
        self._timeout_s = config.transaction_timeout_ms / 1000
        self._began_at = time.monotonic()
        self._failed: KafkaError | None = None
        self._caller = BoundedCaller(f"producer calls of {config.slot_id}")
        self._client = ck.Producer(
            {
                "linger.ms": 5,
                "batch.size": 1_000_000,
                "queue.buffering.max.messages": 1_000_000,
                "queue.buffering.max.kbytes": 262_144,
                "retry.backoff.ms": RETRY_MS,
                "retry.backoff.max.ms": 2 * RETRY_MS,
                **config.client,
                **config.producer,
                "transactional.id": config.slot_id,
                "transaction.timeout.ms": config.transaction_timeout_ms,
                "partitioner": "murmur2_random",
            },
            logger=logger,
        )
        self._produce: Callable[..., None] = self._client.produce
        self.is_spent = False

    def init_transactions(self) -> None:
        """Settle what the slot's last producer left open, and fence it.

        Raises:
            BrokerError: the broker does not answer; try again with a new producer.
        """
        self._began_at = time.monotonic()
        try:
            self._retrying(lambda: self._client.init_transactions(CALL_S_MAX))
        except (TransactionAbortedError, ProducerLostError) as error:
            raise BrokerError(
                "the transactional id cannot be taken over", why=str(error)
            ) from error

    def begin(self) -> None:
        """Open a transaction."""
        self._began_at = time.monotonic()
        self._failed = None
        self._retrying(self._client.begin_transaction)

    def produce(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes | None]] | None = None,
        on_offset: Callable[[int], None] | None = None,
    ) -> None:
        """Hand a record to librdkafka; waits while its queue is full."""
        try:
            if headers is None and on_offset is None:
                self._produce(topic, value, key, partition)
            else:
                self._produce(
                    topic,
                    value,
                    key,
                    partition,
                    headers=headers,
                    on_delivery=None if on_offset is None else self._delivery(on_offset),
                )
        except BufferError:
            self._make_room()
            self.produce(topic, partition, key, value, headers, on_offset)
        except KafkaException as error:
            raise self._judged(self._behind(error)) from error

    def _delivery(
        self, on_offset: Callable[[int], None]
    ) -> Callable[[KafkaError | None, Message], None]:
        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                on_offset(message.offset())
            else:
                self._failed = error

        return delivered

    def _make_room(self) -> None:
        """Wait for the queue to drain; the transaction's own time-out bounds how long."""
        if time.monotonic() - self._began_at > self._timeout_s:
            raise TransactionAbortedError("the producer's queue does not drain")
        self._serving(lambda: self._client.poll(BACKOFF_S))

    def flush(self) -> None:
        """Return when every record was acknowledged."""
        remaining = self._serving(lambda: self._client.flush(self._timeout_s))
        if self._failed is not None:
            raise TransactionAbortedError(f"a record was not delivered: {self._failed}")
        if remaining:
            raise TransactionAbortedError(
                f"{remaining} records were not acknowledged within {self._timeout_s:.0f} s"
            )

    def send_offsets(self, offsets: Mapping[TopicPartition, int], group_metadata: Any) -> None:
        """Make the inputs' offsets part of the transaction."""
        listed = [ck.TopicPartition(*tp, offset) for tp, offset in offsets.items()]
        self._timed(
            lambda: self._client.send_offsets_to_transaction(listed, group_metadata, CALL_S_MAX)
        )

    def commit(self) -> None:
        """Commit.

        Raises:
            ProducerLostError: the outcome is not known.
        """
        self._timed(lambda: self._client.commit_transaction(CALL_S_MAX))

    def abort(self) -> None:
        """Abort.

        A transaction that outlived its time is the broker's to abort. The client would ask for a
        new epoch then, and so fence whoever took the slot over from a worker that was frozen.

        Raises:
            ProducerLostError: the outcome is not known.
        """
        if time.monotonic() - self._began_at > self._timeout_s:
            raise ProducerLostError("the transaction outlived its time")
        self._timed(lambda: self._client.abort_transaction(CALL_S_MAX))

    def close(self) -> None:
        """Drop the client without waiting for anything that it still holds."""
        if not self._caller.is_given_up:
            self._caller.stop()
            self._client.purge()

    def _timed(self, call: Callable[[], object]) -> None:
        """Make a call whose request must not be taken for one of the next transaction.

        librdkafka has no KIP-890 (its issue 5423), so the epoch is the same for both, and a copy
        that was held up on its way would be.
        """
        started = time.monotonic()
        try:
            self._retrying(call)
        finally:
            self.is_spent = self.is_spent or time.monotonic() - started > ASKED_ONCE_S_MAX

    def _retrying(self, call: Callable[[], object]) -> None:
        """Call until it succeeds, fails for good, or takes as long as a transaction may.

        By then the broker has aborted the transaction, or will: a client whose calls do not come
        back, as after some restarts of a broker, is worth less than a new one.
        """
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                self._caller.call(call, HANG_S)
            except GivenUpError as error:
                raise ProducerLostError(f"the client hangs: {error}") from error
            except KafkaException as error:
                cause = error.args[0]
                if cause.txn_requires_abort() or not cause.retriable():
                    raise self._judged(error) from error
                if time.monotonic() > deadline:
                    raise ProducerLostError(f"the broker is away: {cause.str()}") from error
                time.sleep(BACKOFF_S)
            else:
                return

    def _serving(self, call: Callable[[], int]) -> int:
        """Make a call that lets the client's callbacks run.

        The client raises a fatal error from inside one of them. When it goes on to write a log
        line, that fails, and what comes out is a SystemError or an AttributeError about the logger.
        """
        try:
            return call()
        except KafkaException as error:
            raise self._judged(error) from error
        except (SystemError, AttributeError) as error:
            raise self._judged(self._hidden(error)) from error

    def _hidden(self, error: Exception) -> KafkaException:
        """The fatal error behind one about the logger: the client tells it at each later call."""
        told = error.__cause__ if isinstance(error.__cause__, KafkaException) else self._told()
        if told is None:
            raise error
        return told

    def _behind(self, error: KafkaException) -> KafkaException:
        """The fatal error of which producing says only that there was one.

        A producer that was fenced must not be recreated: that would fence whoever has the slot.
        """
        is_unnamed = error.args[0].code() == KafkaError._FATAL
        return (self._told() if is_unnamed else None) or error

    def _told(self) -> KafkaException | None:
        try:
            self._client.begin_transaction()  # refused, as one is open
        except KafkaException as told:
            return told
        return None

    def _judged(self, error: KafkaException) -> Exception:
        cause: KafkaError = error.args[0]
        if cause.txn_requires_abort():
            return TransactionAbortedError(cause.str())
        if cause.code() in _FENCED and time.monotonic() - self._began_at < self._timeout_s:
            return SlotTakenError(
                "another worker runs under this slot",
                why=cause.str(),
                fix="give each worker its own AWAWAY_SLOT",
            )
        return ProducerLostError(cause.str())
