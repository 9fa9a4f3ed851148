"""What a changelog says of itself while it is read: checkpoints of another topic, rewrites."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest

from pipeline.engine.ports import Message
from pipeline.engine.recovery.replay import replay
from pipeline.engine.state.checkpoint import (
    CHECKPOINT_KEY,
    FORMAT,
    REWRITING_KEY,
    Checkpoint,
    encode_checkpoint,
)
from pipeline.engine.state.rocks import RocksDisk
from pipeline.engine.state.store import PartitionStore
from pipeline.engine.state.table_spec import TableSpec

USERS = TableSpec("users", "users-changelog", b"u")
SEEN = TableSpec("seen", "seen-changelog", b"s", compacted_only=False)
CHECKPOINT = Checkpoint(FORMAT, "blue", {"inputs": 7}, b"attachment", "cycle_days=108")


class Record:
    def __init__(self, at: int, name: bytes, content: bytes | None) -> None:
        self.offset = lambda: at
        self.key = lambda: name
        self.value = lambda: content


def messages(*contents: tuple[bytes, bytes | None]) -> Sequence[Message]:
    records = [Record(at, *content) for at, content in enumerate(contents)]
    return cast(Sequence[Message], records)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PartitionStore]:
    opened = PartitionStore(0, RocksDisk(tmp_path).open(0), "blue")
    yield opened
    opened.close()


@pytest.mark.parametrize("table", [USERS, SEEN], ids=["users", "seen"])
def test_a_changelog_with_a_checkpoint_of_another_topic_is_partial(
    store: PartitionStore, table: TableSpec
) -> None:
    written = (b"ann", b"1"), (CHECKPOINT_KEY, encode_checkpoint(CHECKPOINT, "old id"))
    replay(store, table, messages(*written), "new id")
    assert store.is_partial(table)
    again = messages(
        (CHECKPOINT_KEY, encode_checkpoint(CHECKPOINT, "old id")),
        (REWRITING_KEY, b""),
        (b"ann", b"1"),
        (CHECKPOINT_KEY, encode_checkpoint(CHECKPOINT, "new id")),
        (REWRITING_KEY, None),
        (CHECKPOINT_KEY, encode_checkpoint(CHECKPOINT, "new id")),
    )
    replay(store, table, again[:-2], "new id")
    assert store.is_partial(table)
    replay(store, table, again, "new id")
    assert not store.is_partial(table)


def test_a_changelog_with_checkpoints_of_its_own_is_whole(store: PartitionStore) -> None:
    written = (b"ann", b"1"), (CHECKPOINT_KEY, encode_checkpoint(CHECKPOINT, "its id"))
    replay(store, USERS, messages(*written), "its id")
    assert not store.is_partial(USERS)
    assert store.checkpoint is not None
    assert (store.checkpoint.next_offsets, store.checkpoint.attachment) == (
        {"inputs": 7},
        b"attachment",
    )
    assert store.checkpoint.terms == "cycle_days=108"
