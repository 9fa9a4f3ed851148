"""Standbys, step by step: what is opened, read, handed over and closed, and when."""

from typing import cast

from pipeline.engine.config import EngineConfig
from pipeline.engine.ports import Cluster, TopicPartition
from pipeline.engine.recovery.standby import ASK_AGAIN_S, RETRY_S, Standbys
from tests.engine.changelogs import SEEN, USERS, Record
from tests.engine.standby_scene import MANY, OWNED, SLOTS, StandbyScene


def test_what_would_be_owned_gets_a_standby_one_store_a_step() -> None:
    standby = StandbyScene()
    assert standby.step()
    assert standby.disk.stores.keys() == {2}
    assert standby.step()
    assert standby.disk.stores.keys() == {2, 3}
    assert standby.observed.of("standbys") == [([2, 3],)]
    assert not standby.step()
    assert [standby.entries(number)[b"ua"] for number in (2, 3)] == [b"2", b"3"]
    assert standby.standbys.partitions == {2, 3}
    assert standby.observed.of("standby_lag") == [(2, 0), (3, 0)]
    (reader,) = standby.cluster.readers
    assert reader.assigned == [
        {TopicPartition(table.changelog, n): 0 for n in (2, 3) for table in (USERS, SEEN)}
    ]
    assert reader.waits == [0.0]
    assert standby.observed.steps == ["standby"] * 4


def test_before_an_assignment_nothing_is_asked() -> None:
    standby = StandbyScene()
    standby.standbys.reconsider()
    fresh = Standbys(
        EngineConfig("blue", ("in",), (USERS, SEEN), clock=standby.cluster.clock, standbys=1),
        cast(Cluster, standby.cluster),
        standby.opener,
        standby.observed,
    )
    assert not fresh.step(OWNED, MANY)
    assert standby.cluster.asked == []


def test_after_a_full_read_there_is_more_to_come() -> None:
    standby = StandbyScene()
    standby.step()
    standby.step()
    assert standby.step(6)
    assert not standby.step(6)


def test_what_comes_later_is_followed() -> None:
    standby = StandbyScene()
    standby.rest()
    standby.cluster.write(USERS, 3, (b"b", b"new"))
    assert not standby.step()
    assert standby.entries(3)[b"ub"] == b"new"
    assert standby.observed.of("standby_lag")[-1] == (3, 0)
    assert len(standby.cluster.readers[0].assigned) == 1


def test_how_far_behind_is_counted_from_the_ends_that_the_reader_heard() -> None:
    standby = StandbyScene()
    standby.step()
    standby.step()
    standby.step(1)
    assert standby.observed.of("standby_lag") == [(2, 2)]
    standby.step(1)
    assert standby.observed.of("standby_lag")[1:] == [(3, 2)]
    standby.cluster.write(USERS, 3, (b"b", b"more"))
    standby.step(1)
    assert standby.observed.of("standby_lag")[2:] == [(2, 1)]


def test_how_far_behind_is_counted_from_what_came_since_it_was_opened_too() -> None:
    standby = StandbyScene()
    standby.rest()
    standby.cluster.write(USERS, 3, (b"b", b"1"), (b"c", b"2"), (b"d", b"3"))
    standby.step(1)
    assert standby.observed.of("standby_lag")[-1] == (3, 2)


def test_a_standby_that_is_owned_now_is_handed_over_and_followed_no_more() -> None:
    standby = StandbyScene()
    standby.rest()
    store = standby.standbys.take(2)
    assert store is not None
    assert store.is_standby
    assert store.partition == 2
    assert standby.standbys.partitions == {3}
    assert standby.standbys.take(2) is None
    standby.cluster.write(USERS, 2, (b"b", b"new"))
    standby.rest()
    assert {tp.partition for tp in standby.cluster.readers[0].assigned[-1]} == {3}
    assert b"ub" not in standby.entries(2)


def test_what_was_to_be_opened_and_is_owned_now_is_not_opened() -> None:
    standby = StandbyScene()
    standby.step()
    assert standby.standbys.take(3) is None
    standby.rest()
    assert standby.disk.stores.keys() == {2}


def test_records_of_what_is_no_longer_followed_are_left_alone() -> None:
    standby = StandbyScene()
    standby.rest()
    reader = standby.cluster.readers[0]
    standby.standbys.take(2)
    standby.rest()
    tp = TopicPartition(USERS.changelog, 2)
    other = TopicPartition(USERS.changelog, 3)
    reader.extra = [Record(tp, 9, b"z", b"late"), Record(other, 9, b"z", b"late")]
    standby.step()
    assert b"uz" not in standby.entries(2)
    assert standby.entries(3)[b"uz"] == b"late"


def test_ends_of_what_is_no_longer_followed_are_left_alone() -> None:
    standby = StandbyScene()
    standby.rest()
    reader = standby.cluster.readers[0]
    store = standby.standbys.take(2)
    assert store is not None
    before = store.positions[SEEN.changelog]
    standby.rest()
    reader.extra_ends = {TopicPartition(SEEN.changelog, number): 9 for number in (2, 3)}
    standby.step()
    assert store.positions[SEEN.changelog] == before
    other = standby.standbys.take(3)
    assert other is not None
    assert other.positions[SEEN.changelog].next_offset == 9


def test_a_store_that_is_given_back_goes_on_as_a_standby_without_being_opened_again() -> None:
    standby = StandbyScene()
    store = standby.state(2)
    standby.standbys.keep(store)
    standby.rest()
    assert len(standby.disk.stores[2]) == 1
    assert standby.standbys.partitions == {2, 3}
    standby.cluster.write(USERS, 2, (b"b", b"new"))
    standby.step()
    assert standby.entries(2)[b"ub"] == b"new"
    assert standby.entries(2)[b"ua"] == b"owner's"
    assert standby.cluster.readers[0].assigned[0][TopicPartition(USERS.changelog, 2)] == 2


