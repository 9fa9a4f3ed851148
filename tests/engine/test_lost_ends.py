"""What the engine does about lost ends and lost producers, and what it fetches meanwhile."""

import pytest

from pipeline.engine.errors import (
    BrokerError,
    ProducerLostError,
    SlotTakenError,
    TransactionAbortedError,
)
from pipeline.engine.ports import TopicPartition
from pipeline.engine.transactions.hanging import MARKER_DELAY_S_MAX
from simulator.agent import AUDIT, INPUTS, USERS
from tests.engine.scene import WAIT_S, Scene, commit_lost, killed_after, silent


def inputs_in(scene: Scene) -> list[bytes]:
    """The offsets of the inputs that readers see the results of."""
    return [(value or b"").split(b"|")[1] for value in scene.values(AUDIT)]


def fetched(scene: Scene) -> dict[TopicPartition, int]:
    """What the consumer was asked for last."""
    (offsets,) = scene.cluster.consumers[-1].last("fetch")
    found: dict[TopicPartition, int] = offsets
    return found


def lost_with_a_spent_producer(scene: Scene) -> None:
    """One input is committed, the broker forgets it, and the producer is not gone on with."""
    commit_lost(scene)
    scene.cluster.producers[-1].real.is_spent = True


def test_a_lost_commit_behind_a_spent_producer_is_done_again_and_seen_once() -> None:
    scene = Scene()

    def act() -> None:
        lost_with_a_spent_producer(scene)
        scene.feed(b"2")
        scene.caught_up(2)

    scene.play(act)
    assert inputs_in(scene) == [b"0", b"1"]
    assert [number for number, _, _ in scene.observed.of("quarantined")] == [0]


def test_what_is_restored_after_a_lost_commit_is_not_fetched_meanwhile() -> None:
    scene = Scene()

    def act() -> None:
        lost_with_a_spent_producer(scene)
        assert fetched(scene)
        scene.cluster.prepare = silent
        scene.engine.poll()
        assert scene.engine.partitions.restoring == {0}
        assert fetched(scene) == {}

    scene.play(act)


def test_a_new_producer_alone_leaves_the_partitions_open() -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        asked = scene.cluster.consumers[0].count("fetch")
        scene.cluster.producers[0].real.is_spent = True
        scene.engine.poll()
        assert len(scene.cluster.producers) == 2
        assert scene.engine.partitions.open.keys() == {0}
        assert scene.cluster.consumers[0].count("fetch") == asked

    scene.play(act)


def test_a_lost_commit_is_looked_for_in_the_stores_once() -> None:
    scene = Scene()

    def act() -> None:
        lost_with_a_spent_producer(scene)
        scene.caught_up(1)
        scene.all_decided()
        restored = len(scene.observed.of("ready"))
        scene.cluster.producers[-1].real.is_spent = True
        scene.rounds(3)
        assert len(scene.cluster.producers) == 3
        assert len(scene.observed.of("ready")) == restored

    scene.play(act)


def test_a_lost_end_that_is_noticed_while_nothing_is_open_costs_no_record() -> None:
    scene = Scene()

    def act() -> None:
        commit_lost(scene)
        scene.rounds(int(MARKER_DELAY_S_MAX / WAIT_S) + 2)

    scene.play(act)
    assert [records for records, _, _ in scene.observed.of("aborted")] == [0]


def aborted(scene: Scene) -> None:
    """The next poll's transaction has records, and is aborted."""
    poll = scene.folded()
    scene.cluster.producers[-1].flush()
    poll.batches[0].fail(TransactionAbortedError("planted"))
    scene.engine.commit(poll)


def test_before_an_abort_it_is_seen_whether_the_commit_before_it_ended() -> None:
    scene = Scene()

    def act() -> None:
        commit_lost(scene)
        scene.feed(b"2")
        aborted(scene)
        scene.caught_up(2)

    scene.play(act)
    assert inputs_in(scene) == [b"0", b"1"]
    ((_, _, reason),) = scene.observed.of("aborted")
    assert reason.startswith("planted; aborting failed too: the broker forgot")


def test_an_abort_that_the_broker_lost_is_not_ended_by_the_commit_after_it() -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        scene.feed(b"1")
        killed_after(scene, lambda: aborted(scene))
        scene.caught_up(1)

    scene.play(act)
    assert inputs_in(scene) == [b"0"]


def test_with_a_lost_producer_nothing_is_fetched_before_it_is_restored() -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        scene.feed(b"1")
        poll = scene.folded()
        scene.cluster.producers[0].failing["commit"] = ProducerLostError("planted")
        scene.engine.commit(poll)
        assert scene.engine.partitions.restoring == {0}
        assert fetched(scene) == {}
        scene.caught_up(1)

    scene.play(act)
    assert inputs_in(scene) == [b"0"]


@pytest.mark.parametrize("error", [SlotTakenError("another worker"), BrokerError("no answer")])
def test_a_lost_producer_is_replaced_at_once_or_it_is_told_why_not(error: Exception) -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        scene.feed(b"1")
        poll = scene.folded()
        scene.cluster.producers[0].failing["commit"] = ProducerLostError("planted")
        scene.cluster.consumers[0].failing["check_slot"] = error
        scene.engine.commit(poll)

    with pytest.raises(type(error), match=str(error)):
        scene.play(act)
    assert scene.observed.of("producer_renewed") == []


def test_while_a_changelog_that_was_recreated_is_looked_at_nothing_is_fetched() -> None:
    scene = Scene()

    def act() -> None:
        scene.one_committed()
        scene.rounds(4)  # the end of the commit is seen, so the producer stays
        scene.broker.make_topic(USERS.changelog)
        while not scene.engine.partitions.restoring:
            scene.engine.poll()
        assert fetched(scene) == {}
        scene.all_decided()
        assert fetched(scene) == {(INPUTS[0], 0): 1, (INPUTS[1], 0): 0}
        assert len(scene.cluster.producers) == 1

    scene.play(act)


def test_a_forgotten_end_costs_no_records() -> None:
    scene = Scene()

    def act() -> None:
        commit_lost(scene)
        scene.world.sleep(MARKER_DELAY_S_MAX + 1)
        scene.once()

    scene.play(act)
    assert [(records, reason) for records, _, reason in scene.observed.of("aborted")] == [
        (0, "the broker never ended the last transaction")
    ]
