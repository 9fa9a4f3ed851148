"""Whether the local stores are what their changelogs say (C).

Owns: replaying a changelog without the engine, and comparing each store that is up to date with it.
Does not own: what the state means.
Invariant: stores are opened only after their workers have ended.

A store is up to date when nothing but control markers lies beyond its changelog positions.
Stores that a worker left behind when its partition moved away are older, and not compared; each
partition must have one that is up to date.
"""

from pathlib import Path
from typing import Final

from chaos.ledger import Ledger
from pipeline.engine.ports import KeyValueStore
from pipeline.engine.state.checkpoint import CHECKPOINT_KEY, decode_checkpoint, encode_checkpoint
from pipeline.engine.state.lazy_records import all_expanded
from pipeline.engine.state.rocks import RocksDisk
from pipeline.engine.state.store import PartitionStore
from pipeline.engine.state.table_spec import TableSpec
from pipeline.worker import window
from pipeline.worker.app import SEEN_PREFIX, USERS_PREFIX

ENGINES_OWN: Final = b"\x00"
"""Begins the keys of what the engine notes for itself; of these only the checkpoint counts."""

GENERATION: Final = "blue"

Entries = dict[bytes, bytes]


def check_stores(ledger: Ledger, data_dirs: list[Path]) -> list[str]:
    """Compare the stores below `data_dirs` with the changelogs; returns what is wrong."""
    replayed, last = _replay(ledger)
    wrong = []
    for partition in range(ledger.partitions):
        current = 0
        for data_dir in data_dirs:
            if not (data_dir / ledger.group / str(partition)).exists():
                continue
            positions, entries = _stored(ledger, data_dir, partition)
            if any(
                positions.get(topic, 0) <= offset
                for (topic, number), offset in last.items()
                if number == partition
            ):
                continue
            current += 1
            if entries != replayed[partition]:
                differing = {
                    key
                    for key in entries.keys() | replayed[partition].keys()
                    if entries.get(key) != replayed[partition].get(key)
                }
                wrong.append(
                    f"{data_dir.name}, partition {partition}: {len(differing)} entries are not the"
                    f" changelog's, such as {min(differing)!r}"
                )
        if last and not current:
            wrong.append(f"partition {partition}: no worker's store is up to date")
    return wrong


def compared(disk: KeyValueStore, ledger: Ledger) -> Entries:
    """The entries of a local store that its changelogs account for."""
    entries = all_expanded(dict(disk.scan(b"")), _tables(ledger))
    return {
        key: value
        for key, value in entries.items()
        if key == CHECKPOINT_KEY or not key.startswith(ENGINES_OWN)
    }


def _tables(ledger: Ledger) -> list[TableSpec]:
    return [
        TableSpec("streaks", ledger.topic(f"{GENERATION}.streaks-changelog"), USERS_PREFIX),
        window.spec_of(ledger.topic(f"{GENERATION}.seen-changelog"), SEEN_PREFIX),
    ]


def _replay(ledger: Ledger) -> tuple[list[Entries], dict[tuple[str, int], int]]:
    """The entries of each partition, and the offset of each changelog partition's last record."""
    states: list[Entries] = [{} for _ in range(ledger.partitions)]
    last: dict[tuple[str, int], int] = {}
    for table in _tables(ledger):
        for record in ledger.raw(table.changelog.removeprefix(ledger.prefix)):
            last[table.changelog, record.partition()] = record.offset()
            _expand(table, states[record.partition()], record.key(), record.value())
    return states, last


def _expand(table: TableSpec, state: Entries, key: bytes, value: bytes | None) -> None:
    if key == CHECKPOINT_KEY:
        if table.compacted_only and value is not None:  # a store's checkpoint names no changelog
            state[key] = encode_checkpoint(decode_checkpoint(value, generation=GENERATION))
        return
    for local, content in table.expand(key, value):
        if content is None:
            state.pop(table.prefix + local, None)
        else:
            state[table.prefix + local] = content


def _stored(ledger: Ledger, data_dir: Path, partition: int) -> tuple[dict[str, int], Entries]:
    """A store's changelog positions and its entries."""
    disk = RocksDisk(data_dir / ledger.group).open(partition)
    try:
        store = PartitionStore(partition, disk, GENERATION)
        entries = compared(disk, ledger)
    finally:
        disk.close()
    return {topic: at.next_offset for topic, at in store.positions.items()}, entries
