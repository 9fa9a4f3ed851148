"""An audit verified: each partition's chains followed and held against what is known of them.

Owns: the order of the steps, going on where an earlier run was, comparing a chain with checkpoints
and with the workers' state.
Does not own: following (follow.py), judging checkpoints (sightings.py), where entries come from.
Invariants: it changes nothing but the file of what is verified, which never says more than that a
whole chain was followed up to there. What was followed before is not read again, but its last entry
has to be there still; else it begins at the first.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

import msgspec

from pipeline.core.audit import HASH_BYTES, ChainHead, genesis
from pipeline.errors import AwawayError
from pipeline.kafka.errors import UnreadableLogError
from pipeline.ops.audit.findings import Finding
from pipeline.ops.audit.follow import Chain, Follower, Record
from pipeline.ops.audit.sightings import Judged, Mark
from pipeline.whole_file import write_whole

CHUNK: Final = 20_000
"""Records that are followed at once."""

KEPT_EVERY_S: Final = 5.0
AHEAD_S_MAX: Final = 10.0
"""Seconds for which the workers' state may be behind the audit: a transaction becomes visible
partition by partition."""
_AGAIN_S: Final = 0.5

Say = Callable[[str, int, int], None]
"""Is told what is done, how much of it, of how much."""


class Log(Protocol):
    """Where entries are read from: Kafka, or the folder of an export."""

    topic: str

    def range(self, partition: int) -> tuple[int, int]:
        """The first offset, and the one after the last."""
        ...

    def records(
        self, partition: int, first: int, end: int, say: Callable[[int, int], None]
    ) -> Iterator[Record]:
        """The records of a range."""
        ...


class Verified(msgspec.Struct, frozen=True):
    """How far a partition is verified.

    Attributes:
        offset, hash: of the last entry that was read.
    """

    offset: int
    hash: bytes
    chains: dict[str, Chain]


class PartitionReport(msgspec.Struct, frozen=True):
    """What was found in one partition.

    Attributes:
        read: entries that this run read. went_on_from: the offset; 0 from the first.
        chains: entries by generation. state: what the comparison with the workers' state came to.
    """

    partition: int
    read: int
    went_on_from: int
    next_offset: int
    chains: dict[str, int]
    state: str
    findings: list[Finding]
    left_out: int = 0


class Expected(msgspec.Struct, frozen=True):
    """What the chains have to be.

    Attributes:
        judged: the checkpoints. known: the generations that there are.
        heads: returns the head of a partition's chain by the workers' state; None: not asked.
        generation: of that state.
    """

    judged: Judged
    known: Collection[str]
    heads: Callable[[int], ChainHead | None] | None = None
    generation: str = ""


class KeptFileError(AwawayError):
    """The file that says how far an audit is verified cannot be used.

    Operator action: name another file with --state, or delete it: then everything is read again.
    """


class KeptFile:
    """How far each partition is verified, in a file; without a path nothing is kept.

    Args:
        topic: of the audit.

    Raises:
        KeptFileError: the file is of another audit, or none.
    """

    def __init__(self, path: Path | None, topic: str) -> None:
        self._path = path
        self._topic = topic
        self.partitions: dict[int, Verified] = {}
        if path is None or not path.exists():
            return
        try:
            topic, partitions = msgspec.json.decode(
                path.read_bytes(), type=tuple[str, dict[int, Verified]]
            )
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise KeptFileError(
                f"{path} cannot be read", why=str(error), fix="name another file, or delete it"
            ) from error
        if topic != self._topic:
            raise KeptFileError(
                f"{path} is about {topic}, not {self._topic}", fix="name another file"
            )
        self.partitions = partitions

    def keep(self, partition: int, verified: Verified | None) -> None:
        """Write down how far a partition is verified; None: not at all."""
        if verified is None:
            self.partitions.pop(partition, None)
        else:
            self.partitions[partition] = verified
        if self._path is None:
            return
        try:
            write_whole(self._path, msgspec.json.encode((self._topic, self.partitions)))
        except OSError as error:
            raise KeptFileError(
                f"{self._path} cannot be written", why=str(error), fix="name another file"
            ) from error


class Verifier:
    """Verifies the partitions of one audit.

    Args:
        log: of the entries.
        has_links: whether entries of a schema id have their hashes where they are looked for.
        expected: what the chains have to be.
        kept: how far they were verified before.
    """

    def __init__(
        self,
        log: Log,
        has_links: Callable[[int], bool],
        expected: Expected,
        kept: KeptFile,
        say: Say,
    ) -> None:
        self._log = log
        self._has_links = has_links
        self._expected = expected
        self._kept = kept
        self._say = say

    def verify(self, partition: int) -> tuple[PartitionReport, dict[str, Chain]]:
        """Verify one partition; returns its chains by generation, too.

        Raises:
            UnreadableLogError: it cannot be read.
        """
        head, state = self._state(partition)
        marks = self._marks(partition, head)
        first, end = self._log.range(partition)
        begun = self._begun(partition, marks, first, end)
        counts = {name: sorted({m.entries for m in found}) for name, found in marks.items()}
        follower = Follower(
            self._log.topic,
            partition,
            self._has_links,
            counts,
            {} if begun is None else begun.chains,
        )
        start = first if begun is None else begun.offset + 1
        read, verified = self._follow(follower, partition, start, end)
        chains, findings = follower.finish(self._expected.known)
        for generation, of_chain in marks.items():
            chain = chains.get(generation) or Chain(genesis(generation, partition))
            findings += compare(generation, chain, of_chain)
        if head is not None:
            state, ahead = self._ahead(partition, chains, head)
            findings += ahead
        # A chain that links and is wrong all the same may be so from anywhere on.
        sound = begun if findings and follower.is_whole else verified or begun
        self._kept.keep(partition, sound)
        report = PartitionReport(
            partition,
            read,
            0 if begun is None else start,
            end,
            {name: chain.head.next_sequence for name, chain in chains.items()},
            state,
            findings,
            follower.left_out,
        )
        return report, chains

    def _state(self, partition: int) -> tuple[ChainHead | None, str]:
        """The head by the workers' state, or why there is none."""
        if self._expected.heads is None:
            return None, "not asked"
        try:
            head = self._expected.heads(partition)
        except UnreadableLogError as error:
            return None, f"not readable: {error}"
        return head, "there is none yet"

    def _marks(self, partition: int, head: ChainHead | None) -> dict[str, list[Mark]]:
        """What the chains have to be, by generation."""
        expected = self._expected
        marks = {
            generation: list(found)
            for (generation, number), found in expected.judged.marks.items()
            if number == partition
        }
        if head is not None:
            place = f"the workers' state, {expected.generation}/{partition}"
            mark = Mark(head.next_sequence, head.hash, place)
            marks.setdefault(expected.generation, []).append(mark)
        return marks

    def _begun(
        self, partition: int, marks: Mapping[str, Sequence[Mark]], first: int, end: int
    ) -> Verified | None:
        """Where to go on, if that is possible; None: at the first entry."""
        begun = self._kept.partitions.get(partition)
        if begun is None or not first <= begun.offset < end:
            return None
        for generation, of_chain in marks.items():
            chain = begun.chains.get(generation)
            if chain is None:
                continue
            known = {*chain.passed, chain.head.next_sequence}
            if any(
                m.entries < chain.head.next_sequence and m.entries not in known for m in of_chain
            ):
                return None
        last = list(self._log.records(partition, begun.offset, begun.offset + 1, _unheard))
        is_there = [(at, (value or b"")[-HASH_BYTES:]) for at, value in last]
        return begun if is_there == [(begun.offset, begun.hash)] else None

    def _follow(
        self, follower: Follower, partition: int, start: int, end: int
    ) -> tuple[int, Verified | None]:
        """Follow a range, and write down how far it came while nothing is wrong.

        Returns:
            The number of records, and how far nothing was wrong.
        """
        what = f"partition {partition}"
        records = self._log.records(
            partition, start, end, lambda done, total: self._say(what, done, total)
        )
        read, kept_s = 0, time.monotonic()
        verified: Verified | None = None
        while chunk := list(islice(records, CHUNK)):
            follower.take(chunk)
            read += len(chunk)
            offset, value = chunk[-1]
            if not follower.is_whole:
                continue
            verified = Verified(offset, (value or b"")[-HASH_BYTES:], follower.chains())
            if time.monotonic() - kept_s >= KEPT_EVERY_S:
                self._kept.keep(partition, verified)
                kept_s = time.monotonic()
        return read, verified

    def _ahead(
        self, partition: int, chains: Mapping[str, Chain], before: ChainHead
    ) -> tuple[str, list[Finding]]:
        """Whether the audit has entries that the workers' state knows nothing of.

        Args:
            before: the head by that state, as it was before the audit was read.
        """
        expected = self._expected
        chain = chains.get(expected.generation) or Chain(genesis(expected.generation, partition))
        entries, known = chain.head.next_sequence, before.next_sequence
        deadline = time.monotonic() + AHEAD_S_MAX
        while known < entries and expected.heads is not None:
            if time.monotonic() > deadline:
                place = f"{self._log.topic}[{partition}] offset {chain.last_offset}"
                says = f"{known} entries, by the workers' state"
                found = f"{entries} entries: the last {entries - known} are of no worker"
                at = (expected.generation, known, chain.last_offset)
                return "differs", [Finding("second_chain", place, says, found, *at)]
            time.sleep(_AGAIN_S)
            head = expected.heads(partition)
            known = 0 if head is None else head.next_sequence
        return "agrees", []


