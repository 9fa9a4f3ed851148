"""The plain encoder: walks schema and value together, and names the field that does not fit.

Owns: Avro's rules for what fits a type. Does not own: speed (avro_source.py, whose encoders fall
back to this one for long strings and whenever a value does not fit).
Invariant: byte for byte what `fastavro.schemaless_writer` writes, for every value that fits.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from pipeline.codec import varint
from pipeline.codec.errors import EncodeError, SchemaFileError
from pipeline.codec.schemas import JsonSchema

Write: TypeAlias = Callable[[Any, str], bytes]
"""Encodes a value; the second argument is its path from the record, for the message."""

_SHOWN_CHARS_MAX: Final = 60


def _refuse(path: str, expected: str, value: object) -> EncodeError:
    shown = repr(value)[:_SHOWN_CHARS_MAX]
    return EncodeError(
        f"{path} is not {expected}",
        why=f"it is {type(value).__name__} {shown}",
        fix="report this as a fault of the pipeline",
        path=path,
    )


def _boolean(value: object, path: str) -> bytes:
    if value is True:
        return b"\x01"
    if value is False:
        return b"\x00"
    raise _refuse(path, "a boolean", value)


def _int(value: object, path: str) -> bytes:
    if not isinstance(value, int) or not -varint.INT_MAX - 1 <= value <= varint.INT_MAX:
        raise _refuse(path, "a 32-bit integer", value)
    return varint.zigzag(value)


def _long(value: object, path: str) -> bytes:
    if not isinstance(value, int) or not -varint.LONG_MAX - 1 <= value <= varint.LONG_MAX:
        raise _refuse(path, "a 64-bit integer", value)
    return varint.zigzag(value)


def _bytes(value: object, path: str) -> bytes:
    if not isinstance(value, bytes):
        raise _refuse(path, "bytes", value)
    return varint.zigzag(len(value)) + value


def _string(value: object, path: str) -> bytes:
    if not isinstance(value, str):
        raise _refuse(path, "a string", value)
    try:
        encoded = value.encode()
    except UnicodeEncodeError as error:
        raise _refuse(path, "a string that UTF-8 can hold", value) from error
    return varint.zigzag(len(encoded)) + encoded


_PRIMITIVES: Final[Mapping[str, Write]] = {
    "boolean": _boolean,
    "int": _int,
    "long": _long,
    "bytes": _bytes,
    "string": _string,
}


def compile_checked(node: JsonSchema, named: dict[str, Write]) -> Write:
    """Return the encoder of one type.

    Args:
        node: the type's schema.
        named: the named types met so far; added to.

    Raises:
        SchemaFileError: a type that no record of ours uses (float, double, fixed, or a union other
            than of null and one type).
    """
    if isinstance(node, str):
        known = _PRIMITIVES.get(node) or named.get(node)
        if known is None:
            raise SchemaFileError(f"type {node} is not supported", fix="use another type")
        return known
    if isinstance(node, list):
        return _optional(compile_checked(second_branch(node), named))
    kind = node["type"]
    if kind == "record":
        return _record(node, named)
    if kind == "enum":
        return _enum(node, named)
    if kind == "array":
        return _array(compile_checked(node["items"], named))
    if kind == "map":
        return _map(compile_checked(node["values"], named))
    return compile_checked(kind, named)


def second_branch(union: list[JsonSchema]) -> JsonSchema:
    """Return the type that an optional field has when it is not null.

    Raises:
        SchemaFileError: the union is not of null and one type, in this order.
    """
    if len(union) != 2 or union[0] != "null":
        raise SchemaFileError(f"union {union} is not supported", fix='use ["null", type]')
    return union[1]


def symbol_table(node: Mapping[str, Any]) -> dict[str, bytes]:
    """Return an enum's symbols with their bytes."""
    return {str(symbol): varint.zigzag(n) for n, symbol in enumerate(node["symbols"])}


def _optional(write: Write) -> Write:
    def encode(value: object, path: str) -> bytes:
        return b"\x00" if value is None else b"\x02" + write(value, path)

    return encode


def _enum(node: Mapping[str, Any], named: dict[str, Write]) -> Write:
    symbols = symbol_table(node)

    def encode(value: object, path: str) -> bytes:
        if not isinstance(value, str) or value not in symbols:
            raise _refuse(path, f"one of {', '.join(symbols)}", value)
        return symbols[value]

    named[str(node["name"])] = encode
    return encode


def _array(write: Write) -> Write:
    def encode(value: object, path: str) -> bytes:
        if not isinstance(value, (tuple, list)):
            raise _refuse(path, "a tuple or list", value)
        if not value:
            return b"\x00"
        items = [write(item, f"{path}[{n}]") for n, item in enumerate(value)]
        return varint.zigzag(len(items)) + b"".join(items) + b"\x00"

    return encode


def _map(write: Write) -> Write:
    def encode(value: object, path: str) -> bytes:
        if not isinstance(value, dict):
            raise _refuse(path, "a dict", value)
        if not value:
            return b"\x00"
        entries = [_string(key, path) + write(item, f"{path}.{key}") for key, item in value.items()]
        return varint.zigzag(len(entries)) + b"".join(entries) + b"\x00"

    return encode


def _record(node: Mapping[str, Any], named: dict[str, Write]) -> Write:
    fields: list[tuple[str, Write]] = []

    def encode(value: object, path: str) -> bytes:
        parts = []
        for name, write in fields:
            if not hasattr(value, name):
                raise _refuse(path, f"a {node['name']} with the field {name}", value)
            parts.append(write(getattr(value, name), f"{path}.{name}"))
        return b"".join(parts)

    named[str(node["name"])] = encode
    for field in node["fields"]:
        fields.append((str(field["name"]), compile_checked(field["type"], named)))
    return encode
