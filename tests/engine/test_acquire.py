"""What a producer does before the first transaction of its slot, and what it leaves to it."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import pytest

from pipeline.engine.errors import BrokerError, SlotTakenError, TransactionAbortedError
from pipeline.engine.machine import Engine
from pipeline.engine.ports import Disk, TopicPartition
from pipeline.engine.transactions.hanging import (
    BROKER_RESTART_S_MIN,
    EXCLUDED_RETRY_S,
    MARKER_DELAY_S_MAX,
)
from simulator.agent import AUDIT, DEAD_LETTERS, INPUTS, USERS
from simulator.group import NOBODY
from tests.engine.scene import WAIT_S, Client, Scene, commit_lost, killed_after


def hang(scene: Scene, topic: str, number: int = 0) -> int:
    """A transaction of this slot that is decided, and nobody was told of; returns its offset."""
    transactions, slot = scene.broker.transactions, scene.process.slot
    producer_epoch = transactions.init(slot, 5.0)
    transactions.add(slot, producer_epoch, 1)
    log = scene.broker.log(topic, number)
    (offset,) = transactions.write((slot, producer_epoch, 1), log, 0, [(b"ann", b"hanging", None)])
    transactions.end(slot, producer_epoch, is_commit=False)
    assert transactions.lose_markers() == 1
    assert log.last_stable_offset == offset
    return offset


def test_with_nothing_open_one_record_and_offsets_of_nobody_are_aborted() -> None:
    scene = Scene()
    scene.play(scene.engine.start)
    (producer,) = scene.cluster.producers
    asked = [name for name, _ in producer.asked]
    assert asked == ["init_transactions", "begin", "produce", "flush", "send_offsets", "abort"]
    topic, number, key, value = producer.last("produce")[:4]
    assert (topic, number, value) == (DEAD_LETTERS, 0, None)
    assert key  # a compacted topic takes no record without one
    assert producer.last("send_offsets") == ({(USERS.changelog, 0): 0}, NOBODY)
    assert scene.observed.steps == ["init_transactions", "abort hanging"]
    assert scene.values(DEAD_LETTERS) == []
    assert scene.offsets() == {}


def test_whatever_has_an_open_end_is_ended_and_stays_unseen() -> None:
    scene = Scene(partitions=2)
    for number, topic in enumerate((AUDIT, USERS.changelog)):
        hang(scene, topic, number)

    def act() -> None:
        scene.one_committed()

    scene.play(act)
    produced = {name[:2] for asked, name in scene.cluster.producers[0].asked if asked == "produce"}
    assert {(AUDIT, 0), (USERS.changelog, 1)} <= produced
    assert len(scene.values(AUDIT)) == 1
    assert b"hanging" not in [
        record.value() for record in scene.broker.log(USERS.changelog, 1).committed()
    ]
    for log in scene.broker.every_log():
        assert log.last_stable_offset == log.next_offset


def test_a_producer_whose_abort_was_asked_twice_is_followed_by_another() -> None:
    scene = Scene()

    def prepare(kind: str, client: Client) -> None:
        if kind == "producer" and not scene.cluster.producers:
            client.real.is_spent = True

    scene.cluster.prepare = prepare
    scene.play(scene.engine.start)
    first, second = scene.cluster.producers
    assert (first.count("close"), second.count("close")) == (1, 0)
    assert [name for name, _ in second.asked] == ["init_transactions"]


@pytest.mark.parametrize("method", ["begin", "produce", "flush", "send_offsets", "abort"])
@pytest.mark.parametrize(
    ("error", "raised"),
    [(BrokerError("planted"), BrokerError), (SlotTakenError("another"), SlotTakenError)],
)
def test_an_acquisition_that_fails_leaves_no_producer(
    method: str, error: Exception, raised: type[Exception]
) -> None:
    scene = Scene()

    def prepare(kind: str, client: Client) -> None:
        client.failing[method] = error

    scene.cluster.prepare = prepare
    with pytest.raises(raised, match=str(error)):
        scene.play(scene.engine.start)
    assert [client.count("close") for client in scene.cluster.producers] == [1]
    assert scene.cluster.consumers == []


@pytest.mark.parametrize("question", ["partition_counts", "ends"])
def test_an_acquisition_that_gets_no_answer_is_tried_again(question: str) -> None:
    scene = Scene()

    def prepare(kind: str, _: Client) -> None:
        scene.cluster.failing = (
            {} if scene.cluster.producers else {question: BrokerError("no answer")}
        )

    scene.cluster.prepare = prepare
    with pytest.raises(BrokerError, match="no answer"):
        scene.play(scene.engine.start)
    scene.cluster.failing.clear()
    scene.play(scene.engine.start)
    assert [client.count("close") for client in scene.cluster.producers] == [1, 0]


def test_a_commit_that_the_broker_lost_is_done_again_and_seen_once() -> None:
    scene = Scene()

    def act() -> None:
        commit_lost(scene)
        scene.feed(b"2")
        scene.caught_up(2)

    scene.play(act)
    assert [(value or b"").split(b"|")[1:3] for value in scene.values(AUDIT)] == [
        [b"0", b"accepted"],
        [b"1", b"accepted"],
    ]
    ((number, reason, _),) = scene.observed.of("quarantined")
    assert number == 0
    assert "more than the group's offsets" in reason
    for log in scene.broker.every_log():
        assert log.last_stable_offset == log.next_offset


def test_a_lost_commit_is_noticed_without_further_inputs() -> None:
    scene = Scene()

    def act() -> None:
        commit_lost(scene)
        scene.caught_up(1)
        scene.rounds(20)

    scene.play(act)
    assert len(scene.values(AUDIT)) == 1
    assert scene.broker.log(AUDIT, 0).last_stable_offset == scene.broker.log(AUDIT, 0).next_offset


def test_an_end_that_is_seen_costs_no_further_producer() -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        scene.engine.close()
        scene.engine = Engine(scene.config, scene.cluster, cast(Disk, scene.disk), scene.observed)
        scene.started()  # its offsets are committed, so nothing follows the acquisition
        scene.rounds(int(3 * MARKER_DELAY_S_MAX / WAIT_S))

    scene.play(act)
    assert len(scene.cluster.producers) == 2


@pytest.mark.parametrize("elsewhere", [None, DEAD_LETTERS])
def test_a_slow_first_transaction_keeps_its_producer(elsewhere: str | None) -> None:
    scene = Scene()
    if elsewhere is not None:  # where the end of the acquisition's own transaction cannot be seen
        hang_elsewhere(scene, elsewhere)

    def act() -> None:
        scene.engine.start()
        scene.feed(b"1")
        while not (poll := scene.engine.poll()):
            pass
        scene.world.sleep(BROKER_RESTART_S_MIN + 0.5)
        for batch in poll.batches:
            batch.done()
        scene.engine.commit(poll)

    scene.play(act)
    assert len(scene.cluster.producers) == 1
    assert scene.observed.of("aborted") == []


def test_the_acquisitions_own_abort_may_be_lost_too() -> None:
    scene = Scene()
    log = scene.broker.log(DEAD_LETTERS, 0)

    def act() -> None:
        killed_after(scene, scene.engine.start)
        assert log.last_stable_offset < log.next_offset
        scene.all_decided()
        scene.rounds(20)

    scene.play(act)
    assert log.last_stable_offset == log.next_offset


def hang_elsewhere(scene: Scene, topic: str) -> None:
    """A transaction of another slot that stays open."""
    other = "blue-9"
    transactions, log = scene.broker.transactions, scene.broker.log(topic, 0)
    producer_epoch = transactions.init(other, 1e9)
    transactions.add(other, producer_epoch, 1)
    transactions.write((other, producer_epoch, 1), log, 0, [(b"ann", b"hanging", None)])


def test_a_hanging_transaction_of_another_slot_stops_nobody() -> None:
    scene = Scene()
    hang_elsewhere(scene, AUDIT)

    def act() -> None:
        scene.started()
        for number in range(8):
            scene.feed(b"%d" % number)
            poll = scene.folded()
            scene.world.sleep(BROKER_RESTART_S_MIN + 0.5)
            scene.engine.commit(poll)

    scene.play(act)
    assert len(scene.cluster.producers) == 1
    assert scene.observed.of("aborted") == []
    assert scene.offsets()[INPUTS[0], 0] == 8


def refusing(scene: Scene, times: int) -> list[Client]:
    """Have the audit take no record in a flush, so many times; returns whose flush failed."""
    failed: list[Client] = []

    def prepare(kind: str, client: Client) -> None:
        if kind != "producer":
            return
        real, refused = client.real.produce, []

        def produce(topic: str, *rest: Any) -> None:
            if topic == AUDIT and len(failed) < times:
                refused.append(topic)
            else:
                real(topic, *rest)

        def flush(flush: Callable[[], None] = client.real.flush) -> None:
            flush()
            if refused and len(failed) < times:
                failed.append(client)
                raise TransactionAbortedError("not enough replicas")

        client.real.produce, client.real.flush = produce, flush

    scene.cluster.prepare = prepare
    return failed


def test_a_partition_that_takes_no_record_twice_is_excluded() -> None:
    scene = Scene()
    hang(scene, AUDIT)
    failed = refusing(scene, 9)
    scene.play(scene.engine.start)
    assert len(failed) == 2
    assert [client.count("close") for client in scene.cluster.producers] == [1, 1, 0]
    assert scene.broker.log(AUDIT, 0).last_stable_offset == 0


def test_a_partition_that_does_not_answer_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    ends = scene.cluster.ends
    monkeypatch.setattr(
        scene.cluster, "ends", lambda partitions: dict(list(ends(partitions).items())[1:])
    )
    with pytest.raises(BrokerError, match="no answer from 1 partitions"):
        scene.play(scene.engine.start)


def test_an_acquisition_that_fails_in_all_its_tries_says_why() -> None:
    scene = Scene()
    hang(scene, AUDIT)
    refusing(scene, 9)
    failing = iter(("first", "second", "third"))
    prepare = scene.cluster.prepare

    def each(kind: str, client: Client) -> None:
        prepare(kind, client)
        if kind == "producer":
            flush, why = client.real.flush, next(failing)

            def fail() -> None:
                with suppress(TransactionAbortedError):
                    flush()
                raise TransactionAbortedError(why)

            client.real.flush = fail

    scene.cluster.prepare = each
    with pytest.raises(BrokerError, match="ending what the slot left open failed: third"):
        scene.play(scene.engine.start)


def test_what_was_excluded_is_ended_once_it_takes_records() -> None:
    scene = Scene()
    hang(scene, AUDIT)
    failed = refusing(scene, 2)
    log = scene.broker.log(AUDIT, 0)

    def act() -> None:
        scene.engine.start()
        assert len(failed) == 2
        scene.rounds(round((EXCLUDED_RETRY_S - 1) / WAIT_S))
        assert log.last_stable_offset == 0
        scene.rounds(round(5 / WAIT_S))
        assert log.last_stable_offset == log.next_offset

    scene.play(act)


def test_a_partition_that_takes_no_record_once_is_ended() -> None:
    scene = Scene()
    hang(scene, AUDIT)
    failed = refusing(scene, 1)
    scene.play(scene.engine.start)
    assert len(failed) == 1
    log = scene.broker.log(AUDIT, 0)
    assert log.last_stable_offset == log.next_offset


def test_where_no_partition_took_a_record_none_is_excluded() -> None:
    scene = Scene()
    hang(scene, AUDIT)

    def prepare(kind: str, client: Client) -> None:
        if not scene.cluster.producers:
            client.failing["flush"] = TransactionAbortedError("no answer")

    scene.cluster.prepare = prepare
    with pytest.raises(BrokerError, match="no answer"):
        scene.play(scene.engine.start)
    assert [client.count("close") for client in scene.cluster.producers] == [1]


def test_written_names_the_partitions_that_the_transaction_may_have_written() -> None:
    scene = Scene(partitions=2)
    found = scene.config.written([1])
    assert TopicPartition(USERS.changelog, 1) in found
    assert TopicPartition(AUDIT, 1) in found
    assert {tp.partition for tp in found} == {1}
    assert set(found.values()) == {None}
