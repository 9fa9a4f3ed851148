"""Copies, step by step: what is opened, read, given up and begun again, and when."""

from collections.abc import Sequence
from typing import cast

import pytest

from pipeline.engine import standby
from pipeline.engine.engine_config import EngineConfig
from pipeline.engine.marker import FORMAT, Marker
from pipeline.engine.opening import BREAKS_MAX, Stores
from pipeline.engine.ports import Cluster, Disk, TopicPartition
from pipeline.engine.standby import ASK_AGAIN_S, RETRY_S, Standbys
from pipeline.engine.store import PartitionStore
from tests.engine.changelogs import SEEN, USERS, Changelogs, Dictionaries, Record
from tests.engine.told import Told

SLOTS = ("b-0", "b-1")
MANY = 1_000
OWNED = {0, 1}


class Copies:
    """The copies of slot b-0, which owns 0 and 1 of four partitions and would get 2 and 3."""

    def __init__(
        self, *, slots: Sequence[Sequence[str] | None] = (SLOTS,), losses: int = 1
    ) -> None:
        self.cluster = Changelogs(partitions=4, slots=slots)
        self.disk = Dictionaries()
        self.told = Told()
        config = EngineConfig(
            "blue",
            ("in",),
            (USERS, SEEN),
            clock=self.cluster.clock,
            slot_id="b-0",
            standbys=losses,
        )
        stores = Stores(cast(Disk, self.disk), "blue", self.told)
        self.stores = stores
        self.standbys = Standbys(config, cast(Cluster, self.cluster), stores, self.told)
        for number in range(4):
            self.cluster.write(USERS, number, (b"a", b"%d" % number))
            self.cluster.mark(number, {"in": 1})
        self.standbys.reconsider()

    def step(self, records_max: int = MANY) -> bool:
        return self.standbys.step(OWNED, records_max)

    def rest(self) -> int:
        """Step until there is nothing more to do at once; returns how many steps said more."""
        for count in range(50):
            if not self.step():
                return count
        raise AssertionError("it never rests")

    def spoil(self, number: int) -> None:
        """The next write to a partition's copy breaks it, with something to write at once."""
        self.disk.stores[number][-1].breaks_in = 0
        self.cluster.write(USERS, number, (b"b", b"more"))

    def entries(self, number: int) -> dict[bytes, bytes]:
        return self.disk.stores[number][-1].entries

    def state(self, number: int) -> PartitionStore:
        """A partition's state, as its owner would leave it, up to the changelogs' ends."""
        store = self.stores.open(number)
        store.overlay[b"ua"] = b"owner's"
        ends = {
            table.changelog: (
                self.cluster.ids[table.changelog],
                self.cluster.end(TopicPartition(table.changelog, number)),
            )
            for table in (USERS, SEEN)
        }
        store.apply(Marker(FORMAT, "blue", {"in": 1}, b""), ends)
        return store


def test_what_would_be_owned_is_copied_one_store_a_step() -> None:
    copies = Copies()
    assert copies.step()
    assert copies.disk.stores.keys() == {2}
    assert copies.step()
    assert copies.disk.stores.keys() == {2, 3}
    assert copies.told.of("standbys") == [([2, 3],)]
    assert not copies.step()
    assert [copies.entries(number)[b"ua"] for number in (2, 3)] == [b"2", b"3"]
    assert copies.standbys.partitions == {2, 3}
    assert copies.told.of("copied") == [(2, 0), (3, 0)]
    (reader,) = copies.cluster.readers
    assert reader.assigned == [
        {TopicPartition(table.changelog, n): 0 for n in (2, 3) for table in (USERS, SEEN)}
    ]
    assert reader.waits == [0.0]
    assert copies.told.steps == ["copy"] * 4


def test_before_an_assignment_nothing_is_asked() -> None:
    copies = Copies()
    copies.standbys.reconsider()
    fresh = Standbys(
        EngineConfig("blue", ("in",), (USERS, SEEN), clock=copies.cluster.clock, standbys=1),
        cast(Cluster, copies.cluster),
        copies.stores,
        copies.told,
    )
    assert not fresh.step(OWNED, MANY)
    assert copies.cluster.asked == []


def test_a_stretch_that_was_full_has_more_to_come() -> None:
    copies = Copies()
    copies.step()
    copies.step()
    assert copies.step(6)
    assert not copies.step(6)


def test_what_comes_later_is_followed() -> None:
    copies = Copies()
    copies.rest()
    copies.cluster.write(USERS, 3, (b"b", b"new"))
    assert not copies.step()
    assert copies.entries(3)[b"ub"] == b"new"
    assert copies.told.of("copied")[-1] == (3, 0)
    assert len(copies.cluster.readers[0].assigned) == 1


