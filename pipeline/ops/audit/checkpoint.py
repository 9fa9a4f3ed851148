"""Signing checkpoints: what is verified first, and in which order they are kept.

Owns: one run of the signer: what it signs, what it refuses to sign, going on after a kill.
Does not own: verifying (verify.py), the line (signed.py), where it is kept (store.py, topic.py).
Invariants: nothing is signed over a finding. A checkpoint is created in the store first, where it
takes its number; then it is published. A run that was killed between leaves the topic one behind,
and the next run publishes what it lacks at its end, and nothing else.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipeline.clock import rfc3339
from pipeline.ops.audit.findings import Finding
from pipeline.ops.audit.follow import Chain
from pipeline.ops.audit.keys import AuditKeyError, ListedKey, id_of
from pipeline.ops.audit.sightings import Judged, Sighting, Source, judge
from pipeline.ops.audit.signed import NO_LINE, SignedCheckpoint, parse, sign
from pipeline.ops.audit.store import CheckpointStore
from pipeline.ops.audit.topic import AuditTopics
from pipeline.ops.audit.verify import Expected, KeptFile, Say, Verified, Verifier

_PLACES: Final[tuple[Source, ...]] = ("topic", "store")


class Signed(msgspec.Struct, frozen=True):
    """What a run did.

    Attributes:
        signed: new checkpoints.
        completed: how many older ones were put where an earlier run had not put them.
        findings: why it did not sign, where it did not.
    """

    signed: list[SignedCheckpoint]
    completed: int
    findings: list[Finding]


class Signer:
    """Signs what is there.

    Args:
        key: the private key. keys: the list, which has it.
        has_links, heads: as of `Verifier` and `Expected`.

    Raises:
        AuditKeyError: the key is not the last of the list.
    """

    def __init__(
        self,
        topics: AuditTopics,
        store: CheckpointStore,
        key: Ed25519PrivateKey,
        keys: Mapping[str, ListedKey],
        has_links: Callable[[int], bool],
    ) -> None:
        self._topics = topics
        self._store = store
        self._key = key
        self._keys = keys
        self._has_links = has_links
        self._id = id_of(key.public_key())
        if self._id != (last := list(keys)[-1]):
            raise AuditKeyError(
                f"the key {self._id} is not the last of the list, which is {last}",
                why="each key signs until the next one is made",
                fix="name the file of the last key with --key",
            )

    def run(self, expected: Expected, now_ms: int, say: Say) -> Signed:
        """Verify what was added since the last checkpoints, and sign it.

        Args:
            expected: without checkpoints, which are read here.
            now_ms: the time that the checkpoints say.

        Raises:
            UnreadableLogError, CheckpointStoreError, CheckpointTakenError: see there; a next run
                goes on where this one stopped.
        """
        published = self._topics.checkpoints()
        found = [*published, *self._store.checkpoints(published)]
        lacking = lacking_at_the_end(found, self._judged(found, ()))
        judged = self._judged([*found, *lacking], _PLACES)
        findings = list(judged.findings)
        if findings:
            return Signed([], 0, findings)
        for one in lacking:
            self._complete(one)
        signed: list[SignedCheckpoint] = []
        for partition in range(self._topics.partitions):
            chains, wrong = self._verified(expected, judged, partition, say)
            findings += wrong
            if not wrong:
                rows = judged.rows
                fresh = [
                    self._sign(name, partition, chain, rows.get((name, partition), {}), now_ms)
                    for name, chain in sorted(chains.items())
                ]
                made = [one for one in fresh if one is not None]
                self._keep(made)
                signed += made
        return Signed(signed, len(lacking), findings)

    def _judged(self, sightings: Sequence[Sighting], complete: Sequence[Source]) -> Judged:
        partitions = range(self._topics.partitions)
        return judge(sightings, self._topics.topic, partitions, self._keys, complete)

    def _complete(self, lacking: Sighting) -> None:
        """Put a checkpoint where a run that was killed did not put it."""
        checkpoint = parse(lacking.line)
        if checkpoint is not None and lacking.source == "store":
            self._store.add(checkpoint)
        elif checkpoint is not None:
            self._topics.publish([checkpoint])

    def _keep(self, checkpoints: Sequence[SignedCheckpoint]) -> None:
        for one in checkpoints:
            self._store.add(one)
        if checkpoints:
            self._topics.publish(checkpoints)

    def _verified(
        self, expected: Expected, judged: Judged, partition: int, say: Say
    ) -> tuple[dict[str, Chain], list[Finding]]:
        """Follow a partition from its last checkpoint on; from the start if that is not whole."""
        wanted = msgspec.structs.replace(
            expected,
            judged=judged,
            known={*expected.known, *(name for name, _ in judged.rows)},
        )
        kept = KeptFile(None, self._topics.topic)
        if (begun := last_of(judged, partition)) is not None:
            kept.partitions[partition] = begun
        verifier = Verifier(self._topics, self._has_links, wanted, kept, say)
        report, chains = verifier.verify(partition)
        if report.findings and report.went_on_from:
            whole = KeptFile(None, self._topics.topic)
            verifier = Verifier(self._topics, self._has_links, wanted, whole, say)
            report, chains = verifier.verify(partition)
        return chains, report.findings

    def _sign(
        self,
        generation: str,
        partition: int,
        chain: Chain,
        row: Mapping[int, SignedCheckpoint],
        now_ms: int,
    ) -> SignedCheckpoint | None:
        """The next checkpoint of a chain; None where nothing was added."""
        before = row[max(row)] if row else None
        if chain.head.next_sequence == (0 if before is None else before.entries):
            return None
        now = rfc3339(now_ms)
        unsigned = SignedCheckpoint(
            self._topics.topic,
            generation,
            partition,
            0 if before is None else before.number + 1,
            chain.head.next_sequence,
            chain.head.hash,
            chain.last_offset,
            now if before is None else max(now, before.time),
            NO_LINE if before is None else before.line_hash,
            self._id,
        )
        return msgspec.structs.replace(unsigned, signature=sign(unsigned.statement, self._key))


def last_of(judged: Judged, partition: int) -> Verified | None:
    """How far a partition is verified by its last checkpoints; None without any."""
    rows = [(name, row) for (name, at), row in judged.rows.items() if at == partition and row]
    if not rows:
        return None
    chains = {}
    for name, row in rows:
        newest = row[max(row)]
        passed = {one.entries: one.head for one in row.values()}
        chains[name] = Chain(newest.chain_head, passed, newest.offset)
    newest_of_all = max(chains.values(), key=lambda chain: chain.last_offset)
    return Verified(newest_of_all.last_offset, newest_of_all.head.hash, chains)


def lacking_at_the_end(sightings: Sequence[Sighting], judged: Judged) -> list[Sighting]:
    """The checkpoints behind the last one of a place, where a run that was killed left them out.

    Returns:
        Them as if they were there.
    """
    found = []
    for place in _PLACES:
        lines = {one.line for one in sightings if one.source == place}
        for row in judged.rows.values():
            there = max((number for number, one in row.items() if one.line in lines), default=-1)
            late = [one for number, one in row.items() if number > there]
            found += [Sighting(one.line, place, f"{place}, left out") for one in late]
    return found
