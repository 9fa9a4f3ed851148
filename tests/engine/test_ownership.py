"""Which partitions a worker has after each thing that may happen to them."""

import pytest

from pipeline.engine import rewrite
from pipeline.engine.errors import (
    BatchFailedError,
    CorruptStoreError,
    ProducerLostError,
    TransactionAbortedError,
)
from pipeline.engine.ports import TopicPartition
from simulator.agent import AUDIT, INPUTS, TOPICS, USERS
from tests.engine.scene import Scene, places, silent


def test_partitions_are_restored_then_open_and_belong_to_the_worker_all_the_time() -> None:
    scene = Scene(partitions=2)

    def act() -> None:
        scene.started()
        partitions = scene.engine.partitions
        assert partitions.open.keys() == {0, 1}
        assert partitions.places == set(places([0, 1]))
        scene.feed(b"1")
        scene.caught_up(1)
        scene.engine.on_revoked(places([0, 1]))
        assert partitions.places == set()
        scene.engine.on_assigned(places([0]))
        assert partitions.restoring == {0}
        assert partitions.places == set(places([0]))
        assert not partitions.open
        scene.settled()
        assert partitions.open.keys() == {0}
        assert scene.cluster.consumers[0].last("fetch")[0] == {(INPUTS[0], 0): 1, (INPUTS[1], 0): 0}

    scene.play(act)
    assert scene.disk.count("open") == 2


def test_a_partition_that_is_restoring_is_given_up_with_its_store() -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        scene.feed(b"1")
        scene.once()
        scene.engine.on_revoked(places([0]))
        scene.cluster.prepare = silent
        scene.engine.on_assigned(places([0]))
        scene.feed(b"2")
        scene.engine.poll()
        scene.engine.on_revoked(places([0]))
        assert scene.engine.partitions.places == set()
        scene.cluster.readers[-1].instead.clear()
        scene.engine.on_assigned(places([0]))
        scene.settled()
        scene.caught_up(2)

    scene.play(act)
    assert scene.disk.count("open") == 1
    assert len(scene.values(AUDIT)) == 2


def test_what_was_not_committed_is_forgotten_when_a_partition_is_given_up() -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        scene.feed(b"1")
        poll = scene.folded()
        assert scene.engine.partitions.open[0].state.overlay
        scene.engine.on_revoked(places([0]))
        scene.engine.on_assigned(places([0]))
        scene.engine.commit(poll)
        scene.caught_up(1)

    scene.play(act)
    assert len(scene.values(AUDIT)) == 1
    assert scene.values(AUDIT) == [b"completions|0|accepted|1|1"]


@pytest.mark.parametrize(
    "error", [TransactionAbortedError("planted"), ProducerLostError("planted")]
)
def test_the_ledger_goes_on_from_what_was_committed(error: Exception) -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        scene.feed(b"1")
        scene.caught_up(1)
        scene.feed(b"2")
        poll = scene.folded()
        scene.cluster.producers[0].failing_after["flush"] = error
        scene.engine.commit(poll)
        scene.cluster.producers[0].failing_after.clear()
        scene.caught_up(2)

    scene.play(act)
    assert [value and value.rsplit(b"|", 1)[1] for value in scene.values(AUDIT)] == [b"1", b"2"]


def test_a_refused_partition_is_told_kept_and_not_fetched() -> None:
    scene = Scene(partitions=2)

    def act() -> None:
        scene.started()
        scene.feed(b"1")
        scene.caught_up(1)
        scene.engine.on_revoked(places([0, 1]))
        scene.broker.group.offsets[TopicPartition(INPUTS[0], 0)] = 5
        scene.engine.on_assigned(places([0, 1]))
        scene.settled()
        partitions = scene.engine.partitions
        assert partitions.open.keys() == {1}
        assert partitions.refused.keys() == {0}
        assert partitions.places == set(places([0, 1]))
        fetched = scene.cluster.consumers[0].last("fetch")[0]
        assert {number for _, number in fetched} == {1}
        scene.engine.on_revoked(places([0]))
        assert partitions.refused == {}

    scene.play(act)
    ((number, reason),) = scene.told.of("refused")
    assert number == 0
    assert "committed offsets are" in reason
    assert reason.endswith("start a new generation")


def corrupt(scene: Scene) -> None:
    """Have partition 0's database damaged from now on."""
    scene.folder.databases[0].is_corrupt = True


