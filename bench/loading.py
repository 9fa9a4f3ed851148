"""The peers' topics, and the input in them.

Owns: creating plain topics, and producing the input into one before anything is measured.
Does not own: the pipeline's own topics (topics.yaml, ours.py), what is in it
(pipeline/dev/workload/steady.py).
Invariant: the input is complete in a `LogAppendTime` topic, partitioned as Java's clients would
(murmur2 of the key), before any peer starts.
"""

import time
from collections.abc import Iterable
from typing import Final

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench.errors import BenchError
from pipeline.dev.workload.ground_truth import InputRecord

PARTITIONS: Final = 4
LOAD_TIMEOUT_S: Final = 300.0


def create_topics(bootstrap: str, names: Iterable[str]) -> None:
    """Create plain topics with `LogAppendTime`.

    Args:
        bootstrap: `host:port` of the broker.
        names: none of them may exist.

    Raises:
        BenchError: the broker refused one.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap})
    wanted = [
        NewTopic(
            name,
            num_partitions=PARTITIONS,
            replication_factor=1,
            config={"message.timestamp.type": "LogAppendTime"},
        )
        for name in names
    ]
    for name, created in admin.create_topics(wanted).items():
        try:
            created.result(30)
        except KafkaException as error:
            raise BenchError("a topic was not created", why=str(error), topic=name) from error
    _wait_for_leaders(admin, [topic.topic for topic in wanted])


def load(bootstrap: str, topic: str, records: Iterable[InputRecord]) -> int:
    """Produce all records to `topic` in their order per key.

    Returns:
        How many were acknowledged.

    Raises:
        BenchError: some were not.
    """
    failed: list[str] = []

    def on_delivery(error: object, _message: object) -> None:
        if error is not None:
            failed.append(str(error))

    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "linger.ms": 50,
            "batch.size": 262_144,
            "queue.buffering.max.messages": 200_000,
            "on_delivery": on_delivery,
        }
    )
    sent = 0
    for record in records:
        while True:
            try:
                producer.produce(topic, record.value, record.key)
                break
            except BufferError:
                producer.poll(0.1)
        sent += 1
        if sent % 1_000 == 0:
            producer.poll(0)
    unsent = producer.flush(LOAD_TIMEOUT_S)
    if unsent or failed:
        why = failed[0] if failed else "not acknowledged in time"
        raise BenchError(
            "the input was not loaded", why=why, topic=topic, missing=unsent + len(failed)
        )
    return sent


def _wait_for_leaders(admin: AdminClient, names: list[str]) -> None:
    deadline = time.monotonic() + 30
    while True:
        known = admin.list_topics(timeout=10).topics
        if all(
            name in known
            and known[name].error is None
            and all(partition.leader >= 0 for partition in known[name].partitions.values())
            for name in names
        ):
            return
        if time.monotonic() > deadline:
            raise BenchError("new topics have no leader", fix="look at the broker's log")
        time.sleep(0.05)
