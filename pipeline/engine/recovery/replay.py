"""Apply changelog records to a local store.

Owns: what an offset range of a changelog writes.
Does not own: which range is read and when (restore.py, standby.py), how a store writes
(state/store.py).
Invariants: data, checkpoint and position of a range are one atomic write; replaying a range twice
leaves the same state, so a crash between reading and writing costs nothing. Where a store stores
lazily, records of a table keyed by an owner (a user) are stored unexpanded (lazy_records.py).
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
    """Group records by the changelog partition that they came from, in offset order."""
    groups: dict[tuple[str, int], list[Message]] = defaultdict(list)
    for record in records:
        groups[record.topic(), record.partition()].append(record)
    return {TopicPartition(*source): group for source, group in groups.items()}


def replay(
    store: PartitionStore, table: TableSpec, messages: Sequence[Message], topic_id: str
) -> int:
    """Write a range of one changelog partition and its end; return the offset to read on from.

    Args:
        store: of the partition.
        table: that the changelog belongs to.
        messages: at least one record, in offset order.
        topic_id: UUID of the changelog.

    Raises:
        CorruptStoreError, StoreFormatError, StoreUnwritableError, UnreadableRecordError: see there.
    """
    owner = table.owner if store.stores_lazily else None
    checkpoint, entries = _entries(table, messages, store.generation, topic_id, owner)
    next_offset = messages[-1].offset() + 1
    store.apply_changelog(
        entries, checkpoint, table.changelog, ChangelogPosition(topic_id, next_offset)
    )
    if owner is not None:
        store.lazy.added()
    return next_offset


def note_end(store: PartitionStore, changelog: str, topic_id: str, end: int) -> None:
    """Note that a changelog was read up to `end`, which may be after control markers.

    A changelog of which no record was ever read gets no position: what aborted transactions left in
    a recreated changelog is not a state.
    """
    if changelog not in store.positions:
        return
    position = ChangelogPosition(topic_id, end)
    if store.positions.get(changelog) != position:
        store.advance_to(changelog, position)


def _entries(
    table: TableSpec,
    messages: Sequence[Message],
    generation: str,
    topic_id: str,
    owner: Callable[[bytes], bytes] | None,
) -> tuple[Checkpoint | None, Writes]:
    """Return a range's local entries, and its last checkpoint if the changelog keeps checkpoints.

    A checkpoint that names another topic shows that the changelog was recreated under its writer,
    and lacks what came before. The entry that notes this stays until the changelog was rewritten:
    only the record that closes a rewrite removes it.

    Args:
        owner: returns a key's owner, where records are stored lazily; None where they are expanded.
    """
    checkpoint: Checkpoint | None = None
    entries: Writes = {}
    prefix, expand, region = table.prefix, table.expand, lazy_region(table)
    # equivalent (assignment): a short cut; `one_entry` makes the same of a record
    is_plain = expand is one_entry and owner is None
    for record in messages:
        key, value = record.key(), record.value()
        if key is None:
            continue
        if key[:1] == b"\x00":
            found = _note_engine_record(table, key, value, generation, topic_id, entries)
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


def _note_engine_record(
    table: TableSpec,
    key: bytes,
    value: bytes | None,
    generation: str,
    topic_id: str,
    entries: Writes,
) -> Checkpoint | None:
    """Note in `entries` what a record of the engine says; return it if it is a checkpoint."""
    if key == REWRITING_KEY:
        entries[partial_key(table)] = value
    elif key == CHECKPOINT_KEY and value is not None:
        checkpoint = decode_checkpoint(value, generation=generation)
        if checkpoint.changelog_id not in ("", topic_id):
            # equivalent (string): only the presence of the entry counts
            entries[partial_key(table)] = b""
        return checkpoint
    return None
