"""The marker: where a partition stood when a transaction committed.

Each transaction ends each changelog partition that it touches with one marker record, so a
changelog says by itself which inputs it contains. The local store keeps the same value beside the
data it describes, written in the same atomic batch.

Owns: the marker's content and its bytes.
Does not own: when it is written (machine.py), what `ledger` means (the application).
Invariant: a marker that was read back equals the one that was written; a marker with a newer format
is refused, never guessed at.

Bytes, in both places: msgpack of the array
`[format, generation, {topic: next offset}, ledger, terms, changelog id]`.
"""

from typing import Final

import msgspec

from pipeline.engine.errors import StoreFormatError

MARKER_KEY: Final = b"\x00marker"
"""Key of marker records; no table key starts with a zero byte."""

REWRITING_KEY: Final = b"\x00rewriting"
"""Key of the record that opens (any value) and closes (none) a changelog's being written anew."""

FORMAT: Final = 1


class Marker(msgspec.Struct, frozen=True, array_like=True):
    """Where a partition stands.

    Attributes:
        format: of the local store and of the changelogs' records.
        generation: the one that wrote it.
        next_offsets: by input topic, the offset after the last one that is contained.
        ledger: bytes of the application that move in the same transaction, such as the head of an
            audit chain.
        terms: what the generation was begun with and must not change; empty where that was not
            recorded.
        changelog_id: in a changelog, the UUID of the topic that the writer took it for; empty in a
            store. A changelog with a marker of another topic was made again under its writer, and
            lacks what came before.
    """

    format: int
    generation: str
    next_offsets: dict[str, int]
    ledger: bytes
    terms: str = ""
    changelog_id: str = ""


_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decode = msgspec.msgpack.Decoder(Marker).decode


def encode_marker(marker: Marker, changelog_id: str = "") -> bytes:
    """Bytes of a marker, as in the module's docstring.

    Args:
        marker: of a partition. changelog_id: of the topic that it is written to; none in a store.
    """
    return _encode(msgspec.structs.replace(marker, changelog_id=changelog_id))


def decode_marker(raw: bytes, *, generation: str) -> Marker:
    """The marker in `raw`.

    Args:
        raw: bytes of `encode_marker`, of this release or another.
        generation: the one that the caller works for.

    Raises:
        StoreFormatError: unreadable, of a newer format, or of another generation.
    """
    try:
        marker = _decode(raw)
    except msgspec.MsgspecError as error:
        raise StoreFormatError(
            f"the partition's marker cannot be read: {error}",
            fix="move the partition's folder away and start again: it is restored",
        ) from error
    if marker.format > FORMAT:
        raise StoreFormatError(
            f"state of format {marker.format}, this release reads up to {FORMAT}",
            fix="start the newer release that wrote it",
        )
    if marker.generation != generation:
        raise StoreFormatError(
            f"state of generation {marker.generation!r}, this worker is {generation!r}",
            fix="set AWAWAY_GENERATION or AWAWAY_DATA_DIR so that the two agree",
        )
    return marker
