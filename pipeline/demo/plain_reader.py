"""A consumer as anybody could write it: read_committed, Avro, and nothing known but the registry.

Owns: reading topics from their first record to their last, and decoding by the writers' schemas.
Does not own: what the records ought to be.
Invariant: imports no codec of ours, so what it can read every consumer can.
"""

import io
import json
import time
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, cast

import fastavro
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient

from pipeline.demo.errors import DemoError
from pipeline.oracle.reading import FRAME_BYTES, without_logical_types

MESSAGES_AT_ONCE: Final = 5_000
LOG_LEVEL: Final = 2
"""Of librdkafka: only what is critical; waiting for a broker that has just started is not."""


class PlainReader:
    """Reads some topics whole; a context manager.

    Args:
        bootstrap_servers, registry_url: where.
        topics: full names; each must exist.
    """

    def __init__(self, bootstrap_servers: str, registry_url: str, topics: Iterable[str]) -> None:
        self._registry = SchemaRegistryClient({"url": registry_url, "timeout": 10})
        self._schema = lru_cache(maxsize=64)(self._fetch_schema)
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": "awaway-demo-reader",
                "enable.auto.commit": False,
                "log_level": LOG_LEVEL,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "fetch.message.max.bytes": 16 << 20,
            }
        )
        metadata = self._consumer.list_topics(timeout=10).topics
        parts = [
            TopicPartition(topic, partition, OFFSET_BEGINNING)
            for topic in topics
            for partition in metadata[topic].partitions
        ]
        self._unfinished = {(part.topic, part.partition) for part in parts}
        self._consumer.assign(parts)

    def __enter__(self) -> "PlainReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def poll(self, timeout_s: float) -> list[Message]:
        """Return what has come by, after at most `timeout_s` seconds."""
        found = []
        for message in self._consumer.consume(MESSAGES_AT_ONCE, timeout_s):
            error = message.error()
            if error is None:
                found.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                self._unfinished.discard((str(message.topic()), int(message.partition() or 0)))
            elif not error.retriable():
                raise DemoError("a topic cannot be read back", why=str(error))
        return found

    def rest(self, timeout_s: float) -> list[Message]:
        """Return everything up to the present end of each partition.

        Raises:
            DemoError: the ends were not reached within `timeout_s` seconds: a transaction hangs.
        """
        found: list[Message] = []
        deadline = time.monotonic() + timeout_s
        while self._unfinished:
            if time.monotonic() > deadline:
                raise DemoError(
                    "the topics could not be read to their ends",
                    why=f"not finished: {sorted(self._unfinished)}",
                    fix="look for a transaction that nobody ended",
                )
            found.extend(self.poll(0.2))
        return found

    def decode(self, value: bytes | None) -> dict[str, Any]:
        """Return the record in a framed value; instants and dates as the numbers they are."""
        if not value or value[0] != 0:
            raise DemoError("an output record is not framed Avro", why=repr((value or b"")[:40]))
        schema = self._schema(int.from_bytes(value[1:FRAME_BYTES], "big"))
        body = io.BytesIO(value)
        body.seek(FRAME_BYTES)
        record = fastavro.schemaless_reader(body, schema, None)
        return cast(dict[str, Any], record)

    def writer_schema(self, schema_id: int) -> dict[str, Any]:
        """Return the schema that the registry has under an id."""
        schema: dict[str, Any] = json.loads(self._registry.get_schema(schema_id).schema_str or "{}")
        return schema

    def _fetch_schema(self, schema_id: int) -> Any:
        return fastavro.parse_schema(without_logical_types(self.writer_schema(schema_id)))
