"""Avro bodies to values, strictly, from whatever version their writer had.

Owns: schema resolution for the records we read, and every bound on hostile bytes.
Does not own: framing and reasons for other formats (inputs.py), the registry (registry.py).
Invariants: the work and the memory for a body are proportional to its length; a body is accepted
only if it is exactly one value. fastavro is not used here because it takes what the format does not
have: negative branch and symbol numbers, booleans other than 0 and 1, numbers of any length, bytes
left over, and collections of empty items, which cost nothing to send and everything to read.

Each type is compiled to `read(data, at) -> (value, next)`. A slice beyond the end is short and
makes `next` larger than the length, which the next read or the end of the record notices.
"""

from collections.abc import Callable
from copy import copy
from typing import Any, Final, TypeAlias

from pipeline.codec.schemas import JsonSchema, Schema

Read: TypeAlias = Callable[[bytes, int], tuple[Any, int]]

ITEMS_MAX: Final = 10_000
"""Most items of one array or map."""

_VARINT_BYTES_MAX: Final = 10
_DEPTH_MAX: Final = 32
_COMPLEX: Final = ("record", "enum", "fixed", "array", "map")


class MalformedAvroError(ValueError):
    """The bytes are not a value of their schema.

    **Operator action**: none; the record becomes a dead letter.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class UnresolvableSchemaError(ValueError):
    """What was written cannot be read as what we expect.

    **Operator action**: none; records written with that schema become dead letters.
    """


def _long(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    at += 1
    if byte < 0x80:
        return byte >> 1 ^ -(byte & 1), at
    unsigned = byte & 0x7F
    for shift in range(7, 7 * _VARINT_BYTES_MAX, 7):
        byte = data[at]
        at += 1
        unsigned |= (byte & 0x7F) << shift
        if byte < 0x80:
            if unsigned >> 64:
                break
            return unsigned >> 1 ^ -(unsigned & 1), at
    raise MalformedAvroError("number_out_of_range", "a number does not fit 64 bits")


def _int(data: bytes, at: int) -> tuple[int, int]:
    value, at = _long(data, at)
    if not -(2**31) <= value < 2**31:
        raise MalformedAvroError("number_out_of_range", f"{value} does not fit 32 bits")
    return value, at


def _null(_: bytes, at: int) -> tuple[None, int]:
    return None, at


def _boolean(data: bytes, at: int) -> tuple[bool, int]:
    if data[at] > 1:
        raise MalformedAvroError("malformed_avro", "a boolean is neither 0 nor 1")
    return data[at] == 1, at + 1


def _bytes(data: bytes, at: int) -> tuple[bytes, int]:
    length, at = _long(data, at)
    if length < 0:
        raise MalformedAvroError("malformed_avro", "a length is negative")
    return data[at : at + length], at + length


def _string(data: bytes, at: int) -> tuple[str, int]:
    length = data[at]
    if length & 0x81:
        length, at = _long(data, at)
        if length < 0:
            raise MalformedAvroError("malformed_avro", "a length is negative")
    else:
        length >>= 1
        at += 1
    end = at + length
    return data[at:end].decode(), end


def _fixed(size: int) -> Read:
    return lambda data, at: (data[at : at + size], at + size)


_PRIMITIVES: Final[dict[str, Read]] = {
    "null": _null,
    "boolean": _boolean,
    "int": _int,
    "long": _long,
    "float": _fixed(4),
    "double": _fixed(8),
    "bytes": _bytes,
    "string": _string,
}
_PROMOTED: Final = frozenset({("int", "long"), ("string", "bytes"), ("bytes", "string")})


class _Compiler:
    """Resolves one writer's schema against ours."""

    def __init__(self) -> None:
        self._writer_types: dict[str, dict[str, Any]] = {}
        self._reader_types: dict[str, dict[str, Any]] = {}
        self._depth = 0

    def resolve(self, writer: JsonSchema, reader: JsonSchema) -> Read:
        """A read that gives what the reader expects."""
        return self._deeper(self._resolve, _named(writer, self._writer_types), reader)

    def _deeper(self, compile_one: Callable[..., Read], *nodes: JsonSchema) -> Read:
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise UnresolvableSchemaError("it is recursive or too deep")
        read = compile_one(*nodes)
        self._depth -= 1
        return read

    def _resolve(self, writer: JsonSchema, reader: JsonSchema) -> Read:
        reader = _named(reader, self._reader_types)
        if isinstance(writer, list):
            return _branches([self.resolve(branch, reader) for branch in writer])
        writer_kind = _kind(writer)
        if isinstance(reader, list):
            return self.resolve(writer, "null" if writer_kind == "null" else reader[-1])
        reader_kind = _kind(reader)
        if _logical(writer) not in ("", _logical(reader)):
            raise UnresolvableSchemaError(
                f"it has {_logical(writer)} where {_logical(reader) or reader_kind} is expected"
            )
        if isinstance(writer, dict) and isinstance(reader, dict) and writer_kind == reader_kind:
            if writer_kind == "record":
                return self._record(writer, reader)
            if writer_kind == "enum":
                return _enum(_symbols(writer), _symbols(reader), str(reader["default"]))
            if writer_kind == "map":
                return _map(self.resolve(writer["values"], reader["values"]))
        if writer_kind == reader_kind and reader_kind in _PRIMITIVES:
            return _PRIMITIVES[reader_kind]
        if (writer_kind, reader_kind) in _PROMOTED:
            return _PRIMITIVES[writer_kind if reader_kind == "long" else reader_kind]
        raise UnresolvableSchemaError(f"it has {writer_kind} where {reader_kind} is expected")

    def _record(self, writer: dict[str, Any], reader: dict[str, Any]) -> Read:
        if _short_name(writer) != _short_name(reader):
            raise UnresolvableSchemaError(
                f"it is of {_short_name(writer)}, not of {_short_name(reader)}"
            )
        places = {field["name"]: n for n, field in enumerate(reader["fields"])}
        written = {field["name"] for field in writer["fields"]}
        values: list[Any] = []
        for field in reader["fields"]:
            if field["name"] not in written and "default" not in field:
                raise UnresolvableSchemaError(f"it lacks the field {field['name']}")
            values.append(field.get("default"))
        fresh = [
            (place, value)
            for place, value in enumerate(values)
            if reader["fields"][place]["name"] not in written and isinstance(value, (dict, list))
        ]
        steps: list[tuple[Read, int]] = []
        for field in writer["fields"]:
            place = places.get(field["name"])
            if place is None:
                steps.append((self.skip(field["type"]), len(values)))
            else:
                expected = reader["fields"][place]["type"]
                steps.append((self.resolve(field["type"], expected), place))

        def read(data: bytes, at: int) -> tuple[list[Any], int]:
            row = [*values, None]
            for place, value in fresh:  # a default that rows must not share
                row[place] = copy(value)
            for read_field, place in steps:
                row[place], at = read_field(data, at)
            row.pop()
            return row, at

        return read

    def skip(self, writer: JsonSchema) -> Read:
        """A read of a field that the reader does not have; what it gives means nothing."""
        return self._deeper(self._skip, _named(writer, self._writer_types))

    def _skip(self, writer: JsonSchema) -> Read:
        if isinstance(writer, list):
            return _branches([self.skip(branch) for branch in writer])
        kind = _kind(writer)
        if kind in _PRIMITIVES:
            return _PRIMITIVES[kind]
        if not isinstance(writer, dict):
            raise UnresolvableSchemaError(f"its type {kind} is not defined")
        if kind == "fixed":
            return _fixed(_size(writer))
        if kind == "enum":
            symbols = _symbols(writer)
            return _enum(symbols, symbols, "")
        if kind == "map":
            return _map(self.skip(writer["values"]))
        if kind == "array":
            read = self.skip(writer["items"])
            if self._least_bytes(writer["items"]) == 0:
                raise UnresolvableSchemaError("it has an array whose items take no bytes")
            return _array(read)
        return _all([self.skip(field["type"]) for field in _fields(writer)])

    def _least_bytes(self, writer: JsonSchema) -> int:
        writer = _named(writer, self._writer_types)
        kind = _kind(writer)
        if isinstance(writer, dict) and kind == "fixed":
            return _size(writer)
        if isinstance(writer, dict) and kind == "record":
            return sum(self._least_bytes(field["type"]) for field in _fields(writer))
        return 0 if kind == "null" else 1


