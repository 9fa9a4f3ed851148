"""What a table is to the engine.

Owns: how one changelog record of a table becomes local entries.
Does not own: Faust's view of a table (tables.py), the meaning of keys and values (codec/).
Invariant: `expand` is pure, so replaying a changelog rebuilds the same local entries.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

Entries = Sequence[tuple[bytes, bytes | None]]
Stored = Iterator[tuple[bytes, bytes]]


def one_entry(key: bytes, value: bytes | None) -> Entries:
    """The plain table: a changelog record is a local entry."""
    return ((key, value),)


def one_record(entries: Stored) -> Stored:
    """The plain table: a local entry is a changelog record."""
    return entries


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A changelog-backed table.

    Attributes:
        name: as operators see it.
        changelog: the topic with one record for each change.
        prefix: one byte, unlike zero, that the local keys start with.
        compacted_only: the changelog keeps the last record of each key for ever, its checkpoint too; a
            changelog that also expires by age may have lost its checkpoint in a quiet time.
        expand: the local entries that one changelog record stands for.
        owner: the part of a key, of records and of local entries alike, that says whose it is; a
            record stands for entries of its owner alone, and no owner is the beginning of another.
            A table that has it may be restored with its records whole (lazy_records.py).
        records: changelog records that stand for all the given local entries.
    """

    name: str
    changelog: str
    prefix: bytes
    compacted_only: bool = True
    expand: Callable[[bytes, bytes | None], Entries] = one_entry
    records: Callable[[Stored], Stored] = one_record
    owner: Callable[[bytes], bytes] | None = None

    def __post_init__(self) -> None:
        if len(self.prefix) != 1 or self.prefix == b"\x00":
            raise ValueError(f"table {self.name!r}: prefix must be one byte, unlike zero")
