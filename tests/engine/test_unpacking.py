"""Who expands what a restore kept whole, and when: between polls, and copies too."""

from collections.abc import Mapping

import pytest

from pipeline.engine.errors import StoreKeepsBreakingError, StoreUnwritableError
from pipeline.engine.machine import Engine
from pipeline.engine.state import lazy_records as packed
from pipeline.engine.state.opener import BREAKS_MAX
from pipeline.engine.state.store import PartitionStore
from simulator.agent import AUDIT, TABLES
from tests.engine.changelogs import SEEN
from tests.engine.copies import MANY, Copies
from tests.engine.scene import Scene
from tests.engine.test_packed import raw


def restored_packed(scene: Scene) -> PartitionStore:
    """Three events of one user are committed; then the disk is lost, and restored packed."""
    scene.started()
    scene.feed(b"1", b"2", b"3")
    scene.caught_up(3)
    scene.engine.close()
    scene.folder.put_back({})
    scene.engine = Engine(scene.config, scene.cluster, scene.disk, scene.told)
    scene.started()
    (opened,) = scene.engine.partitions.open.values()
    assert len(raw(opened.state)) == 3
    return opened.state


def test_an_open_partition_is_unpacked_between_its_polls() -> None:
    scene = Scene(bulk_records_min=3, unpacked_min=2)

    def act() -> None:
        store = restored_packed(scene)
        left = []
        consumer = scene.cluster.consumers[-1]
        while store.packed.is_any:
            scene.once()
            assert consumer.last("poll")[1] == 0.0, "it waits for inputs, though there is work"
            left.append(len(raw(store)))
        assert left == [1, 0]
        scene.once()
        assert consumer.last("poll")[1] == scene.config.wait_s
        assert [key for key, _ in store.scan(TABLES[1])][:1] == [b"iann/1"]

    scene.play(act)


def test_an_open_partition_that_breaks_while_it_is_unpacked_is_restored() -> None:
    scene = Scene(bulk_records_min=3)

    def act() -> None:
        restored_packed(scene)
        scene.folder.databases[0].is_corrupt = True
        scene.once()
        assert scene.engine.partitions.restoring == {0}
        assert scene.cluster.consumers[-1].last("fetch") == ({},)
        scene.settled()
        scene.feed(b"2", b"4")
        scene.caught_up(5)

    scene.play(act)
    verdicts = [(entry or b"").split(b"|")[2] for entry in scene.values(AUDIT)]
    assert verdicts == [b"accepted"] * 3 + [b"duplicate", b"accepted"]
    ((number, reason, _),) = scene.told.of("set_aside")
    assert (number, reason) == (0, "the database is damaged")


def test_stores_that_break_one_after_the_other_while_they_are_unpacked_end_the_worker() -> None:
    scene = Scene(bulk_records_min=3, unpacked_min=1)

    def act() -> None:
        restored_packed(scene)
        while True:
            scene.folder.databases[0].is_corrupt = True
            scene.once()
            scene.settled()

    with pytest.raises(StoreKeepsBreakingError, match="4 local stores broke"):
        scene.play(act)
    assert len(scene.told.of("set_aside")) == BREAKS_MAX


def test_a_store_that_was_unpacked_whole_counts_as_held() -> None:
    scene = Scene(bulk_records_min=3, unpacked_min=1)

    def act() -> None:
        restored_packed(scene)
        for at in range(BREAKS_MAX + 1):
            scene.folder.databases[0].is_corrupt = True
            scene.once()
            scene.settled()
            scene.rounds(20)
            assert not scene.engine.partitions.open[0].state.packed.is_any
            scene.folder.databases[0].is_corrupt = True
            scene.feed(b"more %d" % at)
            scene.caught_up(4 + at)
            scene.settled()

    scene.play(act)
    assert len(scene.told.of("set_aside")) == 2 * (BREAKS_MAX + 1)


def test_a_copy_is_unpacked_once_it_has_everything() -> None:
    copies = Copies(bulk_records_min=3, unpacked_min=1)
    for number in (2, 3):
        copies.cluster.write(SEEN, number, (b"s", b"1"), (b"t", b"2"))
    copies.step()
    copies.step()
    copies.step(1)
    assert not [key for key in copies.entries(2) if key.startswith(b"s")]
    copies.rest()
    for number in (2, 3):
        assert copies.entries(number)[b"ss"] == b"1"
        assert copies.entries(number)[b"st"] == b"2"
        assert packed_in(copies.entries(number)) == 0
    assert not copies.step(MANY)


def test_copies_are_unpacked_in_turns_and_faster_than_they_are_packed() -> None:
    copies = Copies(bulk_records_min=3, unpacked_min=1)
    for number in (2, 3):
        copies.cluster.write(SEEN, number, *[(b"s%d" % at, b"1") for at in range(400)])
    while any(reads_in_bulk(copies, number) for number in (2, 3)):
        copies.step(4)
    left = []
    for at in range(200):
        for number in (2, 3):
            copies.cluster.write(SEEN, number, (b"t%d" % at, b"2"), (b"t%d" % at, b"3"))
        copies.step()
        left.append([packed_in(copies.entries(number)) for number in (2, 3)])
    assert min(left[0]) > 50
    assert all(before > after for before, after in zip(left[0], left[9], strict=True)), "no turns"
    assert left[-1] == [0, 0]


def reads_in_bulk(copies: Copies, number: int) -> bool:
    stores = copies.disk.stores.get(number)
    return not stores or stores[-1].bulk != [True, False]


def packed_in(entries: Mapping[bytes, bytes]) -> int:
    return sum(key.startswith(packed.REGION) for key in entries)


def kept_packed() -> Copies:
    """Copies with everything read, and nearly all of partition 2 still packed."""
    copies = Copies(bulk_records_min=3, unpacked_min=1)
    copies.cluster.write(SEEN, 2, *[(b"s%d" % at, b"1") for at in range(20)])
    while reads_in_bulk(copies, 2) or reads_in_bulk(copies, 3):
        copies.step(1)
    assert packed_in(copies.entries(2)) > 10
    return copies


def test_a_copy_that_breaks_while_it_is_unpacked_is_begun_anew() -> None:
    copies = kept_packed()
    copies.disk.stores[2][-1].breaks_in = 0
    copies.step()
    assert [number for number, _ in copies.disk.aside] == [2]
    copies.rest()
    assert packed_in(copies.entries(2)) == 0
    assert copies.entries(2)[b"ss19"] == b"1"


def test_a_batch_that_could_not_unpack_for_a_full_disk_says_so() -> None:
    scene = Scene()

    def act() -> None:
        scene.one_committed()
        scene.feed(b"2")
        poll = scene.polled()
        poll.batches[0].fail(StoreUnwritableError("the disk is full", fix="free space"))
        scene.engine.commit(poll)

    with pytest.raises(StoreUnwritableError, match="the disk is full"):
        scene.play(act)
    assert scene.told.of("aborted")
