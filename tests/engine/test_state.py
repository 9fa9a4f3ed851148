"""A partition's state: what a read sees, what a write leaves, what a changelog says of it."""

from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest

from pipeline.engine.batch import Batch, OpenPartition
from pipeline.engine.errors import (
    CorruptStoreError,
    StoreFormatError,
)
from pipeline.engine.ports import TopicPartition, TransactionalProducer
from pipeline.engine.recovery.replay import by_source, note_end, replay
from pipeline.engine.state.checkpoint import (
    CHECKPOINT_KEY,
    FORMAT,
    Checkpoint,
    decode_checkpoint,
    encode_checkpoint,
)
from pipeline.engine.state.store import ChangelogPosition, PartitionStore
from pipeline.engine.state.table_spec import TableSpec
from tests.engine.changelogs import SEEN, USERS, Record, Store

CHECKPOINT = Checkpoint(FORMAT, "blue", {"in": 7}, b"attachment")
PARTITION = TopicPartition(USERS.changelog, 0)


class Broken(Store):
    """Cannot be read."""

    def get(self, key: bytes) -> bytes | None:
        raise OSError("bad block")


class Producer:
    """Writes down what is produced."""

    def __init__(self) -> None:
        self.produced: list[tuple[Any, ...]] = []

    def produce(self, *arguments: Any) -> None:
        self.produced.append(arguments)


def state(entries: dict[bytes, bytes] | None = None) -> PartitionStore:
    return PartitionStore(3, Store({} if entries is None else entries), "blue")


def batch(producer: Producer, store: PartitionStore | None = None) -> Batch:
    opened = OpenPartition(store or state(), CHECKPOINT, set())
    record = Record(TopicPartition("in", 3), 7, b"k", b"v")
    return Batch("in", [cast(Any, record)], opened, cast(TransactionalProducer, producer))


# --- store ----------------------------------------------------------------------------------------


def test_what_was_applied_is_there_after_opening_again() -> None:
    entries: dict[bytes, bytes] = {b"uold": b"1"}
    store = state(entries)
    assert (store.checkpoint, store.positions, store.is_standby) == (None, {}, False)
    store.overlay.update({b"unew": b"2", b"uold": None})
    store.apply(CHECKPOINT, {USERS.changelog: ("id", 9)})
    assert store.overlay == {}
    again = state(entries)
    assert again.checkpoint == store.checkpoint == CHECKPOINT
    assert again.positions == store.positions
    assert again.positions[USERS.changelog].next_offset == 9
    assert list(again.scan(USERS)) == [(b"new", b"2")]
    assert not again.is_standby


def test_what_was_discarded_leaves_no_trace() -> None:
    entries: dict[bytes, bytes] = {}
    store = state(entries)
    store.overlay[b"ua"] = b"1"
    store.discard()
    store.apply(CHECKPOINT, {})
    assert b"ua" not in entries


def test_a_scan_is_of_one_table_and_in_order() -> None:
    entries = {b"ub": b"2", b"ua": b"1", b"s": b"x", b"v": b"y"}
    store = state(entries)
    assert list(store.scan(USERS)) == [(b"a", b"1"), (b"b", b"2")]
    assert list(store.scan(USERS, b"b")) == [(b"b", b"2")]


def test_a_store_that_cannot_be_read_is_corrupt() -> None:
    with pytest.raises(CorruptStoreError, match="partition 3 cannot be read"):
        PartitionStore(3, Broken({}), "blue")
    store = state()
    store._disk = Broken({})
    store._get = store._disk.get
    with pytest.raises(CorruptStoreError):
        store.is_partial(USERS)


def test_close_closes_the_disk() -> None:
    disk = Store({})
    store = PartitionStore(3, disk, "blue")
    store.overlay[b"ua"] = b"1"
    store.close()
    assert not disk.is_open
    assert store.overlay == {}


def test_only_a_standby_is_settled() -> None:
    entries: dict[bytes, bytes] = {}
    disk = Store(entries)
    store = PartitionStore(3, disk, "blue")
    disk.breaks_in = 0
    store.promote()
    disk.breaks_in = None
    replay(store, USERS, [cast(Any, Record(PARTITION, 0, b"a", b"1"))], "id")
    assert store.is_standby
    assert state(entries).is_standby
    store.promote()
    assert not store.is_standby
    assert not state(entries).is_standby


def test_a_hint_reaches_the_disk_and_its_get_is_taken_anew() -> None:
    disk = Store({b"ua": b"1"})
    store = PartitionStore(3, disk, "blue")
    store.expect_bulk(True)
    assert disk.bulk == [True]


# --- checkpoint -----------------------------------------------------------------------------------


