"""Which partitions a worker has after each thing that may happen to them."""

from collections.abc import Mapping

import pytest

from pipeline.engine.batch import OpenPartition
from pipeline.engine.errors import (
    BatchFailedError,
    CorruptStoreError,
    ProducerLostError,
    TransactionAbortedError,
)
from pipeline.engine.observer import EngineObserver
from pipeline.engine.ports import TopicPartition
from pipeline.engine.state.opener import BREAKS_MAX
from pipeline.engine.state.store import PartitionStore
from simulator.agent import AUDIT, INPUTS, TOPICS, USERS
from tests.engine.scene import Scene, input_partitions, silent


def test_partitions_are_restored_then_open_and_belong_to_the_worker_all_the_time() -> None:
    scene = Scene(partitions=2)

    def act() -> None:
        scene.started()
        partitions = scene.engine.partitions
        assert partitions.open.keys() == {0, 1}
        assert partitions.input_partitions == set(input_partitions([0, 1]))
        scene.feed(b"1")
        scene.caught_up(1)
        scene.engine.on_revoked(input_partitions([0, 1]))
        assert partitions.input_partitions == set()
        scene.engine.on_assigned(input_partitions([0]))
        assert partitions.restoring == {0}
        assert partitions.input_partitions == set(input_partitions([0]))
        assert not partitions.open
        scene.all_decided()
        assert partitions.open.keys() == {0}
        assert scene.cluster.consumers[0].last("fetch")[0] == {(INPUTS[0], 0): 1, (INPUTS[1], 0): 0}

    scene.play(act)
    assert scene.disk.count("open") == 2


class Looking(EngineObserver):
    """Looks at the open stores whenever it may.

    Attributes:
        seen: by partition, whether anything is uncommitted, and the offsets that the disk is at.
    """

    def __init__(self) -> None:
        self.seen: list[dict[int, tuple[bool, dict[str, int]]]] = []

    def at_rest(self, opened: Mapping[int, OpenPartition]) -> None:
        now = {}
        for number, one in opened.items():
            checkpoint = one.state.checkpoint
            offsets = {} if checkpoint is None else checkpoint.next_offsets
            now[number] = (bool(one.state.overlay), dict(offsets))
        self.seen.append(now)


def test_open_stores_are_shown_with_each_poll_and_as_the_last_transaction_left_them() -> None:
    scene = Scene()
    looking = Looking()

    def act() -> None:
        scene.started()
        scene.engine.partitions._observer = looking
        scene.feed(b"1", b"2")
        scene.caught_up(2)
        scene.once()
        assert looking.seen[-1] == {0: (False, {INPUTS[0]: 2, INPUTS[1]: 0})}
        assert not any(is_dirty for seen in looking.seen for is_dirty, _ in seen.values())
        shown = len(looking.seen)
        scene.rounds(3)
        assert len(looking.seen) == shown + 3
        scene.engine.on_revoked(input_partitions([0]))
        scene.once()
        assert looking.seen[-1] == {}

    scene.play(act)


def test_a_partition_that_is_restoring_is_given_up_with_its_store() -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        scene.feed(b"1")
        scene.once()
        scene.engine.on_revoked(input_partitions([0]))
        scene.cluster.prepare = silent
        scene.engine.on_assigned(input_partitions([0]))
        scene.feed(b"2")
        scene.engine.poll()
        scene.engine.on_revoked(input_partitions([0]))
        assert scene.engine.partitions.input_partitions == set()
        scene.cluster.readers[-1].instead.clear()
        scene.engine.on_assigned(input_partitions([0]))
        scene.all_decided()
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
        scene.engine.on_revoked(input_partitions([0]))
        scene.engine.on_assigned(input_partitions([0]))
        scene.engine.commit(poll)
        scene.caught_up(1)

    scene.play(act)
    assert len(scene.values(AUDIT)) == 1
    assert scene.values(AUDIT) == [b"completions|0|accepted|1|1"]


@pytest.mark.parametrize(
    "error", [TransactionAbortedError("planted"), ProducerLostError("planted")]
)
def test_the_attachment_goes_on_from_what_was_committed(error: Exception) -> None:
    scene = Scene()

    def act() -> None:
        scene.one_committed()
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
        scene.one_committed()
        scene.engine.on_revoked(input_partitions([0, 1]))
        scene.broker.group.offsets[TopicPartition(INPUTS[0], 0)] = 5
        scene.engine.on_assigned(input_partitions([0, 1]))
        scene.all_decided()
        partitions = scene.engine.partitions
        assert partitions.open.keys() == {1}
        assert partitions.refused.keys() == {0}
        assert partitions.input_partitions == set(input_partitions([0, 1]))
        fetched = scene.cluster.consumers[0].last("fetch")[0]
        assert {number for _, number in fetched} == {1}
        scene.engine.on_revoked(input_partitions([0]))
        assert partitions.refused == {}

    scene.play(act)
    ((number, reason),) = scene.observed.of("refused")
    assert number == 0
    assert "committed offsets are" in reason
    assert reason.endswith("start a new generation")


def corrupt(scene: Scene) -> None:
    """Have partition 0's database damaged from now on."""
    scene.folder.databases[0].is_corrupt = True


