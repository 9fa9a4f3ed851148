"""The month into the input topics, and back out of them.

Owns: producing the records as clients do, and matching the log with what was sent.
Does not own: the records (pipeline/dev/workload).
Invariant: what was meant of a record is known by where it lies in the log.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any, Final, Literal

import msgspec
from confluent_kafka import KafkaError, Message, Producer

from pipeline.dev.demo.errors import DemoError
from pipeline.dev.demo.plain_reader import PlainReader
from pipeline.dev.demo.stage import INPUTS, Stage
from pipeline.dev.oracle import Logged
from pipeline.dev.oracle.events import Coordinates
from pipeline.dev.workload.ground_truth import InputRecord
from pipeline.kafka.committed_log import LOG_LEVEL

FLUSH_TIMEOUT_S: Final = 60.0
_POLL_EVERY: Final = 2_000
PARTITION_UA: Final = -1
"""Leaves the choice to the partitioner."""


class Sent(msgspec.Struct, frozen=True):
    """A record of the log with what was meant by it.

    Attributes:
        headers: as they lie in the log.
    """

    logged: Logged
    headers: list[Any]
    meant: InputRecord


def send(records: Sequence[InputRecord], stage: Stage) -> None:
    """Produce all of them, in order, and wait until the broker has them.

    Raises:
        DemoError: the broker refused one, or did not answer.
    """
    failed: list[str] = []

    def delivered(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failed.append(str(error))

    producer = Producer(
        {
            **stage.settings.kafka_client(),
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "log_level": LOG_LEVEL,
            "linger.ms": 20,
            "compression.type": "lz4",
            "message.max.bytes": 4 << 20,
            "queue.buffering.max.messages": 0,
        }
    )
    topics = stage.inputs
    for n, record in enumerate(records):
        producer.produce(
            topics[record.kind],
            key=record.key,
            value=record.value,
            timestamp=record.append_time_ms,
            headers=list(record.headers),
            on_delivery=delivered,
            partition=PARTITION_UA if record.partition is None else record.partition,
        )
        if n % _POLL_EVERY == 0:
            producer.poll(0)
    if producer.flush(FLUSH_TIMEOUT_S) or failed:
        raise DemoError(
            "the month could not be sent",
            why=failed[0] if failed else f"not acknowledged within {FLUSH_TIMEOUT_S:.0f} s",
            fix="look at the broker's log",
        )


def read_back(
    records: Iterable[InputRecord], stage: Stage, reader: PlainReader
) -> dict[Coordinates, Sent]:
    """Read the input topics, and match each record with what was sent.

    Args:
        records: in the order in which they were sent.
        reader: of the input topics, from their first records.

    Raises:
        DemoError: the log is not what was sent.
    """
    lists: defaultdict[tuple[str, int], list[InputRecord]] = defaultdict(list)
    for record in records:
        partition = record.partition
        if partition is None:
            partition = stage.wire.partition_of(record.key or b"")
        lists[record.kind, partition].append(record)
    kinds: dict[str, Literal["completions", "commands"]] = {
        stage.settings.topic(kind): kind for kind in INPUTS
    }
    found: defaultdict[tuple[str, int], list[Message]] = defaultdict(list)
    for message in reader.rest(FLUSH_TIMEOUT_S):
        found[kinds[str(message.topic())], int(message.partition() or 0)].append(message)
    matched: dict[Coordinates, Sent] = {}
    for kind in kinds.values():
        for partition in range(stage.partitions):
            pairs = zip_longest(found[kind, partition], lists[kind, partition])
            for message, meant in pairs:
                if message is None or meant is None or message.value() != meant.value:
                    raise DemoError(f"{kind} {partition} is not what was sent to it")
                logged = Logged(
                    kind,
                    partition,
                    int(message.offset() or 0),
                    message.timestamp()[1],
                    message.key(),
                    message.value(),
                )
                matched[logged.coordinates] = Sent(logged, list(message.headers() or []), meant)
    return matched
