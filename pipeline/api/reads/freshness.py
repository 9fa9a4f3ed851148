"""How far behind the topic the store is.

Owns: until when each partition is complete, how many offsets it lacks, whether the first load is
done.
Does not own: asking the broker (materialise.py), the store (store.py).
Invariant: it never claims too much. A partition is complete until `as_of_ms` when everything that a
reader of committed records could have seen before that instant, by this process's clock, is in the
store. While the broker does not answer, `as_of_ms` stands still and the lag grows.

The broker is asked for the last stable offsets at an instant t; when the store has come to them, it
was complete until t. One question a partition is open at a time, so a store that is far behind is
judged by the oldest. Written by the reader's thread and the one that asks, read by any: each value
is one reference, replaced whole.
"""

from collections.abc import Mapping

import msgspec

from pipeline.clock import rfc3339


class AsOf(msgspec.Struct, frozen=True, gc=False):
    """Until when a partition is complete: `ms` since the epoch, and in RFC 3339, twice."""

    ms: int
    text: str
    bytes: bytes


def as_of_at(ms: int) -> AsOf:
    """Complete until then."""
    text = rfc3339(ms)
    return AsOf(ms, text, text.encode())


class Freshness:
    """Of one store.

    Args:
        partitions: of the topic; 0 while that is not known.
        as_of_ms: what the store on disk was complete until; None when it never was.

    Attributes:
        caught_up: whether every partition was found complete. is_usable: whether the store ever
            was, maybe by an earlier process; until then it may hold an old revision of one user and
            a new one of another.
    """

    def __init__(self, partitions: int, as_of_ms: int | None) -> None:
        first = None if as_of_ms is None else as_of_at(as_of_ms)
        self._floor = first
        self._as_of: list[AsOf | None] = [first] * partitions
        self._next: list[int] = [0] * partitions
        self._ends: list[int | None] = [None] * partitions
        self._asked: list[tuple[int, int] | None] = [None] * partitions
        self._proved = [False] * partitions
        self.caught_up = False
        self.is_usable = first is not None

    @property
    def partitions(self) -> int:
        """How many the topic has."""
        return len(self._as_of)

    def as_of(self, partition: int) -> AsOf | None:
        """Until when a partition is complete; None when it is not known."""
        return self._as_of[partition] if partition < len(self._as_of) else self._floor

    def oldest(self) -> AsOf | None:
        """The least of `as_of` of all partitions: until then the whole store is complete."""
        known = [as_of for as_of in self._as_of if as_of is not None]
        if len(known) < len(self._as_of) or not known:
            return None if self._as_of else self._floor
        return min(known, key=lambda as_of: as_of.ms)

    def offset_lag(self, partition: int) -> int | None:
        """Offsets that the store lacks, of those that were there when it was asked last."""
        end = self._ends[partition]
        return None if end is None else max(0, end - self._next[partition])

    def moved(self, positions: Mapping[int, int]) -> None:
        """The store has everything below these offsets."""
        for partition, offset in positions.items():
            self._next[partition] = max(self._next[partition], offset)
            self._settle(partition)

    def told(self, ends: Mapping[int, int], asked_at_ms: int) -> None:
        """The last stable offsets at some instant."""
        for partition, end in ends.items():
            self._ends[partition] = end
            if self._asked[partition] is None:
                self._asked[partition] = (end, asked_at_ms)
            self._settle(partition)

    def _settle(self, partition: int) -> None:
        asked = self._asked[partition]
        if asked is None or self._next[partition] < asked[0]:
            return
        self._asked[partition] = None
        self._as_of[partition] = as_of_at(asked[1])
        self._proved[partition] = True
        if not self.caught_up and all(self._proved):
            self.caught_up = True
            self.is_usable = True
