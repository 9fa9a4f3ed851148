"""What the engine does with its clients, and what it says, where nothing goes wrong by chance."""

import pytest

from pipeline.engine.errors import (
    BrokerError,
    ConsumerLostError,
    IncompatibleTopicsError,
    SlotTakenError,
    TransactionAbortedError,
)
from pipeline.engine.state.checkpoint import CHECKPOINT_KEY
from simulator.agent import AUDIT, INPUTS, TABLES, USERS
from tests.engine.scene import FIRST, WAIT_S, Client, Scene, input_partitions, silent


def test_start_claims_the_folder_and_joins_with_one_producer_and_one_consumer() -> None:
    scene = Scene()
    scene.play(scene.engine.start)
    assert scene.disk.asked[0] == ("claim", ())
    assert [client.asked[0][0] for client in scene.cluster.producers] == ["init_transactions"]
    assert [client.last("subscribe") for client in scene.cluster.consumers] == [
        (INPUTS, scene.engine)
    ]
    assert scene.engine.assignment_epoch == 0


def test_start_is_refused_when_a_changelog_is_not_there() -> None:
    scene = Scene()
    del scene.broker._ids[USERS.changelog]
    with pytest.raises(IncompatibleTopicsError, match=USERS.changelog):
        scene.play(scene.engine.start)
    assert scene.cluster.producers == scene.cluster.consumers == []


def test_nothing_is_done_before_start() -> None:
    with pytest.raises(BrokerError):
        Scene().engine.poll()


def test_a_producer_that_cannot_take_over_is_closed() -> None:
    scene = Scene()

    def prepare(kind: str, client: Client) -> None:
        if kind == "producer":
            client.failing["init_transactions"] = BrokerError("no answer")

    scene.cluster.prepare = prepare
    with pytest.raises(BrokerError, match="no answer"):
        scene.play(scene.engine.start)
    assert [client.count("close") for client in scene.cluster.producers] == [1]
    assert scene.cluster.consumers == []


def test_close_leaves_nothing_open_and_may_come_twice_or_before_start() -> None:
    scene = Scene(partitions=2)
    scene.engine.close()

    def act() -> None:
        scene.started()
        scene.engine.close()
        scene.engine.close()

    scene.feed(b"1")
    scene.play(act)
    assert scene.folder.databases.keys() == {0, 1}
    assert not [each for each in scene.folder.databases.values() if each.holder is not None]
    clients = [*scene.cluster.producers, *scene.cluster.consumers, *scene.cluster.readers]
    assert [client.count("close") for client in clients] == [1] * len(clients)
    assert len(clients) >= 3


def test_close_during_a_restore_leaves_nothing_open() -> None:
    scene = Scene(partitions=2)

    def act() -> None:
        scene.started()
        scene.feed(b"1", partition=0)
        scene.feed(b"2", partition=1)
        scene.once()
        scene.engine.on_revoked(input_partitions([0, 1]))
        scene.cluster.prepare = silent
        scene.folder.put_back({})
        scene.engine.on_assigned(input_partitions([0, 1]))
        scene.engine.poll()
        assert scene.engine.partitions.restoring == {0, 1}
        scene.engine.close()

    scene.play(act)
    assert not [each for each in scene.folder.databases.values() if each.holder is not None]
    assert [reader.count("close") for reader in scene.cluster.readers] == [1, 1]


def test_it_tells_what_was_assigned_opened_committed_and_taken() -> None:
    scene = Scene(partitions=2)

    def act() -> None:
        scene.started()
        scene.feed(b"1", b"2", partition=1)
        scene.engine.commit(scene.folded())
        scene.engine.on_revoked(input_partitions([1]))
        scene.engine.on_lost(input_partitions([0]))

    scene.play(act)
    observed = scene.observed
    assert observed.of("assigned") == [([0, 1],)]
    assert sorted(number for number, _, _ in observed.of("ready")) == [0, 1]
    committed = [records for records, _, _ in observed.of("committed")]
    assert sum(committed) == 2
    assert observed.of("positions")[-1] == ({(INPUTS[0], 1): 2},)
    assert observed.of("revoked") == [([1], False), ([0], True)]
    assert observed.steps[-1] == "revoke" or "revoke" in observed.steps
    assert scene.engine.assignment_epoch == 1


def test_a_commit_that_goes_well_seeks_nowhere_and_says_how_far_the_changelogs_are() -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        fetched = scene.cluster.consumers[0].count("fetch")
        scene.feed(b"1")
        scene.engine.commit(scene.folded())
        assert scene.cluster.consumers[0].count("fetch") == fetched

    scene.play(act)
    positions = scene.engine.partitions.open[0].state.positions
    for table in TABLES:
        records = scene.broker.log(table.changelog, 0).committed()
        assert records[-1].key() == CHECKPOINT_KEY
        assert positions[table.changelog].next_offset == records[-1].offset() + 1
        assert positions[table.changelog].topic_id == scene.broker.topic_ids([table.changelog]).get(
            table.changelog
        )


PACES = pytest.mark.parametrize("ends_by", ["commit", "abort", "agent"])


