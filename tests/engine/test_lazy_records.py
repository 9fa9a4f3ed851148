"""Lazy records, which are stored whole until their owner comes: they are what they expand to."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from pipeline.engine.batch import Batch, OpenPartition
from pipeline.engine.errors import UnreadableRecordError
from pipeline.engine.ports import Message, TopicPartition
from pipeline.engine.recovery.replay import replay
from pipeline.engine.recovery.rewrite import Rewrite
from pipeline.engine.state import lazy_records
from pipeline.engine.state.checkpoint import FORMAT, Checkpoint
from pipeline.engine.state.rocks import RocksDisk
from pipeline.engine.state.store import PartitionStore
from pipeline.engine.state.table_spec import Entries, TableSpec
from tests.engine.changelogs import USERS, Record
from tests.engine.test_rewrite import Log, step

ANN, BEN = b"ann/", b"ben/"


def expand(key: bytes, value: bytes | None) -> Entries:
    """Each event of an owner, and the owner's last one."""
    if value is None or not key.startswith(b"i"):
        return ((key, value),)
    return ((key, value), (b"l" + owner(key), value))


def owner(key: bytes) -> bytes:
    return key[1 : key.index(b"/") + 1]


EVENTS = TableSpec(
    "events", "events-changelog", b"e", compacted_only=False, expand=expand, owner=owner
)
CHECKPOINT = Checkpoint(FORMAT, "blue", {"in": 7}, b"attachment")


class Counting:
    """A producer that keeps nothing."""

    def produce(self, *_: object) -> None: ...


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PartitionStore]:
    opened = PartitionStore(0, RocksDisk(tmp_path).open(0), "blue")
    yield opened
    opened.close()


def said(start: int, *records: tuple[bytes, bytes | None]) -> list[Message]:
    tp = TopicPartition(EVENTS.changelog, 0)
    made = [Record(tp, start + at, *record) for at, record in enumerate(records)]
    return cast(list[Message], made)


def restore(store: PartitionStore, start: int, *records: tuple[bytes, bytes | None]) -> None:
    """As a restore of many records does."""
    store.expect_bulk(True)
    replay(store, EVENTS, said(start, *records), "id")
    store.expect_bulk(False)


def raw(store: PartitionStore) -> dict[bytes, bytes]:
    return {
        key: value for key, value in store.disk.scan(b"") if key.startswith(lazy_records.REGION)
    }


def table_of(store: PartitionStore) -> Any:
    opened = OpenPartition(store, CHECKPOINT, set())
    batch = Batch("in", said(0, (b"i", b"")), opened, cast(Any, Counting()))
    return batch.table(EVENTS)


def test_only_many_records_are_lazy_and_what_follows_them(store: PartitionStore) -> None:
    replay(store, EVENTS, said(0, (b"iann/1", b"1")), "id")
    assert not raw(store)
    restore(store, 1, (b"iann/2", b"2"), (b"iben/1", b"3"))
    replay(store, EVENTS, said(3, (b"iann/3", b"4")), "id")
    assert len(raw(store)) == 3
    assert [value for _, value in store.scan(EVENTS)] == [b"1", b"1"]
    table = table_of(store)
    assert table.get(b"lann/") == b"4"
    assert table.get(b"iann/2") == b"2"
    assert [key[7:12] for key in raw(store)] == [b"eben/"]
    assert store.lazy._expanded_owners
    store.lazy.expand_some([EVENTS], 10)
    assert not raw(store)
    assert not store.lazy.is_any
    assert not store.lazy._expanded_owners, "one entry for each owner, kept for good"
    replay(store, EVENTS, said(4, (b"iann/5", b"5")), "id")
    assert not raw(store)
    assert table.get(b"lann/") == b"5"


def test_records_of_a_table_without_owners_are_never_lazy(store: PartitionStore) -> None:
    store.expect_bulk(True)
    replay(store, USERS, said(0, (b"a", b"1")), "id")
    store.expect_bulk(False)
    assert list(store.scan(USERS)) == [(b"a", b"1")]
    assert not store.lazy.is_any


@pytest.mark.parametrize("write", ["put", "put_record", "forget"])
def test_what_an_owner_writes_is_later_than_what_was_lazy(
    store: PartitionStore, write: str
) -> None:
    restore(store, 0, (b"iann/1", b"1"), (b"iann/2", b"2"))
    table = table_of(store)
    if write == "put":
        table.put(b"iann/2", b"new")
    elif write == "forget":
        table.forget(b"lann/")
        table.put(b"iann/2", b"new")
    else:
        table.expand_owner(ANN)
        table.put_record(b"iann/2", b"new", {b"eiann/2": b"new", b"elann/": b"new"})
    store.apply(CHECKPOINT, {})
    while store.lazy.is_any:
        store.lazy.expand_some([EVENTS], 1)
    assert table.get(b"lann/") == b"new"
    assert table.get(b"iann/2") == b"new"
    assert table.get(b"iann/1") == b"1"