def test_a_store_that_breaks_in_an_apply_is_quarantined_and_restored() -> None:
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
        scene.all_decided()
        scene.feed(b"3")
        scene.caught_up(4)

    scene.play(act)
    assert [reason for _, reason, _ in scene.observed.of("quarantined")] == [
        "the database is damaged"
    ]
    assert len(scene.values(AUDIT)) == 3


def test_a_store_that_breaks_in_an_agents_hands_is_quarantined_and_restored_once() -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        scene.feed(b"1")
        poll = scene.folded()
        poll.batches[0].fail(CorruptStoreError("the agent could not read"))
        scene.engine.commit(poll)
        assert scene.engine.partitions.restoring == {0}
        poll = scene.folded()
        poll.batches[0].fail(CorruptStoreError("again at the same offsets"))
        scene.engine.commit(poll)

    with pytest.raises(BatchFailedError):
        scene.play(act)
    assert [reason for _, reason, _ in scene.observed.of("quarantined")] == [
        "the agent could not read"
    ]


def test_a_store_that_breaks_again_at_another_place_is_restored_again() -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        for count in (1, 2):
            scene.feed(b"%d" % count)
            poll = scene.folded()
            poll.batches[0].fail(CorruptStoreError("damaged"))
            scene.engine.commit(poll)
            scene.all_decided()
            scene.caught_up(count)

    scene.play(act)
    assert len(scene.observed.of("quarantined")) == 2
    assert len(scene.values(AUDIT)) == 2


def test_a_worker_that_comes_back_goes_on_from_its_disk() -> None:
    scene = Scene()

    def act() -> None:
        scene.one_committed()
        scene.engine.close()

    scene.play(act)
    entries = scene.folder.databases[0].entries
    assert entries[b"uann"] == b"1"
    assert b"\x00copy" not in entries
    assert set(TOPICS) >= {USERS.changelog, AUDIT}


def test_a_worker_that_leaves_has_no_partition_and_no_store_open() -> None:
    scene = Scene(partitions=3)

    def act() -> None:
        scene.started()
        scene.engine.on_revoked(input_partitions([1, 2]))
        scene.engine.on_assigned(input_partitions([2]))
        partitions = scene.engine.partitions
        assert partitions.open.keys() == {0}
        assert partitions.restoring == {2}
        scene.engine.close()
        assert partitions.input_partitions == set()
        assert [database.holder for database in scene.folder.databases.values()] == [None] * 3

    scene.play(act)


def test_each_assignment_has_the_standbys_thought_over() -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        scene.rounds(3)
        thought_over = len(scene.observed.of("standbys"))
        scene.engine.on_assigned([])
        scene.rounds(3)
        assert len(scene.observed.of("standbys")) == thought_over + 1
        scene.engine.partitions.restore_anew()
        scene.all_decided()
        scene.rounds(3)
        assert len(scene.observed.of("standbys")) == thought_over + 2

    scene.play(act)


def test_records_of_a_partition_that_is_not_open_do_not_hold_up_the_rest() -> None:
    scene = Scene(partitions=2)

    def act() -> None:
        scene.started()
        scene.feed(b"1")
        scene.feed(b"1", partition=1)
        scene.engine.partitions.open.pop(0)
        records = [
            record
            for number in (0, 1)
            for record in scene.broker.log(INPUTS[0], number).committed()
        ]
        assert scene.engine.partitions.ready(records) == {TopicPartition(INPUTS[0], 1): records[1:]}

    scene.play(act)


def test_what_was_refused_is_looked_at_again_with_everything_else() -> None:
    scene = Scene()

    def act() -> None:
        scene.one_committed()
        scene.engine.on_revoked(input_partitions([0]))
        at = TopicPartition(INPUTS[0], 0)
        scene.broker.group.offsets[at] = 5
        scene.engine.on_assigned(input_partitions([0]))
        scene.all_decided()
        partitions = scene.engine.partitions
        assert partitions.refused.keys() == {0}
        scene.broker.group.offsets[at] = 1
        partitions.restore_anew()
        scene.all_decided()
        assert partitions.open.keys() == {0}
        assert partitions.refused == {}

    scene.play(act)


def breaking_as_they_open(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stores break where a restore ends, once for each reason in the list that is returned."""
    reasons: list[str] = []
    settle = PartitionStore.promote

    def broken(store: PartitionStore) -> None:
        if reasons:
            raise CorruptStoreError(reasons.pop())
        settle(store)

    monkeypatch.setattr(PartitionStore, "promote", broken)
    return reasons


def test_a_store_that_breaks_as_it_is_opened_is_quarantined_and_restored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reasons = breaking_as_they_open(monkeypatch)
    scene = Scene()

    def act() -> None:
        scene.started()
        for count in range(1, BREAKS_MAX + 3):
            scene.feed(b"%d" % count)
            scene.caught_up(count)
            scene.engine.on_revoked(input_partitions([0]))
            reasons.append(f"damaged {count}")
            scene.engine.on_assigned(input_partitions([0]))
            scene.all_decided()

    scene.play(act)
    assert [reason for _, reason, _ in scene.observed.of("quarantined")] == [
        f"damaged {count}" for count in range(1, BREAKS_MAX + 3)
    ]
    assert len(scene.values(AUDIT)) == BREAKS_MAX + 2
