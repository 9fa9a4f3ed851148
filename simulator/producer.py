"""The simulated transactional producer.

Owns: what the broker's answers mean to a transaction, as engine/kafka/producer.py has it.
Does not own: the broker's side (transactions.py), the wire (wire.py).
Invariant: records reach a partition in the order in which they were produced, once.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from pipeline.engine.errors import (
    BrokerError,
    ProducerLostError,
    SlotTakenError,
    TransactionAbortedError,
)
from pipeline.engine.ports import TopicPartition
from simulator.broker import Broker
from simulator.process import Process
from simulator.refusal import (
    FENCED,
    FENCED_MEMBER,
    ILLEGAL_GENERATION,
    UNKNOWN_MEMBER,
    RefusedError,
    UnansweredError,
)
from simulator.wire import Answer, Wire

TRANSACTION_S: Final = 5.0
"""Transaction time-out, in seconds."""

SEND_EVERY: Final = 3
"""Produced records after which those of one partition are sent."""

ABORTING: Final = frozenset({FENCED_MEMBER, ILLEGAL_GENERATION, UNKNOWN_MEMBER})

Content = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]] | None]
Waiting = tuple[Content, Callable[[int], None] | None]


class SimProducer:
    """`TransactionalProducer` on the simulated broker.

    Attributes:
        is_spent: whether a copy of a request may still arrive, and end a later transaction.
    """

    def __init__(self, process: Process, broker: Broker) -> None:
        self._process = process
        self._broker = broker
        self._wire = Wire(process, broker)
        self._producer_epoch = -1
        self._number = 0
        self._began_at = process.world.now
        self._is_empty = True
        self._is_added = False
        self._sent: dict[tuple[str, int], int] = {}
        self._waiting: dict[tuple[str, int], list[Waiting]] = {}
        self._acknowledged: dict[tuple[str, int], list[int]] = {}
        self._unsent = 0
        self.is_spent = False

    def init_transactions(self) -> None:
        """Fence the slot's last producer and abort the transaction that it left open."""
        slot, transactions = self._process.slot, self._broker.transactions
        try:
            self._producer_epoch = self._wire.call(
                "init_transactions", lambda: transactions.init(slot, TRANSACTION_S), TRANSACTION_S
            )
        except UnansweredError as error:
            raise BrokerError("the transactional id cannot be acquired", why=str(error)) from error

    def begin(self) -> None:
        """Open a transaction."""
        self._began_at = self._process.world.now
        self._number += 1
        self._is_empty = True
        self._is_added = False
        self._sent.clear()
        self._waiting.clear()
        self._unsent = 0

    @property
    def _identity(self) -> tuple[str, int, int]:
        return self._process.slot, self._producer_epoch, self._number

    def produce(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes | None]] | None = None,
        on_offset: Callable[[int], None] | None = None,
    ) -> None:
        """Hand over a record; some leave at once, in the background."""
        process = self._process
        if process.dice.at_produce():
            process.world.effects["queue does not drain"] += 1
            raise TransactionAbortedError("the producer's queue does not drain")
        waiting = self._waiting.setdefault((topic, partition), [])
        waiting.append(((key, value, headers), on_offset))
        self._unsent += 1
        if self._unsent % SEND_EVERY == 0:
            process.at("produced")
            if self._broker.is_up and not process.is_silent:
                try:
                    self._send((topic, partition))
                except RefusedError:
                    process.world.tell(process.name, "refused while producing")

    def _send(self, tp: tuple[str, int]) -> None:
        """Have a partition's waiting records appended."""
        waiting = self._waiting.get(tp, [])
        if not waiting:
            return
        self._is_empty = False
        first = self._sent.get(tp, 0)
        contents: list[Content] = [content for content, _ in waiting]
        log = self._broker.log(*tp)
        if not self._is_added:
            self._broker.transactions.add(*self._identity)
            self._is_added = True
        offsets = self._broker.transactions.write(self._identity, log, first, contents)
        for (_, on_offset), offset in zip(waiting, offsets, strict=True):
            if on_offset is not None:
                on_offset(offset)
        self._sent[tp] = first + len(waiting)
        waiting.clear()

    def flush(self) -> None:
        """Return when every record was acknowledged."""
        if not any(self._waiting.values()):
            return
        self._is_empty = False
        try:
            self._add()
            self._wire.call("produce", self._request(), TRANSACTION_S)
        except (RefusedError, UnansweredError) as error:
            raise TransactionAbortedError(f"records were not delivered: {error}") from error
        for tp, waiting in self._waiting.items():
            offsets = self._acknowledged.pop(tp, [])
            for (_, on_offset), offset in zip(waiting, offsets, strict=True):
                if on_offset is not None:
                    on_offset(offset)
            self._sent[tp] = self._sent.get(tp, 0) + len(waiting)
            waiting.clear()

    def _add(self) -> None:
        """Open the transaction on the broker, before the first record."""
        identity, transactions = self._identity, self._broker.transactions
        if not self._is_added:
            self._wire.call("add_partitions", lambda: transactions.add(*identity), TRANSACTION_S)
            self._is_added = True

    def _request(self) -> Callable[[], None]:
        """A request that holds what waits now; it may arrive later, and more than once."""
        identity, broker = self._identity, self._broker
        request = {
            tp: (self._sent.get(tp, 0), [content for content, _ in waiting])
            for tp, waiting in self._waiting.items()
            if waiting
        }
        acknowledged: dict[tuple[str, int], list[int]] = {}
        self._acknowledged = acknowledged

        def arrive() -> None:
            for tp, (first, contents) in request.items():
                log = broker.log(*tp)
                acknowledged[tp] = broker.transactions.write(identity, log, first, contents)

        return arrive

    def send_offsets(self, offsets: Mapping[TopicPartition, int], group_metadata: Any) -> None:
        """Make the inputs' offsets part of the transaction."""
        identity, transactions = self._identity, self._broker.transactions
        wanted: dict[tuple[str, int], int] = {tp: at for tp, at in offsets.items()}  # noqa: C416
        self._is_empty = False
        self._call(
            "send_offsets", lambda: transactions.add_offsets(identity, group_metadata, wanted)
        )

    def commit(self) -> None:
        """Commit."""
        self._end("commit", is_commit=True)

    def abort(self) -> None:
        """Abort."""
        self._end("abort", is_commit=False)

    def _end(self, what: str, *, is_commit: bool) -> None:
        if self._is_empty:
            return
        slot, producer_epoch, transactions = (
            self._process.slot,
            self._producer_epoch,
            self._broker.transactions,
        )
        self._call(what, lambda: transactions.end(slot, producer_epoch, is_commit))

    def _call(self, what: str, do: Callable[[], Answer]) -> Answer:
        asked_again = self._wire.asked_again
        try:
            return self._wire.call(what, do, TRANSACTION_S)
        except UnansweredError as error:
            raise ProducerLostError(f"the broker is away: {what}") from error
        except RefusedError as error:
            raise self._judged(error) from error
        finally:
            self.is_spent = self.is_spent or self._wire.asked_again > asked_again

    def _judged(self, error: RefusedError) -> Exception:
        if error.code in ABORTING:
            return TransactionAbortedError(error.code)
        is_early = self._process.world.now - self._began_at < TRANSACTION_S
        if error.code == FENCED and is_early:
            return SlotTakenError("another worker runs under this slot", why=error.code)
        return ProducerLostError(error.code)

    def close(self) -> None:
        """Drop it."""
        self._waiting.clear()