def test_what_is_forgotten_does_not_come_back_with_what_was_lazy(store: PartitionStore) -> None:
    restore(store, 0, (b"iann/1", b"1"))
    table = table_of(store)
    table.forget(b"lann/")
    store.apply(CHECKPOINT, {})
    store.lazy.expand_owner(EVENTS, b"")
    assert table.get(b"lann/") is None
    assert table.get(b"iann/1") == b"1"


def test_an_empty_key_is_kept_as_any_other() -> None:
    kept = [
        lazy_records.lazy_entry(lazy_records.lazy_region(EVENTS), ANN, 0, b"", value)
        for value in (b"1", None)
    ]
    assert lazy_records.all_expanded(dict(kept[:1]), [EVENTS]) == {b"e": b"1"}
    assert lazy_records.all_expanded(dict(kept[1:]) | {b"e": b"old"}, [EVENTS]) == {}


def test_an_abort_leaves_what_was_expanded(store: PartitionStore) -> None:
    restore(store, 0, (b"iann/1", b"1"))
    table = table_of(store)
    table.put(b"iann/1", b"new")
    store.discard()
    assert table.get(b"lann/") == b"1"


def test_a_record_without_a_value_and_one_with_an_empty_value_are_kept_apart(
    store: PartitionStore,
) -> None:
    replay(store, EVENTS, said(0, (b"iann/1", b"1"), (b"iann/2", b"2")), "id")
    restore(store, 2, (b"iann/1", None), (b"iann/2", b""))
    table = table_of(store)
    assert table.get(b"iann/1") is None
    assert table.get(b"iann/2") == b""
    assert table.get(b"lann/") == b""


def test_records_are_expanded_by_offset_however_they_came(store: PartitionStore) -> None:
    records = [(b"iann/%d" % at, b"%d" % at) for at in range(300)]
    restore(store, 0, *records[:150])
    restore(store, 150, *records[150:])
    restore(store, 140, *records[140:])  # read again after a crash
    assert len(raw(store)) == 300
    assert table_of(store).get(b"lann/") == b"299"


def test_an_owner_of_more_than_is_written_at_once(
    store: PartitionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lazy_records, "EXPANDED_RECORDS_MAX", 7)
    count = 7 * 3
    restore(store, 0, *[(b"iann/%02d" % at, b"%d" % at) for at in range(count)])
    restore(store, count, (b"iben/1", b"ben's"))
    table = table_of(store)
    assert table.get(b"lann/") == b"%d" % (count - 1)
    assert len(raw(store)) == 1
    assert [table.get(b"iann/%02d" % at) for at in range(count)] == [
        b"%d" % at for at in range(count)
    ]


def test_an_owner_is_expanded_once_until_more_is_lazy(store: PartitionStore) -> None:
    restore(store, 0, (b"iann/1", b"1"), (b"iben/1", b"2"))
    store.lazy.expand_owner(EVENTS, ANN)
    scans: list[bytes] = []
    scan = store.disk.scan
    store.lazy._disk = cast(Any, Spy(store, scans))
    store.lazy.expand_owner(EVENTS, ANN)
    assert scans == []
    replay(store, EVENTS, said(2, (b"iann/2", b"3")), "id")
    store.lazy.expand_owner(EVENTS, ANN)
    assert scans == [lazy_records.lazy_region(EVENTS) + ANN]
    assert dict(scan(b"elann/"))[b"elann/"] == b"3"


