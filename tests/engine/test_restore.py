"""Restores, step by step: what is read and until when, what is begun again."""

import pytest

from pipeline.engine.errors import BrokerError, ChangelogGoneError
from pipeline.engine.ports import TopicPartition
from pipeline.engine.recovery import restore
from pipeline.engine.recovery.restore import SILENCE_S, SILENCE_S_MAX
from tests.engine.changelogs import SEEN, USERS, Reader
from tests.engine.restores import ALL, Restores, users_changelog


def test_an_empty_disk_is_restored_to_the_changelogs_ends() -> None:
    restores = Restores()
    restores.write(0, 3)
    restores.write(0, 7)
    restores.start(0, 7)
    assert restores.restorer.partitions == {0}
    assert restores.observed.of("restoring") == [(0, 0, 8)]
    began = restores.cluster.now
    assert restores.step() == [0]
    opened, records, took_s = restores.restorer.finish(0, {TopicPartition("in", 0): ALL})
    assert opened.next_offsets == {"in": 7}
    assert opened.attachment == b"attachment"
    assert opened.inputs_to_repair == set()
    assert opened.state.scan(USERS).__next__() == (b"a", b"7")
    assert not opened.state.is_standby
    assert records == 8
    assert took_s == pytest.approx(restores.cluster.now - began)
    assert restores.observed.of("restoring")[-1] == (0, 8, 8)
    assert restores.cluster.readers[0].waits == [0.5]
    assert restores.cluster.readers[0].is_closed
    assert restores.observed.steps.count("restore") == 2


def test_progress_is_told_as_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore, "READ_RECORDS_MAX", 3)
    restores = Restores()
    restores.write(0, 3)
    restores.write(0, 7)
    restores.start(0, 7)
    restores.restored()
    steps = restores.observed.of("restoring")
    assert {total for _, _, total in steps} == {8}
    done = [each for _, each, _ in steps]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, 8)
    assert len(done) > 3
    assert restores.restorer.finish(0, {TopicPartition("in", 0): ALL})[1] == 8


def test_a_disk_that_stands_at_the_ends_needs_no_reading() -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.state(0, 7).close()
    restores.start(0, 7)
    assert restores.observed.of("restoring") == [(0, 0, 0)]
    assert restores.step() == [0]
    assert restores.finish().attachment == b"own"
    assert restores.cluster.readers[0].assigned == [{}]
    assert restores.cluster.readers[0].waits == []


def test_a_disk_that_is_behind_is_read_on_from_where_it_stands() -> None:
    restores = Restores()
    restores.write(0, 3)
    restores.state(0, 3).close()
    restores.write(0, 7)
    restores.start(0, 7)
    assert restores.observed.of("restoring") == [(0, 0, 4)]
    assert restores.cluster.readers[0].assigned == [{users_changelog(): 2, (SEEN.changelog, 0): 2}]
    restores.restored()
    assert restores.finish().next_offsets == {"in": 7}


def test_a_changelog_that_lost_its_start_counts_from_there() -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.cluster.lows[users_changelog()] = 1
    restores.start(0, 7)
    assert restores.observed.of("restoring") == [(0, 0, 3)]


def test_open_transactions_are_waited_for() -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.cluster.ends[users_changelog()] = 5
    restores.start(0, 7)
    reader = restores.cluster.readers[0]
    restores.cluster.ends[users_changelog()] = 4
    assert restores.step() == []
    assert restores.step() == []
    restores.cluster.ends[users_changelog()] = 5
    assert reader.at[users_changelog()] == 4
    assert restores.step() == [0]
    assert restores.finish().state.positions[USERS.changelog].next_offset == 5


def test_one_partition_is_complete_before_the_other() -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.write(1, 9)
    restores.start(0, 7)
    restores.start(1, 9)
    restores.cluster.ends[users_changelog(1)] = 3
    restores.restorer.start({1: None}, {TopicPartition("in", 1): 9})
    restores.cluster.ends[users_changelog(1)] = 0
    assert restores.step() == [0]
    assert restores.finish(0).next_offsets == {"in": 7}
    assert restores.restorer.partitions == {1}
    assert not restores.cluster.readers[-1].is_closed
    restores.cluster.ends[users_changelog(1)] = 3
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
    with pytest.raises(ChangelogGoneError, match=f"gone: {SEEN.changelog}$"):
        restores.start(0, 7)


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_store_that_breaks_is_begun_again(writes: int) -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.write(1, 9)
    restores.cluster.ends[users_changelog()] = 4
    restores.disk.breaking[0] = writes
    restores.restorer.start(
        {0: None, 1: None}, {TopicPartition("in", 0): 7, TopicPartition("in", 1): 9}
    )
    restores.restored()
    assert restores.disk.quarantined == [(0, "damaged")]
    assert restores.finish().next_offsets == {"in": 7}
    restores.restored(1)
    assert restores.finish(1).next_offsets == {"in": 9}


