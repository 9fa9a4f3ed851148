"""Tells how far the store is behind the topic.

Owns: until when each partition is complete, how many offsets it lacks, whether the first load is
done.
Does not own: asking the broker (materialise.py), the store (store.py).
Invariant: it never claims too much. A partition is complete until an instant when the store has
everything that a reader of committed records could have seen before that instant, by this process's
clock. While the broker does not answer, that instant stays and the lag grows.

The broker is asked for the last stable offsets at an instant t; once the store has reached them, it
was complete until t. Each partition has one open question at a time, so a store that is far behind
is judged by the oldest. The reader's thread writes, any thread reads: each value is one reference
that is replaced as a whole.
"""

from collections.abc import Mapping

import msgspec

from pipeline.clock import rfc3339


class AsOf(msgspec.Struct, frozen=True, gc=False):
    """Until when a partition is complete: ms since the epoch, and RFC 3339 as text and bytes."""

    ms: int
    text: str
    bytes: bytes


def as_of_at(ms: int) -> AsOf:
    """Make the instant from ms since the epoch."""
    text = rfc3339(ms)
    return AsOf(ms, text, text.encode())


class Freshness:
    """The freshness of one store.

    Args:
        partitions: partitions of the topic; 0 while the number is unknown.
        as_of_ms: until when the store on disk was complete; None when it never was.

    Attributes:
        caught_up: whether every partition was complete at some instant since the start.
        is_usable: whether the store ever was complete, maybe in an earlier process; until then it
            may hold an old revision of one user and a new one of another.
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
        """Return how many partitions the topic has."""
        return len(self._as_of)

    def as_of(self, partition: int) -> AsOf | None:
        """Return until when a partition is complete; None when it is unknown."""
        return self._as_of[partition] if partition < len(self._as_of) else self._floor

    def oldest(self) -> AsOf | None:
        """Return the oldest `as_of` of all partitions: until then the whole store is complete."""
        known = [as_of for as_of in self._as_of if as_of is not None]
        if len(known) < len(self._as_of) or not known:
            return None if self._as_of else self._floor
        return min(known, key=lambda as_of: as_of.ms)

    def offset_lag(self, partition: int) -> int | None:
        """Return how many offsets the store lacks of those at the last question; None before it."""
        end = self._ends[partition]
        return None if end is None else max(0, end - self._next[partition])

    def moved(self, positions: Mapping[int, int]) -> None:
        """Note that the store has everything below these offsets."""
        for partition, offset in positions.items():
            self._next[partition] = max(self._next[partition], offset)
            self._advance(partition)

    def note_ends(self, ends: Mapping[int, int], asked_at_ms: int) -> None:
        """Note the last stable offsets that the broker gave, and the instant of the question."""
        for partition, end in ends.items():
            self._ends[partition] = end
            if self._asked[partition] is None:
                self._asked[partition] = (end, asked_at_ms)
            self._advance(partition)

    def _advance(self, partition: int) -> None:
        asked = self._asked[partition]
        if asked is None or self._next[partition] < asked[0]:
            return
        self._asked[partition] = None
        self._as_of[partition] = as_of_at(asked[1])
        self._proved[partition] = True
        if not self.caught_up and all(self._proved):
            self.caught_up = True
            self.is_usable = True