def compare(generation: str, chain: Chain, marks: Sequence[Mark]) -> list[Finding]:
    """Compare a chain with what it has to be; one finding of each kind at most.

    Args:
        marks: of that chain; the hash after as many entries is among `chain.passed`.
    """
    findings = []
    end = chain.head.next_sequence
    last = max(marks, key=lambda mark: mark.entries, default=None)
    if last is not None and last.entries > end:
        expected = f"{last.entries} entries, head {last.hash.hex()}"
        found = f"the chain ends after {end}"
        findings.append(Finding("truncated", last.place, expected, found, generation, end))
    agreed = 0
    for mark in sorted(marks):
        found_hash = chain.head.hash if mark.entries == end else chain.passed.get(mark.entries)
        if found_hash is None:
            continue  # behind the end, or among entries that are missing
        if found_hash != mark.hash:
            expected = f"after {mark.entries} entries the hash {mark.hash.hex()}"
            found = f"{found_hash.hex()}; it agrees up to {agreed} entries"
            findings.append(
                Finding("diverged", mark.place, expected, found, generation, mark.entries - 1)
            )
            break
        agreed = mark.entries
    return findings


def without_checkpoint(
    partition: int, chains: Mapping[str, Chain], judged: Judged
) -> list[Finding]:
    """The chains that have entries and no checkpoint at all."""
    return [
        Finding(
            "missing_checkpoint",
            f"{generation}/{partition}",
            f"a checkpoint of {chain.head.next_sequence} entries",
            "none in any place; `awaway audit checkpoint` signs the first",
            generation,
        )
        for generation, chain in chains.items()
        if not judged.rows.get((generation, partition))
    ]


def _unheard(_done: int, _total: int) -> None:
    """Nobody is told."""
