"""Restores, step by step: what is read and until when, what is refused, what is begun again."""

from collections.abc import Mapping
from typing import cast

import pytest

from pipeline.engine import restore
from pipeline.engine.batch import OpenPartition
from pipeline.engine.engine_config import EngineConfig
from pipeline.engine.errors import BrokerError, IncompatibleTopicsError, PartitionRefusedError
from pipeline.engine.marker import FORMAT, REWRITING_KEY, Marker
from pipeline.engine.opening import Stores
from pipeline.engine.ports import Cluster, Disk, TopicPartition, Watermarks
from pipeline.engine.restore import SILENCE_S, SILENCE_S_MAX, Restorer
from pipeline.engine.store import PartitionStore
from tests.engine.changelogs import SEEN, USERS, Changelogs, Dictionaries, Reader
from tests.engine.told import Told

ALL = Watermarks(0, 1_000)


class Restores:
    """A restorer of partitions with one input, `in`, unless more are named."""

    def __init__(self, *inputs: str) -> None:
        self.inputs = inputs or ("in",)
        self.cluster = Changelogs(partitions=2)
        self.disk = Dictionaries()
        self.told = Told()
        config = EngineConfig("blue", self.inputs, (USERS, SEEN), clock=self.cluster.clock)
        self.stores = Stores(cast(Disk, self.disk), "blue", self.told)
        self.restorer = Restorer(config, cast(Cluster, self.cluster), self.stores, self.told)

    def write(self, number: int, at: int) -> None:
        """A transaction in the changelogs, after which the input's next offset is `at`."""
        self.cluster.write(USERS, number, (b"a", b"%d" % at))
        self.cluster.write(SEEN, number, (b"s", b"%d" % at))
        self.cluster.mark(number, {"in": at})

    def start(
        self, number: int, committed: int | None, store: PartitionStore | None = None
    ) -> None:
        offsets = {TopicPartition("in", number): committed}
        self.restorer.start({number: store}, offsets)

    def step(self) -> list[int]:
        return [store.partition for store in self.restorer.step(0.5)]

    def restored(self, number: int = 0) -> None:
        """Step until a partition is complete."""
        for _ in range(50):
            if number in self.step():
                return
        raise AssertionError("it is not restored")

    def finish(
        self, number: int = 0, marks: Mapping[str, Watermarks] | None = None
    ) -> OpenPartition:
        found = {TopicPartition(name, number): ALL for name in self.inputs}
        found |= {TopicPartition(name, number): mark for name, mark in (marks or {}).items()}
        return self.restorer.finish(number, found)[0]

    def opened(self, committed: int | None, number: int = 0) -> OpenPartition:
        self.start(number, committed)
        self.restored(number)
        return self.finish(number)

    def refusal(self, committed: int | None, marks: Mapping[str, Watermarks] | None = None) -> str:
        """Why partition 0 is refused."""
        self.start(0, committed)
        self.restored()
        with pytest.raises(PartitionRefusedError) as caught:
            self.finish(0, marks)
        assert caught.value.fix
        assert not self.disk.stores[0][-1].is_open
        assert self.restorer.partitions == set()
        return str(caught.value)

    def state(self, number: int, at: int) -> PartitionStore:
        """A store that an owner left, which stands at the changelogs' ends."""
        store = self.stores.open(number)
        store.overlay[b"ua"] = b"%d" % at
        ends = {
            table.changelog: (
                self.cluster.ids[table.changelog],
                self.cluster.end(TopicPartition(table.changelog, number)),
            )
            for table in (USERS, SEEN)
        }
        store.apply(Marker(FORMAT, "blue", {"in": at}, b"own"), ends)
        return store


def place(number: int = 0) -> TopicPartition:
    return TopicPartition(USERS.changelog, number)