def test_a_checkpoint_is_read_back_as_it_was_written() -> None:
    assert decode_checkpoint(encode_checkpoint(CHECKPOINT), generation="blue") == CHECKPOINT
    old = msgspec.structs.replace(CHECKPOINT, format=FORMAT - 1)
    assert decode_checkpoint(encode_checkpoint(old), generation="blue") == old


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"no checkpoint", "cannot be read"),
        (encode_checkpoint(msgspec.structs.replace(CHECKPOINT, format=FORMAT + 1)), "of format 2"),
        (encode_checkpoint(msgspec.structs.replace(CHECKPOINT, generation="green")), "'green'"),
    ],
)
def test_a_checkpoint_of_another_format_or_generation_is_refused(raw: bytes, said: str) -> None:
    with pytest.raises(StoreFormatError, match=said) as caught:
        decode_checkpoint(raw, generation="blue")
    assert caught.value.fix


# --- replay ---------------------------------------------------------------------------------------


def said(*records: tuple[int, bytes | None, bytes | None], table: TableSpec = USERS) -> list[Any]:
    tp = TopicPartition(table.changelog, 0)
    return [Record(tp, at, key, value) for at, key, value in records]


def test_a_range_is_written_with_its_checkpoint_and_position() -> None:
    store = state()
    records = said((4, b"a", b"1"), (5, None, b"no key"), (6, b"b", b"2"), (8, b"a", None))
    records += said((9, CHECKPOINT_KEY, encode_checkpoint(CHECKPOINT)))
    assert replay(store, USERS, records, "id") == 10
    assert list(store.scan(USERS)) == [(b"b", b"2")]
    assert store.checkpoint == CHECKPOINT
    position = store.positions[USERS.changelog]
    assert (position.topic_id, position.next_offset) == ("id", 10)


def test_a_range_without_a_checkpoint_leaves_the_last_one() -> None:
    store = state()
    replay(store, USERS, said((0, CHECKPOINT_KEY, encode_checkpoint(CHECKPOINT))), "id")
    replay(store, USERS, said((1, b"a", b"1")), "id")
    replay(store, USERS, said((2, CHECKPOINT_KEY, None)), "id")
    assert store.checkpoint == CHECKPOINT


def test_a_checkpoint_of_a_changelog_that_expires_is_not_kept() -> None:
    store = state()
    records = said((0, b"s", b"1"), (1, CHECKPOINT_KEY, encode_checkpoint(CHECKPOINT)), table=SEEN)
    assert replay(store, SEEN, records, "id") == 2
    assert store.checkpoint is None
    assert list(store.scan(SEEN)) == [(b"s", b"1")]


def test_a_record_stands_for_the_entries_that_its_table_says() -> None:
    def expand(key: bytes, value: bytes | None) -> tuple[tuple[bytes, bytes | None], ...]:
        return (key, value), (key + b"2", value)

    table = TableSpec("pairs", "pairs-changelog", b"p", expand=expand)
    store = state()
    replay(store, table, said((0, b"a", b"1"), (1, b"b", b"2"), (2, b"a", None), table=table), "id")
    assert list(store.scan(table)) == [(b"b", b"2"), (b"b2", b"2")]


def test_the_engines_own_records_are_no_entries_of_a_table() -> None:
    store = state()
    replay(
        store,
        USERS,
        said((0, b"\x00other", b"x"), (1, b"\x00rewriting", b""), (2, b"a", b"1")),
        "i",
    )
    assert list(store.scan(USERS)) == [(b"a", b"1")]
    assert store.is_partial(USERS)
    assert not store.is_partial(SEEN)
    replay(store, USERS, said((3, b"\x00rewriting", None)), "i")
    assert not store.is_partial(USERS)
    assert store.checkpoint is None


def test_an_end_moves_a_position_that_is_there_and_makes_none() -> None:
    disk = Store({})
    store = PartitionStore(0, disk, "blue")
    note_end(store, USERS.changelog, "id", 5)
    assert store.positions == {}
    replay(store, USERS, said((0, b"a", b"1")), "id")
    note_end(store, USERS.changelog, "id", 5)
    assert store.positions[USERS.changelog].next_offset == 5
    disk.breaks_in = 0
    note_end(store, USERS.changelog, "id", 5)


def test_records_are_grouped_by_where_they_came_from() -> None:
    other = Record(TopicPartition(SEEN.changelog, 1), 0, b"s", b"1")
    first, second = said((0, b"a", b"1"), (1, b"b", b"2"))
    assert by_source([first, cast(Any, other), second]) == {
        PARTITION: [first, second],
        (SEEN.changelog, 1): [other],
    }


# --- batch ----------------------------------------------------------------------------------------


