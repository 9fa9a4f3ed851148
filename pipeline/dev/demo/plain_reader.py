"""A consumer as anybody could write it: read_committed, Avro, and nothing known but the registry.

Owns: decoding records by their writers' schemas.
Does not own: reading topics (kafka/committed_log.py), what the records ought to be.
Invariant: imports no codec of ours, so what it can read every consumer can.
"""

import io
import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, cast

import fastavro
from confluent_kafka.schema_registry import SchemaRegistryClient

from pipeline.dev.demo.errors import DemoError
from pipeline.dev.oracle.reading import FRAME_BYTES, without_logical_types
from pipeline.kafka.committed_log import CommittedLog


class PlainReader(CommittedLog):
    """Reads some topics whole; a context manager.

    Args:
        bootstrap_servers, registry_url: where.
        topics: full names; each must exist.
    """

    def __init__(self, bootstrap_servers: str, registry_url: str, topics: Iterable[str]) -> None:
        super().__init__(bootstrap_servers, list(topics))
        self._registry = SchemaRegistryClient({"url": registry_url, "timeout": 10})
        self._schema = lru_cache(maxsize=64)(self._fetch_schema)

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