def test_an_empty_disk_is_restored_to_the_changelogs_ends() -> None:
    restores = Restores()
    restores.write(0, 3)
    restores.write(0, 7)
    restores.start(0, 7)
    assert restores.restorer.partitions == {0}
    assert restores.told.of("restoring") == [(0, 0, 8)]
    began = restores.cluster.now
    assert restores.step() == [0]
    opened, records, took_s = restores.restorer.finish(0, {TopicPartition("in", 0): ALL})
    assert opened.next_offsets == {"in": 7}
    assert opened.ledger == b"ledger"
    assert opened.unrecorded == set()
    assert opened.state.scan(USERS).__next__() == (b"a", b"7")
    assert not opened.state.is_copy
    assert records == 8
    assert took_s == pytest.approx(restores.cluster.now - began)
    assert restores.told.of("restoring")[-1] == (0, 8, 8)
    assert restores.cluster.readers[0].waits == [0.5]
    assert restores.cluster.readers[0].is_closed
    assert restores.told.steps.count("restore") == 2


def test_progress_is_told_as_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore, "READ_RECORDS_MAX", 3)
    restores = Restores()
    restores.write(0, 3)
    restores.write(0, 7)
    restores.start(0, 7)
    restores.restored()
    told = restores.told.of("restoring")
    assert {total for _, _, total in told} == {8}
    done = [each for _, each, _ in told]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, 8)
    assert len(done) > 3
    assert restores.restorer.finish(0, {TopicPartition("in", 0): ALL})[1] == 8


def test_a_disk_that_stands_at_the_ends_needs_no_reading() -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.state(0, 7).close()
    restores.start(0, 7)
    assert restores.told.of("restoring") == [(0, 0, 0)]
    assert restores.step() == [0]
    assert restores.finish().ledger == b"own"
    assert restores.cluster.readers[0].assigned == [{}]
    assert restores.cluster.readers[0].waits == []


def test_a_disk_that_is_behind_is_read_on_from_where_it_stands() -> None:
    restores = Restores()
    restores.write(0, 3)
    restores.state(0, 3).close()
    restores.write(0, 7)
    restores.start(0, 7)
    assert restores.told.of("restoring") == [(0, 0, 4)]
    assert restores.cluster.readers[0].assigned == [{place(): 2, (SEEN.changelog, 0): 2}]
    restores.restored()
    assert restores.finish().next_offsets == {"in": 7}


def test_a_changelog_that_lost_its_start_counts_from_there() -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.cluster.lows[place()] = 1
    restores.start(0, 7)
    assert restores.told.of("restoring") == [(0, 0, 3)]


def test_open_transactions_are_waited_for() -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.cluster.ends[place()] = 5
    restores.start(0, 7)
    reader = restores.cluster.readers[0]
    restores.cluster.ends[place()] = 4
    assert restores.step() == []
    assert restores.step() == []
    restores.cluster.ends[place()] = 5
    assert reader.at[place()] == 4
    assert restores.step() == [0]
    assert restores.finish().state.positions[USERS.changelog].next_offset == 5


def test_one_partition_is_complete_before_the_other() -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.write(1, 9)
    restores.start(0, 7)
    restores.start(1, 9)
    restores.cluster.ends[place(1)] = 3
    restores.restorer.start({1: None}, {TopicPartition("in", 1): 9})
    restores.cluster.ends[place(1)] = 0
    assert restores.step() == [0]
    assert restores.finish(0).next_offsets == {"in": 7}
    assert restores.restorer.partitions == {1}
    assert not restores.cluster.readers[-1].is_closed
    restores.cluster.ends[place(1)] = 3
    restores.restored(1)
    assert restores.finish(1).next_offsets == {"in": 9}
    assert len(restores.disk.stores[1]) == 1


def test_a_broker_that_does_not_answer_costs_nothing() -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.cluster.away = {"watermarks"}
    with pytest.raises(BrokerError):
        restores.start(0, 7)
    restores.cluster.away = set()
    assert restores.opened(7).next_offsets == {"in": 7}


def test_a_changelog_that_is_gone_is_said() -> None:
    restores = Restores()
    del restores.cluster.ids[SEEN.changelog]
    with pytest.raises(IncompatibleTopicsError, match=f"gone: {SEEN.changelog}$"):
        restores.start(0, 7)


def test_at_the_very_first_start_inputs_begin_at_the_earliest_there_is() -> None:
    restores = Restores("in", "also")
    restores.start(0, None)
    restores.restored()
    opened = restores.finish(0, {"in": Watermarks(4, 9), "also": Watermarks(0, 0)})
    assert opened.next_offsets == {"in": 4, "also": 0}
    assert opened.unrecorded == {"in", "also"}
    assert opened.ledger == b""


