"""Headers of an input, and of its dead letter after KIP-1034.

Owns: their names and texts. Does not own: which input is a dead letter, nor its value (records.py).
Invariant: the input's own headers come first and are passed through untouched, bytes and order; a
consumer takes the last of a name, so what an input sends under one of these names does not win.
"""

from collections.abc import Sequence
from typing import Final, Protocol, TypeAlias

from pipeline.core.records import Cause

Headers: TypeAlias = "Sequence[tuple[str, bytes | None]]"

PREFIX: Final = "__streams.errors."
EXCEPTION: Final = PREFIX + "exception"
MESSAGE: Final = PREFIX + "message"
TOPIC: Final = PREFIX + "topic"
PARTITION: Final = PREFIX + "partition"
OFFSET: Final = PREFIX + "offset"
STAGE: Final = PREFIX + "stage"
REASON: Final = PREFIX + "reason"
"""The first five are KIP-1034's; stage and reason are ours."""


UNREADABLE: Final = PREFIX + "headers_unreadable"
"""Name of the header that replaces an input's headers if a name is not UTF-8."""


class HasHeaders(Protocol):
    """A consumed message."""

    def headers(self) -> object:
        """Return a list of pairs, or None."""


def read_headers(message: HasHeaders) -> list[tuple[str, bytes | None]]:
    """Return the headers of a consumed message; may be called once for a message.

    The client raises on a header whose name is not UTF-8, and when it is asked again it gives a
    list that holds no object in the name's place, which must not be touched. Kafka allows such
    names, so this must not stop a partition.

    Returns:
        Names and values in their order; `UNREADABLE` alone where a name is not UTF-8.
    """
    try:
        found = message.headers()
    except UnicodeDecodeError as error:
        return [(UNREADABLE, str(error).encode("utf-8", "backslashreplace"))]
    return list(found) if isinstance(found, list) else []


def dead_letter_headers(
    original: Headers, cause: Cause, stage: str, reason: str, detail: str
) -> list[tuple[str, bytes | None]]:
    """Return the headers of a dead letter's record.

    Args:
        original: of the input.
        cause: the input.
        stage, reason, detail: as in the `DeadLetter` record.

    Returns:
        The input's own, then ours.
    """
    return [
        *original,
        (EXCEPTION, f"{stage}.{reason}".encode()),
        (MESSAGE, detail.encode("utf-8", "backslashreplace")),
        (TOPIC, cause.topic.encode()),
        (PARTITION, b"%d" % cause.partition),
        (OFFSET, b"%d" % cause.offset),
        (STAGE, stage.encode()),
        (REASON, reason.encode()),
    ]
