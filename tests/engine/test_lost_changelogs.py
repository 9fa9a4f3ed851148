"""Changelogs that were lost: what is written anew, from which store, and begun again when."""

import pytest

from pipeline.engine.errors import (
    BrokerError,
    TransactionAbortedError,
)
from pipeline.engine.recovery import rewrite
from pipeline.engine.state.checkpoint import REWRITING_KEY
from simulator.agent import AUDIT, INPUTS, TABLES, USERS
from tests.engine.scene import Scene, input_partitions, silent


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
        scene.engine.on_revoked(input_partitions([0]))
        scene.broker.make_topic(USERS.changelog)
        scene.engine.on_assigned(input_partitions([0]))
        scene.all_decided()
        scene.feed(b"3")
        scene.caught_up(3)

    scene.play(act)
    assert scene.observed.of("quarantined") == []
    assert scene.observed.steps.count("rewrite") == (1 if chunk_records > 1 else 2)
    records = scene.broker.log(USERS.changelog, 0).committed()
    assert [r.value() for r in records if r.key() == b"ann"] == [b"2", b"3"]
    assert len(scene.values(AUDIT)) == 3


def test_a_rewrite_that_fails_is_recovered_from_and_begun_again() -> None:
    scene = Scene()

    def act() -> None:
        scene.one_committed()
        scene.engine.on_revoked(input_partitions([0]))
        scene.broker.make_topic(USERS.changelog)
        scene.cluster.producers[0].failing_after["flush"] = TransactionAbortedError("planted")
        scene.engine.on_assigned(input_partitions([0]))
        while not scene.observed.of("aborted"):
            scene.engine.poll()
        scene.cluster.producers[0].failing_after.clear()
        scene.all_decided()
        scene.feed(b"2")
        scene.caught_up(2)

    scene.play(act)
    assert [(records, reason) for records, _, reason in scene.observed.of("aborted")] == [
        (0, "planted")
    ]
    records = scene.broker.log(USERS.changelog, 0).committed()
    assert [r.value() for r in records if r.key() == b"ann"] == [b"1", b"2"]


def reading_in_vain(scene: Scene) -> None:
    """Partition 0 is assigned again, and its changelog has a record more that does not come."""
    scene.one_committed()
    scene.engine.on_revoked(input_partitions([0]))
    scene.broker.log(USERS.changelog, 0).append((b"zoe", b"1", None), 0)
    scene.cluster.prepare = silent
    scene.engine.on_assigned(input_partitions([0]))
    scene.engine.poll()


def test_while_a_restore_reads_the_broker_is_asked_nothing_else() -> None:
    scene = Scene()

    def act() -> None:
        reading_in_vain(scene)
        asked = scene.cluster.consumers[0].count("committed")
        scene.cluster.failing["topic_ids"] = BrokerError("asked too often")
        scene.rounds(4)
        assert scene.cluster.consumers[0].count("committed") == asked
        assert scene.observed.of("restores_wait") == []

    scene.play(act)


def half_rewritten(scene: Scene) -> None:
    """Two users' changelog was recreated, and one of them is in it again."""
    scene.started()
    for user in (b"ann", b"bob"):
        scene.broker.log(INPUTS[0], 0).append((user, b"1", None), int(scene.world.now * 1000))
    scene.caught_up(2)
    scene.engine.on_revoked(input_partitions([0]))
    scene.broker.make_topic(USERS.changelog)
    scene.engine.on_assigned(input_partitions([0]))
    while not scene.observed.steps.count("rewrite"):
        scene.engine.poll()


def test_a_changelog_that_is_recreated_half_written_anew_is_begun_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rewrite, "CHUNK_RECORDS_MAX", 1)
    scene = Scene()

    def act() -> None:
        half_rewritten(scene)
        scene.broker.make_topic(USERS.changelog)
        scene.all_decided()

    scene.play(act)
    records = scene.broker.log(USERS.changelog, 0).committed()
    assert {record.key() for record in records} >= {b"ann", b"bob"}


def test_what_was_given_up_half_written_anew_is_begun_again_from_the_store_as_it_is_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rewrite, "CHUNK_RECORDS_MAX", 1)
    scene = Scene()

    def act() -> None:
        half_rewritten(scene)
        scene.engine.on_revoked(input_partitions([0]))
        scene.engine.on_assigned([])
        scene.rounds(3)
        assert scene.folder.databases[0].holder is None
        scene.engine.on_assigned(input_partitions([0]))
        scene.all_decided()

    scene.play(act)
    records = scene.broker.log(USERS.changelog, 0).committed()
    assert [record.key() for record in records].count(b"ann") == 2


def test_lost_changelogs_are_written_anew_one_after_the_other_and_again_when_lost_again() -> None:
    scene = Scene()

    def act() -> None:
        scene.started()
        scene.feed(b"1", b"2")
        scene.caught_up(2)
        for rewrites in (2, 4):
            scene.engine.on_revoked(input_partitions([0]))
            for table in TABLES:
                scene.broker.make_topic(table.changelog)
            scene.engine.on_assigned(input_partitions([0]))
            scene.all_decided()
            assert scene.observed.steps.count("rewrite") == rewrites
        scene.feed(b"3")
        scene.caught_up(3)

    scene.play(act)
    assert scene.observed.of("quarantined") == []
    for table in TABLES:
        assert scene.broker.log(table.changelog, 0).committed()[0].key() == REWRITING_KEY


@pytest.mark.parametrize("is_read_to_its_end", [False, True])
def test_a_changelog_that_is_recreated_while_it_is_read_is_written_anew_from_the_same_store(
    is_read_to_its_end: bool,
) -> None:
    scene = Scene()

    def act() -> None:
        reading_in_vain(scene)
        reader = scene.cluster.readers[-1]
        (offsets,) = reader.last("assign")
        scene.broker.make_topic(USERS.changelog)
        scene.cluster.prepare = lambda *_: None
        reader.instead.clear()
        if is_read_to_its_end:
            reader.instead["poll"] = ([], {tp: at + 1 for tp, at in offsets.items()})
            scene.once()
            reader.instead.clear()
        scene.all_decided()
        assert scene.observed.steps.count("rewrite") == 1
        scene.feed(b"2")
        scene.caught_up(2)

    scene.may_stall = True
    scene.play(act)
    assert scene.disk.count("open") == 1
    records = scene.broker.log(USERS.changelog, 0).committed()
    assert [r.value() for r in records if r.key() == b"ann"] == [b"1", b"2"]
