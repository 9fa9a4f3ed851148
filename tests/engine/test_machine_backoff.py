"""How the engine backs off while one transaction after the other fails, and how it goes on."""

from pipeline.engine.errors import TransactionAbortedError
from pipeline.engine.pacing import BACKOFF_S_MIN, FAILURES_WITHOUT_BACKOFF
from simulator.agent import AUDIT, INPUTS
from tests.engine.scene import Scene

WAIT_S = 0.03
"""Of polls, so that several of them fit into a back-off."""


def aborted(scene: Scene) -> float:
    """The next transaction is aborted; returns when it was begun."""
    poll = scene.folded()
    poll.batches[0].fail(TransactionAbortedError("planted"))
    scene.engine.commit(poll)
    return poll.started_at


def failing(scene: Scene, times: int) -> list[float]:
    """So many transactions fail in a row; returns how long after each the next one was begun."""
    began_at = [aborted(scene)]
    pauses = []
    for _ in range(times):
        failed_at = scene.world.now
        began_at.append(aborted(scene))
        pauses.append(began_at[-1] - failed_at)
    return pauses


def test_after_failures_in_a_row_nothing_is_begun_for_a_while() -> None:
    scene = Scene(wait_s=WAIT_S)

    def act() -> None:
        scene.started()
        scene.feed(b"1")
        pauses = failing(scene, FAILURES_WITHOUT_BACKOFF + 3)
        assert max(pauses[:FAILURES_WITHOUT_BACKOFF]) < BACKOFF_S_MIN / 2
        for doublings, pause_s in enumerate(pauses[FAILURES_WITHOUT_BACKOFF:]):
            assert 0.0 <= pause_s - BACKOFF_S_MIN * 2**doublings < 3 * WAIT_S
        scene.caught_up(1)

    scene.play(act)
    assert len(scene.values(AUDIT)) == 1


def test_a_commit_begins_the_count_of_failures_anew() -> None:
    scene = Scene(wait_s=WAIT_S)

    def act() -> None:
        scene.started()
        for inputs in (1, 2, 3):
            scene.feed(b"%d" % inputs)
            for _ in range(FAILURES_WITHOUT_BACKOFF):
                aborted(scene)
            failed_at = scene.world.now
            poll = scene.folded()
            assert poll.started_at - failed_at < BACKOFF_S_MIN / 2
            scene.engine.commit(poll)

    scene.play(act)
    assert len(scene.values(AUDIT)) == 3


def test_nothing_is_fetched_before_the_backoff_is_over_and_everything_right_after_it() -> None:
    now = [0.0]
    scene = Scene(wait_s=WAIT_S, clock=lambda: now[0])

    def act() -> None:
        scene.started()
        scene.feed(b"1")
        for _ in range(FAILURES_WITHOUT_BACKOFF + 1):
            aborted(scene)
        consumer = scene.cluster.consumers[0]
        for now_s in (0.0, BACKOFF_S_MIN / 2):
            now[0] = now_s
            assert scene.engine.poll() is None
            assert consumer.last("fetch") == ({},)
        now[0] = BACKOFF_S_MIN
        assert scene.engine.poll() is None
        assert consumer.last("fetch") == ({(INPUTS[0], 0): 0, (INPUTS[1], 0): 0},)
        scene.caught_up(1)

    scene.play(act)
    assert len(scene.values(AUDIT)) == 1


def test_what_is_assigned_first_is_restored_from_the_first_moment_of_the_clock_on() -> None:
    scene = Scene(clock=lambda: 0.0)
    scene.play(scene.started)
    assert scene.engine.partitions.open.keys() == {0}