def test_a_store_that_is_given_back_and_not_wanted_is_closed() -> None:
    standby = StandbyScene(losses=0)
    standby.standbys.keep(standby.state(2))
    assert standby.rest() == 0
    assert not standby.disk.stores[2][-1].is_open
    assert "live_slots" not in standby.cluster.asked
    assert standby.cluster.readers == []
    assert standby.observed.of("standbys") == [([],)]


def test_an_answer_from_before_an_assignment_does_not_count() -> None:
    standby = StandbyScene(slots=[None, SLOTS, SLOTS])
    assert not standby.step()
    standby.standbys.reconsider()
    assert not standby.step()
    assert standby.observed.of("standbys") == []
    assert standby.step()
    assert standby.observed.of("standbys") == [([2, 3],)]


def test_after_an_assignment_nothing_is_opened_before_it_is_known_what_to_standby() -> None:
    standby = StandbyScene(slots=[SLOTS, None, ("b-0", "b-1", "b-2")])
    standby.step()
    standby.standbys.reconsider()
    assert not standby.step()
    assert standby.disk.stores.keys() == {2}


def test_an_answer_that_nothing_overtook_counts() -> None:
    standby = StandbyScene(slots=[None, SLOTS])
    assert not standby.step()
    assert standby.step()


def test_while_the_broker_is_away_it_waits_and_says_so() -> None:
    standby = StandbyScene()
    standby.cluster.away = {"watermarks"}
    assert not standby.step()
    assert standby.observed.of("standbys_wait") == [("watermarks is not answered",)]
    standby.cluster.away = set()
    asked = len(standby.cluster.asked)
    standby.cluster.now += RETRY_S - 0.1
    standby.step()
    assert len(standby.cluster.asked) == asked
    standby.cluster.now += 0.1
    assert standby.step()


def test_an_answer_that_never_came_overtakes_nothing() -> None:
    standby = StandbyScene(slots=[None, SLOTS])
    standby.step()
    standby.standbys.reconsider()
    standby.cluster.away = {"live_slots"}
    standby.step()
    standby.cluster.away = set()
    standby.cluster.now += RETRY_S
    assert standby.step()


def test_now_and_then_it_looks_again() -> None:
    standby = StandbyScene(slots=[SLOTS, ("b-0", "b-1", "b-2")])
    standby.rest()
    standby.cluster.now += ASK_AGAIN_S - 5.0
    standby.rest()
    assert len(standby.observed.of("standbys")) == 1
    standby.cluster.now += 10.0
    standby.rest()
    wanted = standby.observed.of("standbys")[1][0]
    assert set(wanted) == standby.standbys.partitions
    for number in {2, 3} - set(wanted):
        assert not standby.disk.stores[number][-1].is_open


def test_a_look_that_finds_nothing_new_does_not_begin_to_read_anew() -> None:
    standby = StandbyScene()
    standby.rest()
    standby.cluster.now += ASK_AGAIN_S
    standby.rest()
    assert standby.observed.of("standbys") == [([2, 3],)] * 2
    assert len(standby.cluster.readers[0].assigned) == 1
    assert [len(standby.disk.stores[number]) for number in (2, 3)] == [1, 1]


def test_what_is_no_longer_wanted_is_closed_and_read_no_more() -> None:
    standby = StandbyScene(slots=[SLOTS, ("b-0",)])
    standby.rest()
    standby.standbys.reconsider()
    standby.rest()
    assert standby.standbys.partitions == frozenset()
    assert not [s for number in (2, 3) for s in standby.disk.stores[number] if s.is_open]
    assert standby.cluster.readers[0].is_closed
    assert standby.observed.of("standbys")[-1] == ([],)


def test_a_changelog_that_is_gone_makes_standbys_wait() -> None:
    standby = StandbyScene()
    del standby.cluster.ids[SEEN.changelog]
    assert not standby.step()
    ((reason,),) = standby.observed.of("standbys_wait")
    assert "standbys have nothing to follow" in reason
    assert standby.disk.stores == {}


def test_only_a_standby_that_has_everything_is_written_as_usual_again() -> None:
    standby = StandbyScene(bulk_records_min=3)
    standby.step()
    standby.step()
    standby.step(1)
    assert standby.observed.of("standby_lag") == [(2, 2)]
    assert standby.disk.stores[2][0].bulk == [True]
    standby.rest()
    assert standby.disk.stores[2][0].bulk == [True, False]


def test_a_standby_that_is_far_behind_is_opened_for_writing_alone() -> None:
    standby = StandbyScene(bulk_records_min=3)
    standby.cluster.write(USERS, 3, (b"b", b"more"))
    standby.rest()
    assert standby.disk.stores[2][0].bulk == [True, False]
    assert standby.disk.stores[3][0].bulk == [True, False]
    standby = StandbyScene(bulk_records_min=4)
    standby.cluster.write(USERS, 3, (b"b", b"more"))
    standby.step()
    standby.step()
    assert standby.disk.stores[2][0].bulk == [False]
    assert standby.disk.stores[3][0].bulk == [True]


def test_close_leaves_nothing_open() -> None:
    standby = StandbyScene()
    standby.rest()
    standby.standbys.close()
    assert not [s for held in standby.disk.stores.values() for s in held if s.is_open]
    assert [reader.is_closed for reader in standby.cluster.readers] == [True]
    assert standby.standbys.partitions == frozenset()
    assert standby.standbys.take(2) is None


def test_close_forgets_what_was_still_to_be_opened() -> None:
    standby = StandbyScene()
    standby.step()
    standby.standbys.close()
    assert not standby.step()
    assert standby.disk.stores.keys() == {2}