def _named(node: JsonSchema, types: dict[str, dict[str, Any]]) -> JsonSchema:
    """A named type in place of its name; its definition is remembered on the way."""
    if isinstance(node, str):
        return types.get(node.rpartition(".")[2], node) if node not in _PRIMITIVES else node
    if isinstance(node, dict):
        if "name" in node:
            types[_short_name(node)] = node
        elif not isinstance(node["type"], str) or node["type"] not in _COMPLEX:
            inner = _named(node["type"], types)
            return inner if not isinstance(inner, str) else node
    return node


def _kind(node: JsonSchema) -> str:
    if isinstance(node, list):
        return "union"
    return node if isinstance(node, str) else str(node["type"])


def _logical(node: JsonSchema) -> str:
    return str(node.get("logicalType", "")) if isinstance(node, dict) else ""


def _short_name(node: dict[str, Any]) -> str:
    return str(node["name"]).rpartition(".")[2]


def _fields(node: dict[str, Any]) -> list[dict[str, Any]]:
    return list(node["fields"])


def _size(node: dict[str, Any]) -> int:
    return int(node["size"])


def _symbols(node: dict[str, Any]) -> list[str]:
    return [str(symbol) for symbol in node["symbols"]]


def _branches(reads: list[Read]) -> Read:
    def read(data: bytes, at: int) -> tuple[Any, int]:
        branch, at = _long(data, at)
        if not 0 <= branch < len(reads):
            raise MalformedAvroError("malformed_avro", f"a union has no branch {branch}")
        return reads[branch](data, at)

    return read


