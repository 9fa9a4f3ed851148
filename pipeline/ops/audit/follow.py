"""The chains of one partition, followed entry by entry.

Owns: which entries link, and what is wrong where they do not.
Does not own: where records come from (topic.py, export_files.py), what a chain ought to be beside
its own links: checkpoints, the witness, the workers' state (sightings.py, verify.py).
Invariants: nothing stops it: what does not fit is a finding, and it goes on behind. A whole chain
costs one hash an entry, and nothing is decoded.

Entries that link without a break are a *segment*. A whole chain is one segment, which begins with
the genesis of its generation and partition. Whatever was done to a chain leaves more of them, and
`finish` tells from how they lie what it was:

| the segment | is |
|---|---|
| has the next sequence, and names another hash | unlinked |
| has the next sequence and hash, and stands before | reordered |
| has a later sequence | missing, up to it |
| has a later sequence, and stands before | a second chain |
| has sequences that the chain has already, and is shorter | a second chain |
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from pipeline.codec.varint import long
from pipeline.core.audit import ChainHead, genesis, link
from pipeline.ops.audit.entry import (
    BODY_END,
    FRAMING_BYTES,
    HASH_AT,
    LENGTH,
    LINKS_AT,
    Parts,
    parts_of,
    schema_id_in,
)
from pipeline.ops.audit.findings import Finding, Kind

Record = tuple[int, bytes | None]
"""Offset and value."""

FINDINGS_MAX: Final = 1_000
"""Findings of a partition that are kept, and segments; more are counted."""

_ID_LENGTH: Final = b"\x48"
"""The Avro length of a UUID as text."""
_HEAD_AT: Final = FRAMING_BYTES + 1 + 36
_NEVER: Final = -1


class Chain(msgspec.Struct):
    """A chain as far as it was followed.

    Attributes:
        passed: the hash after as many entries, for each count that was asked for.
        last_offset: of its last entry; −1 without one.
    """

    head: ChainHead
    passed: dict[int, bytes] = {}
    last_offset: int = -1


class _Segment(msgspec.Struct):
    generation: str
    first: ChainHead
    first_offset: int
    head: ChainHead
    last_offset: int
    passed: dict[int, bytes]


class Follower:
    """Follows the chains of one partition.

    Args:
        topic, partition: the chains'.
        has_links: whether entries of a schema id have their hashes where entry.py looks.
        marks: by generation, the numbers of entries after which the hash is to be remembered, in
            ascending order.
        begun: chains by generation that were followed before, each up to its head.
    """

    def __init__(
        self,
        topic: str,
        partition: int,
        has_links: Callable[[int], bool],
        marks: Mapping[str, Sequence[int]],
        begun: Mapping[str, Chain],
    ) -> None:
        self.left_out = 0
        self._place = f"{topic}[{partition}]"
        self._partition = partition
        self._has_links = has_links
        self._known: dict[int, bool] = {}
        self._marks = marks
        self._findings: list[Finding] = []
        self._segments: list[_Segment] = []
        self._tails: dict[tuple[str, ChainHead], _Segment] = {}
        self._start = b""
        self._current = _Segment("", ChainHead(0, b""), -1, ChainHead(0, b""), -1, {})
        for generation, chain in begun.items():
            at = chain.last_offset
            passed = {chain.head.next_sequence: chain.head.hash, **chain.passed}
            first = genesis(generation, partition)
            self._add(_Segment(generation, first, at, chain.head, at, passed))

    def take(self, records: Iterable[Record]) -> None:
        """Follow some more records, in their order."""
        rest = iter(records)
        while self._follow(rest):
            pass

    def _follow(self, records: Iterator[Record]) -> bool:
        """Follow the current segment; return whether records may be left, of another one."""
        current, start = self._current, self._start
        sequence, last = current.head.next_sequence, current.head.hash
        offset = current.last_offset
        name = current.generation.encode()
        prefix = long(len(name)) + name + long(self._partition)
        stop = self._next_mark(current.generation, sequence)
        for at, value in records:
            if (
                value is not None
                and value[: FRAMING_BYTES + 1] == start
                and value.startswith(prefix + long(sequence), _HEAD_AT)
                and value[LINKS_AT:HASH_AT] == LENGTH + last + LENGTH
                and (sealed := link(last, value[FRAMING_BYTES:BODY_END])) == value[HASH_AT:]
            ):
                sequence, last, offset = sequence + 1, sealed, at
                if sequence == stop:
                    current.passed[stop] = last
                    stop = self._next_mark(current.generation, sequence)
                continue
            self._move(current, ChainHead(sequence, last), offset)
            self._sort(at, value)
            return True
        self._move(current, ChainHead(sequence, last), offset)
        return False

    def _next_mark(self, generation: str, sequence: int) -> int:
        marks = self._marks.get(generation, ())
        at = bisect_right(marks, sequence)
        return marks[at] if at < len(marks) else _NEVER

    # --- what does not continue the current segment ----------------------------------------------

    def _sort(self, offset: int, value: bytes | None) -> None:
        """Take a record that may continue any segment, or none."""
        schema_id = schema_id_in(value)
        if schema_id is None or value is None:
            what = "a null value" if value is None else f"{len(value)} bytes: {value[:16].hex(' ')}"
            self._find("foreign", offset, "a framed audit entry", what)
            return
        if schema_id not in self._known:
            self._known[schema_id] = self._has_links(schema_id)
        parts = parts_of(value) if self._known[schema_id] else None
        if parts is None:
            self._find("foreign", offset, "an audit entry", f"a record of schema {schema_id}")
        elif parts.partition != self._partition:
            what = f"an entry of partition {parts.partition}"
            self._find("second_chain", offset, "entries of this partition", what, parts)
        else:
            self._start = value[:FRAMING_BYTES] + _ID_LENGTH
            self._enter(offset, parts)

    def _enter(self, offset: int, parts: Parts) -> None:
        before = ChainHead(parts.sequence, parts.prev_hash)
        after = ChainHead(parts.sequence + 1, parts.hash)
        sealed = link(parts.prev_hash, parts.body)
        segment = self._tails.get((parts.generation, before))
        if sealed != parts.hash:
            self._find("altered", offset, f"hash {sealed.hex()}", f"hash {parts.hash.hex()}", parts)
            if segment is None and self._current.generation == parts.generation:
                segment = self._current
        if segment is None or segment.head.next_sequence != parts.sequence:
            segment = _Segment(parts.generation, before, offset, before, offset, {})
            if not self._add(segment):
                return
        self._move(segment, after, offset)
        if parts.sequence + 1 in self._marks.get(parts.generation, ()):
            segment.passed[parts.sequence + 1] = parts.hash
        # Where only the hash was edited, the next entry names the one that it had.
        self._tails[parts.generation, ChainHead(parts.sequence + 1, sealed)] = segment
        self._current = segment

    def _add(self, segment: _Segment) -> bool:
        if len(self._segments) >= FINDINGS_MAX:
            self.left_out += 1
            return False
        self._segments.append(segment)
        self._tails[segment.generation, segment.head] = segment
        self._current = segment
        return True

    def _move(self, segment: _Segment, head: ChainHead, offset: int) -> None:
        if head != segment.head:
            self._tails.pop((segment.generation, segment.head), None)
            self._tails[segment.generation, head] = segment
            segment.head, segment.last_offset = head, offset

    def _find(
        self, kind: Kind, offset: int, expected: str, found: str, parts: Parts | None = None
    ) -> None:
        if len(self._findings) >= FINDINGS_MAX:
            self.left_out += 1
            return
        place = f"{self._place} offset {offset}"
        generation, sequence = ("", -1) if parts is None else (parts.generation, parts.sequence)
        self._findings.append(Finding(kind, place, expected, found, generation, sequence, offset))

    # --- the whole -------------------------------------------------------------------------------

    @property
    def is_whole(self) -> bool:
        """Whether nothing was wrong so far: each chain is one segment from its genesis on."""
        generations = {one.generation for one in self._segments}
        return (
            not self._findings
            and len(generations) == len(self._segments)
            and all(one.first == genesis(one.generation, self._partition) for one in self._segments)
        )

    def chains(self) -> dict[str, Chain]:
        """The chains so far, by generation, while `is_whole`."""
        return {
            one.generation: Chain(one.head, dict(one.passed), one.last_offset)
            for one in self._segments
        }

    def finish(self, known: Collection[str]) -> tuple[dict[str, Chain], list[Finding]]:
        """The chains by generation, and everything that is wrong, in the order of the offsets.

        Args:
            known: the generations that there are; a chain of any other is a second chain.
        """
        chains: dict[str, Chain] = {}
        findings = list(self._findings)
        for generation in dict.fromkeys(one.generation for one in self._segments):
            segments = [one for one in self._segments if one.generation == generation]
            if generation not in known:
                names = ", ".join(sorted(known))
                found = f"generation {generation!r}, {_entries(segments)} entries"
                findings.append(
                    self._about(segments[0], "second_chain", f"generations {names}", found)
                )
            chains[generation], wrong = self._assembled(generation, segments)
            findings += wrong
        return chains, sorted(findings, key=lambda one: one.offset)

    def _assembled(self, generation: str, segments: list[_Segment]) -> tuple[Chain, list[Finding]]:
        """Lay a generation's segments behind each other."""
        chain = Chain(genesis(generation, self._partition))
        left, strays, findings = list(segments), [], []
        while (segment := _next(chain.head, left)) is not None:
            left.remove(segment)
            if (branch := _longer_branch(segment, left)) is not None:
                segment, rest = _cut(segment, branch)
                strays.append(rest)
            head, first = chain.head, segment.first
            stands_before = chain.last_offset > segment.first_offset
            if stands_before and first.next_sequence > head.next_sequence:
                strays.append(segment)
                continue
            if first.next_sequence > head.next_sequence:
                expected = f"sequence {head.next_sequence}"
                found = (
                    f"sequence {first.next_sequence}: "
                    f"{first.next_sequence - head.next_sequence} entries are missing before it"
                )
                findings.append(self._about(segment, "missing", expected, found))
            elif first.hash != head.hash:
                expected = f"prev_hash {head.hash.hex()}"
                found = f"prev_hash {first.hash.hex()}"
                findings.append(self._about(segment, "unlinked", expected, found))
            if stands_before:
                expected = f"behind sequence {head.next_sequence - 1}, offset {chain.last_offset}"
                findings.append(self._about(segment, "reordered", expected, "before it"))
            chain = Chain(segment.head, chain.passed | segment.passed, segment.last_offset)
        for segment in left + strays:
            last = segment.head.next_sequence - 1
            found = f"sequences {segment.first.next_sequence} to {last} beside it"
            expected = f"one chain; it has {chain.head.next_sequence} entries"
            findings.append(self._about(segment, "second_chain", expected, found))
        return chain, findings

    def _about(self, segment: _Segment, kind: Kind, expected: str, found: str) -> Finding:
        offset = segment.first_offset
        place = f"{self._place} offset {offset}"
        sequence = segment.first.next_sequence
        return Finding(kind, place, expected, found, segment.generation, sequence, offset)


