"""The bytes of a user's state and of the dedupe window.

Owns: the layout of a user's state and of the windowed table's values.
Does not own: their meaning (core/state.py, core/dedupe.py), where they are put (engine).
Invariants: encoding is deterministic; what was encoded decodes to an equal value.

Layout: a byte for the format (2), then MessagePack: arrays in the order of the struct's attributes.
A new attribute goes to the end, with a default, and needs no new format; anything else does.
"""

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from pipeline.codec.errors import CodecError
from pipeline.core.dedupe import Cover, SeenCompletion
from pipeline.core.state import UserState

FORMAT: Final = b"\x02"

_encode: Final = msgspec.msgpack.Encoder().encode
_decode_state: Final = msgspec.msgpack.Decoder(UserState).decode
_decode_seen: Final = msgspec.msgpack.Decoder(SeenCompletion).decode
_decode_cover: Final = msgspec.msgpack.Decoder(Cover).decode

_Value = TypeVar("_Value")


class StateDecodeError(CodecError):
    """Stored bytes are not what this version stores.

    Args:
        what: which kind of record.
        why: unknown_format, or what the decoder met.

    **Operator action**: an unknown format was written by a newer version: run that one. Otherwise
    the store is corrupt: let the worker restore the partition from its changelog.
    """

    def __init__(self, what: str, why: str) -> None:
        super().__init__(
            f"stored {what} cannot be decoded",
            why=why,
            fix="run the version that wrote it, or restore the partition from its changelog",
            reason=why,
        )


def encode_state(state: UserState) -> bytes:
    """Return the bytes of a user's state."""
    return FORMAT + _encode(state)


def decode_state(stored: bytes) -> UserState:
    """Return the state that `encode_state` made the bytes of.

    Raises:
        StateDecodeError: the bytes are another format's, or corrupt.
    """
    return _decoded(stored, _decode_state, "user state")


def encode_seen(entry: SeenCompletion) -> bytes:
    """Return the bytes of a remembered completion."""
    return FORMAT + _encode(entry)


def decode_seen(stored: bytes) -> SeenCompletion:
    """Return the completion that `encode_seen` made the bytes of.

    Raises:
        StateDecodeError: the bytes are another format's, or corrupt.
    """
    return _decoded(stored, _decode_seen, "completion")


def encode_cover(cover: Cover) -> bytes:
    """Return the bytes of a cell's cover."""
    return FORMAT + _encode(cover)


def decode_cover(stored: bytes) -> Cover:
    """Return the cover that `encode_cover` made the bytes of.

    Raises:
        StateDecodeError: the bytes are another format's, or corrupt.
    """
    return _decoded(stored, _decode_cover, "cover")


def _decoded(stored: bytes, decode: Callable[[bytes], _Value], what: str) -> _Value:
    if stored[:1] != FORMAT:
        raise StateDecodeError(what, "unknown_format")
    try:
        return decode(stored[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StateDecodeError(what, str(error)) from error
