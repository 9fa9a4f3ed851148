"""Guards whose lack no seed brings to light, each tried by hand."""

import pytest

from pipeline.engine.batch import Poll
from pipeline.engine.errors import DeliveredTwiceError
from pipeline.engine.machine import Engine
from pipeline.engine.opening import misfit
from pipeline.engine.ports import TopicPartition, Watermarks
from pipeline.engine.store import ChangelogPosition
from simulator.agent import AUDIT, INPUTS, TOPICS, USERS, fold
from simulator.broker import Broker
from simulator.disk import Folder
from simulator.faults import Dice
from simulator.process import Process
from simulator.worker import Worker
from simulator.world import World


class _Quiet:
    """A witness that hears nothing."""

    def sample(self, worker: Worker, partition: int) -> None: ...
    def refused(self, worker: Worker, partition: int, reason: str) -> None: ...
    def ended(self, worker: Worker) -> None: ...


def scene() -> tuple[World, Broker, Engine]:
    """A broker with three inputs in one partition, and an engine that is not started."""
    world = World(1)
    broker = Broker(world, 1, 10.0)
    for topic in TOPICS:
        broker.make_topic(topic)
    for event in (b"1", b"2", b"3"):
        broker.log(INPUTS[0], 0).append((b"ann", event, None), 0)
    process = Process(world, Dice(world.random, ()), "w", "blue-0")
    return world, broker, Worker(process, Folder(), broker, _Quiet()).engine


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


def play(world: World, act: object) -> None:
    """Run a task to its end."""
    ended: list[BaseException | None] = []

    def run() -> None:
        try:
            act()  # type: ignore[operator]
        except Exception as error:  # noqa: BLE001 — raised again below, outside of the task
            ended.append(error)
        else:
            ended.append(None)

    world.spawn(run)
    assert world.run(lambda: bool(ended), 100.0)
    if ended[0] is not None:
        raise ended[0]


def test_a_batch_of_an_earlier_assignment_is_not_committed() -> None:
    world, broker, engine = scene()

    def act() -> None:
        engine.start()
        poll = next_poll(engine)
        places = [TopicPartition(topic, 0) for topic in INPUTS]
        engine.on_revoked(places)
        engine.on_assigned(places)
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


def test_a_mere_copy_never_replaces_a_changelog() -> None:
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
        restorer.start({0: store}, offsets)
        assert [table.name for table in restorer.rewrites(0)] == [USERS.name]
        store.is_copy = True
        restorer.start({0: store}, offsets)
        assert restorer.rewrites(0) == []

    play(world, act)
