"""The checkpoint: which inputs a partition's state contains, as of one committed transaction.

The transaction of a poll ends, in each changelog of a partition whose inputs moved, with one
checkpoint record; of a rewrite only the last transaction has one, before its closing record
(recovery/rewrite.py). So a changelog says by itself which inputs it contains. The local store keeps
the same value beside the data that it describes, written in the same atomic batch.

Owns: a checkpoint's content and its bytes.
Does not own: when it is written (transactions/checkpoints.py), what `attachment` means (the
application).
Invariant: decoding returns what was encoded; a checkpoint of a newer format is refused, never
guessed at.

Bytes, in changelogs and stores: msgpack of the array
`[format, generation, {topic: next offset}, attachment, terms, changelog id]`. The terms are the
fixed parameters of the generation (`cycle_days`, `earliest_date`, `window_days`).
"""

from typing import Final

import msgspec

from pipeline.engine.errors import StoreFormatError

CHECKPOINT_KEY: Final = b"\x00marker"
"""Key of checkpoint records; these bytes are in topics and on disks, so they keep an older word. No
table key starts with a zero byte."""

REWRITING_KEY: Final = b"\x00rewriting"
"""Key of the record that opens (with any value) and closes (with none) a rewrite of a changelog."""

FORMAT: Final = 1


class Checkpoint(msgspec.Struct, frozen=True, array_like=True):
    """Which inputs a partition's state contains.

    Attributes:
        format: version of the local store and of the changelogs' records.
        generation: the one that wrote it.
        next_offsets: by input topic, the offset after the last contained record.
        attachment: bytes of the application that move in the same transaction, such as the head of
            an audit chain.
        terms: the generation's fixed parameters as text; empty where none were written down.
        changelog_id: in a changelog, the UUID of the topic that the writer meant; empty in a store.
            A changelog with the checkpoint of another topic was recreated under its writer, and
            lacks what came before.
    """

    format: int
    generation: str
    next_offsets: dict[str, int]
    attachment: bytes
    terms: str = ""
    changelog_id: str = ""


_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decode = msgspec.msgpack.Decoder(Checkpoint).decode


def encode_checkpoint(checkpoint: Checkpoint, changelog_id: str = "") -> bytes:
    """Encode a checkpoint to the bytes that the module's docstring describes.

    Args:
        changelog_id: UUID of the topic that it is written to; empty for a store.
    """
    return _encode(msgspec.structs.replace(checkpoint, changelog_id=changelog_id))


def decode_checkpoint(raw: bytes, *, generation: str) -> Checkpoint:
    """Decode a checkpoint.

    Args:
        raw: bytes of `encode_checkpoint`, of this release or another.
        generation: the one that the caller works for.

    Raises:
        StoreFormatError: it is unreadable, of a newer format, or of another generation.
    """
    try:
        checkpoint = _decode(raw)
    except msgspec.MsgspecError as error:
        raise StoreFormatError(
            f"the partition's checkpoint cannot be read: {error}",
            fix="move the partition's folder away and start again: it is restored",
        ) from error
    if checkpoint.format > FORMAT:
        raise StoreFormatError(
            f"state of format {checkpoint.format}, this release reads up to {FORMAT}",
            fix="start the newer release that wrote it",
        )
    if checkpoint.generation != generation:
        raise StoreFormatError(
            f"state of generation {checkpoint.generation!r}, this worker is {generation!r}",
            fix="set AWAWAY_GENERATION or AWAWAY_DATA_DIR so that the two agree",
        )
    return checkpoint
