"""What the examples of the Avro reader share: types in few words, one field read as another.

Owns: these words. Does not own: any expectation.
"""

from typing import Any

import pytest

from pipeline.codec import varint
from pipeline.codec.avro_reader import AvroReader, MalformedAvroError
from pipeline.codec.schemas import Schema

z = varint.zigzag


def text(content: str) -> bytes:
    return z(len(content.encode())) + content.encode()


def record(*fields: dict[str, Any], name: str = "R", **more: object) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields), **more}


def field(kind: object, name: str = "f", **more: object) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


def read(writer: object, reader: object, body: bytes) -> Any:
    """One field's value, written with one type and read with another."""
    ours = Schema("R", "", record(field(reader)))
    return AvroReader(record(field(writer)), ours).read(body, 0)[0]


def refusal(writer: object, reader: object, body: bytes) -> MalformedAvroError:
    with pytest.raises(MalformedAvroError) as caught:
        read(writer, reader, body)
    return caught.value