def test_an_input_that_the_state_does_not_know_begins_at_its_start() -> None:
    restores = Restores("in", "also")
    restores.write(0, 7)
    restores.start(0, 7)
    restores.restored()
    opened = restores.finish(0)
    assert opened.next_offsets == {"in": 7, "also": 0}
    assert opened.unrecorded == {"also"}


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
def test_an_input_that_aged_out_or_was_made_again_is_refused(marks: Watermarks) -> None:
    restores = Restores()
    restores.write(0, 7)
    assert f"next offset of in is 7, the topic has {marks.low}" in restores.refusal(
        7, {"in": marks}
    )


def test_offsets_without_any_state_are_refused() -> None:
    assert "its changelogs are empty" in Restores().refusal(7)


@pytest.mark.parametrize("committed", [6, 8])
def test_offsets_that_are_not_the_states_are_refused(committed: int) -> None:
    restores = Restores()
    restores.write(0, 7)
    assert f"committed offsets are {{'in': {committed}}}" in restores.refusal(committed)


def test_offsets_that_expired_are_the_states() -> None:
    restores = Restores()
    restores.write(0, 7)
    opened = restores.opened(None)
    assert opened.next_offsets == {"in": 7}
    assert opened.unrecorded == {"in"}


def test_a_changelog_that_is_being_written_anew_is_refused() -> None:
    restores = Restores()
    restores.cluster.write(USERS, 0, (REWRITING_KEY, b""))
    restores.write(0, 7)
    said = restores.refusal(7)
    assert f"{USERS.changelog} is being written anew" in said
    assert SEEN.changelog not in said


def test_state_beside_a_changelog_that_was_never_written_is_refused() -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.cluster.logs[TopicPartition(SEEN.changelog, 0)].clear()
    said = restores.refusal(7)
    assert said.endswith(f"nothing was ever written to {SEEN.changelog}")


def test_a_changelog_that_expired_whole_is_no_loss() -> None:
    restores = Restores()
    restores.write(0, 7)
    seen = TopicPartition(SEEN.changelog, 0)
    restores.cluster.logs[seen].clear()
    restores.cluster.lows[seen] = restores.cluster.ends[seen] = 2
    assert restores.opened(7).next_offsets == {"in": 7}


def test_a_store_whose_changelog_was_made_again_is_what_it_is_written_anew_from() -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.state(0, 7).close()
    restores.cluster.ids[USERS.changelog] = "users-2"
    restores.cluster.logs[place()].clear()
    restores.start(0, 7)
    assert restores.disk.aside == []
    assert restores.step() == [0]
    assert restores.restorer.rewrites(0) == [USERS]
    assert restores.restorer.topic_ids[USERS.changelog] == "users-2"
    restores.restorer.rewritten(0, USERS)
    assert restores.restorer.rewrites(0) == []
    assert restores.finish().ledger == b"own"


def test_a_store_that_is_not_at_the_groups_offsets_writes_no_changelog() -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.state(0, 7).close()
    restores.cluster.ids[USERS.changelog] = "users-2"
    restores.start(0, 8)
    assert [number for number, _ in restores.disk.aside] == [0]
    assert restores.restorer.rewrites(0) == []
    assert restores.told.of("restoring") == [(0, 0, 4)]


def test_a_store_that_fits_one_changelog_and_not_the_other_is_set_aside() -> None:
    restores = Restores()
    restores.write(0, 7)
    store = restores.state(0, 7)
    store.apply(Marker(FORMAT, "blue", {"in": 7}, b""), {SEEN.changelog: ("seen-1", 99)})
    store.close()
    restores.cluster.ids[USERS.changelog] = "users-2"
    restores.start(0, 7)
    ((number, reason),) = restores.disk.aside
    assert (number, "offset 99" in reason) == (0, True)
    assert restores.restorer.rewrites(0) == []


def test_of_several_reasons_the_last_is_told() -> None:
    restores = Restores()
    restores.write(0, 7)
    store = restores.state(0, 7)
    ahead = {USERS.changelog: ("users-1", 88), SEEN.changelog: ("seen-1", 99)}
    store.apply(Marker(FORMAT, "blue", {"in": 7}, b""), ahead)
    store.close()
    restores.start(0, 7)
    assert ["99" in reason for _, reason in restores.disk.aside] == [True]


