"""Dead letters page by page, from the newest back.

Owns: what a page reads of the topic, and where the next one begins.
Does not own: the letters (letters.py), reading a range (kafka/ranges.py).
Invariants: a page reads a bounded number of offsets, however many letters there are and however few
are wanted; going on from page to page, every letter that is wanted comes once. Within a page the
newest come first; between partitions that is roughly so from page to page.
"""

import heapq
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from pipeline.kafka.ranges import read_ranges
from pipeline.kafka.reader import Partition, Reader
from pipeline.ops.deadletters.letters import Letter, Wanted
from pipeline.ops.deadletters.log import TOPIC, DeadLetterLog

STEP: Final = 50
"""Offsets of each partition that are read at once."""

STEPS_MAX: Final = 40
"""Steps back of one page."""

_cursor_of: Final = re.compile(r"(\d{1,10}):(\d{1,19})").fullmatch


class LetterPage(NamedTuple):
    """A page. older: where the next one begins; empty when there is none."""

    letters: list[Letter]
    older: str


def read_page(log: DeadLetterLog, wanted: Wanted, cursor: str, rows: int) -> LetterPage:
    """Read the newest letters that are wanted, before a place of each partition.

    Args:
        cursor: `older` of the page before; empty, or what is none: begin at the newest.
        rows: at most so many.

    Raises:
        UnreadableLogError: the brokers do not answer.
        RegistryError: a schema is not known.
    """
    with log.pages() as reader:
        there = sorted(reader.partitions([f"{log.prefix}{TOPIC}"]))
        if wanted.partitions is not None:
            there = [one for one in there if one[1] in wanted.partitions]
        starts, ends = reader.starts(there), reader.ends(there)
        ends = {one: min(end, _given(cursor).get(one[1], end)) for one, end in ends.items()}
        found: list[Letter] = []
        for _ in range(STEPS_MAX):
            ranges = {
                one: (max(starts[one], end - STEP), end)
                for one, end in ends.items()
                if end > starts[one]
            }
            if not ranges or len(found) >= rows:
                break
            found += _read(log, reader, wanted, ranges)
            ends |= {one: first for one, (first, _) in ranges.items()}
    found = _merged(found)
    for letter in found[rows:]:
        partition = (letter.topic, letter.place.partition)
        ends[partition] = max(ends[partition], letter.place.offset + 1)
    left = {one: end for one, end in ends.items() if end > starts[one]}
    older = ",".join(f"{number}:{end}" for (_, number), end in sorted(ends.items()))
    return LetterPage(found[:rows], older if left else "")


def _read(
    log: DeadLetterLog,
    reader: Reader,
    wanted: Wanted,
    ranges: Mapping[Partition, tuple[int, int]],
) -> list[Letter]:
    # One after the other: those that are not wanted are not held, however large they are.
    letters = (log.letter_of(one) for one in read_ranges(reader, ranges, lambda *_: None))
    return [one for one in letters if one is not None and wanted.matches(one)]


def _merged(letters: list[Letter]) -> list[Letter]:
    """Letters with the newest first, and those of a partition in the order of their offsets."""
    by_partition: dict[int, list[Letter]] = {}
    for one in sorted(letters, key=lambda one: one.place, reverse=True):
        by_partition.setdefault(one.place.partition, []).append(one)
    return list(heapq.merge(*by_partition.values(), key=lambda one: -one.published_ms))


def _given(cursor: str) -> dict[int, int]:
    """The offset of each partition before which a page begins."""
    parts = [_cursor_of(part) for part in cursor.split(",")]
    return {int(part[1]): int(part[2]) for part in parts if part is not None}