def _enum(written: list[str], known: list[str], default: str) -> Read:
    symbols = [symbol if symbol in known else default for symbol in written]

    def read(data: bytes, at: int) -> tuple[str, int]:
        number, at = _long(data, at)
        if not 0 <= number < len(symbols):
            raise MalformedAvroError("malformed_avro", f"an enum has no symbol {number}")
        return symbols[number], at

    return read


def _blocks(read_item: Callable[[bytes, int], int]) -> Callable[[bytes, int], int]:
    """Reads the blocks of an array or map; gives where it ends."""

    def read(data: bytes, at: int) -> int:
        total = 0
        while True:
            count, at = _long(data, at)
            if count == 0:
                return at
            if count < 0:
                count = -count
                _, at = _long(data, at)
            total += count
            if total > ITEMS_MAX:
                raise MalformedAvroError(
                    "collection_too_large", f"a collection has more than {ITEMS_MAX} items"
                )
            for _ in range(count):
                at = read_item(data, at)

    return read


def _array(read_one: Read) -> Read:
    read_blocks = _blocks(lambda data, at: read_one(data, at)[1])
    return lambda data, at: (None, read_blocks(data, at))


def _map(read_value: Read) -> Read:
    def read(data: bytes, at: int) -> tuple[dict[str, Any], int]:
        entries: dict[str, Any] = {}

        def read_entry(data: bytes, at: int) -> int:
            key, at = _string(data, at)
            if key in entries:
                raise MalformedAvroError("duplicate_field", f"a map has the key {key[:40]!r} twice")
            entries[key], at = read_value(data, at)
            return at

        return entries, _blocks(read_entry)(data, at)

    return read


def _all(reads: list[Read]) -> Read:
    def read(data: bytes, at: int) -> tuple[None, int]:
        for read_one in reads:
            _, at = read_one(data, at)
        return None, at

    return read


class AvroReader:
    """Reads the bodies that one writer's schema has written.

    Args:
        writer: the schema that they were written with.
        reader: our current schema of the same record.

    Raises:
        UnresolvableSchemaError: the one cannot be read as the other.
    """

    def __init__(self, writer: JsonSchema, reader: Schema) -> None:
        try:
            self._read = _Compiler().resolve(writer, reader.tree)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, UnresolvableSchemaError):
                raise
            raise UnresolvableSchemaError(f"it is not an Avro schema ({error!r})") from error

    def read(self, data: bytes, start: int) -> list[Any]:
        """One body.

        Args:
            data: bytes of any origin.
            start: where the body begins.

        Returns:
            The values of our fields, in their order.

        Raises:
            MalformedAvroError: the bytes from `start` are not exactly one body.
        """
        try:
            row, end = self._read(data, start)
        except IndexError as error:
            raise MalformedAvroError("truncated_avro", "it ends within a field") from error
        except UnicodeDecodeError as error:
            raise MalformedAvroError("invalid_utf8", "a text is not UTF-8") from error
        if end > len(data):
            raise MalformedAvroError("truncated_avro", "it ends within a field")
        if end < len(data):
            raise MalformedAvroError("trailing_bytes", f"{len(data) - end} bytes follow the record")
        return list(row)
