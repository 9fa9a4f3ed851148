"""A lost changelog written anew in chunks, cut off between any two of them."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from pipeline.engine.ports import Message, TopicPartition, TransactionalProducer
from pipeline.engine.recovery import rewrite
from pipeline.engine.recovery.replay import replay
from pipeline.engine.recovery.rewrite import Rewrite
from pipeline.engine.state.checkpoint import CHECKPOINT_KEY, FORMAT, REWRITING_KEY, Checkpoint
from pipeline.engine.state.rocks import RocksDisk
from pipeline.engine.state.store import PartitionStore
from pipeline.engine.state.table_spec import TableSpec
from tests.engine.changelogs import Record

TABLE = TableSpec("users", "users-changelog", b"u")
CHECKPOINT = Checkpoint(FORMAT, "blue", {"inputs": 7}, b"attachment")
CHUNK = 3


class Log:
    """A producer that keeps what was committed."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.offsets: list[Any] = []
        self._open: list[Record] = []

    def begin(self) -> None:
        self._open = []

    def produce(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: object = None,
        on_offset: Callable[[int], None] | None = None,
    ) -> None:
        at = len(self.records) + len(self._open)
        self._open.append(Record(TopicPartition(topic, partition), at, key, value))
        if on_offset is not None:
            on_offset(at)

    def flush(self) -> None:
        pass

    def send_offsets(self, offsets: object, group_metadata: object) -> None:
        self.offsets.append((offsets, group_metadata))

    def commit(self) -> None:
        self.records += self._open


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewrite, "CHUNK_RECORDS_MAX", CHUNK)


@pytest.fixture
def source(tmp_path: Path) -> Iterator[PartitionStore]:
    store = opened(tmp_path / "source")
    for number in range(8):
        store.overlay[b"u%d" % number] = b"value %d" % number
    store.apply(CHECKPOINT, {TABLE.changelog: ("lost", 40)})
    yield store
    store.close()


def opened(folder: Path) -> PartitionStore:
    return PartitionStore(0, RocksDisk(folder).open(0), "blue")


def step(under_way: Rewrite, log: Log) -> bool:
    return under_way.step(cast(TransactionalProducer, log), "metadata")


def restored(folder: Path, records: Sequence[Record]) -> PartitionStore:
    store = opened(folder)
    replay(store, TABLE, cast(Sequence[Message], records), "new")
    return store


@pytest.mark.parametrize("chunks", [1, 2])
def test_cut_off_it_is_seen_to_be_partial(
    source: PartitionStore, tmp_path: Path, chunks: int
) -> None:
    log = Log()
    under_way = Rewrite(TABLE, source, "new")
    assert not any(step(under_way, log) for _ in range(chunks))
    assert source.positions[TABLE.changelog].topic_id == "lost"
    store = restored(tmp_path / "other", log.records)
    assert store.is_partial(TABLE)
    assert store.checkpoint is None
    store.close()


@pytest.mark.parametrize("cut_off_after", [0, 1, 2])
def test_begun_again_it_ends_in_the_same_state(
    source: PartitionStore, tmp_path: Path, cut_off_after: int
) -> None:
    log = Log()
    first = Rewrite(TABLE, source, "new")
    for _ in range(cut_off_after):
        step(first, log)
    again = Rewrite(TABLE, source, "new")
    while not step(again, log):
        pass
    position = source.positions[TABLE.changelog]
    assert (position.topic_id, position.next_offset) == ("new", len(log.records))
    store = restored(tmp_path / "other", log.records)
    assert not store.is_partial(TABLE)
    assert store.checkpoint == CHECKPOINT
    assert list(store.scan(TABLE)) == list(source.scan(TABLE))
    assert {metadata for _, metadata in log.offsets} == {"metadata"}
    assert all(offsets == {("inputs", 0): 7} for offsets, _ in log.offsets)
    store.close()


def test_a_chunk_that_failed_is_written_again(source: PartitionStore, tmp_path: Path) -> None:
    class Failing(Log):
        failures = 2

        def commit(self) -> None:
            if self.failures:
                self.failures -= 1
                raise OSError("planted")
            super().commit()

    log = Failing()
    under_way = Rewrite(TABLE, source, "new")
    for _ in range(2):
        with pytest.raises(OSError, match="planted"):
            step(under_way, log)
    while not step(under_way, log):
        pass
    store = restored(tmp_path / "other", log.records)
    assert list(store.scan(TABLE)) == list(source.scan(TABLE))
    store.close()


def test_it_is_opened_once_before_everything_and_closed_once_after_the_checkpoint(
    source: PartitionStore,
) -> None:
    log = Log()
    under_way = Rewrite(TABLE, source, "new")
    assert [step(under_way, log) for _ in range(3)] == [False, False, True]
    names = [record.key() for record in log.records]
    assert names == [
        REWRITING_KEY,
        *[b"%d" % number for number in range(8)],
        CHECKPOINT_KEY,
        REWRITING_KEY,
    ]
    assert (log.records[0].value(), log.records[-1].value()) == (b"", None)


def test_of_a_store_that_stands_nowhere_there_is_nothing_to_write(tmp_path: Path) -> None:
    store = opened(tmp_path / "empty")
    log = Log()
    assert step(Rewrite(TABLE, store, "new"), log)
    assert (log.records, log.offsets, store.positions) == ([], [], {})
    store.close()


def test_a_standby_is_known_as_one_until_it_is_checked(
    source: PartitionStore, tmp_path: Path
) -> None:
    assert not source.is_standby
    store = restored(
        tmp_path / "other", [Record(TopicPartition(TABLE.changelog, 0), 0, b"1", b"value")]
    )
    assert store.is_standby
    store.close()
    store = opened(tmp_path / "other")
    assert store.is_standby
    store.promote()
    store.close()
    store = opened(tmp_path / "other")
    assert not store.is_standby
    store.close()
