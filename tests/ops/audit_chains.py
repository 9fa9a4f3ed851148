"""Audit chains in memory: made as a worker makes them, tampered with, kept where a test looks.

Owns: entries as bytes, a topic in memory, a signer over it.
Does not own: expectations, which the tests have.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipeline.codec.avro import AvroEncoder
from pipeline.core.audit import AuditIds, ChainHead, genesis, link
from pipeline.core.records import AuditEntry
from pipeline.kafka.errors import UnreadableLogError
from pipeline.ops.audit.checkpoint import Signed, Signer
from pipeline.ops.audit.findings import Finding
from pipeline.ops.audit.follow import Chain, Follower, Record
from pipeline.ops.audit.keys import ListedKey, make, read_list, read_private
from pipeline.ops.audit.sightings import Judged, Mark, Sighting
from pipeline.ops.audit.signed import SignedCheckpoint
from pipeline.ops.audit.store import CheckpointStore
from pipeline.ops.audit.verify import Expected, KeptFile, PartitionReport, Verifier
from tests.codec.samples import SAMPLES, SCHEMAS

TOPIC = "t.audit"
SCHEMA_ID = 7
ENCODER = AvroEncoder(SCHEMAS["AuditEntry"], SCHEMA_ID)
SAMPLE = next(one for one in SAMPLES if isinstance(one, AuditEntry))
NOBODY = Judged({}, {}, [])
NOW_MS = 1_772_345_400_000


def entry(head: ChainHead, generation: str, partition: int, **fields: object) -> bytes:
    """One entry that follows a head, sealed."""
    record = msgspec.structs.replace(
        SAMPLE,
        audit_id=AuditIds(generation, partition).of(head.next_sequence),
        generation=generation,
        partition=partition,
        sequence=head.next_sequence,
        prev_hash=head.hash,
        **fields,
    )
    body = ENCODER.encode_body_before_last(record)
    return ENCODER.frame_with_last(body, link(head.hash, body))


def head_after(value: bytes, sequence: int) -> ChainHead:
    """The head behind an entry."""
    return ChainHead(sequence + 1, value[-32:])


def chain(
    count: int,
    generation: str = "blue",
    partition: int = 0,
    head: ChainHead | None = None,
    **fields: object,
) -> list[bytes]:
    """Entries that follow a head, the genesis without one."""
    at = genesis(generation, partition) if head is None else head
    values = []
    for sequence in range(at.next_sequence, at.next_sequence + count):
        values.append(entry(at, generation, partition, **fields))
        at = head_after(values[-1], sequence)
    return values


def reseal(value: bytes, prev_hash: bytes | None = None) -> bytes:
    """An entry whose hashes are those of its bytes, whatever was done to them."""
    before = value[-65:-33] if prev_hash is None else prev_hash
    body = value[5:-65] + before
    return value[:5] + body + value[-33:-32] + link(before, body)


def placed(values: Sequence[bytes | None]) -> list[Record]:
    """Records with offsets as a topic has them: some are a transaction's markers."""
    return [(2 * n, value) for n, value in enumerate(values)]


def is_ours(schema_id: int) -> bool:
    """Whether a schema id is of an audit entry."""
    return schema_id == SCHEMA_ID


def follow(
    values: Sequence[bytes | None], marks: Sequence[int] = (), partition: int = 0
) -> tuple[dict[str, Chain], list[Finding]]:
    """What following a partition finds."""
    follower = Follower(TOPIC, partition, is_ours, {"blue": marks}, {})
    follower.take(placed(values))
    return follower.finish({"blue"})


@dataclass
class MemoryTopics:
    """As AuditTopics, in memory."""

    logs: dict[int, list[Record]]
    lines: list[str] = field(default_factory=list)
    heads: dict[int, ChainHead] = field(default_factory=dict)
    reads: list[tuple[int, int]] = field(default_factory=list)
    topic: str = TOPIC
    publishes: bool = True

    @property
    def partitions(self) -> int:
        return len(self.logs)

    def range(self, partition: int) -> tuple[int, int]:
        records = self.logs[partition]
        return (records[0][0], records[-1][0] + 1) if records else (0, 0)

    def records(
        self, partition: int, first: int, end: int, say: Callable[[int, int], None]
    ) -> Iterator[Record]:
        found = [one for one in self.logs[partition] if first <= one[0] < end]
        self.reads.append((first, len(found)))
        yield from found
        say(end - first, end - first)

    def checkpoints(self) -> list[Sighting]:
        return [Sighting(line, "topic", f"topic line {n}") for n, line in enumerate(self.lines)]

    def publish(self, checkpoints: Sequence[SignedCheckpoint]) -> None:
        if not self.publishes:
            raise UnreadableLogError("the brokers do not answer")
        self.lines += [one.line for one in checkpoints]

    def head(self, partition: int) -> ChainHead | None:
        """The workers' state."""
        return self.heads.get(partition)


@dataclass
class Signing:
    """A signer with its keys and its store, in a folder."""

    folder: Path
    topics: MemoryTopics

    def __post_init__(self) -> None:
        self.key_file = self.folder / "audit.pem"
        self.listed = self.folder / "keys.txt"
        make(self.key_file, self.listed, None)
        self.store = CheckpointStore(str(self.folder / "store"), create=True)

    @property
    def key(self) -> Ed25519PrivateKey:
        return read_private(self.key_file)

    @property
    def keys(self) -> dict[str, ListedKey]:
        return read_list(self.listed)

    def run(self, now_ms: int = NOW_MS) -> Signed:
        """One run of `awaway audit checkpoint`."""
        topics: object = self.topics
        signer = Signer(topics, self.store, self.key, self.keys, is_ours)  # type: ignore[arg-type]
        return signer.run(Expected(NOBODY, {"blue"}), now_ms, lambda *_: None)

    def rotate(self) -> None:
        """Make a new key and sign with it from now on."""
        new = self.folder / f"audit-{len(self.keys)}.pem"
        make(new, self.listed, self.key_file)
        self.key_file = new


def verify(
    topics: MemoryTopics,
    marks: Sequence[Mark] = (),
    kept: KeptFile | None = None,
    with_state: bool = False,
    partition: int = 0,
) -> PartitionReport:
    """Verify one partition of the generation blue."""
    judged = Judged({}, {("blue", partition): list(marks)}, [])
    heads = topics.head if with_state else None
    expected = Expected(judged, {"blue"}, heads, "blue")
    state = kept or KeptFile(None, TOPIC)
    return Verifier(topics, is_ours, expected, state, lambda *_: None).verify(partition)[0]


def kinds(findings: Sequence[Finding]) -> list[str]:
    """Their kinds, in their order."""
    return [one.kind for one in findings]