def test_a_read_sees_what_the_transaction_wrote_then_what_was_committed() -> None:
    store = state({b"ua": b"old", b"ub": b"gone"})
    table = batch(Producer(), store).table(USERS)
    assert table.get(b"a") == b"old"
    table.put(b"a", b"new")
    table.put(b"b", None)
    assert (table.get(b"a"), table.get(b"b"), table.get(b"c")) == (b"new", None, None)
    assert table.get_local(b"ua") == b"new"
    table.forget(b"a")
    assert table.get(b"a") is None
    assert list(table.committed()) == [(b"a", b"old"), (b"b", b"gone")]
    assert list(table.committed(b"b")) == [(b"b", b"gone")]


def test_a_read_that_fails_is_a_corrupt_store() -> None:
    store = state()

    store._disk = Broken({})
    with pytest.raises(CorruptStoreError, match="partition 3"):
        batch(Producer(), store).table(USERS).get(b"a")


def test_a_write_is_a_changelog_record_and_its_entries() -> None:
    producer = Producer()
    made = batch(producer)
    table = made.table(USERS)
    table.put(b"a", b"1")
    table.put_record(b"b", b"2", {b"ub": b"2", b"ub2": b"2"})
    assert producer.produced == [
        (USERS.changelog, 3, b"a", b"1"),
        (USERS.changelog, 3, b"b", b"2"),
    ]
    assert made.store.state.overlay == {b"ua": b"1", b"ub": b"2", b"ub2": b"2"}


def test_an_output_goes_to_the_same_partition_with_its_headers() -> None:
    producer = Producer()
    batch(producer).emit("out", b"k", b"v", [("h", b"1")])
    assert producer.produced == [("out", 3, b"k", b"v", [("h", b"1")])]


@pytest.mark.parametrize("end", [Batch.done, lambda made: made.fail(ValueError("planted"))])
def test_who_waits_for_a_batch_is_told_once_it_is_done_or_failed(
    end: Callable[[Batch], None],
) -> None:
    made = batch(Producer())
    finished: list[bool] = []
    assert (made.is_done, made.error) == (False, None)
    made.when_finished(lambda: finished.append(made.is_done))
    end(made)
    assert finished == [made.is_done]
    assert made.is_done == (made.error is None)


def test_an_attachment_is_the_partitions_until_it_is_discarded() -> None:
    made = batch(Producer())
    assert made.attachment == b"attachment"
    made.attachment = b"next"
    assert made.store.attachment == b"next"
    made.store.state.overlay[b"ua"] = b"1"
    made.store.discard(CHECKPOINT)
    assert made.attachment == b"attachment"
    assert made.store.state.overlay == {}


def test_an_applied_transaction_moves_the_partition() -> None:
    opened = OpenPartition(state(), CHECKPOINT, {"in"})
    opened.state.overlay[b"ua"] = b"1"
    opened.apply(Checkpoint(FORMAT, "blue", {"in": 9}, b""), {USERS.changelog: ("id", 4)})
    assert opened.next_offsets == {"in": 9}
    assert opened.inputs_to_repair == set()
    assert list(opened.state.scan(USERS)) == [(b"a", b"1")]


def test_a_checkpoint_that_knows_less_inputs_is_behind_as_well() -> None:
    store = state()
    store.apply(Checkpoint(FORMAT, "blue", {"in": 1}, b""), {})
    with pytest.raises(CorruptStoreError):
        store.apply_changelog(
            {}, Checkpoint(FORMAT, "blue", {}, b""), USERS.changelog, ChangelogPosition("id", 2)
        )


def test_a_changelog_that_is_behind_the_state_says_that_this_has_what_was_lost() -> None:
    entries: dict[bytes, bytes] = {}
    store = state(entries)
    store.apply(CHECKPOINT, {USERS.changelog: ("id", 4)})
    position = ChangelogPosition("id", 6)
    earlier = Checkpoint(FORMAT, "blue", {"in": 6}, b"")
    with pytest.raises(CorruptStoreError, match=r"has what its changelog has not: .*7.* 6"):
        store.apply_changelog({}, earlier, USERS.changelog, position)
    store.apply_changelog({}, CHECKPOINT, USERS.changelog, position)
    for each in (store, state(entries)):
        assert each.is_standby
        assert each.positions[USERS.changelog] == position


def test_an_end_without_a_record_leaves_a_state_a_state() -> None:
    entries: dict[bytes, bytes] = {}
    store = state(entries)
    store.apply(CHECKPOINT, {USERS.changelog: ("id", 4)})
    store.advance_to(USERS.changelog, ChangelogPosition("id", 6))
    for each in (store, state(entries)):
        assert each.positions == {USERS.changelog: ChangelogPosition("id", 6)}
        assert not each.is_standby
