"""What the engine knows about a table.

Owns: how a changelog record of a table becomes local entries, and back.
Does not own: Faust's view of a table (faust/tables.py), the meaning of keys and values (codec/).
Invariant: `expand` is pure, so replaying a changelog rebuilds the same local entries.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

Entries = Sequence[tuple[bytes, bytes | None]]
Stored = Iterator[tuple[bytes, bytes]]


def one_entry(key: bytes, value: bytes | None) -> Entries:
    """Expand a changelog record of a plain table: it is one local entry."""
    return ((key, value),)


def one_record(entries: Stored) -> Stored:
    """Return the changelog records of a plain table: each local entry is one."""
    return entries


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A changelog-backed table.

    Attributes:
        name: as operators see it.
        changelog: the topic with one record for each change.
        prefix: the byte, unlike zero, that the table's local keys start with.
        compacted_only: whether the changelog keeps the last record of each key for ever, and so its
            checkpoint; one that also expires by age may have lost its checkpoint in a quiet time.
        expand: returns the local entries that one changelog record stands for.
        owner: returns the part of a key, of records and of local entries alike, that names its
            owner. A record stands for entries of its own owner only, and no owner is the beginning
            of another. A table with owners may be restored lazily (lazy_records.py).
        records: returns changelog records that stand for all the given local entries.
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
