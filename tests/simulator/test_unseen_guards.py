"""Guards whose lack no seed brings to light, each tried by hand."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from pipeline.engine.batch import Poll
from pipeline.engine.config import EngineConfig
from pipeline.engine.errors import (
    CorruptStoreError,
    DeliveredTwiceError,
    GenerationTermsError,
    StoreKeepsBreakingError,
    TransactionAbortedError,
)
from pipeline.engine.machine import Engine
from pipeline.engine.observer import EngineObserver
from pipeline.engine.pacing import BACKOFF_S_MAX
from pipeline.engine.ports import TopicPartition, Watermarks
from pipeline.engine.state.opener import misfit
from pipeline.engine.state.store import ChangelogPosition
from simulator.agent import AUDIT, INPUTS, TABLES, TOPICS, USERS, fold
from simulator.broker import Broker
from simulator.cluster import SimCluster
from simulator.disk import Folder, SimDisk
from simulator.faults import Dice
from simulator.process import Process
from simulator.world import World
from tests.simulated import run_task


def scene(terms: str = "") -> tuple[World, Broker, Engine]:
    """A broker with three inputs in one partition, and an engine that is not started."""
    world = World(1)
    broker = Broker(world, 1, 10.0)
    for topic in TOPICS:
        broker.make_topic(topic)
    for event in (b"1", b"2", b"3"):
        broker.log(INPUTS[0], 0).append((b"ann", event, None), 0)
    return world, broker, another(world, broker, terms)


def another(world: World, broker: Broker, terms: str, *, is_broken: bool = False) -> Engine:
    """An engine of the same slot on an empty disk, whose writes may all find it damaged."""
    process = Process(world, Dice(world.random, ()), "w", "blue-0")
    config = EngineConfig(
        "blue", INPUTS, TABLES, 20, 0.5, clock=lambda: world.now, slot_id="blue-0", terms=terms
    )
    disk = _BrokenDisk(process, Folder()) if is_broken else SimDisk(process, Folder())
    return Engine(config, SimCluster(process, broker), disk, EngineObserver())


class _BrokenDisk(SimDisk):
    def open(self, partition: int) -> Any:
        def write(_: object) -> None:
            raise CorruptStoreError("a checksum differs")

        store: Any = super().open(partition)
        store.write = write
        return store


def drive(engine: Engine, polls: int = 10_000, until: Callable[[], bool] = lambda: False) -> None:
    """Poll and commit, as the engine's thread does."""
    for _ in range(polls):
        if until():
            return
        poll = engine.poll()
        if poll is not None:
            for batch in poll.batches:
                fold(batch, len(batch.records))
                batch.done()
            engine.commit(poll)


def next_poll(engine: Engine) -> Poll:
    """The next poll that has records, folded."""
    while True:
        poll = engine.poll()
        if poll is not None:
            for batch in poll.batches:
                fold(batch, len(batch.records))
                batch.done()
            if poll.batches:
                return poll
            engine.commit(poll)


def run(engine: Engine) -> None:
    """Start it, and let it get through everything."""
    engine.start()
    drive(engine, 100)
    engine.close()


def play(world: World, act: Callable[[], object]) -> None:
    """Run a task to its end."""
    run_task(world, act, 100.0)


def test_a_batch_of_an_earlier_assignment_is_not_committed() -> None:
    world, broker, engine = scene()

    def act() -> None:
        engine.start()
        poll = next_poll(engine)
        partitions = [TopicPartition(topic, 0) for topic in INPUTS]
        engine.on_revoked(partitions)
        engine.on_assigned(partitions)
        engine.commit(poll)

    play(world, act)
    assert broker.log(AUDIT, 0).next_offset > 0
    assert not broker.log(AUDIT, 0).committed()


def test_an_applied_offset_that_is_delivered_again_is_a_crash() -> None:
    world, _, engine = scene()

    def act() -> None:
        engine.start()
        engine.commit(next_poll(engine))
        consumer = engine._consumer
        assert consumer is not None
        consumer.fetch({TopicPartition(INPUTS[0], 0): 0})
        next_poll(engine)

    with pytest.raises(DeliveredTwiceError):
        play(world, act)