def test_a_store_that_breaks_at_an_end_is_read_whole_again(monkeypatch: pytest.MonkeyPatch) -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.cluster.ends[users_changelog()] = 4
    restores.disk.breaking[0] = 2
    restores.start(0, 7)
    restores.step()
    assert restores.disk.quarantined == [(0, "damaged")]
    monkeypatch.setattr(restore, "READ_RECORDS_MAX", 1)
    restores.restored()
    assert restores.finish().next_offsets == {"in": 7}


def test_a_partition_waits_for_no_other_whose_end_is_held() -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.write(1, 9)
    restores.cluster.ends[users_changelog()] = 9
    restores.start(0, 7)
    restores.start(1, 9)
    restores.cluster.ends[users_changelog()] = 0
    assert restores.step() == [1]


def test_an_end_that_is_told_again_hides_no_other() -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.write(1, 9)
    held = (TopicPartition(SEEN.changelog, 0), users_changelog(1))
    for changelog in held:
        restores.cluster.ends[changelog] = 9
    restores.start(0, 7)
    restores.start(1, 9)
    for changelog in held:
        restores.cluster.ends[changelog] = 0
    assert restores.step() == []
    restores.cluster.ends[users_changelog()] = 3
    restores.cluster.ends[users_changelog(1)] = 9
    assert restores.step() == [1]


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
    assert restores.observed.of("stalled")[0] == ("nothing of the changelogs came for 5 s",)
    restores.cluster.is_silent = False
    restores.restored()
    assert restores.finish().next_offsets == {"in": 7}


def test_an_open_transaction_is_named_with_more_and_more_patience() -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.cluster.ends[users_changelog()] = 9
    restores.start(0, 7)
    restores.cluster.ends[users_changelog()] = 0
    began, observed = restores.cluster.now, restores.observed
    while len(observed.of("stalled")) < 2:
        assert restores.step() == []
    assert restores.cluster.now - began == pytest.approx(3 * SILENCE_S, abs=0.3)
    assert observed.of("stalled")[0] == (
        f"a transaction has been open in {USERS.changelog}[0] since offset 2"
        " (if it stays: kafka-transactions.sh find-hanging) for 5 s",
    )
    restores.cluster.ends[users_changelog()] = 9
    restores.restored()
    assert restores.finish().next_offsets == {"in": 7}


def test_once_its_end_is_told_a_changelog_is_not_named_any_more() -> None:
    restores = Restores()
    restores.write(0, 7)
    held = (users_changelog(), TopicPartition(SEEN.changelog, 0))
    for changelog in held:
        restores.cluster.ends[changelog] = 9
    restores.start(0, 7)
    for changelog in held:
        restores.cluster.ends[changelog] = 0
    restores.step()
    restores.cluster.ends[TopicPartition(SEEN.changelog, 0)] = 9
    while not restores.observed.of("stalled"):
        assert restores.step() == []
    assert f"open in {USERS.changelog}[0]" in restores.observed.of("stalled")[0][0]


def test_a_reader_that_brings_records_is_never_replaced() -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.cluster.ends[users_changelog()] = 99
    restores.start(0, 7)
    restores.cluster.ends[users_changelog()] = 0
    for _ in range(5):
        restores.cluster.write(USERS, 0, (b"a", b"8"))
        began = restores.cluster.now
        while restores.cluster.now < began + 0.6 * SILENCE_S:
            assert restores.step() == []
    assert restores.observed.of("stalled") == []


def test_patience_is_short_again_after_something_was_heard() -> None:
    restores = Restores()
    restores.write(0, 7)
    restores.cluster.ends[users_changelog()] = 9
    restores.cluster.is_silent = True
    restores.start(0, 7)
    while len(restores.cluster.readers) < 3:
        restores.step()
    restores.cluster.is_silent = False
    restores.cluster.ends[users_changelog()] = 0
    restores.step()
    heard = restores.cluster.now
    while len(restores.cluster.readers) < 4:
        assert restores.step() == []
    assert restores.cluster.now - heard == pytest.approx(SILENCE_S, abs=0.3)


@pytest.mark.parametrize(("records_min", "bulk"), [(4, [True, False]), (5, [False])])
def test_a_partition_that_is_far_behind_is_opened_for_writing_alone(
    records_min: int, bulk: list[bool]
) -> None:
    restores = Restores(bulk_records_min=records_min)
    restores.write(0, 7)
    restores.opened(7)
    assert restores.disk.stores[0][0].bulk == bulk


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
    reader.extra = list(restores.cluster.logs[users_changelog()])
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
