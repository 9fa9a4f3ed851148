"""Dead letters that fit their topic.

Owns: which parts of an input are left out when it is larger than a dead letter can be; the
rejection of an input whose processing raised an exception.
Does not own: the topic's limit (topics.yaml), the headers' names (headers.py).
Invariant: a dead letter can always be written, whatever the input; nothing of it is left out
silently, and what is left out can be found: its topic, partition and offset are in the letter.

The topics of the inputs are set up so that any input fits. This is for topics that are not: a
record that was compressed may be a hundred times its topic's limit when it is read.
"""

import hashlib
import traceback
from typing import Final

import msgspec

from pipeline.codec.errors import readable
from pipeline.core.enumerations import Stage
from pipeline.core.records import DeadLetter
from pipeline.core.rejection import Rejection

EXTRA_BYTES: Final = 65_536
"""Bytes of a dead letter that are reserved for reason, detail, cause, our headers and the batch."""

_KEY_BYTES_KEPT: Final = 256


def fault_of(stage: Stage, error: Exception) -> Rejection:
    """Return the rejection of an input whose processing raised an exception.

    Args:
        stage: decode or fold.

    Returns:
        Its reason is the exception's type in snake_case, its detail the end of the trace.
    """
    name = type(error).__name__
    reason = "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
    return Rejection(stage, reason, readable("".join(traceback.format_exception(error)[-3:])))


def fit(letter: DeadLetter, record_bytes_max: int) -> DeadLetter:
    """Return a dead letter that fits, to be written with its own key and headers.

    Args:
        letter: with the whole input.
        record_bytes_max: of the topic of dead letters, more than 2 × EXTRA_BYTES. The key and the
            headers count twice: they are in the value, and are the record's own.

    Returns:
        The same object when it fits. Otherwise headers are left out, key and value are cut to their
        beginnings, and `detail` says so first, with the whole value's length and SHA-256.
    """
    key, value = letter.key or b"", letter.value or b""
    names = sum(len(header.key.encode("utf-8", "replace")) for header in letter.headers)
    contents = sum(len(header.value or b"") for header in letter.headers)
    room = record_bytes_max - EXTRA_BYTES
    if 2 * (len(key) + names + contents + 16 * len(letter.headers)) + len(value) <= room:
        return letter
    note = (
        f"The input is too large for a dead letter and only its beginning is here: the value has"
        f" {len(value)} bytes, SHA-256 {hashlib.sha256(value).hexdigest()}, the key {len(key)},"
        f" {len(letter.headers)} headers are left out; all of it is at"
        f" {letter.cause.coordinates}. "
    )
    return msgspec.structs.replace(
        letter,
        detail=readable(note + letter.detail),
        key=None if letter.key is None else key[:_KEY_BYTES_KEPT],
        value=None if letter.value is None else value[: room // 2],
        headers=(),
    )