def test_a_position_in_a_changelog_of_that_name_but_another_id_fits_nothing() -> None:
    position = ChangelogPosition("old", 5)
    assert misfit(position, "c", "new", Watermarks(0, 100))
    assert misfit(position, "c", "old", Watermarks(0, 100)) is None
    assert misfit(position, "c", "old", Watermarks(0, 4))
    assert misfit(position, "c", "old", Watermarks(6, 100))


def test_a_standby_never_rewrites_a_changelog() -> None:
    world, broker, engine = scene()

    def act() -> None:
        engine.start()
        engine.commit(next_poll(engine))
        store = engine.partitions.open[0].state
        consumer = engine._consumer
        assert consumer is not None
        offsets = consumer.committed([TopicPartition(topic, 0) for topic in INPUTS])
        broker.make_topic(USERS.changelog)
        restorer = engine._restorer
        restorer.forget()
        restorer.start({0: store}, offsets)
        assert [table.name for table in restorer.rewrites(0)] == [USERS.name]
        store.is_standby = True
        restorer.start({0: store}, offsets)
        assert restorer.rewrites(0) == []

    play(world, act)


def test_terms_of_a_generation_that_changed_stop_the_worker() -> None:
    world, broker, engine = scene(terms="cycle_days=108")

    def act() -> None:
        engine.start()
        engine.commit(next_poll(engine))
        engine.close()

    play(world, act)
    with pytest.raises(GenerationTermsError, match=r"cycle_days=108.*cycle_days=54") as raised:
        play(world, lambda: run(another(world, broker, "cycle_days=54")))
    assert "AWAWAY_GENERATION" in str(raised.value.fix)
    play(world, lambda: run(another(world, broker, "cycle_days=108")))


def test_a_changelog_that_was_recreated_under_its_writer_is_refused_elsewhere() -> None:
    world, broker, engine = scene()

    def act() -> None:
        engine.start()
        engine.commit(next_poll(engine))
        broker.make_topic(USERS.changelog)
        broker.log(INPUTS[0], 0).append((b"bob", b"4", None), 0)
        engine.commit(next_poll(engine))  # the worker has not noticed yet
        engine.close()
        world.sleep(3.0)  # until the commit is visible

    play(world, act)
    assert broker.log(USERS.changelog, 0).committed()
    elsewhere = another(world, broker, "")
    play(world, lambda: run(elsewhere))
    (refused,) = elsewhere.partitions.refused.values()
    assert USERS.changelog in str(refused)
    assert "disk has" in str(refused)


def test_a_disk_that_breaks_at_each_write_of_a_restore_ends_the_worker() -> None:
    world, broker, engine = scene()

    def act() -> None:
        engine.start()
        engine.commit(next_poll(engine))
        engine.close()

    play(world, act)
    elsewhere = another(world, broker, "", is_broken=True)
    with pytest.raises(StoreKeepsBreakingError):
        play(world, lambda: run(elsewhere))


def test_transactions_that_all_fail_are_tried_less_and_less_often() -> None:
    world, broker, engine = scene()
    begun = []

    def act() -> None:
        engine.start()
        poll = next_poll(engine)
        producer = engine._producer
        assert producer is not None
        original = producer.begin

        def begin() -> None:
            begun.append(world.now)
            original()

        def refuse(*_: object) -> None:
            raise TransactionAbortedError("not allowed")

        producer.begin = begin  # type: ignore[method-assign]
        producer.send_offsets = refuse  # type: ignore[method-assign, assignment]
        engine.commit(poll)
        drive(engine, until=lambda: world.now > 30.0)
        before = len(begun)
        del producer.send_offsets
        drive(engine, until=lambda: bool(broker.log(AUDIT, 0).committed()))
        assert before <= 16

    play(world, act)
    pauses = [after - at for at, after in pairwise(begun)]
    assert max(pauses) < BACKOFF_S_MAX + 1.0
    assert len(broker.log(AUDIT, 0).committed()) == 3
