"""Faust's transport on the engine: a Faust event is a partition's micro-batch.

Owns: the services that Faust expects of a transport, and the hand-over of batches from the engine's
thread to the agents on the event loop.
Does not own: Kafka (kafka/), the order of steps (machine.py).
Invariants: the engine's thread waits while agents fold; a batch that could not be delivered to an
agent fails, so its transaction is aborted; only the engine commits offsets.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

from faust.transport import base
from faust.transport import consumer as faust_consumer
from faust.transport import producer as faust_producer
from faust.types import TP, ConsumerMessage
from mode import Service

from pipeline.engine.batch import Batch, Poll
from pipeline.engine.faust.thread import EngineThread
from pipeline.engine.machine import Engine

logger = logging.getLogger(__name__)

SCHEME: Final = "eos"
"""URL scheme in Faust's `broker` setting; the engine's own settings have the addresses."""


class Producer(faust_producer.Producer):  # type: ignore[misc]
    """Faust's producer does nothing here: outputs leave through the batch's transaction."""

    async def flush(self) -> None:
        """Nothing is buffered."""

    async def create_topic(self, *_: Any, **__: Any) -> None:
        """Topics are made by `awaway topics apply` only."""

    def key_partition(self, topic: str, key: bytes) -> TP:
        """Not used: outputs go to their input's partition number."""
        raise NotImplementedError("outputs leave through Batch.emit")


class Fetcher(Service):  # type: ignore[misc]
    """Faust's fetcher does nothing here: the engine's thread polls."""

    def __init__(self, app: Any, **kwargs: Any) -> None:
        self.app = app
        super().__init__(**kwargs)


class Consumer(faust_consumer.Consumer):  # type: ignore[misc]
    """Starts the engine once the agents have started, and delivers its batches to them."""

    thread: EngineThread | None = None
    _assignment_epoch = 0
    _assigned: frozenset[TP] = frozenset()

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Start the engine; it has the topics in its own configuration."""
        if self.thread is not None:
            return
        loop = asyncio.get_running_loop()
        try:
            engine: Engine = await loop.run_in_executor(None, self.app.make_engine)
        except Exception as error:  # noqa: BLE001 — any error ends the worker
            await self.app.engine_failed(error)
            return

        def hand_over(poll: Poll) -> None:
            future = asyncio.run_coroutine_threadsafe(self._deliver(engine, poll), loop)
            future.add_done_callback(lambda done: _fail_undelivered(poll, done.exception()))

        def failed(error: BaseException) -> None:
            asyncio.run_coroutine_threadsafe(self.app.engine_failed(error), loop)

        self.thread = EngineThread(engine, hand_over, failed)
        self.thread.start()

    async def _deliver(self, engine: Engine, poll: Poll) -> None:
        """Give each batch to the agent of its topic."""
        if poll.assignment_epoch != self._assignment_epoch:
            await self._rebalanced(engine, poll.assignment_epoch)
        for batch in poll.batches:
            await self.callback(self._message(batch))

    def _message(self, batch: Batch) -> ConsumerMessage:
        last = batch.records[-1]
        return ConsumerMessage(
            topic=batch.topic,
            partition=batch.partition,
            offset=last.offset(),
            timestamp=last.timestamp()[1] / 1000,
            timestamp_type=0,
            headers=[],
            key=None,
            value=batch,
            checksum=None,
            serialized_key_size=0,
            serialized_value_size=0,
            tp=TP(batch.topic, batch.partition),
            generation_id=self.app.consumer_generation_id,
        )

    async def _rebalanced(self, engine: Engine, assignment_epoch: int) -> None:
        """Give Faust's agents and conductor the partitions of the new assignment."""
        before, app = self._assigned, self.app
        assigned = frozenset(
            TP(topic, number) for topic, number in engine.partitions.input_partitions
        )
        self._assignment_epoch, self._assigned = assignment_epoch, assigned
        app.consumer_generation_id = assignment_epoch
        await app.agents.on_rebalance(set(before - assigned), set(assigned - before))
        await app.topics.on_partitions_assigned(set(assigned))
        app.flow_control.resume()

    async def stop_engine(self) -> None:
        """Finish the current transaction, then end the engine's thread."""
        if self.thread is None:
            return
        loop, stop_s = asyncio.get_running_loop(), self.app.stop_s
        if not await loop.run_in_executor(None, self.thread.stop, stop_s):
            logger.error(
                "the engine did not stop within %.0f s; going on without it",
                stop_s,
            )

    def assignment(self) -> set[TP]:
        """The input partitions of this worker."""
        return set(self._assigned)

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Not used: offsets are part of the engine's transactions."""
        return True

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        return True

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Not used: the engine seeks."""
        return {}

    async def _seek(self, partition: TP, offset: int) -> None:
        raise NotImplementedError("the engine seeks")

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Not used: the engine seeks."""

    async def perform_seek(self) -> None:
        """Not used: the engine seeks."""

    async def _getmany(self, active_partitions: Any, timeout: float) -> dict[TP, Any]:
        return {}

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        raise NotImplementedError("batches come from the engine")

    def _new_topicpartition(self, topic: str, partition: int) -> TP:
        return TP(topic, partition)

    async def create_topic(self, *_: Any, **__: Any) -> None:
        """Topics are made by `awaway topics apply` only."""

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        """Not used: the engine restores."""
        return {}

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        """Not used: the engine restores."""
        return {}

    def highwater(self, tp: TP) -> int:
        """Not used: the engine measures lag."""
        return 0

    def topic_partitions(self, topic: str) -> int | None:
        """Not used: the engine checks partition counts at its start."""
        return None

    async def position(self, tp: TP) -> int | None:
        """Not used: the engine seeks."""
        return None

    def key_partition(self, topic: str, key: bytes | None, partition: int | None = None) -> Any:
        """Not used: outputs go to their input's partition number."""
        return partition

    def close(self) -> None:
        """Not used: the engine's thread closes the engine."""

    async def wait_empty(self) -> None:
        """Not used: `stop_engine` waits for the current transaction."""


class Transport(base.Transport):  # type: ignore[misc]
    """The engine as a Faust transport."""

    Consumer = Consumer
    Producer = Producer
    Fetcher = Fetcher
    driver_version = "awaway engine on librdkafka"
    default_port = 9092


def _fail_undelivered(poll: Poll, error: BaseException | None) -> None:
    if error is None:
        return
    for batch in poll.batches:
        if not batch.is_done and batch.error is None:
            batch.fail(error)
