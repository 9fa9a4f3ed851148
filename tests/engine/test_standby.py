"""Copies, step by step: what is opened, read, handed over and closed, and when."""

from typing import cast

from pipeline.engine.config import EngineConfig
from pipeline.engine.ports import Cluster, TopicPartition
from pipeline.engine.recovery.standby import ASK_AGAIN_S, RETRY_S, Standbys
from tests.engine.changelogs import SEEN, USERS, Record
from tests.engine.copies import MANY, OWNED, SLOTS, Copies


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


def test_only_a_copy_that_has_everything_is_written_as_usual_again() -> None:
    copies = Copies(bulk_records_min=3)
    copies.step()
    copies.step()
    copies.step(1)
    assert copies.told.of("copied") == [(2, 2)]
    assert copies.disk.stores[2][0].bulk == [True]
    copies.rest()
    assert copies.disk.stores[2][0].bulk == [True, False]


def test_a_copy_that_is_far_behind_is_opened_for_writing_alone() -> None:
    copies = Copies(bulk_records_min=3)
    copies.cluster.write(USERS, 3, (b"b", b"more"))
    copies.rest()
    assert copies.disk.stores[2][0].bulk == [True, False]
    assert copies.disk.stores[3][0].bulk == [True, False]
    copies = Copies(bulk_records_min=4)
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
