"""What each failure of a transaction leads to, where nothing goes wrong by chance."""

import pytest

from pipeline.engine.errors import (
    BatchFailedError,
    BatchPostponedError,
    BrokerError,
    ProducerLostError,
    SlotTakenError,
    TransactionAbortedError,
)
from simulator.agent import AUDIT, INPUTS
from tests.engine.scene import FIRST, Scene


def fails_in(scene: Scene, method: str, error: Exception, **others: Exception) -> None:
    """Have a producer's method fail once, in a transaction with one input; then go on.

    Args:
        others: further methods that fail in that transaction, by what they raise.
    """

    def act() -> None:
        scene.started()
        scene.feed(b"1")
        poll = scene.folded()
        producer = scene.cluster.producers[-1]
        how = producer.failing if method == "commit" else producer.failing_after
        how[method] = error
        producer.failing |= others
        scene.engine.commit(poll)
        how.clear()
        assert not any(scene.offsets().values())
        scene.caught_up(1)

    scene.play(act)
    assert len(scene.values(AUDIT)) == 1


@pytest.mark.parametrize("method", ["flush", "send_offsets", "commit"])
def test_a_transaction_that_must_be_aborted_is_and_comes_again(method: str) -> None:
    scene = Scene()
    fails_in(scene, method, TransactionAbortedError("planted"))
    assert [client.count("abort") for client in scene.cluster.producers] == [FIRST + 1]
    (aborted,) = scene.observed.of("aborted")
    assert (aborted[0], aborted[2]) == (1, "planted")
    assert aborted[1] >= 0.0


@pytest.mark.parametrize("method", ["flush", "send_offsets"])
def test_a_lost_producer_is_not_asked_to_abort_but_replaced(method: str) -> None:
    scene = Scene()
    fails_in(scene, method, ProducerLostError("planted"))
    first, second = scene.cluster.producers
    assert (first.count("abort"), first.count("close")) == (FIRST, 1)
    assert second.count("init_transactions") == 1
    assert [str(reason) for (reason,) in scene.observed.of("producer_renewed")] == ["planted"]
    assert [said[0] for said in scene.observed.of("aborted")] == [1]


def test_a_producer_that_cannot_even_abort_is_replaced() -> None:
    scene = Scene()
    fails_in(scene, "flush", TransactionAbortedError("planted"), abort=BrokerError("no"))
    assert [client.count("close") for client in scene.cluster.producers] == [1, 0]


def test_a_transaction_that_cannot_begin_leaves_nothing() -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        scene.feed(b"1")
        scene.cluster.producers[0].failing["begin"] = BrokerError("no")
        while not scene.observed.of("aborted"):
            assert scene.engine.poll() is None
        scene.cluster.producers[0].failing.clear()
        scene.caught_up(1)

    scene.play(act)
    assert scene.observed.of("aborted")[0][0] == 1
    assert len(scene.values(AUDIT)) == 1


def test_an_agent_that_fails_stops_the_engine_after_an_abort() -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        scene.feed(b"1", b"2")
        poll = scene.folded()
        poll.batches[0].fail(ValueError("planted"))
        scene.engine.commit(poll)

    with pytest.raises(BatchFailedError) as caught:
        scene.play(act)
    said = f"{caught.value}"
    assert f"{INPUTS[0]}[0]: a batch of 2 records from offset 0" in said
    assert isinstance(caught.value.__cause__, ValueError)
    assert scene.cluster.producers[0].count("abort") == FIRST + 1
    assert scene.values(AUDIT) == []


def test_an_agent_that_never_says_done_stops_the_engine() -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        scene.feed(b"1")
        scene.engine.commit(scene.polled())

    with pytest.raises(BatchFailedError, match="offset 0"):
        scene.play(act)


@pytest.mark.parametrize(
    ("error", "aborts"), [(SlotTakenError("another"), 0), (BatchPostponedError("later"), 1)]
)
def test_what_stops_or_postpones_is_raised_as_it_is(error: BrokerError, aborts: int) -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        scene.feed(b"1")
        poll = scene.folded()
        poll.batches[0].fail(error)
        scene.engine.commit(poll)

    with pytest.raises(type(error)):
        scene.play(act)
    assert scene.cluster.producers[0].count("abort") == FIRST + aborts


def test_a_broker_error_in_an_agent_is_recovered_from() -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        scene.feed(b"1")
        poll = scene.folded()
        poll.batches[0].fail(TransactionAbortedError("planted"))
        scene.cluster.producers[0].flush()  # so that there is something to abort
        scene.engine.commit(poll)
        scene.caught_up(1)

    scene.play(act)
    assert [(said[0], said[2]) for said in scene.observed.of("aborted")] == [(1, "planted")]
    assert len(scene.values(AUDIT)) == 1


def test_restores_wait_while_the_broker_does_not_answer_and_others_go_on() -> None:
    scene = Scene(wait_s=0.1)

    def act() -> None:
        scene.engine.start()
        scene.cluster.failing["watermarks"] = BrokerError("away")
        while not scene.observed.of("restores_wait"):
            scene.engine.poll()
        assert scene.cluster.consumers[0].last("poll")[1] == scene.config.wait_s
        asked = scene.cluster.consumers[0].count("committed")
        began = scene.world.now
        scene.engine.poll()
        assert scene.cluster.consumers[0].last("poll")[1] == scene.config.wait_s
        assert scene.cluster.consumers[0].count("committed") == asked
        while scene.cluster.consumers[0].count("committed") == asked:
            scene.engine.poll()
        assert 0.3 < scene.world.now - began < 2.0
        del scene.cluster.failing["watermarks"]
        scene.all_decided()

    scene.play(act)
    assert scene.engine.partitions.open.keys() == {0}
    assert scene.observed.of("restores_wait")[0] == ("away",)