def test_how_far_behind_is_counted_from_the_ends_that_the_reader_heard() -> None:
    copies = Copies()
    copies.step()
    copies.step()
    copies.step(1)
    assert copies.told.of("copied") == [(2, 2)]
    copies.step(1)
    assert copies.told.of("copied")[1:] == [(3, 2)]
    copies.cluster.write(USERS, 3, (b"b", b"more"))
    copies.step(1)
    assert copies.told.of("copied")[2:] == [(2, 1)]


def test_how_far_behind_is_counted_from_what_came_since_it_was_opened_too() -> None:
    copies = Copies()
    copies.rest()
    copies.cluster.write(USERS, 3, (b"b", b"1"), (b"c", b"2"), (b"d", b"3"))
    copies.step(1)
    assert copies.told.of("copied")[-1] == (3, 2)


def test_a_copy_that_is_owned_now_is_handed_over_and_followed_no_more() -> None:
    copies = Copies()
    copies.rest()
    store = copies.standbys.take(2)
    assert store is not None
    assert store.is_copy
    assert store.partition == 2
    assert copies.standbys.partitions == {3}
    assert copies.standbys.take(2) is None
    copies.cluster.write(USERS, 2, (b"b", b"new"))
    copies.rest()
    assert {place.partition for place in copies.cluster.readers[0].assigned[-1]} == {3}
    assert b"ub" not in copies.entries(2)


def test_what_was_to_be_opened_and_is_owned_now_is_not_opened() -> None:
    copies = Copies()
    copies.step()
    assert copies.standbys.take(3) is None
    copies.rest()
    assert copies.disk.stores.keys() == {2}


def test_records_of_what_is_no_longer_followed_are_left_alone() -> None:
    copies = Copies()
    copies.rest()
    reader = copies.cluster.readers[0]
    copies.standbys.take(2)
    copies.rest()
    place = TopicPartition(USERS.changelog, 2)
    other = TopicPartition(USERS.changelog, 3)
    reader.extra = [Record(place, 9, b"z", b"late"), Record(other, 9, b"z", b"late")]
    copies.step()
    assert b"uz" not in copies.entries(2)
    assert copies.entries(3)[b"uz"] == b"late"


def test_ends_of_what_is_no_longer_followed_are_left_alone() -> None:
    copies = Copies()
    copies.rest()
    reader = copies.cluster.readers[0]
    store = copies.standbys.take(2)
    assert store is not None
    before = store.positions[SEEN.changelog]
    copies.rest()
    reader.extra_ends = {TopicPartition(SEEN.changelog, number): 9 for number in (2, 3)}
    copies.step()
    assert store.positions[SEEN.changelog] == before
    other = copies.standbys.take(3)
    assert other is not None
    assert other.positions[SEEN.changelog].next_offset == 9


def test_a_store_that_is_given_back_goes_on_as_a_copy_without_being_opened_again() -> None:
    copies = Copies()
    store = copies.state(2)
    copies.standbys.keep(store)
    copies.rest()
    assert len(copies.disk.stores[2]) == 1
    assert copies.standbys.partitions == {2, 3}
    copies.cluster.write(USERS, 2, (b"b", b"new"))
    copies.step()
    assert copies.entries(2)[b"ub"] == b"new"
    assert copies.entries(2)[b"ua"] == b"owner's"
    assert copies.cluster.readers[0].assigned[0][TopicPartition(USERS.changelog, 2)] == 2


def test_a_store_that_is_given_back_and_not_wanted_is_closed() -> None:
    copies = Copies(losses=0)
    copies.standbys.keep(copies.state(2))
    assert copies.rest() == 0
    assert not copies.disk.stores[2][-1].is_open
    assert "live_slots" not in copies.cluster.asked
    assert copies.cluster.readers == []
    assert copies.told.of("standbys") == [([],)]


def test_an_answer_from_before_an_assignment_does_not_count() -> None:
    copies = Copies(slots=[None, SLOTS, SLOTS])
    assert not copies.step()
    copies.standbys.reconsider()
    assert not copies.step()
    assert copies.told.of("standbys") == []
    assert copies.step()
    assert copies.told.of("standbys") == [([2, 3],)]


def test_after_an_assignment_nothing_is_opened_before_it_is_known_what_to_copy() -> None:
    copies = Copies(slots=[SLOTS, None, ("b-0", "b-1", "b-2")])
    copies.step()
    copies.standbys.reconsider()
    assert not copies.step()
    assert copies.disk.stores.keys() == {2}


def test_an_answer_that_nothing_overtook_counts() -> None:
    copies = Copies(slots=[None, SLOTS])
    assert not copies.step()
    assert copies.step()


