"""What a restore ends with: where inputs go on, what is refused, what is written anew."""

import pytest

from pipeline.engine.errors import PartitionRefusedError
from pipeline.engine.ports import TopicPartition, Watermarks
from pipeline.engine.state.checkpoint import FORMAT, REWRITING_KEY, Checkpoint
from tests.engine.changelogs import SEEN, USERS
from tests.engine.restores import Restores, users_changelog


def users_recreated(restores: Restores) -> None:
    """A store that stands at 7, and one of its two changelogs empty and another topic."""
    restores.write(0, 7)
    restores.state(0, 7).close()
    restores.cluster.ids[USERS.changelog] = "users-2"
    restores.cluster.logs[users_changelog()].clear()


def test_at_the_very_first_start_inputs_begin_at_the_earliest_there_is() -> None:
    restores = Restores("in", "also")
    restores.start(0, None)
    restores.restored()
    opened = restores.finish(0, {"in": Watermarks(4, 9), "also": Watermarks(0, 0)})
    assert opened.next_offsets == {"in": 4, "also": 0}
    assert opened.inputs_to_repair == {"in", "also"}
    assert opened.attachment == b""


def test_an_input_that_the_state_does_not_know_begins_at_its_start() -> None:
    restores = Restores("in", "also")
    restores.write(0, 7)
    restores.start(0, 7)
    restores.restored()
    opened = restores.finish(0)
    assert opened.next_offsets == {"in": 7, "also": 0}
    assert opened.inputs_to_repair == {"also"}


def test_an_input_that_the_state_does_not_know_and_lost_its_start_is_refused() -> None:
    restores = Restores("in", "also")
    restores.write(0, 7)
    said = restores.refusal(7, {"also": Watermarks(2, 9)})
    assert "next offset of also is 0, the topic has 2 to 9" in said


@pytest.mark.parametrize("marks", [Watermarks(7, 7), Watermarks(0, 7), Watermarks(7, 9)])
def test_an_input_that_has_what_follows_is_gone_on_with(marks: Watermarks) -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.start(0, 7)
    restores.restored()
    assert restores.finish(0, {"in": marks}).next_offsets == {"in": 7}


@pytest.mark.parametrize("marks", [Watermarks(8, 9), Watermarks(0, 6)])
def test_an_input_that_aged_out_or_was_recreated_is_refused(marks: Watermarks) -> None:
    restores = Restores()
    restores.write(0, 7)
    assert f"next offset of in is 7, the topic has {marks.low}" in restores.refusal(
        7, {"in": marks}
    )


def test_offsets_without_any_state_are_refused() -> None:
    assert "its changelogs are empty" in Restores().refusal(7)


def test_offsets_that_are_ahead_of_the_state_are_refused() -> None:
    restores = Restores()
    restores.write(0, 7)
    assert "committed offsets are {'in': 8}" in restores.refusal(8)


def beside(committed: dict[str, int | None]) -> Restores:
    """A state at 7 of `in` and 9 of `also`, restored beside these offsets."""
    restores = Restores("in", "also")
    restores.cluster.write(USERS, 0, (b"a", b"7"))
    restores.cluster.mark(0, {"in": 7, "also": 9})
    offsets = {TopicPartition(topic, 0): at for topic, at in committed.items()}
    restores.restorer.start({0: None}, offsets)
    restores.restored()
    return restores


@pytest.mark.parametrize(
    ("committed", "inputs_to_repair"),
    [
        ({"in": 4, "also": 9}, {"in"}),
        ({"in": 0, "also": 8}, {"in", "also"}),
        ({"in": 7, "also": 7}, {"also"}),
        ({"in": 6, "also": None}, {"in", "also"}),
    ],
)
def test_offsets_that_went_back_are_repaired(
    committed: dict[str, int | None], inputs_to_repair: set[str]
) -> None:
    restores = beside(committed)
    opened = restores.finish()
    assert opened.next_offsets == {"in": 7, "also": 9}
    assert opened.inputs_to_repair == inputs_to_repair
    assert restores.observed.of("offsets_forgotten") == [(0, committed, {"in": 7, "also": 9})]


@pytest.mark.parametrize(
    "committed",
    [
        {"in": 8, "also": 9},
        {"in": 4, "also": 10},
        {"in": 8, "also": None},
    ],
)
def test_offsets_of_which_one_is_ahead_of_the_state_are_refused(
    committed: dict[str, int | None],
) -> None:
    restores = beside(committed)
    with pytest.raises(PartitionRefusedError, match="committed offsets are"):
        restores.finish()
    assert restores.observed.of("offsets_forgotten") == []