class Spy:
    def __init__(self, store: PartitionStore, scans: list[bytes]) -> None:
        self._disk = store.disk
        self._scans = scans
        self.write = store.disk.write

    def scan(self, start: bytes, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        self._scans.append(start)
        return self._disk.scan(start, prefix)


def test_some_go_on_where_the_last_ended_and_begin_again_when_more_came(
    store: PartitionStore,
) -> None:
    restore(store, 0, *[(b"i%s%d" % (who, at), b"1") for who in (BEN, b"eve/") for at in range(3)])
    scans: list[bytes] = []
    store.lazy._disk = cast(Any, Spy(store, scans))
    store.lazy.expand_some([EVENTS], 4)
    assert len(raw(store)) == 2
    replay(store, EVENTS, said(6, (b"iann/1", b"before the others")), "id")
    store.lazy.expand_some([EVENTS], 4)
    assert [key[7:12] for key in raw(store)] == [b"eann/"]
    assert store.lazy.is_any
    store.lazy.expand_some([EVENTS], 4)
    assert not raw(store)
    assert not store.lazy.is_any
    assert scans[1].startswith(lazy_records.lazy_region(EVENTS) + b"eve/")
    assert (scans[0], scans[2]) == (lazy_records.REGION, lazy_records.REGION)
    assert dict(store.scan(EVENTS, b"l")) == {
        b"lann/": b"before the others",
        b"lben/": b"1",
        b"leve/": b"1",
    }


def test_a_look_does_not_walk_over_what_was_expanded_behind_it(store: PartitionStore) -> None:
    count = 20_000
    restore(store, 0, *[(b"iuser-%05d/1" % at, b"1") for at in range(count)])
    while len(raw(store)) > count // 10:
        store.lazy.expand_some([EVENTS], count // 10)

    def looks_s(first: int) -> float:
        started = time.process_time()
        for at in range(first, first + 20):
            store.lazy.expand_owner(EVENTS, b"user-%05d/" % at)
        return time.process_time() - started

    behind, ahead = looks_s(0), looks_s(count - 20)
    assert behind < 3 * ahead + 0.005


def test_just_as_many_as_at_once_are_all(store: PartitionStore) -> None:
    restore(store, 0, (b"iann/1", b"1"), (b"iben/1", b"2"))
    store.lazy.expand_some([EVENTS], 2)
    assert not raw(store)
    assert not store.lazy.is_any


def test_a_store_that_is_opened_again_knows_of_its_lazy_records(tmp_path: Path) -> None:
    disk = RocksDisk(tmp_path)
    first = PartitionStore(0, disk.open(0), "blue")
    assert not first.lazy.is_any
    restore(first, 0, (b"iann/1", b"1"))
    first.close()
    again = PartitionStore(0, disk.open(0), "blue")
    assert again.lazy.is_any
    assert again.stores_lazily
    assert table_of(again).get(b"lann/") == b"1"
    again.lazy.expand_some([EVENTS], 1)
    assert not again.lazy.is_any
    again.close()
    last = PartitionStore(0, disk.open(0), "blue")
    assert not last.lazy.is_any
    last.close()


def test_entries_of_a_disk_can_be_told_without_writing_to_it(store: PartitionStore) -> None:
    replay(store, EVENTS, said(0, (b"iann/1", b"1"), (b"iben/1", b"2")), "id")
    restore(store, 2, (b"iann/2", b"3"), (b"iben/1", None), (b"iben/2", b"4"), (b"lben/", None))
    before = dict(store.disk.scan(b""))
    expanded = lazy_records.all_expanded(before, [USERS, EVENTS])
    assert dict(store.disk.scan(b"")) == before
    store.lazy.expand_owner(EVENTS, b"")
    assert expanded == dict(store.disk.scan(b""))
    assert expanded[b"elann/"] == b"3"
    assert b"elben/" not in expanded


def _fails(_: bytes, __: bytes | None) -> Entries:
    raise ValueError("not a record")


BROKEN = TableSpec("events", EVENTS.changelog, b"e", expand=_fails, owner=owner)


def test_a_record_that_cannot_be_expanded_is_not_the_stores_fault(store: PartitionStore) -> None:
    restore(store, 0, (b"iann/1", b"1"))
    with pytest.raises(UnreadableRecordError, match="events-changelog") as caught:
        store.lazy.expand_owner(BROKEN, ANN)
    assert "not a record" in caught.value.why
    assert len(raw(store)) == 1


@pytest.mark.parametrize(("table", "is_bulk"), [(BROKEN, False), (EVENTS, True)])
def test_the_error_of_a_record_that_cannot_be_expanded_has_its_coordinates(
    store: PartitionStore, table: TableSpec, is_bulk: bool
) -> None:
    store.expect_bulk(is_bulk)
    with pytest.raises(UnreadableRecordError, match="offset 5 of events-changelog"):
        replay(store, table, said(5, (b"nobody's", b"1")), "id")
    assert store.positions == {}


def test_a_changelog_is_written_anew_with_what_is_lazy(
    store: PartitionStore, tmp_path: Path
) -> None:
    restore(store, 0, (b"iann/1", b"1"), (b"iann/2", b"2"), (b"iben/1", b"3"))
    store.apply(CHECKPOINT, {})
    log = Log()
    under_way = Rewrite(EVENTS, store, "new")
    while not step(under_way, log):
        pass
    other = PartitionStore(0, RocksDisk(tmp_path / "other").open(0), "blue")
    replay(other, EVENTS, cast(Any, log.records), "new")
    expected = [(b"iann/1", b"1"), (b"iann/2", b"2"), (b"iben/1", b"3")]
    expected += [(b"lann/", b"2"), (b"lben/", b"3")]
    assert list(other.scan(EVENTS)) == expected
    other.close()
