"""Schemas that other producers registered after ours, and completions written with them.

Owns: what is new in each, and an encoder for it.
Does not own: registering them (stage.py), who writes with them (pipeline/dev/workload/reports.py).
Invariant: each keeps the changes of those before it, and no completion that is written with one
means more than our own schema can say.
"""

import io
import json
from collections.abc import Callable
from typing import Any

import fastavro
import msgspec

from pipeline.core.records import PracticeCompleted
from pipeline.dev.oracle.reading import FRAME_BYTES, without_logical_types


def newer_schemas(ours: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return later versions of the completion's schema, earliest first, by what is new in each.

    Args:
        ours: the checked-in schema.
    """
    mood = {"name": "mood", "type": ["null", "string"], "default": None}
    weather = {"name": "weather", "type": {"type": "map", "values": "double"}, "default": {}}
    extra = ours | {"fields": [weather, *ours["fields"], mood]}
    nullable = _with_type(extra, "practice", ["null", "string"])
    uuid = _with_type(nullable, "completion_id", {"type": "string", "logicalType": "uuid"})
    return {"extra_field": extra, "nullable_practice": nullable, "uuid": uuid}


def _with_type(schema: dict[str, Any], name: str, kind: Any) -> dict[str, Any]:
    fields = [one | {"type": kind} if one["name"] == name else one for one in schema["fields"]]
    return json.loads(json.dumps(schema | {"fields": fields}))  # type: ignore[no-any-return]


def newer_encoder(schema: dict[str, Any], schema_id: int) -> Callable[[PracticeCompleted], bytes]:
    """Return a function from a completion to framed Avro of a newer schema, by fastavro alone."""
    parsed = fastavro.parse_schema(without_logical_types(schema))
    frame = b"\0" + schema_id.to_bytes(FRAME_BYTES - 1, "big")

    def encode(completion: PracticeCompleted) -> bytes:
        body = io.BytesIO(frame)
        body.seek(FRAME_BYTES)
        fields = msgspec.structs.asdict(completion)
        more = {"mood": "calm", "weather": {"degrees": 21.5}}
        fastavro.schemaless_writer(body, parsed, more | fields)
        return body.getvalue()

    return encode