def test_an_offset_of_an_input_that_the_state_does_not_know_is_refused() -> None:
    restores = Restores("in", "also")
    restores.write(0, 7)
    offsets: dict[TopicPartition, int | None] = {
        TopicPartition("in", 0): 6,
        TopicPartition("also", 0): 0,
    }
    restores.restorer.start({0: None}, offsets)
    restores.restored()
    with pytest.raises(PartitionRefusedError):
        restores.finish()


def test_a_store_that_lacks_an_input_of_the_group_is_not_ahead_of_it() -> None:
    restores = Restores("in", "also")
    restores.write(0, 7)
    restores.state(0, 7).close()
    committed = {TopicPartition("in", 0): 7, TopicPartition("also", 0): 0}
    restores.restorer.start({0: None}, committed)
    restores.restored()
    with pytest.raises(PartitionRefusedError, match="committed offsets are"):
        restores.finish()
    assert restores.disk.quarantined == []


def test_a_state_from_before_terms_were_recorded_is_opened_under_any() -> None:
    restores = Restores(terms="cycle_days=108")
    restores.write(0, 7)
    assert restores.opened(7).next_offsets == {"in": 7}


def test_offsets_that_expired_are_the_states() -> None:
    restores = Restores()
    restores.write(0, 7)
    opened = restores.opened(None)
    assert opened.next_offsets == {"in": 7}
    assert opened.inputs_to_repair == {"in"}
    assert restores.observed.of("offsets_forgotten") == []


def test_a_changelog_that_is_being_written_anew_is_refused() -> None:
    restores = Restores()
    restores.cluster.write(USERS, 0, (REWRITING_KEY, b""))
    restores.write(0, 7)
    said = restores.refusal(7)
    assert said.startswith(f"partition 0: {USERS.changelog} was recreated")
    assert SEEN.changelog not in said


def test_state_beside_a_changelog_that_was_never_written_is_refused() -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.cluster.logs[TopicPartition(SEEN.changelog, 0)].clear()
    said = restores.refusal(7)
    assert said.startswith("partition 0: there is state")
    assert said.endswith(f"nothing was ever written to {SEEN.changelog}")


def test_a_changelog_that_expired_whole_is_no_loss() -> None:
    restores = Restores()
    restores.write(0, 7)
    seen = TopicPartition(SEEN.changelog, 0)
    restores.cluster.logs[seen].clear()
    restores.cluster.lows[seen] = restores.cluster.ends[seen] = 2
    assert restores.opened(7).next_offsets == {"in": 7}


def test_a_store_whose_changelog_was_recreated_is_what_it_is_written_anew_from() -> None:
    restores = Restores()
    users_recreated(restores)
    restores.start(0, 7)
    assert restores.disk.quarantined == []
    assert restores.step() == [0]
    assert restores.restorer.rewrites(0) == [USERS]
    assert restores.restorer.topic_ids[USERS.changelog] == "users-2"
    restores.restorer.rewritten(0, USERS)
    assert restores.restorer.rewrites(0) == []
    assert restores.finish().attachment == b"own"


def test_a_store_that_is_not_at_the_groups_offsets_writes_no_changelog() -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.state(0, 7).close()
    restores.cluster.ids[USERS.changelog] = "users-2"
    restores.start(0, 8)
    assert [number for number, _ in restores.disk.quarantined] == [0]
    assert restores.restorer.rewrites(0) == []
    assert restores.observed.of("restoring") == [(0, 0, 4)]


def test_a_store_that_fits_one_changelog_and_not_the_other_is_quarantined() -> None:
    restores = Restores()
    restores.write(0, 7)
    store = restores.state(0, 7)
    store.apply(Checkpoint(FORMAT, "blue", {"in": 7}, b""), {SEEN.changelog: ("seen-1", 99)})
    store.close()
    restores.cluster.ids[USERS.changelog] = "users-2"
    restores.start(0, 7)
    ((number, reason),) = restores.disk.quarantined
    assert (number, "offset 99" in reason) == (0, True)
    assert restores.restorer.rewrites(0) == []


def test_of_several_reasons_the_last_is_told() -> None:
    restores = Restores()
    restores.write(0, 7)
    store = restores.state(0, 7)
    ahead = {USERS.changelog: ("users-1", 88), SEEN.changelog: ("seen-1", 99)}
    store.apply(Checkpoint(FORMAT, "blue", {"in": 7}, b""), ahead)
    store.close()
    restores.start(0, 7)
    assert ["99" in reason for _, reason in restores.disk.quarantined] == [True]


