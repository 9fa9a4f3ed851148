"""The live state of one partition, as its changelogs have it, as of one input exactly.

Owns: following the changelogs of both tables, and the cut at which both are.
Does not own: what ought to be in them (replay.py), the comparison (compare.py).
Invariant: the store holds the state after a whole number of transactions, the same in both tables:
`cut` says which. A transaction ends in each changelog with a checkpoint that names the next audit
sequence, so the records before a checkpoint are applied only when both changelogs have come to it.
"""

from collections import deque
from collections.abc import Sequence

import msgspec

from pipeline.core.audit import ChainHead
from pipeline.engine.ports import KeyValueStore
from pipeline.engine.state.checkpoint import CHECKPOINT_KEY, decode_checkpoint
from pipeline.engine.state.table_spec import TableSpec
from pipeline.rebuild.source import Source

_decode_head = msgspec.msgpack.Decoder(ChainHead).decode
Entries = dict[bytes, bytes | None]


class Cut(msgspec.Struct, frozen=True):
    """An instant of a partition's state.

    Attributes:
        sequence: of the first audit entry that is not in it.
        next_offsets: by input topic, the first offset that is not in it.
    """

    sequence: int = 0
    next_offsets: dict[str, int] = {}


class _Table:
    """One table's changelog, cut at its checkpoints."""

    def __init__(self, spec: TableSpec, source: Source, generation: str) -> None:
        self.spec = spec
        self.source = source
        self._generation = generation
        self._open: Entries = {}
        self.segments: deque[tuple[Cut, Entries]] = deque()
        self.newest = Cut()
        self._taken = 0

    def read(self, wait_s: float) -> bool:
        """Read what is there; return whether there was anything."""
        prefix, expand, entries = self.spec.prefix, self.spec.expand, self._open
        found = self.source.peek(wait_s) is not None
        while (record := self.source.peek()) is not None:
            self.source.take()
            key, value = record.key(), record.value()
            if key is None:
                continue
            if key == CHECKPOINT_KEY and value is not None:
                checkpoint = decode_checkpoint(value, generation=self._generation)
                head = checkpoint.attachment and _decode_head(checkpoint.attachment)
                sequence = head.next_sequence if head else 0
                self.newest = Cut(sequence, dict(checkpoint.next_offsets))
                self.segments.append((self.newest, entries))
                self._open = entries = {}
            elif key[:1] != b"\x00":
                try:
                    expanded = expand(key, value)
                except (msgspec.MsgspecError, ValueError):
                    expanded = ((key, value),)  # no worker wrote it, so it will differ
                for local, content in expanded:
                    entries[prefix + local] = content
        return found

    def lost_it(self) -> bool:
        """Whether there is no checkpoint: one that also expires by age may lose it in a quiet time.

        One that keeps it has none while it is written anew; and either has none yet where the first
        transaction has ended in the other changelog alone.
        """
        source = self.source
        if self.spec.compacted_only or not source.is_at_end():
            return False
        return source.high_watermark() <= source.reached

    def has(self, sequence: int) -> bool:
        """Whether it can be cut there: a compaction keeps the newest checkpoint alone, and nothing
        of what was overwritten until then."""
        if not self.newest.sequence or self._taken == sequence:
            return True
        return sequence == next((c.sequence for c, _ in self.segments if c.sequence >= sequence), 0)

    def take_until(self, sequence: int) -> list[Entries]:
        """Give up the segments before the cut with that sequence, and that one.

        Records behind the last checkpoint, up to the end, are of no transaction of a worker: others
        wrote them. They are part of the state all the same, as a worker restores them.
        """
        taken = []
        while self.segments and self.segments[0][0].sequence <= sequence:
            cut, entries = self.segments.popleft()
            self._taken = cut.sequence
            taken.append(entries)
        if not self.segments and self._open and self.source.is_at_end():
            taken.append(self._open)
            self._open = {}
        return taken


class LiveState:
    """The live state of a partition.

    Args:
        store: an empty one.
        tables: each table with its changelog's source, from the first record.
        generation: whose changelogs they are.

    Attributes:
        cut: as of which the store is.
    """

    def __init__(
        self, store: KeyValueStore, tables: Sequence[tuple[TableSpec, Source]], generation: str
    ) -> None:
        self.store = store
        self.cut = Cut()
        self._tables = [_Table(spec, source, generation) for spec, source in tables]

    def read(self, wait_s: float) -> bool:
        """Read what is there, and apply what both tables have; return whether there was anything.

        Raises:
            OffsetGoneError, UnreadableLogError, StoreFormatError: see there.
        """
        found = False
        for table in self._tables:
            found = table.read(wait_s if not found else 0.0) or found
        known = [table.newest for table in self._tables if table.newest.sequence]
        if known and all(table.newest.sequence or table.lost_it() for table in self._tables):
            self._apply(min(known, key=lambda cut: cut.sequence))
        return found

    def _apply(self, cut: Cut) -> None:
        if not all(table.has(cut.sequence) for table in self._tables):
            return  # the one that is behind has yet to come to where the other can be cut
        for table in self._tables:
            for entries in table.take_until(cut.sequence):
                self.store.write(entries.items())
        if cut.sequence > self.cut.sequence:
            self.cut = cut

    def is_at_end(self) -> bool:
        """Whether both changelogs were read to the end that they had at the last look."""
        return all(table.source.is_at_end() for table in self._tables)

    def close(self) -> None:
        """Close the store and stop reading."""
        for table in self._tables:
            table.source.close()
        self.store.close()