def test_of_two_lost_changelogs_and_expired_offsets_the_one_that_is_there_is_read() -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.state(0, 7).close()
    restores.cluster.ids[USERS.changelog] = "users-2"
    restores.cluster.write(SEEN, 0, (b"t", b"later"))
    restores.start(0, None)
    assert restores.told.of("restoring") == [(0, 0, 1)]
    restores.restored()
    assert restores.restorer.rewrites(0) == [USERS]


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_store_that_breaks_is_begun_again(writes: int) -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.write(1, 9)
    restores.cluster.ends[place()] = 4
    restores.disk.breaking[0] = writes
    restores.restorer.start(
        {0: None, 1: None}, {TopicPartition("in", 0): 7, TopicPartition("in", 1): 9}
    )
    restores.restored()
    assert restores.disk.aside == [(0, "damaged")]
    assert restores.finish().next_offsets == {"in": 7}
    restores.restored(1)
    assert restores.finish(1).next_offsets == {"in": 9}


def test_a_silent_reader_is_replaced_with_more_and_more_patience() -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.cluster.is_silent = True
    restores.start(0, 7)
    replaced: list[float] = []
    began = restores.cluster.now
    while len(replaced) < 6:
        readers = len(restores.cluster.readers)
        assert restores.step() == []
        if len(restores.cluster.readers) > readers:
            replaced.append(restores.cluster.now - began)
            began = restores.cluster.now
    assert replaced == pytest.approx([SILENCE_S, 10.0, 20.0, 40.0, SILENCE_S_MAX, 60.0], abs=0.3)
    assert all(reader.is_closed for reader in restores.cluster.readers[:-1])
    assert restores.told.of("stalled")[0] == ("nothing of the changelogs came for 5 s",)
    restores.cluster.is_silent = False
    restores.restored()
    assert restores.finish().next_offsets == {"in": 7}


def test_patience_is_short_again_after_something_was_heard() -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.cluster.ends[place()] = 9
    restores.cluster.is_silent = True
    restores.start(0, 7)
    while len(restores.cluster.readers) < 3:
        restores.step()
    restores.cluster.is_silent = False
    restores.cluster.ends[place()] = 0
    restores.step()
    heard = restores.cluster.now
    while len(restores.cluster.readers) < 4:
        assert restores.step() == []
    assert restores.cluster.now - heard == pytest.approx(SILENCE_S, abs=0.3)


def test_a_partition_that_is_far_behind_is_opened_for_writing_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    restores = Restores()
    restores.write(0, 7)
    monkeypatch.setattr(restore, "BULK_RECORDS_MIN", 4)
    restores.opened(7)
    assert restores.disk.stores[0][0].bulk == [True, False]
    restores.write(1, 7)
    monkeypatch.setattr(restore, "BULK_RECORDS_MIN", 5)
    restores.opened(7, 1)
    assert restores.disk.stores[1][0].bulk == [False]


def test_what_is_dropped_is_read_no_more() -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.write(1, 9)
    restores.start(0, 7)
    restores.start(1, 9)
    assert [store.partition for store in restores.restorer.drop([0, 5])] == [0]
    assert restores.restorer.partitions == {1}
    assert {source.partition for source in restores.cluster.readers[0].assigned[-1]} == {1}
    restores.restored(1)
    assert b"ua" not in restores.disk.stores[0][-1].entries
    assert restores.restorer.drop([0]) == []
    assert len(restores.cluster.readers) == 1


def test_records_of_what_was_dropped_are_left_alone() -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.write(1, 9)
    restores.start(0, 7)
    restores.start(1, 9)
    restores.restorer.drop([0])
    reader: Reader = restores.cluster.readers[0]
    reader.extra = list(restores.cluster.logs[place()])
    restores.restored(1)
    assert b"ua" not in restores.disk.stores[0][-1].entries
    assert restores.finish(1).next_offsets == {"in": 9}


def test_close_leaves_nothing_open() -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.start(0, 7)
    restores.restorer.close()
    assert not restores.disk.stores[0][-1].is_open
    assert restores.cluster.readers[0].is_closed
    assert restores.restorer.partitions == set()
    restores.restorer.close()
