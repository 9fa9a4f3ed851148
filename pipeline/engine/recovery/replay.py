"""Changelog records into a local store.

Owns: what a stretch of a changelog writes.
Does not own: which stretch is read and when (restore.py, standby.py), how a store writes
(store.py).
Invariants: data, checkpoint and position of a stretch are one atomic write; a stretch that is replayed
twice leaves the same state, so a crash between reading and writing costs nothing. Where a store
stores_lazily, the records of a table with owners are written whole (lazy_records.py).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from msgspec.structs import replace

from pipeline.engine.errors import unreadable_record
from pipeline.engine.ports import Message, TopicPartition
from pipeline.engine.state.checkpoint import (
    CHECKPOINT_KEY,
    REWRITING_KEY,
    Checkpoint,
    decode_checkpoint,
)
from pipeline.engine.state.lazy_records import Writes, lazy_entry, lazy_region
from pipeline.engine.state.store import ChangelogPosition, PartitionStore, partial_key
from pipeline.engine.state.table_spec import TableSpec, one_entry


def by_source(records: Iterable[Message]) -> dict[TopicPartition, list[Message]]:
    """Records by the changelog partition that they came from, in order."""
    groups: dict[tuple[str, int], list[Message]] = defaultdict(list)
    for record in records:
        groups[record.topic(), record.partition()].append(record)
    return {TopicPartition(*source): group for source, group in groups.items()}


def replay(
    store: PartitionStore, table: TableSpec, stretch: Sequence[Message], topic_id: str
) -> int:
    """Write a stretch of one changelog partition, and how far it was read; returns where to go on.

    Args:
        store: of the partition.
        table: whose changelog it is.
        stretch: at least one record, in offset order.
        topic_id: UUID of the changelog.

    Raises:
        CorruptStoreError, StoreFormatError, StoreUnwritableError, UnreadableRecordError: see there.
    """
    owner = table.owner if store.stores_lazily else None
    checkpoint, entries = _entries(table, stretch, store.generation, topic_id, owner)
    next_offset = stretch[-1].offset() + 1
    store.apply_changelog(
        entries, checkpoint, table.changelog, ChangelogPosition(topic_id, next_offset)
    )
    if owner is not None:
        store.lazy.added()
    return next_offset


def note_end(store: PartitionStore, changelog: str, topic_id: str, end: int) -> None:
    """A changelog was read up to `end`, which may stand behind the last record and its control.

    One of which no record was ever read leaves no position: what aborted transactions left in a
    changelog that was recreated is not a state.
    """
    if changelog not in store.positions:
        return
    position = ChangelogPosition(topic_id, end)
    if store.positions.get(changelog) != position:
        store.advance_to(changelog, position)


def _entries(
    table: TableSpec,
    stretch: Sequence[Message],
    generation: str,
    topic_id: str,
    owner: Callable[[bytes], bytes] | None,
) -> tuple[Checkpoint | None, Writes]:
    """Local entries of a stretch, and its last checkpoint if the changelog keeps checkpoints.

    A checkpoint of another topic says that the changelog was recreated under its writer. It lacks what
    came before, until it was written anew: only the close mark of that takes the entry away.

    Args:
        owner: of a key, where records are packed; None where they are expanded.
    """
    checkpoint: Checkpoint | None = None
    entries: Writes = {}
    prefix, expand, region = table.prefix, table.expand, lazy_region(table)
    # equivalent (assignment): a short cut; `one_entry` makes the same of a record
    is_plain = expand is one_entry and owner is None
    for record in stretch:
        key, value = record.key(), record.value()
        if key is None:
            continue
        if key[:1] == b"\x00":
            found = _engines_own(table, key, value, generation, topic_id, entries)
            if table.compacted_only:
                checkpoint = found or checkpoint
        # equivalent (False): a short cut; `one_entry` makes the same of a record
        elif is_plain:
            entries[prefix + key] = value
        else:
            try:
                if owner is not None:
                    local, content = lazy_entry(region, owner(key), record.offset(), key, value)
                    entries[local] = content
                else:
                    for local, changed in expand(key, value):
                        entries[prefix + local] = changed
            except Exception as error:
                raise unreadable_record(table.changelog, error, record.offset()) from error
    return checkpoint and replace(checkpoint, changelog_id=""), entries


def _engines_own(
    table: TableSpec,
    key: bytes,
    value: bytes | None,
    generation: str,
    topic_id: str,
    entries: Writes,
) -> Checkpoint | None:
    """Note in `entries` what a record of the engine says; returns it if it is a checkpoint."""
    if key == REWRITING_KEY:
        entries[partial_key(table)] = value
    elif key == CHECKPOINT_KEY and value is not None:
        checkpoint = decode_checkpoint(value, generation=generation)
        if checkpoint.changelog_id not in ("", topic_id):
            # equivalent (string): only the presence of the entry counts
            entries[partial_key(table)] = b""
        return checkpoint
    return None