def paced(ends_by: str, fold_s: float) -> int:
    """What a poll may take after one that was folded for so long and ended so."""
    scene = Scene()

    def act() -> None:
        scene.started()
        scene.world.sleep(20.0)
        scene.feed(b"1")
        poll = scene.folded()
        scene.cluster.producers[0].flush()
        scene.world.sleep(fold_s)
        if ends_by == "abort":
            scene.cluster.producers[0].failing["send_offsets"] = TransactionAbortedError("planted")
        if ends_by == "agent":
            poll.batches[0].fail(TransactionAbortedError("planted"))
        scene.engine.commit(poll)
        scene.cluster.producers[0].failing.clear()
        scene.engine.poll()

    scene.play(act)
    most: int = scene.cluster.consumers[0].last("poll")[0]
    return most


@PACES
def test_after_a_slow_fold_a_poll_takes_half(ends_by: str) -> None:
    assert paced(ends_by, 1.5) == 5_000


@PACES
def test_after_a_quick_fold_a_poll_takes_as_much(ends_by: str) -> None:
    assert paced(ends_by, 0.0) == 10_000


def test_the_first_transaction_records_the_offsets_of_all_inputs() -> None:
    scene = Scene()
    scene.feed(b"1", b"2")

    def act() -> None:
        scene.engine.start()
        scene.caught_up(2)

    scene.play(act)
    offsets, metadata = scene.cluster.producers[0].last("send_offsets")
    assert offsets == {(INPUTS[0], 0): 2, (INPUTS[1], 0): 0}
    assert metadata == scene.cluster.consumers[0].real.group_metadata()
    assert scene.cluster.producers[0].count("begin") == FIRST + 1


def test_a_consumer_that_delivers_nothing_of_what_is_there_is_replaced() -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        scene.feed(b"1")
        scene.may_stall = True
        scene.cluster.consumers[0].real._read = lambda _: []
        scene.caught_up(1)

    scene.play(act)
    assert len(scene.observed.of("stalled")) == 1
    assert len(scene.observed.of("rejoined")) == 1
    assert [consumer.count("close") for consumer in scene.cluster.consumers] == [1, 0]


def test_a_producer_that_is_spent_when_records_came_begins_nothing() -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        scene.feed(b"1")
        consumer, producer = scene.cluster.consumers[0], scene.cluster.producers[0]
        taken = consumer.real._read

        def read(records_max: int) -> object:
            producer.real.is_spent = True
            return taken(records_max)

        consumer.real._read = read
        assert scene.engine.poll() is None
        del consumer.real._read
        scene.caught_up(1)

    scene.play(act)
    assert [producer.count("begin") for producer in scene.cluster.producers] == [FIRST + 1] * 2
    assert len(scene.values(AUDIT)) == 1


def test_times_of_a_commit_are_those_of_the_clock() -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        scene.feed(b"1")
        scene.engine.commit(scene.folded())

    scene.play(act)
    records, commit_s, apply_s = scene.observed.of("committed")[-1]
    assert records == 1
    assert 0.0 < commit_s < 1.0
    assert 0.0 <= apply_s < 1.0


def test_a_poll_waits_for_records_only_when_there_is_nothing_else_to_do() -> None:
    scene = Scene()
    scene.play(scene.started)
    consumer = scene.cluster.consumers[0]
    waits = [arguments[1] for name, arguments in consumer.asked if name == "poll"]
    assert waits[0] == WAIT_S
    assert 0.0 in waits
    scene.play(lambda: scene.rounds(3))
    assert consumer.last("poll") == (scene.config.records_max, WAIT_S)


def test_a_spent_producer_is_left_before_the_next_transaction() -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        scene.cluster.producers[0].real.is_spent = True
        scene.feed(b"1")
        scene.engine.commit(scene.folded())

    scene.play(act)
    first, second = scene.cluster.producers
    assert first.count("close") == 1
    assert first.count("begin") == second.count("begin") == FIRST + 1
    assert scene.cluster.consumers[0].count("check_slot") == 1
    assert len(scene.observed.of("producer_renewed")) == 1
    assert len(scene.values(AUDIT)) == 1


def test_a_producer_is_not_recreated_for_a_slot_that_another_worker_has() -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        scene.cluster.consumers[0].failing["check_slot"] = SlotTakenError("another worker")
        scene.cluster.producers[0].real.is_spent = True
        scene.engine.poll()

    with pytest.raises(SlotTakenError):
        scene.play(act)
    assert len(scene.cluster.producers) == 1


def test_a_lost_consumer_is_replaced_and_its_partitions_come_back() -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        first = scene.cluster.consumers[0]
        first.failing["poll"] = ConsumerLostError("gone")
        assert scene.engine.poll() is None
        assert scene.engine.partitions.input_partitions == set()
        scene.feed(b"1")
        scene.caught_up(1)

    scene.play(act)
    first, second = scene.cluster.consumers
    assert (first.count("close"), second.count("close")) == (1, 0)
    assert second.last("subscribe") == (INPUTS, scene.engine)
    assert [str(reason) for (reason,) in scene.observed.of("rejoined")] == ["gone"]
    assert len(scene.values(AUDIT)) == 1
    assert scene.engine.assignment_epoch == 2
