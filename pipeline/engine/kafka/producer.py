"""The engine's producer on librdkafka.

Owns: the producer settings that exactly-once rests on, and what each librdkafka error means to a
transaction.
Does not own: the order of calls (machine.py); what is known about librdkafka as such
(pipeline/kafka/__init__.py).

Errors are classified in librdkafka's order: first those after which the transaction must be
aborted, then those that may be retried; all others lose the producer. A producer is fenced when its
transaction outlives its time-out, or when another worker runs under the slot. A producer that is
fenced before its time-out was fenced by another worker.
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
"""Max seconds that the client waits in one call; a call that timed out may be made again."""

HANG_S: Final = 2 * CALL_S_MAX
"""Seconds after which a call hangs: the client did not keep `CALL_S_MAX`, its own time limit."""

BACKOFF_S: Final = 0.1
"""Seconds between two attempts of a call, and per wait for a full queue."""

RETRY_MS: Final = 500
"""Milliseconds, give or take a fifth, before librdkafka sends a request again."""

SENT_ONCE_S_MAX: Final = 0.35
"""Max seconds of a call whose request was certainly sent only once."""

_FENCED: Final = frozenset(
    {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}
)


class KafkaProducer:
    """`TransactionalProducer` on librdkafka.

    Attributes:
        is_spent: whether a request took so long that it may have been sent twice.
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
        """Fence the slot's last producer and abort the transaction that it left open.

        Raises:
            BrokerError: the broker did not answer; try again with a new producer.
        """
        self._began_at = time.monotonic()
        try:
            self._retrying(lambda: self._client.init_transactions(CALL_S_MAX))
        except (TransactionAbortedError, ProducerLostError) as error:
            raise BrokerError("the transactional id cannot be acquired", why=str(error)) from error

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
        """Queue a record in librdkafka; wait while its queue is full."""
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
            raise self._classified(self._named(error)) from error

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
        """Wait for the queue to drain, for as long as the transaction may be open."""
        if time.monotonic() - self._began_at > self._timeout_s:
            raise TransactionAbortedError("the producer's queue does not drain")
        self._serving(lambda: self._client.poll(BACKOFF_S))

    def flush(self) -> None:
        """Wait until the broker has acknowledged every record."""
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
        """Commit the transaction.

        Raises:
            ProducerLostError: the outcome is unknown.
        """
        self._timed(lambda: self._client.commit_transaction(CALL_S_MAX))

    def abort(self) -> None:
        """Abort the transaction.

        The broker itself aborts a transaction that outlived its time-out. The client would then ask
        for a new producer epoch, and so fence another worker that has acquired the slot's id while
        this one was frozen.

        Raises:
            ProducerLostError: the outcome is unknown.
        """
        if time.monotonic() - self._began_at > self._timeout_s:
            raise ProducerLostError("the transaction outlived its time-out")
        self._timed(lambda: self._client.abort_transaction(CALL_S_MAX))

    def close(self) -> None:
        """Drop the client without waiting for what it has queued."""
        if not self._caller.is_given_up:
            self._caller.stop()
            self._client.purge()

    def _timed(self, call: Callable[[], object]) -> None:
        """Make a call, and mark the producer as spent if its request may have been sent twice.

        librdkafka has no KIP-890 (its issue 5423), so the next transaction has the same producer
        epoch: a delayed copy of the request would take effect on it.
        """
        started = time.monotonic()
        try:
            self._retrying(call)
        finally:
            self.is_spent = self.is_spent or time.monotonic() - started > SENT_ONCE_S_MAX

    def _retrying(self, call: Callable[[], object]) -> None:
        """Call until it succeeds, fails for good, or takes as long as a transaction may be open.

        By then the broker aborts the transaction anyway, and a client whose calls do not return, as
        after some restarts of a broker, has to be replaced.
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
                    raise self._classified(error) from error
                if time.monotonic() > deadline:
                    raise ProducerLostError(f"the broker does not answer: {cause.str()}") from error
                time.sleep(BACKOFF_S)
            else:
                return

    def _serving(self, call: Callable[[], int]) -> int:
        """Make a call inside which the client runs its callbacks.

        The client raises a fatal error from inside a callback. If it then writes a log line, that
        fails too, and the call raises a SystemError or an AttributeError about the logger instead.
        """
        try:
            return call()
        except KafkaException as error:
            raise self._classified(error) from error
        except (SystemError, AttributeError) as error:
            raise self._classified(self._hidden(error)) from error

    def _hidden(self, error: Exception) -> KafkaException:
        """The fatal error behind one about the logger: each later call of the client repeats it."""
        cause = error.__cause__
        fatal = cause if isinstance(cause, KafkaException) else self._fatal_error()
        if fatal is None:
            raise error
        return fatal

    def _named(self, error: KafkaException) -> KafkaException:
        """The fatal error itself, where producing reports only that there was one.

        A fenced producer must not be replaced: the new one would fence the worker that fenced it.
        """
        is_unnamed = error.args[0].code() == KafkaError._FATAL
        return (self._fatal_error() if is_unnamed else None) or error

    def _fatal_error(self) -> KafkaException | None:
        try:
            self._client.begin_transaction()  # fails in any case, as a transaction is open
        except KafkaException as error:
            return error
        return None

    def _classified(self, error: KafkaException) -> Exception:
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
