"""Per-user fingerprint filter over the dedupe window: a miss saves the look-ups in the window.

Owns: four bytes for each id and session that was accepted lately, and the last cell with a cover.
Does not own: the window itself and its verdicts (dedupe.py), which alone find a duplicate.
Invariants: there are no false negatives: whatever the window holds has its fingerprints here. A
false positive costs a look-up and nothing else. The size is bounded: for a user with more than
`COMPLETIONS_MAX` completions in a period the filter keeps none, and each completion is looked up.

Fingerprints are kept by periods of append time, each longer than the window by `MARGIN_MS`: the
present period and the one before. What is dropped when a third one begins has expired, although
append times may step back.
"""

import struct
from typing import Final
from zlib import crc32

import msgspec

from pipeline.core.calendar import DAY_MS
from pipeline.core.records import Instant

COMPLETIONS_MAX: Final = 128
"""Most completions of one period whose fingerprints are kept."""

MARGIN_MS: Final = 2 * DAY_MS
"""By how many milliseconds a period is longer than the window."""

CELL_UNKNOWN: Final = 1 << 40
"""No cell comes after this one."""

_BYTES: Final = 4
"""Bytes of one id's fingerprint."""

_BYTES_MAX: Final = COMPLETIONS_MAX * 2 * _BYTES
_pack: Final = struct.Struct(">II").pack


class SeenFilter(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The fingerprints of one user's accepted completions.

    The defaults are those of a state from before there was a filter: anything may have been seen.

    Attributes:
        since: append time with which the present period began.
        recent, before: fingerprints of the present period and of the one before, one after the
            other; None where any completion may have been seen.
        last_cell: no later cell has a cover.
    """

    since: Instant = 0
    recent: bytes | None = None
    before: bytes | None = None
    last_cell: int = CELL_UNKNOWN


NOTHING_SEEN: Final = SeenFilter(0, b"", b"", -CELL_UNKNOWN)
"""The filter of a user of whom nothing was accepted yet."""


def fingerprint_of(completion_id: str, session_id: str) -> bytes:
    """Return the fingerprints of a completion's two ids: 8 bytes."""
    return _pack(crc32(completion_id.encode()), crc32(session_id.encode()))


def may_be_seen(seen_filter: SeenFilter, fingerprint: bytes) -> bool:
    """Tell whether the window may hold a completion of that id or of that session."""
    recent, before = seen_filter.recent, seen_filter.before
    # guard (False): fingerprints that may have been dropped count as seen
    if recent is None or before is None:
        return True
    of_id, of_session = fingerprint[:_BYTES], fingerprint[_BYTES:]
    if of_id in recent or of_session in recent:
        return True
    # equivalent (string): a short cut; nothing is found in no bytes
    return before != b"" and (of_id in before or of_session in before)


def with_fingerprint(
    seen_filter: SeenFilter,
    fingerprint: bytes,
    last_cell: int,
    append_time: Instant,
    window_ms: int,
) -> SeenFilter:
    """Return the filter with one more accepted completion.

    Args:
        last_cell: the last one that the completion's session touches.
        append_time: of the completion.
        window_ms: how long the window remembers.
    """
    since, recent, before = seen_filter.since, seen_filter.recent, seen_filter.before
    if append_time - since > window_ms + MARGIN_MS:
        since, recent, before = append_time, b"", recent
    # guard (False): an accepted completion leaves its fingerprints
    if recent is not None:
        # guard (True): of too many completions no fingerprints are kept
        recent = recent + fingerprint if len(recent) < _BYTES_MAX else None
    known = seen_filter.last_cell
    # equivalent (>=): either of two equal numbers is the greater one
    return SeenFilter(since, recent, before, last_cell if last_cell > known else known)
