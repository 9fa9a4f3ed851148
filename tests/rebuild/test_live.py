"""The live state of a partition: what is not there yet is not taken for nothing."""

from collections import deque
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from pipeline.core.audit import ChainHead
from pipeline.engine.state.checkpoint import CHECKPOINT_KEY, FORMAT, Checkpoint, encode_checkpoint
from pipeline.engine.state.rocks import RocksDisk
from pipeline.engine.state.table_spec import TableSpec
from pipeline.rebuild.live import LiveState

KEPT = TableSpec("streaks", "kept", b"u")
EXPIRING = TableSpec("seen", "expiring", b"s", compacted_only=False)


class Record:
    """A record of a changelog."""

    def __init__(self, key: bytes, value: bytes) -> None:
        self.key, self.value = lambda: key, lambda: value


def ended(sequence: int) -> Record:
    """The record that ends a transaction."""
    head = msgspec.msgpack.encode(ChainHead(sequence, b""))
    checkpoint = Checkpoint(FORMAT, "blue", {"completions": sequence}, head)
    return Record(CHECKPOINT_KEY, encode_checkpoint(checkpoint))


class Changelog:
    """A changelog of which a reader sees the records below its stable end."""

    def __init__(self) -> None:
        self._seen: deque[Record] = deque()
        self.reached = 0
        self.end = 0

    def append(self, *records: Record, is_visible: bool = True) -> None:
        """Append records, of a transaction that has ended here or not."""
        self.end += len(records)
        if is_visible:
            self.reached = self.end
            self._seen.extend(records)

    def peek(self, _wait_s: float = 0.0) -> Record | None:
        return self._seen[0] if self._seen else None

    def take(self) -> Record:
        return self._seen.popleft()

    def is_at_end(self) -> bool:
        return not self._seen

    def high_watermark(self) -> int:
        return self.end

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def tables(tmp_path: Path) -> Any:
    """The live state of two empty changelogs, with both."""
    kept, expiring = Changelog(), Changelog()
    sources: Any = [(KEPT, kept), (EXPIRING, expiring)]
    live = LiveState(RocksDisk(tmp_path).open(0), sources, "blue")
    yield live, kept, expiring
    live.close()


def test_a_transaction_that_has_ended_in_one_changelog_alone_is_waited_for(tables: Any) -> None:
    live, kept, expiring = tables
    expiring.append(Record(b"ann/1", b"at"), ended(1))
    kept.append(Record(b"ann", b"1"), ended(1), is_visible=False)
    live.read(0.0)
    assert (live.cut.sequence, live.store.get(b"sann/1")) == (0, None)


def test_nor_is_the_other_one_taken_for_empty(tables: Any) -> None:
    live, kept, expiring = tables
    kept.append(Record(b"ann", b"1"), ended(1))
    expiring.append(Record(b"ann/1", b"at"), ended(1), is_visible=False)
    live.read(0.0)
    assert (live.cut.sequence, live.store.get(b"uann")) == (0, None)


def test_a_changelog_that_lost_its_checkpoint_by_age_is_empty(tables: Any) -> None:
    live, kept, _ = tables
    kept.append(Record(b"ann", b"1"), ended(1))
    live.read(0.0)
    assert (live.cut.sequence, live.store.get(b"uann")) == (1, b"1")


def test_a_changelog_that_is_made_anew_is_waited_for(tables: Any) -> None:
    live, kept, expiring = tables
    expiring.append(ended(7))
    kept.append(Record(b"ann", b"1"))  # the first part of it; its checkpoint comes last
    live.read(0.0)
    assert (cast(LiveState, live).cut.sequence, live.store.get(b"uann")) == (0, None)


def test_a_changelog_that_was_compacted_beyond_the_cut_of_the_other_is_not_cut_there(
    tables: Any,
) -> None:
    live, kept, expiring = tables
    kept.append(Record(b"ann", b"3"), ended(3))  # what came before was overwritten
    expiring.append(ended(2))
    live.read(0.0)
    assert (live.cut.sequence, live.store.get(b"uann")) == (0, None)
    expiring.append(ended(3))
    live.read(0.0)
    assert (live.cut.sequence, live.store.get(b"uann")) == (3, b"3")