def test_while_the_broker_is_away_it_waits_and_says_so() -> None:
    copies = Copies()
    copies.cluster.away = {"watermarks"}
    assert not copies.step()
    assert copies.told.of("standbys_wait") == [("watermarks is not answered",)]
    copies.cluster.away = set()
    asked = len(copies.cluster.asked)
    copies.cluster.now += RETRY_S - 0.1
    copies.step()
    assert len(copies.cluster.asked) == asked
    copies.cluster.now += 0.1
    assert copies.step()


def test_an_answer_that_never_came_overtakes_nothing() -> None:
    copies = Copies(slots=[None, SLOTS])
    copies.step()
    copies.standbys.reconsider()
    copies.cluster.away = {"live_slots"}
    copies.step()
    copies.cluster.away = set()
    copies.cluster.now += RETRY_S
    assert copies.step()


def test_now_and_then_it_looks_again() -> None:
    copies = Copies(slots=[SLOTS, ("b-0", "b-1", "b-2")])
    copies.rest()
    copies.cluster.now += ASK_AGAIN_S - 5.0
    copies.rest()
    assert len(copies.told.of("standbys")) == 1
    copies.cluster.now += 10.0
    copies.rest()
    wanted = copies.told.of("standbys")[1][0]
    assert set(wanted) == copies.standbys.partitions
    for number in {2, 3} - set(wanted):
        assert not copies.disk.stores[number][-1].is_open


def test_a_look_that_finds_nothing_new_does_not_begin_to_read_anew() -> None:
    copies = Copies()
    copies.rest()
    copies.cluster.now += ASK_AGAIN_S
    copies.rest()
    assert copies.told.of("standbys") == [([2, 3],)] * 2
    assert len(copies.cluster.readers[0].assigned) == 1
    assert [len(copies.disk.stores[number]) for number in (2, 3)] == [1, 1]


def test_what_is_no_longer_wanted_is_closed_and_read_no_more() -> None:
    copies = Copies(slots=[SLOTS, ("b-0",)])
    copies.rest()
    copies.standbys.reconsider()
    copies.rest()
    assert copies.standbys.partitions == frozenset()
    assert not [s for number in (2, 3) for s in copies.disk.stores[number] if s.is_open]
    assert copies.cluster.readers[0].is_closed
    assert copies.told.of("standbys")[-1] == ([],)


def test_a_changelog_that_is_gone_makes_copies_wait() -> None:
    copies = Copies()
    del copies.cluster.ids[SEEN.changelog]
    assert not copies.step()
    ((reason,),) = copies.told.of("standbys_wait")
    assert "nothing to copy from" in reason
    assert copies.disk.stores == {}


def test_a_copy_of_a_changelog_that_was_made_again_is_begun_anew() -> None:
    copies = Copies()
    copies.rest()
    copies.cluster.ids[USERS.changelog] = "users-2"
    copies.standbys.reconsider()
    copies.rest()
    assert [number for number, _ in copies.disk.aside] == [2, 3]
    assert "deleted and made again" in copies.disk.aside[0][1]
    assert copies.entries(2)[b"ua"] == b"2"
    assert copies.cluster.readers[0].assigned[-1][TopicPartition(USERS.changelog, 2)] == 0


def test_a_state_whose_changelog_was_made_again_is_left_as_it_is() -> None:
    copies = Copies()
    copies.standbys.keep(copies.state(2))
    copies.cluster.ids[USERS.changelog] = "users-2"
    copies.rest()
    assert copies.disk.aside == []
    assert copies.standbys.partitions == {3}
    assert copies.entries(2)[b"ua"] == b"owner's"
    taken = copies.standbys.take(2)
    assert taken is not None
    assert not taken.is_copy


def test_a_state_that_was_followed_is_not_once_its_changelog_was_made_again() -> None:
    copies = Copies()
    copies.standbys.keep(copies.state(2))
    copies.rest()
    assert copies.standbys.partitions == {2, 3}
    copies.cluster.ids[USERS.changelog] = "users-2"
    copies.standbys.reconsider()
    copies.rest()
    assert copies.standbys.partitions == {3}
    assert {place.partition for place in copies.cluster.readers[0].assigned[-1]} == {3}
    assert [number for number, _ in copies.disk.aside] == [3]
    assert copies.entries(2)[b"ua"] == b"owner's"


def test_a_state_that_is_ahead_of_its_changelog_is_begun_anew() -> None:
    copies = Copies()
    store = copies.state(2)
    store.apply(Marker(FORMAT, "blue", {"in": 1}, b""), {USERS.changelog: ("users-1", 99)})
    copies.standbys.keep(store)
    copies.rest()
    assert [number for number, _ in copies.disk.aside] == [2]
    assert copies.entries(2)[b"ua"] == b"2"


