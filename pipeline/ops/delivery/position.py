"""How far a downstream group is in a topic.

Owns: a group's position in a partition, what is wrong with one, how late it is.
Does not own: asking Kafka (measure.py), what it was earlier (history.py).
Invariants: pure. A group waits for nothing unless a committed record is there that it has not read:
a transaction's marker at the end of a partition, or an aborted record, is never lag.
"""

from collections.abc import Mapping

import msgspec

from pipeline.clock import length_text

Wanted = Mapping[str, Mapping[str, int]]
"""By full name of a topic and group: how old a record may become before it is read, in ms."""


class Unread(msgspec.Struct, frozen=True):
    """The first record that a group has not read; `time_ms` is the record's, ms since 1970."""

    offset: int
    time_ms: int


class Position(msgspec.Struct, frozen=True):
    """Where a group is in one partition.

    Attributes:
        committed: the next offset that it committed; None when it never committed one.
        first, end: the earliest offset that there is, and the last stable one.
        unread: None when it has read everything.
        is_ahead: its offset is beyond everything that the partition has.
    """

    partition: int
    committed: int | None
    first: int
    end: int
    unread: Unread | None = None
    is_ahead: bool = False

    @property
    def lag_records(self) -> int:
        """Offsets from its first unread record to the end, transactions' markers among them."""
        return self.end - self.unread.offset if self.unread else 0

    @property
    def lost_records(self) -> int:
        """Offsets that were deleted before it read them."""
        return max(0, self.first - self.committed) if self.committed is not None else 0

    def lag_ms(self, now_ms: int) -> int:
        """The age of its first unread record; 0 when there is none."""
        return max(0, now_ms - self.unread.time_ms) if self.unread else 0

    def has_read(self, offset: int) -> bool:
        """Whether it has read the record at an offset."""
        return self.committed is not None and self.committed > offset and not self.is_ahead


class Delivery(msgspec.Struct, frozen=True):
    """Where a group is in one topic.

    Attributes:
        topic: its full name. bound_ms: how old a record may become before the group has read it.
        positions: by partition.
        state: of the group as its coordinator tells it, such as `stable`; `empty` has no member,
            `absent` is unknown to the brokers; None where it was not asked for.
    """

    group: str
    topic: str
    bound_ms: int
    positions: tuple[Position, ...]
    state: str | None = None

    @property
    def lag_records(self) -> int:
        """Over all partitions."""
        return sum(one.lag_records for one in self.positions)

    def lag_ms(self, now_ms: int) -> int:
        """Of the partition that is furthest behind."""
        return max((one.lag_ms(now_ms) for one in self.positions), default=0)

    def problems(self, now_ms: int) -> list[str]:
        """Why the group does not keep up, a sentence a cause; empty when it does."""
        late = [one for one in self.positions if one.lag_ms(now_ms) > self.bound_ms]
        lost = {one.partition: one.lost_records for one in self.positions if one.lost_records}
        ahead = [one.partition for one in self.positions if one.is_ahead]
        found = []
        if late:
            worst = max(late, key=lambda one: one.lag_ms(now_ms))
            never = ", where it never committed" if worst.committed is None else ""
            found.append(
                f"{_named([one.partition for one in late])} beyond its bound: the oldest unread"
                f" record is {length_text(worst.lag_ms(now_ms))} old{never}"
            )
        if lost:
            found.append(
                f"{_named(list(lost))}: {sum(lost.values()):,} offsets were deleted before it read"
                " them"
            )
        if ahead:
            found.append(
                f"{_named(ahead)}: its offset is beyond the topic's end; was the topic made anew?"
            )
        return found

    def notes(self) -> list[str]:
        """What is worth knowing of a group, also of one that keeps up."""
        found = []
        if all(one.committed is None for one in self.positions):
            found.append("never committed an offset")
        if self.state in ("empty", "absent", "dead"):
            found.append("has no members")
        return found

    def advice(self) -> str:
        """What to do about a group that does not keep up."""
        if any(one.is_ahead or one.lost_records for one in self.positions):
            return (
                f"its offsets do not fit the topic: tell its owner, and reset them"
                f" (kafka-consumer-groups.sh --group {self.group} --topic {self.topic}"
                " --reset-offsets)"
            )
        if self.state in ("empty", "absent", "dead"):
            return f"start {self.group}, or tell its owner"
        return f"see whether {self.group} runs, and what it logs: docs/runbooks/delivery-behind.md"


def _named(partitions: list[int]) -> str:
    word = "partition" if len(partitions) == 1 else "partitions"
    return f"{word} {', '.join(str(one) for one in partitions)}"
