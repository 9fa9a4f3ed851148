"""The month into the input topics, and back out of them.

Owns: producing the records as clients do, and matching the log with what was sent.
Does not own: the records (pipeline/dev/workload).
Invariant: what was meant of a record is known by where it lies in the log.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import Any, Final, Literal

import msgspec
from confluent_kafka import KafkaError, Message, Producer

from pipeline.codec.partitioner import OF_ITS_KEY
from pipeline.dev.demo.errors import DemoError
from pipeline.dev.demo.plain_reader import PlainReader
from pipeline.dev.demo.stage import INPUTS, Stage
from pipeline.dev.oracle import Logged
from pipeline.dev.oracle.events import Coordinates
from pipeline.dev.workload.ground_truth import InputRecord
from pipeline.kafka.committed_log import LOG_LEVEL

FLUSH_TIMEOUT_S: Final = 60.0
_POLL_EVERY: Final = 2_000
"""Leaves the choice to the partitioner."""

PRODUCER: Final[dict[str, Any]] = {
    "partitioner": "murmur2_random",
    "enable.idempotence": True,
    "log_level": LOG_LEVEL,
    "linger.ms": 20,
    "compression.type": "lz4",
    "message.max.bytes": 4 << 20,
    "queue.buffering.max.messages": 0,
}
"""librdkafka's settings of whoever sends inputs."""

REPAIR_HEAD: Final = b'{"request_id":"rb-'
"""The start of each command of a rebuild, whose id the command line makes up."""


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

    producer = Producer({**stage.settings.kafka_client(), **PRODUCER})
    topics = stage.inputs
    for n, record in enumerate(records):
        produce(producer, topics[record.kind], record, delivered)
        if n % _POLL_EVERY == 0:
            producer.poll(0)
    if producer.flush(FLUSH_TIMEOUT_S) or failed:
        raise DemoError(
            "the month could not be sent",
            why=failed[0] if failed else f"not acknowledged within {FLUSH_TIMEOUT_S:.0f} s",
            fix="look at the broker's log",
        )


def produce(
    producer: Producer,
    topic: str,
    record: InputRecord,
    delivered: Callable[[KafkaError | None, Message], None],
) -> None:
    """Hand a record to a producer, stamped with its simulated time."""
    producer.produce(
        topic,
        key=record.key,
        value=record.value,
        timestamp=record.append_time_ms,
        headers=list(record.headers),
        on_delivery=delivered,
        partition=OF_ITS_KEY if record.partition is None else record.partition,
    )


def read_back(
    records: Iterable[InputRecord], stage: Stage, reader: PlainReader, repairs: list[Sent]
) -> dict[Coordinates, Sent]:
    """Read the input topics, and match each record with what was sent.

    Args:
        records: in the order in which they were sent.
        reader: of the input topics, from their first records.
        repairs: is given the commands of rebuilds, which were not among the records.

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
        kind = kinds[str(message.topic())]
        if (message.value() or b"").startswith(REPAIR_HEAD):
            repairs.append(_as_sent(kind, message, meant_by_repair(message)))
        else:
            found[kind, int(message.partition() or 0)].append(message)
    matched: dict[Coordinates, Sent] = {}
    for kind in kinds.values():
        for partition in range(stage.partitions):
            pairs = zip_longest(found[kind, partition], lists[kind, partition])
            for message, meant in pairs:
                if message is None or meant is None or message.value() != meant.value:
                    raise DemoError(f"{kind} {partition} is not what was sent to it")
                sent = _as_sent(kind, message, meant)
                matched[sent.logged.coordinates] = sent
    return matched


def _as_sent(
    kind: Literal["completions", "commands"], message: Message, meant: InputRecord
) -> Sent:
    logged = Logged(
        kind,
        int(message.partition() or 0),
        int(message.offset() or 0),
        message.timestamp()[1],
        message.key(),
        message.value(),
    )
    return Sent(logged, list(message.headers() or []), meant)


def meant_by_repair(message: Message) -> InputRecord:
    """A repair as a record that was sent; it is to be applied."""
    at, key, value = message.timestamp()[1], message.key(), message.value()
    return InputRecord("commands", message.partition(), key, value, at, (), "applied")