def test_a_store_that_breaks_in_an_apply_is_set_aside_and_restored() -> None:
    scene = Scene(partitions=2)

    def act() -> None:
        scene.started()
        scene.feed(b"1")
        scene.feed(b"1", partition=1)
        scene.caught_up(2)
        scene.feed(b"2")
        poll = scene.folded()
        corrupt(scene)
        scene.engine.commit(poll)
        assert scene.engine.partitions.restoring == {0}
        assert scene.engine.partitions.open.keys() == {1}
        fetched = scene.cluster.consumers[0].last("fetch")[0]
        assert fetched == {(INPUTS[0], 1): 1, (INPUTS[1], 1): 0}
        scene.settled()
        scene.feed(b"3")
        scene.caught_up(4)

    scene.play(act)
    assert [reason for _, reason, _ in scene.told.of("set_aside")] == ["the database is damaged"]
    assert len(scene.values(AUDIT)) == 3


def test_a_store_that_breaks_in_an_agents_hands_is_set_aside_and_restored_once() -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        scene.feed(b"1")
        poll = scene.folded()
        poll.batches[0].fail(CorruptStoreError("the agent could not read"))
        scene.engine.commit(poll)
        assert scene.engine.partitions.restoring == {0}
        poll = scene.folded()
        poll.batches[0].fail(CorruptStoreError("again at the same place"))
        scene.engine.commit(poll)

    with pytest.raises(BatchFailedError):
        scene.play(act)
    assert [reason for _, reason, _ in scene.told.of("set_aside")] == ["the agent could not read"]


def test_a_store_that_breaks_again_at_another_place_is_restored_again() -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        for count in (1, 2):
            scene.feed(b"%d" % count)
            poll = scene.folded()
            poll.batches[0].fail(CorruptStoreError("damaged"))
            scene.engine.commit(poll)
            scene.settled()
            scene.caught_up(count)

    scene.play(act)
    assert len(scene.told.of("set_aside")) == 2
    assert len(scene.values(AUDIT)) == 2


@pytest.mark.parametrize("chunk_records", [1, 10_000])
def test_a_lost_changelog_is_written_anew_a_transaction_at_a_time(
    monkeypatch: pytest.MonkeyPatch, chunk_records: int
) -> None:
    monkeypatch.setattr(rewrite, "CHUNK_RECORDS_MAX", chunk_records)
    scene = Scene()

    def act() -> None:
        scene.started()
        scene.feed(b"1", b"2")
        scene.caught_up(2)
        scene.engine.on_revoked(places([0]))
        scene.broker.make_topic(USERS.changelog)
        scene.engine.on_assigned(places([0]))
        scene.settled()
        scene.feed(b"3")
        scene.caught_up(3)

    scene.play(act)
    assert scene.told.of("set_aside") == []
    assert scene.told.steps.count("rewrite") == (1 if chunk_records > 1 else 2)
    records = scene.broker.log(USERS.changelog, 0).committed()
    assert [r.value() for r in records if r.key() == b"ann"] == [b"2", b"3"]
    assert len(scene.values(AUDIT)) == 3


def test_a_rewrite_that_fails_is_recovered_from_and_begun_again() -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        scene.feed(b"1")
        scene.caught_up(1)
        scene.engine.on_revoked(places([0]))
        scene.broker.make_topic(USERS.changelog)
        scene.cluster.producers[0].failing_after["flush"] = TransactionAbortedError("planted")
        scene.engine.on_assigned(places([0]))
        while not scene.told.of("aborted"):
            scene.engine.poll()
        scene.cluster.producers[0].failing_after.clear()
        scene.settled()
        scene.feed(b"2")
        scene.caught_up(2)

    scene.play(act)
    assert [(records, reason) for records, _, reason in scene.told.of("aborted")] == [
        (0, "planted")
    ]
    records = scene.broker.log(USERS.changelog, 0).committed()
    assert [r.value() for r in records if r.key() == b"ann"] == [b"1", b"2"]


def test_a_worker_that_comes_back_goes_on_from_its_disk() -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        scene.feed(b"1")
        scene.caught_up(1)
        scene.engine.close()

    scene.play(act)
    entries = scene.folder.databases[0].entries
    assert entries[b"uann"] == b"1"
    assert b"\x00copy" not in entries
    assert set(TOPICS) >= {USERS.changelog, AUDIT}
