"""Standbys that do not fit their changelogs or break: begun anew, left alone or given up."""

import pytest

from pipeline.engine.ports import TopicPartition
from pipeline.engine.state.checkpoint import FORMAT, Checkpoint
from pipeline.engine.state.opener import BREAKS_MAX
from pipeline.engine.state.table_spec import TableSpec
from tests.engine.changelogs import SEEN, USERS
from tests.engine.standby_scene import StandbyScene


def test_a_standby_of_a_changelog_that_was_recreated_is_begun_anew() -> None:
    standby = StandbyScene()
    standby.rest()
    standby.cluster.ids[USERS.changelog] = "users-2"
    standby.standbys.reconsider()
    standby.rest()
    assert [number for number, _ in standby.disk.quarantined] == [2, 3]
    assert "deleted and recreated" in standby.disk.quarantined[0][1]
    assert standby.entries(2)[b"ua"] == b"2"
    assert standby.cluster.readers[0].assigned[-1][TopicPartition(USERS.changelog, 2)] == 0


def test_a_state_whose_changelog_was_recreated_is_left_as_it_is() -> None:
    standby = StandbyScene()
    standby.standbys.keep(standby.state(2))
    standby.cluster.ids[USERS.changelog] = "users-2"
    standby.rest()
    assert standby.disk.quarantined == []
    assert standby.standbys.partitions == {3}
    assert standby.entries(2)[b"ua"] == b"owner's"
    taken = standby.standbys.take(2)
    assert taken is not None
    assert not taken.is_standby


def test_a_state_that_was_followed_is_not_once_its_changelog_was_recreated() -> None:
    standby = StandbyScene()
    standby.standbys.keep(standby.state(2))
    standby.rest()
    assert standby.standbys.partitions == {2, 3}
    standby.cluster.ids[USERS.changelog] = "users-2"
    standby.standbys.reconsider()
    standby.rest()
    assert standby.standbys.partitions == {3}
    assert {tp.partition for tp in standby.cluster.readers[0].assigned[-1]} == {3}
    assert [number for number, _ in standby.disk.quarantined] == [3]
    assert standby.entries(2)[b"ua"] == b"owner's"


@pytest.mark.parametrize("table", [USERS, SEEN])
def test_a_state_that_is_ahead_of_one_of_its_changelogs_is_begun_anew(table: TableSpec) -> None:
    standby = StandbyScene()
    store = standby.state(2)
    ahead = {table.changelog: (standby.cluster.ids[table.changelog], 99)}
    store.apply(Checkpoint(FORMAT, "blue", {"in": 1}, b""), ahead)
    standby.standbys.keep(store)
    standby.rest()
    assert [number for number, _ in standby.disk.quarantined] == [2]
    assert standby.entries(2)[b"ua"] == b"2"


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_standby_that_breaks_is_begun_again(writes: int) -> None:
    standby = StandbyScene()
    standby.cluster.ends[TopicPartition(SEEN.changelog, 2)] = 7
    standby.disk.breaking[2] = writes
    standby.rest()
    assert standby.disk.quarantined == [(2, "damaged")]
    assert standby.entries(2)[b"ua"] == b"2"
    assert standby.entries(3)[b"ua"] == b"3"
    assert [set(said) for said in standby.observed.of("quarantined")] == [{2, "damaged", "aside-1"}]


def test_a_standby_that_keeps_breaking_is_given_up_and_the_others_go_on() -> None:
    standby = StandbyScene()
    standby.rest()
    standby.spoil(2)
    for _ in range(BREAKS_MAX):
        standby.disk.breaking[2] = 0
        assert standby.step()
    assert standby.standbys.partitions == {2, 3}
    assert standby.step()
    assert standby.standbys.partitions == {3}
    assert len(standby.disk.quarantined) == BREAKS_MAX
    assert not standby.disk.stores[2][-1].is_open
    ((said,),) = standby.observed.of("standbys_wait")
    assert "partition 2" in said
    assert "replace the disk" in said
    assert standby.standbys.take(2) is None
    standby.cluster.write(USERS, 3, (b"b", b"new"))
    standby.rest()
    assert standby.entries(3)[b"ub"] == b"new"
    assert {tp.partition for tp in standby.cluster.readers[0].assigned[-1]} == {3}


def test_a_standby_that_was_given_up_is_not_begun_again() -> None:
    standby = StandbyScene()
    standby.rest()
    standby.spoil(2)
    for _ in range(BREAKS_MAX + 1):
        standby.disk.breaking[2] = 0
        standby.step()
    assert standby.standbys.partitions == {3}
    opened = len(standby.disk.stores[2])
    standby.disk.breaking.clear()
    standby.standbys.reconsider()
    standby.rest()
    assert standby.observed.of("standbys") == [([2, 3],), ([3],)]
    assert len(standby.disk.stores[2]) == opened


def test_a_standby_that_was_whole_between_may_break_as_often_again() -> None:
    standby = StandbyScene()
    standby.rest()
    for count in range(1, 2 * BREAKS_MAX + 1):
        standby.spoil(2)
        standby.rest()
        assert standby.standbys.partitions == {2, 3}
        assert len(standby.disk.quarantined) == count
        assert standby.entries(2)[b"ub"] == b"more"
