"""Avro's integers: zigzag, then base 128 with the low groups first.

Owns: the bytes of int and long, and tables of the frequent ones.
Does not own: which field is an int and which a long (avro_source.py).
Invariant: each function gives the shortest form, which is the only one Avro writers emit.
Source of the formula: Avro 1.12 specification, "Binary encoding".
"""

from typing import Final

SMALL: Final = 32_768
"""Size of the tables, which hold 0 to SMALL − 1: counts, lengths, local dates until 2059."""

INT_MAX: Final = 2**31 - 1
LONG_MAX: Final = 2**63 - 1

LOW_BITS: Final = 14
LOW_MASK: Final = 2**LOW_BITS - 1
_HIGHS_MAX: Final = 4_096


def _base128(unsigned: int) -> bytes:
    out = bytearray()
    while unsigned > 0x7F:
        out.append(unsigned & 0x7F | 0x80)
        unsigned >>= 7
    out.append(unsigned)
    return bytes(out)


def zigzag(value: int) -> bytes:
    """Encode any int that fits 64 bits, without tables.

    Args:
        value: −2⁶³ to 2⁶³ − 1.

    Returns:
        1 to 10 bytes.

    Raises:
        OverflowError: the value is outside.
    """
    if not -LONG_MAX - 1 <= value <= LONG_MAX:
        raise OverflowError(f"{value} does not fit 64 bits")
    return _base128(value << 1 ^ value >> 63)


class _Highs(dict[int, bytes]):
    """Caches the groups above the lowest two, which neighbouring instants share. Bounded."""

    def __missing__(self, high: int) -> bytes:
        if high >> 64 - LOW_BITS:
            raise OverflowError("does not fit 64 bits")
        if len(self) >= _HIGHS_MAX:
            self.clear()
        self[high] = encoded = _base128(high)
        return encoded


LOWS: Final = tuple(bytes((n & 0x7F | 0x80, n >> 7 | 0x80)) for n in range(LOW_MASK + 1))
"""`LOWS[n]` is n in two groups that are not the last."""

HIGHS: Final = _Highs()
"""`HIGHS[n]` is n in as many groups as it needs, the last one of a number."""


class Instants(dict[int, bytes]):
    """Caches `long` of values that come several times in a row. Bounded."""

    def __missing__(self, value: int) -> bytes:
        if len(self) >= _HIGHS_MAX:
            self.clear()
        self[value] = encoded = long(value)
        return encoded


def long(value: int) -> bytes:
    """Encode a long, as `zigzag` does, quickly for numbers near those of before.

    Raises:
        OverflowError: outside 64 bits. TypeError: not an integer.
    """
    unsigned = value << 1 ^ value >> 63  # never negative; 2⁶⁴ or more when outside
    if unsigned <= LOW_MASK:
        return _base128(unsigned)
    return LOWS[unsigned & LOW_MASK] + HIGHS[unsigned >> LOW_BITS]


TABLE: Final = tuple(map(long, range(SMALL)))
"""`TABLE[n]` is n's encoding."""

PRESENT_TABLE: Final = tuple(b"\x02" + encoded for encoded in TABLE)
"""`PRESENT_TABLE[n]` is n's encoding after the number of an optional field's second branch."""


def int32(value: int) -> bytes:
    """Encode an Avro int.

    Raises:
        OverflowError: outside 32 bits. TypeError: not an integer.
    """
    if not -INT_MAX - 1 <= value <= INT_MAX:
        raise OverflowError(f"{value} does not fit 32 bits")
    return _base128(value << 1 ^ value >> 31)


def present_long(value: int) -> bytes:
    """Encode a long in the second branch of an optional field."""
    return b"\x02" + long(value)


def present_int32(value: int) -> bytes:
    """Encode an int in the second branch of an optional field."""
    return b"\x02" + int32(value)
