"""Who expands what a restore kept whole, and when: between polls, and standbys too."""

from collections.abc import Mapping

import pytest

from pipeline.engine.errors import StoreKeepsBreakingError, StoreUnwritableError
from pipeline.engine.machine import Engine
from pipeline.engine.state import lazy_records
from pipeline.engine.state.opener import BREAKS_MAX
from pipeline.engine.state.store import PartitionStore
from simulator.agent import AUDIT, TABLES
from tests.engine.changelogs import SEEN
from tests.engine.scene import Scene
from tests.engine.standby_scene import MANY, StandbyScene
from tests.engine.test_lazy_records import raw


def restored_lazily(scene: Scene) -> PartitionStore:
    """Three events of one user are committed; then the disk is lost, and restored lazily."""
    scene.started()
    scene.feed(b"1", b"2", b"3")
    scene.caught_up(3)
    scene.engine.close()
    scene.folder.put_back({})
    scene.engine = Engine(scene.config, scene.cluster, scene.disk, scene.observed)
    scene.started()
    (opened,) = scene.engine.partitions.open.values()
    assert len(raw(opened.state)) == 3
    return opened.state


def test_an_open_partition_is_expanded_between_its_polls() -> None:
    scene = Scene(bulk_records_min=3, expanded_min=2)

    def act() -> None:
        store = restored_lazily(scene)
        left = []
        consumer = scene.cluster.consumers[-1]
        while store.lazy.is_any:
            scene.once()
            assert consumer.last("poll")[1] == 0.0, "it waits for inputs, though there is work"
            left.append(len(raw(store)))
        assert left == [1, 0]
        scene.once()
        assert consumer.last("poll")[1] == scene.config.wait_s
        assert [key for key, _ in store.scan(TABLES[1])][:1] == [b"iann/1"]

    scene.play(act)


def test_an_open_partition_that_breaks_while_it_is_expanded_is_restored() -> None:
    scene = Scene(bulk_records_min=3)

    def act() -> None:
        restored_lazily(scene)
        scene.folder.databases[0].is_corrupt = True
        scene.once()
        assert scene.engine.partitions.restoring == {0}
        assert scene.cluster.consumers[-1].last("fetch") == ({},)
        scene.all_decided()
        scene.feed(b"2", b"4")
        scene.caught_up(5)

    scene.play(act)
    verdicts = [(entry or b"").split(b"|")[2] for entry in scene.values(AUDIT)]
    assert verdicts == [b"accepted"] * 3 + [b"duplicate", b"accepted"]
    ((number, reason, _),) = scene.observed.of("quarantined")
    assert (number, reason) == (0, "the database is damaged")


def test_stores_that_break_one_after_the_other_while_they_are_expanded_end_the_worker() -> None:
    scene = Scene(bulk_records_min=3, expanded_min=1)

    def act() -> None:
        restored_lazily(scene)
        while True:
            scene.folder.databases[0].is_corrupt = True
            scene.once()
            scene.all_decided()

    with pytest.raises(StoreKeepsBreakingError, match="4 local stores broke"):
        scene.play(act)
    assert len(scene.observed.of("quarantined")) == BREAKS_MAX


def test_a_store_that_was_expanded_whole_counts_as_held() -> None:
    scene = Scene(bulk_records_min=3, expanded_min=1)

    def act() -> None:
        restored_lazily(scene)
        for at in range(BREAKS_MAX + 1):
            scene.folder.databases[0].is_corrupt = True
            scene.once()
            scene.all_decided()
            scene.rounds(20)
            assert not scene.engine.partitions.open[0].state.lazy.is_any
            scene.folder.databases[0].is_corrupt = True
            scene.feed(b"more %d" % at)
            scene.caught_up(4 + at)
            scene.all_decided()

    scene.play(act)
    assert len(scene.observed.of("quarantined")) == 2 * (BREAKS_MAX + 1)


def test_a_standby_is_expanded_once_it_has_everything() -> None:
    standby = StandbyScene(bulk_records_min=3, expanded_min=1)
    for number in (2, 3):
        standby.cluster.write(SEEN, number, (b"s", b"1"), (b"t", b"2"))
    standby.step()
    standby.step()
    standby.step(1)
    assert not [key for key in standby.entries(2) if key.startswith(b"s")]
    standby.rest()
    for number in (2, 3):
        assert standby.entries(number)[b"ss"] == b"1"
        assert standby.entries(number)[b"st"] == b"2"
        assert lazy_in(standby.entries(number)) == 0
    assert not standby.step(MANY)


def test_standbys_are_expanded_in_turns_and_faster_than_they_are_lazy() -> None:
    standby = StandbyScene(bulk_records_min=3, expanded_min=1)
    for number in (2, 3):
        standby.cluster.write(SEEN, number, *[(b"s%d" % at, b"1") for at in range(400)])
    while any(reads_in_bulk(standby, number) for number in (2, 3)):
        standby.step(4)
    left = []
    for at in range(200):
        for number in (2, 3):
            standby.cluster.write(SEEN, number, (b"t%d" % at, b"2"), (b"t%d" % at, b"3"))
        standby.step()
        left.append([lazy_in(standby.entries(number)) for number in (2, 3)])
    assert min(left[0]) > 50
    assert all(before > after for before, after in zip(left[0], left[9], strict=True)), "no turns"
    assert left[-1] == [0, 0]


def reads_in_bulk(standby: StandbyScene, number: int) -> bool:
    stores = standby.disk.stores.get(number)
    return not stores or stores[-1].bulk != [True, False]


def lazy_in(entries: Mapping[bytes, bytes]) -> int:
    return sum(key.startswith(lazy_records.REGION) for key in entries)


def kept_lazily() -> StandbyScene:
    """Standbys that read everything, and have expanded hardly anything of partition 2."""
    standby = StandbyScene(bulk_records_min=3, expanded_min=1)
    standby.cluster.write(SEEN, 2, *[(b"s%d" % at, b"1") for at in range(20)])
    while reads_in_bulk(standby, 2) or reads_in_bulk(standby, 3):
        standby.step(1)
    assert lazy_in(standby.entries(2)) > 10
    return standby


def test_a_standby_that_breaks_while_it_is_expanded_is_begun_anew() -> None:
    standby = kept_lazily()
    standby.disk.stores[2][-1].breaks_in = 0
    standby.step()
    assert [number for number, _ in standby.disk.quarantined] == [2]
    standby.rest()
    assert lazy_in(standby.entries(2)) == 0
    assert standby.entries(2)[b"ss19"] == b"1"


def test_a_batch_that_could_not_expand_for_a_full_disk_says_so() -> None:
    scene = Scene()

    def act() -> None:
        scene.one_committed()
        scene.feed(b"2")
        poll = scene.polled()
        poll.batches[0].fail(StoreUnwritableError("the disk is full", fix="free space"))
        scene.engine.commit(poll)

    with pytest.raises(StoreUnwritableError, match="the disk is full"):
        scene.play(act)
    assert scene.observed.of("aborted")
