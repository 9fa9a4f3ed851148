"""Checks of what is in the topics: the brokers' clock, and the ends of the audit.

Owns: these checks, and finding the last record of a partition.
Does not own: following the audit's chain (ops/audit), the form of its entries (ops/audit/entry.py).
Invariant: only committed records are read, a few of each partition, and nothing is written. So the
brokers' clock is seen only in what they have stamped: one that is behind cannot be told from a
quiet hour.
"""

from collections.abc import Sequence
from typing import Final

from confluent_kafka import Message

from pipeline.clock import length_text
from pipeline.core.audit import link
from pipeline.kafka.ranges import read_whole
from pipeline.kafka.reader import Partition, Reader, record_offset, record_partition
from pipeline.ops.audit.entry import parts_of, schema_id_in
from pipeline.ops.doctor.finding import REQUEST_S, Finding, Subject

_BACK: Final = 64
_BACK_FACTOR: Final = 32


def broker_clock(subject: Subject) -> Finding:
    """Whether the brokers' clock, which is the pipeline's, is ahead of this machine's."""
    topics = [subject.settings.topic(name) for name in ("completions", "commands")]
    with _reader(subject) as reader:
        last, _ = last_records(reader, reader.partitions(topics))
    # A producer's own stamp, in a simulated month, says nothing of a broker.
    stamps = [at for kind, at in (one.timestamp() for one in last.values()) if kind == 2]
    if not stamps:
        said = "no input was appended yet, so the brokers' clock is not seen"
        return Finding("broker clock", "skipped", said)
    ahead_ms = max(stamps) - subject.now_ms()
    if ahead_ms <= 0:
        said = f"not ahead of this machine's: the newest input is {length_text(-ahead_ms)} old"
        return Finding("broker clock", "ok", said)
    said = f"the newest input was appended {ahead_ms / 1000:.1f} s after this machine's now"
    level = subject.clock_level(ahead_ms)
    fix = "" if level == "ok" else "set both clocks by NTP: which dates count rests on the brokers'"
    return Finding("broker clock", level, said, fix)


def audit(subject: Subject) -> Finding:
    """Whether the last entry of each audit chain is whole, and whether entries before it are gone.

    This is no proof of the whole chain: `awaway audit verify` follows it.
    """
    topic = subject.settings.topic("audit")
    with _reader(subject) as reader:
        last, starts = last_records(reader, reader.partitions([topic]))
    problems = [
        said
        for one, message in sorted(last.items())
        if (said := wrong_with(message, starts[one])) is not None
    ]
    if problems:
        return Finding("audit", "fail", "; ".join(problems), "`awaway audit verify` says more")
    if not last:
        return Finding("audit", "ok", "no entry yet")
    return Finding("audit", "ok", f"the last entries of {len(last)} partitions are whole")


def wrong_with(message: Message, first: int) -> str | None:
    """Why a record cannot be the last entry of its partition's chain; None when it can.

    Args:
        first: the partition's first offset.
    """
    value = message.value()
    topic, number = record_partition(message)
    offset = record_offset(message)
    place = f"{topic}[{number}] at offset {offset}"
    parts = parts_of(value) if value is not None and schema_id_in(value) is not None else None
    if parts is None or parts.hash != link(parts.prev_hash, parts.body):
        return f"{place} is no whole audit entry"
    if parts.partition != number:
        return f"{place} is an entry of partition {parts.partition}"
    # Each entry takes an offset, so an entry's is at least its sequence.
    if not first and parts.sequence > offset:
        missing = parts.sequence - offset
        return f"{place} has sequence {parts.sequence}: {missing} entries before it are gone"
    return None


def last_records(
    reader: Reader, partitions: Sequence[Partition]
) -> tuple[dict[Partition, Message], dict[Partition, int]]:
    """The last committed record of each partition that has one, and each partition's first offset.

    Raises:
        UnreadableLogError: the brokers do not answer, or a transaction is open.
    """
    starts, ends = reader.starts(partitions), reader.ends(partitions)
    found: dict[Partition, Message] = {}
    back = _BACK
    left = {one: ends[one] for one in partitions if starts[one] < ends[one]}
    while left:
        ranges = {one: (max(starts[one], end - back), end) for one, end in left.items()}
        found |= {record_partition(one): one for one in read_whole(reader, ranges)}
        left = {
            one: first
            for one, (first, _) in ranges.items()
            if one not in found and first > starts[one]
        }
        back *= _BACK_FACTOR
    return found, starts


def _reader(subject: Subject) -> Reader:
    settings = {"fetch.wait.max.ms": 50, **subject.client}
    return Reader(settings, "awaway-doctor", timeout_s=REQUEST_S, is_patient=True)