def test_a_second_misfit_does_not_hide_the_first() -> None:
    copies = Copies()
    store = copies.state(2)
    store.apply(Marker(FORMAT, "blue", {"in": 1}, b""), {SEEN.changelog: ("seen-1", 99)})
    copies.standbys.keep(store)
    copies.rest()
    assert [number for number, _ in copies.disk.aside] == [2]


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_copy_that_breaks_is_begun_again(writes: int) -> None:
    copies = Copies()
    copies.cluster.ends[TopicPartition(SEEN.changelog, 2)] = 7
    copies.disk.breaking[2] = writes
    copies.rest()
    assert copies.disk.aside == [(2, "damaged")]
    assert copies.entries(2)[b"ua"] == b"2"
    assert copies.entries(3)[b"ua"] == b"3"
    assert [set(said) for said in copies.told.of("set_aside")] == [{2, "damaged", "aside-1"}]


def test_a_copy_that_keeps_breaking_is_given_up_and_the_others_go_on() -> None:
    copies = Copies()
    copies.rest()
    copies.spoil(2)
    for _ in range(BREAKS_MAX):
        copies.disk.breaking[2] = 0
        assert copies.step()
    assert copies.standbys.partitions == {2, 3}
    assert copies.step()
    assert copies.standbys.partitions == {3}
    assert len(copies.disk.aside) == BREAKS_MAX
    assert not copies.disk.stores[2][-1].is_open
    ((said,),) = copies.told.of("standbys_wait")
    assert "partition 2" in said
    assert "replace the disk" in said
    assert copies.standbys.take(2) is None
    copies.cluster.write(USERS, 3, (b"b", b"new"))
    copies.rest()
    assert copies.entries(3)[b"ub"] == b"new"
    assert {place.partition for place in copies.cluster.readers[0].assigned[-1]} == {3}


def test_a_copy_that_was_given_up_is_not_begun_again() -> None:
    copies = Copies()
    copies.rest()
    copies.spoil(2)
    for _ in range(BREAKS_MAX + 1):
        copies.disk.breaking[2] = 0
        copies.step()
    assert copies.standbys.partitions == {3}
    opened = len(copies.disk.stores[2])
    copies.disk.breaking.clear()
    copies.standbys.reconsider()
    copies.rest()
    assert copies.told.of("standbys") == [([2, 3],), ([3],)]
    assert len(copies.disk.stores[2]) == opened


def test_a_copy_that_was_whole_between_may_break_as_often_again() -> None:
    copies = Copies()
    copies.rest()
    for count in range(1, 2 * BREAKS_MAX + 1):
        copies.spoil(2)
        copies.rest()
        assert copies.standbys.partitions == {2, 3}
        assert len(copies.disk.aside) == count
        assert copies.entries(2)[b"ub"] == b"more"


def test_only_a_copy_that_has_everything_is_written_as_usual_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(standby, "BULK_RECORDS_MIN", 3)
    copies = Copies()
    copies.step()
    copies.step()
    copies.step(1)
    assert copies.told.of("copied") == [(2, 2)]
    assert copies.disk.stores[2][0].bulk == [True]
    copies.rest()
    assert copies.disk.stores[2][0].bulk == [True, False]


def test_a_copy_that_is_far_behind_is_opened_for_writing_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(standby, "BULK_RECORDS_MIN", 3)
    copies = Copies()
    copies.cluster.write(USERS, 3, (b"b", b"more"))
    copies.rest()
    assert copies.disk.stores[2][0].bulk == [True, False]
    assert copies.disk.stores[3][0].bulk == [True, False]
    monkeypatch.setattr(standby, "BULK_RECORDS_MIN", 4)
    copies = Copies()
    copies.cluster.write(USERS, 3, (b"b", b"more"))
    copies.step()
    copies.step()
    assert copies.disk.stores[2][0].bulk == [False]
    assert copies.disk.stores[3][0].bulk == [True]


def test_close_leaves_nothing_open() -> None:
    copies = Copies()
    copies.rest()
    copies.standbys.close()
    assert not [s for held in copies.disk.stores.values() for s in held if s.is_open]
    assert [reader.is_closed for reader in copies.cluster.readers] == [True]
    assert copies.standbys.partitions == frozenset()
    assert copies.standbys.take(2) is None


def test_close_forgets_what_was_still_to_be_opened() -> None:
    copies = Copies()
    copies.step()
    copies.standbys.close()
    assert not copies.step()
    assert copies.disk.stores.keys() == {2}
