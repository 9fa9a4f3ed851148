"""The forms of Avro's values in bytes.

Owns: reading and passing over every type that no schema has to be resolved for.
Does not own: which of them a field needs (avro_resolve.py).
Invariants: `read(data, at) -> (value, next)` and `skip(data, at) -> next` take time and memory
proportional to the bytes between. What reaches beyond the end gives a `next` beyond it, or raises
IndexError; whoever reads on raises it, and the end of the body is looked at last. So behind the end
there is one step at most.
"""

from collections.abc import Callable
from struct import Struct
from typing import Any, Final, TypeAlias

from pipeline.codec.avro_bounds import MalformedAvroError

Read: TypeAlias = Callable[[bytes, int], tuple[Any, int]]
Skip: TypeAlias = Callable[[bytes, int], int]

_VARINT_BYTES_MAX: Final = 10
_FLOAT: Final = Struct("<f")
_DOUBLE: Final = Struct("<d")
_DOUBLE_BITS: Final = 53


def read_long(data: bytes, at: int) -> tuple[int, int]:
    """Read a zigzag number of 64 bits."""
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


def _read_int(data: bytes, at: int) -> tuple[int, int]:
    value, at = read_long(data, at)
    if not -(2**31) <= value < 2**31:
        raise MalformedAvroError("number_out_of_range", f"{value} does not fit 32 bits")
    return value, at


def _read_null(_: bytes, at: int) -> tuple[None, int]:
    return None, at


def _read_boolean(data: bytes, at: int) -> tuple[bool, int]:
    if data[at] > 1:
        raise MalformedAvroError("malformed_avro", "a boolean is neither 0 nor 1")
    return data[at] == 1, at + 1


def _read_float(data: bytes, at: int) -> tuple[float, int]:
    end = at + 4
    if end > len(data):
        raise IndexError
    return _FLOAT.unpack_from(data, at)[0], end


def _read_double(data: bytes, at: int) -> tuple[float, int]:
    end = at + 8
    if end > len(data):
        raise IndexError
    return _DOUBLE.unpack_from(data, at)[0], end


def _read_length(data: bytes, at: int) -> tuple[int, int]:
    length, at = read_long(data, at)
    if length < 0:
        raise MalformedAvroError("malformed_avro", "a length is negative")
    return length, at


def _read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    length, at = _read_length(data, at)
    return data[at : at + length], at + length


def read_string(data: bytes, at: int) -> tuple[str, int]:
    """Read a text in UTF-8; raises UnicodeDecodeError."""
    length = data[at]
    if length & 0x81:
        length, at = _read_length(data, at)
    else:
        length >>= 1
        at += 1
    end = at + length
    return data[at:end].decode(), end


def _read_int_as_float(data: bytes, at: int) -> tuple[float, int]:
    value, at = _read_int(data, at)
    return single(value), at


def _read_long_as_float(data: bytes, at: int) -> tuple[float, int]:
    value, at = read_long(data, at)
    return single(value), at


def single(value: float) -> float:
    """Return the nearest number of single precision.

    Python rounds a whole number to double precision on the way. So one that this would change is
    made one with as many bits, whose last says that there was something behind it: rounding that
    comes to the same.

    Args:
        value: within the range of single precision.
    """
    if isinstance(value, int) and value.bit_length() > _DOUBLE_BITS:
        rest = 64 - _DOUBLE_BITS
        value = (value >> rest | (value & ((1 << rest) - 1) != 0)) << rest
    nearest: float = _FLOAT.unpack(_FLOAT.pack(value))[0]
    return nearest


def _read_int_as_double(data: bytes, at: int) -> tuple[float, int]:
    value, at = _read_int(data, at)
    return float(value), at


def _read_long_as_double(data: bytes, at: int) -> tuple[float, int]:
    value, at = read_long(data, at)
    return float(value), at


READS: Final[dict[tuple[str, str], Read]] = {
    ("null", "null"): _read_null,
    ("boolean", "boolean"): _read_boolean,
    ("int", "int"): _read_int,
    ("int", "long"): _read_int,
    ("int", "float"): _read_int_as_float,
    ("int", "double"): _read_int_as_double,
    ("long", "long"): read_long,
    ("long", "float"): _read_long_as_float,
    ("long", "double"): _read_long_as_double,
    ("float", "float"): _read_float,
    ("float", "double"): _read_float,
    ("double", "double"): _read_double,
    ("bytes", "bytes"): _read_bytes,
    ("bytes", "string"): read_string,
    ("string", "string"): read_string,
    ("string", "bytes"): _read_bytes,
}
"""The read for each pair of written and expected primitive types that are equal or promoted."""


def read_fixed(size: int) -> Read:
    """Return a read of `size` bytes."""

    def read(data: bytes, at: int) -> tuple[bytes, int]:
        end = at + size
        if end > len(data):
            raise IndexError
        return data[at:end], end

    return read


def skip_sized(data: bytes, at: int) -> int:
    """Pass over a text or bytes. A text that nobody reads need not be UTF-8."""
    length, at = _read_length(data, at)
    return at + length


def _skip_long(data: bytes, at: int) -> int:
    return read_long(data, at)[1]


def _skip_int(data: bytes, at: int) -> int:
    return _read_int(data, at)[1]


def _skip_boolean(data: bytes, at: int) -> int:
    return _read_boolean(data, at)[1]


SKIPS: Final[dict[str, Skip]] = {
    "boolean": _skip_boolean,
    "int": _skip_int,
    "long": _skip_long,
    "bytes": skip_sized,
    "string": skip_sized,
}
"""The skips of primitive types whose values vary in length, or whose bytes may be no value."""


def read_index(kind: str, count: int) -> Read:
    """Return a read of the number of a branch or symbol.

    Args:
        kind: what is counted, for the message.
        count: of how many.
    """

    def read(data: bytes, at: int) -> tuple[int, int]:
        number, at = read_long(data, at)
        if not 0 <= number < count:
            raise MalformedAvroError("malformed_avro", f"{kind} {number}")
        return number, at

    return read


def read_count(data: bytes, at: int) -> tuple[int, int | None, int]:
    """Read the beginning of a block of an array or map.

    Args:
        data: the body.
        at: where the block begins.

    Returns:
        How many items it has, 0 at the end of the collection; where it ends, if it says so; and
        where its items begin.
    """
    count = data[at]
    if not count & 0x81:
        return count >> 1, None, at + 1
    count, at = read_long(data, at)
    if count >= 0:
        return count, None, at
    size, at = read_long(data, at)
    return -count, at + size, at


def check_room(data: bytes, at: int, bytes_min: int) -> None:
    """Refuse a block that promises more than the rest of the body can hold.

    Args:
        data: the body.
        at: where the items begin.
        bytes_min: least length of all of them.

    Raises:
        MalformedAvroError: so it is.
    """
    if bytes_min > len(data) - at:
        raise MalformedAvroError("truncated_avro", "it ends within a collection")


def check_block_end(at: int, end: int | None) -> None:
    """Compare where a block ends with what it says of itself.

    Raises:
        MalformedAvroError: elsewhere. Who skips whole blocks would read on at another place than
            who reads their items.
    """
    if end is not None and at != end:
        raise MalformedAvroError("malformed_avro", "a block is not as long as it says")