def test_of_two_lost_changelogs_and_expired_offsets_the_one_that_is_there_is_read() -> None:
    restores = Restores()
    users_recreated(restores)
    restores.cluster.write(SEEN, 0, (b"t", b"later"))
    restores.start(0, None)
    assert restores.observed.of("restoring") == [(0, 0, 1)]
    restores.restored()
    assert restores.restorer.rewrites(0) == [USERS]


def test_a_store_that_breaks_beside_a_lost_changelog_writes_none_anew() -> None:
    restores = Restores()
    users_recreated(restores)
    restores.cluster.write(SEEN, 0, (b"t", b"later"))
    restores.disk.breaking[0] = 0
    restores.start(0, None)
    assert restores.restorer.rewrites(0) == [USERS]
    restores.step()
    assert [number for number, _ in restores.disk.quarantined] == [0]
    assert restores.restorer.rewrites(0) == []


def test_a_store_that_is_the_state_reads_nothing_on() -> None:
    restores = Restores()
    users_recreated(restores)
    restores.cluster.ends[TopicPartition(SEEN.changelog, 0)] = 9
    restores.start(0, 7)
    assert restores.observed.of("restoring") == [(0, 0, 0)]
    assert restores.step() == [0]
    assert restores.restorer.rewrites(0) == [USERS]


def test_with_expired_offsets_nobody_knows_whether_a_store_or_a_new_changelog_is_right() -> None:
    restores = Restores()
    restores.state(0, 7).close()
    restores.cluster.ids[USERS.changelog] = "users-2"
    restores.cluster.ends[users_changelog()] = 1
    restores.cluster.write(SEEN, 0, (b"t", b"later"))
    restores.start(0, None)
    assert restores.observed.of("restoring") == [(0, 0, 0)]
    assert restores.restorer.rewrites(0) == []
    restores.restored()
    with pytest.raises(PartitionRefusedError, match=r"offsets expired.*recreated.*\{'in': 7\}"):
        restores.finish()
    assert restores.disk.quarantined == []
    assert not restores.disk.stores[0][-1].is_open
    assert b"st" not in restores.disk.stores[0][-1].entries


def test_a_store_that_its_owner_left_ahead_of_the_group_is_quarantined() -> None:
    restores = Restores()
    restores.write(0, 7)
    store = restores.state(0, 7)
    ends = {name: (at.topic_id, at.next_offset) for name, at in store.positions.items()}
    store.apply(Checkpoint(FORMAT, "blue", {"in": 8}, b"own"), ends)
    restores.start(0, 7, store)
    ((number, reason),) = restores.disk.quarantined
    assert number == 0
    assert reason == (
        "it contains more than the group's offsets {'in': 7}: the broker lost a transaction that"
        " was committed, or someone reset them"
    )
    restores.restored()
    assert restores.finish().next_offsets == {"in": 7}


def test_each_input_without_an_offset_is_named() -> None:
    restores = Restores("in", "more")
    restores.write(0, 7)
    restores.state(0, 7).close()
    restores.start(0, None)
    assert restores.disk.quarantined == [
        (0, "the group has no offset of in, more to compare it with")
    ]


def test_a_store_that_no_offset_can_be_compared_with_is_quarantined() -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.state(0, 7).close()
    restores.start(0, None)
    assert restores.disk.quarantined == [(0, "the group has no offset of in to compare it with")]
    restores.restored()
    assert restores.finish().next_offsets == {"in": 7}
    assert [number for number, _ in restores.disk.quarantined] == [0]


def test_offsets_that_went_back_cost_one_store_and_not_one_at_each_start() -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.state(0, 7).close()
    for _ in range(3):
        restores.start(0, 6)
        restores.restored()
        (store,) = restores.restorer.drop([0])
        store.close()
    assert [number for number, _ in restores.disk.quarantined] == [0]


def test_a_changelog_that_is_another_since_the_last_start_begins_everything_anew() -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.write(1, 9)
    restores.opened(7)
    restores.cluster.ids[USERS.changelog] = "users-2"
    partitions = {TopicPartition("in", 1): 9}
    assert not restores.restorer.start({1: None}, partitions)
    assert restores.observed.of("changelogs_lost") == [([USERS.changelog], True)]
    assert restores.restorer.partitions == set()
    assert restores.restorer.topic_ids[USERS.changelog] == "users-1"
    restores.restorer.forget()
    assert restores.restorer.start({1: None}, partitions)
