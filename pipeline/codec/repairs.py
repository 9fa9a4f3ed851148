"""The bytes of a repair, which a command carries as its payload.

Owns: the layout: a byte for the format (1), then MessagePack as in state.py.
Does not own: a repair's meaning (core/repair.py).
Invariant: whatever the bytes, the result is a repair of the user that the command names, or None.
"""

from typing import Final

import msgspec

from pipeline.core.repair import Repair

FORMAT: Final = b"\x01"

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Repair).decode


def encode_repair(repair: Repair) -> bytes:
    """Return the bytes of a repair."""
    return FORMAT + _encode(repair)


def decode_repair(payload: bytes | None, user_id: str) -> Repair | None:
    """Return the repair that `encode_repair` made the bytes of; None for any other bytes.

    Args:
        user_id: whose it is; one that writes to another user's window is none.
    """
    if payload is None or payload[:1] != FORMAT:
        return None
    try:
        repair = _decode(payload[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    owner = user_id.encode() + b"\0"
    if any(not key[1:].startswith(owner) for key, _ in repair.window):
        return None
    return repair
