"""Copies that do not fit their changelogs or break: begun anew, left alone or given up."""

import pytest

from pipeline.engine.ports import TopicPartition
from pipeline.engine.state.checkpoint import FORMAT, Marker
from pipeline.engine.state.opener import BREAKS_MAX
from pipeline.engine.state.table_spec import TableSpec
from tests.engine.changelogs import SEEN, USERS
from tests.engine.copies import Copies


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


@pytest.mark.parametrize("table", [USERS, SEEN])
def test_a_state_that_is_ahead_of_one_of_its_changelogs_is_begun_anew(table: TableSpec) -> None:
    copies = Copies()
    store = copies.state(2)
    ahead = {table.changelog: (copies.cluster.ids[table.changelog], 99)}
    store.apply(Marker(FORMAT, "blue", {"in": 1}, b""), ahead)
    copies.standbys.keep(store)
    copies.rest()
    assert [number for number, _ in copies.disk.aside] == [2]
    assert copies.entries(2)[b"ua"] == b"2"


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
