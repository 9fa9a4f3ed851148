"""Offsets that the group forgot or holds back, under a worker that has nothing else to do."""

from pipeline.engine.errors import BrokerError
from pipeline.engine.ports import TopicPartition
from pipeline.engine.recovery.offset_repair import LOOK_AFTER_S, LOOK_EVERY_S
from simulator.agent import AUDIT, INPUTS
from simulator.log import Transaction
from tests.engine.scene import WAIT_S, Scene

AT = TopicPartition(INPUTS[0], 0)


def looks(scene: Scene) -> int:
    return scene.cluster.consumers[0].count("committed")


def idle(scene: Scene, seconds: float) -> None:
    scene.rounds(round(seconds / WAIT_S))


def test_offsets_that_went_back_are_repaired_without_an_input() -> None:
    scene = Scene()

    def act() -> None:
        scene.one_committed()
        scene.broker.group.offsets[AT] = 0
        idle(scene, LOOK_AFTER_S + 1)
        assert scene.offsets()[AT] == 1

    scene.play(act)
    assert len(scene.values(AUDIT)) == 1


def test_offsets_that_are_not_there_are_repaired() -> None:
    scene = Scene()

    def act() -> None:
        scene.one_committed()
        scene.broker.group.offsets.clear()
        idle(scene, LOOK_AFTER_S + 1)
        assert scene.offsets()[AT] == 1

    scene.play(act)


def test_offsets_that_wait_for_an_end_that_nobody_tells_are_repaired() -> None:
    scene = Scene()

    def act() -> None:
        scene.one_committed()
        del scene.broker.group.offsets[AT]
        lost = Transaction("lost", "blue-0")
        scene.broker.group.hold(lost, {AT: 1})
        idle(scene, LOOK_AFTER_S + 1)
        assert scene.offsets()[AT] == 1
        assert scene.broker.group.stable_offsets([AT]) == {AT: 1}

    scene.play(act)


def test_as_long_as_they_are_right_they_are_looked_at_now_and_then() -> None:
    scene = Scene()

    def act() -> None:
        scene.one_committed()
        before = looks(scene)
        commits = len(scene.observed.of("committed"))
        idle(scene, LOOK_AFTER_S - 1)
        assert looks(scene) == before
        idle(scene, 2)
        assert looks(scene) == before + 1
        idle(scene, LOOK_EVERY_S - 2)
        assert looks(scene) == before + 1
        idle(scene, 4)
        assert looks(scene) == before + 2
        assert len(scene.observed.of("committed")) == commits

    scene.play(act)


def test_they_are_looked_at_after_each_transaction() -> None:
    scene = Scene()

    def act() -> None:
        scene.one_committed()
        idle(scene, 3 * LOOK_AFTER_S)
        scene.feed(b"2")
        scene.caught_up(2)
        scene.broker.group.offsets[AT] = 1
        idle(scene, LOOK_AFTER_S + 1)
        assert scene.offsets()[AT] == 2

    scene.play(act)


def test_while_the_broker_is_away_nothing_is_repaired() -> None:
    scene = Scene()

    def act() -> None:
        scene.one_committed()
        commits = len(scene.observed.of("committed"))
        scene.cluster.consumers[0].failing["committed"] = BrokerError("away")
        scene.cluster.failing["ends"] = BrokerError("away")
        idle(scene, LOOK_AFTER_S + 2)
        assert len(scene.observed.of("committed")) == commits
        assert not scene.observed.of("aborted")

    scene.play(act)


def test_an_offset_that_is_ahead_is_left_alone() -> None:
    scene = Scene()

    def act() -> None:
        scene.one_committed()
        scene.broker.group.offsets[AT] = 2
        idle(scene, LOOK_AFTER_S + 1)
        assert scene.offsets()[AT] == 2

    scene.play(act)
