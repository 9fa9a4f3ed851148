"""Ranges of offsets, read to their ends.

Owns: reading them, and how long nothing new may come before a range counts as stuck.
Does not own: which ranges, what becomes of the records, what is said of a range that is stuck.
Invariant: every committed record of the ranges is yielded, each partition's in order, but for those
behind the offsets that are returned.
"""

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Final

from confluent_kafka import Message

from pipeline.kafka.errors import UnreadableLogError
from pipeline.kafka.reader import Partition, Reader, record_offset, record_partition

SILENCE_S_MAX: Final = 15.0
"""Seconds without anything new after which a transaction is taken to be open before the end."""

RECORDS_AT_ONCE: Final = 5_000
_POLL_S: Final = 0.2


def read_ranges(
    reader: Reader,
    ranges: Mapping[Partition, tuple[int, int]],
    say: Callable[[int, int], None],
) -> Generator[Message, None, dict[Partition, int]]:
    """Yield the committed records of some ranges.

    Args:
        ranges: by partition, the first offset and the one after the last.
        say: is told how many offsets are passed, of how many.

    Returns:
        By partition, up to which offset a range was read that is stuck; empty when none is.

    Raises:
        OffsetGoneError, UnreadableLogError: see there.
    """
    positions = {one: first for one, (first, end) in ranges.items() if first < end}
    total = sum(ranges[one][1] - first for one, first in positions.items())
    unread = set(positions)
    reader.assign(positions)
    heard_s = time.monotonic()
    while unread:
        polled = reader.gather(RECORDS_AT_ONCE, _POLL_S)
        moved = polled.positions()
        for one, position in moved.items():
            if position > positions[one]:
                positions[one], heard_s = position, time.monotonic()
        if all(position <= ranges[one][1] for one, position in moved.items()):
            yield from polled.records
        else:
            for message in polled.records:
                if record_offset(message) < ranges[record_partition(message)][1]:
                    yield message
        unread = {one for one in unread if positions[one] < ranges[one][1]}
        say(total - sum(ranges[one][1] - positions[one] for one in unread), total)
        if time.monotonic() - heard_s > SILENCE_S_MAX:
            break
    return {one: positions[one] for one in unread}


def read_whole(
    reader: Reader,
    ranges: Mapping[Partition, tuple[int, int]],
    say: Callable[[int, int], None] = lambda *_: None,
) -> Iterator[Message]:
    """Yield the committed records of some ranges, as `read_ranges`, or raise.

    Raises:
        UnreadableLogError: a range is stuck, among others.
    """
    stuck = yield from read_ranges(reader, ranges, say)
    for (topic, number), position in stuck.items():
        raise UnreadableLogError(
            f"{topic} {number} can be read up to offset {position} only",
            why="a transaction is open there, or the partition is not delivered",
            fix="ask again; `kafka-transactions.sh find-hanging` shows whether one will ever end",
        )