def _entries(segments: Iterable[_Segment]) -> int:
    return sum(one.head.next_sequence - one.first.next_sequence for one in segments)


def _next(head: ChainHead, segments: Sequence[_Segment]) -> _Segment | None:
    """The segment that follows a head: by its hash, else by its sequence, else the nearest.

    Of two the longer: whoever wrote the other had less to say.
    """
    at = head.next_sequence
    later = [one for one in segments if one.first.next_sequence >= at]
    if not later:
        return None
    return min(
        later,
        key=lambda one: (
            one.first.next_sequence,
            one.first.hash != head.hash and one.first.next_sequence == at,
            -one.head.next_sequence,
        ),
    )


def _longer_branch(segment: _Segment, others: Sequence[_Segment]) -> _Segment | None:
    """The segment that begins within another and goes further; None without one.

    So it is where an entry was forged at the end of the chain, and the worker went on.
    """
    within = range(segment.first.next_sequence + 1, segment.head.next_sequence)
    longer = [
        one
        for one in others
        if one.first.next_sequence in within and one.head.next_sequence > segment.head.next_sequence
    ]
    return max(longer, key=lambda one: one.head.next_sequence, default=None)


def _cut(segment: _Segment, branch: _Segment) -> tuple[_Segment, _Segment]:
    """A segment up to where a branch begins, and the rest of it."""
    at, generation = branch.first, segment.generation
    passed = {count: one for count, one in segment.passed.items() if count <= at.next_sequence}
    end = min(segment.last_offset, branch.first_offset)
    before = _Segment(generation, segment.first, segment.first_offset, at, end, passed)
    last = segment.last_offset
    return before, _Segment(generation, at, last, segment.head, last, {})
