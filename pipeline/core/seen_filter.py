"""What of a user's accepted completions the window may still hold, told from the user's own state.

Owns: four bytes for each id and session that was accepted lately, and the last cell with a cover.
Does not own: the window itself and its verdicts (dedupe.py), which alone tell a duplicate.
Invariants: whatever the window holds has left its traces, so what left none is new and need not be
looked up; traces may be there without an entry, which costs a look-up and nothing else. Their size
is bounded: a user with more than `TRACES_MAX` completions in a period is looked up as before.

Traces are kept by periods of append time, each longer than the window by `MARGIN_MS`, the present
one and the one before: what is dropped with a third period has expired, although append times may
step back.
"""

import struct
from typing import Final
from zlib import crc32

import msgspec

from pipeline.core.calendar import DAY_MS
from pipeline.core.records import Instant

TRACES_MAX: Final = 128
"""Completions that a period keeps traces of."""

MARGIN_MS: Final = 2 * DAY_MS
CELL_UNKNOWN: Final = 1 << 40
"""No cell comes after this one."""

_BYTES: Final = 4
_pack: Final = struct.Struct(">II").pack
_BYTES_MAX: Final = TRACES_MAX * 2 * _BYTES


class Traces(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What was accepted of one user. By default, in a state from before traces, anything.

    Attributes:
        since: append time with which the present period began.
        recent, before: traces of the present period and the one before; None when there may be any.
        last_cell: no later cell has a cover.
    """

    since: Instant = 0
    recent: bytes | None = None
    before: bytes | None = None
    last_cell: int = CELL_UNKNOWN


NO_TRACES: Final = Traces(0, b"", b"", -CELL_UNKNOWN)
"""Nothing was accepted yet."""


def trace_of(completion_id: str, session_id: str) -> bytes:
    """Return what an accepted completion leaves behind: 8 bytes."""
    return _pack(crc32(completion_id.encode()), crc32(session_id.encode()))


def may_be_seen(traces: Traces, trace: bytes) -> bool:
    """Tell whether the window may hold a completion of that id or of that session."""
    recent, before = traces.recent, traces.before
    # guard (False): traces that may have been dropped count as seen
    if recent is None or before is None:
        return True
    of_id, of_session = trace[:_BYTES], trace[_BYTES:]
    if of_id in recent or of_session in recent:
        return True
    # equivalent (string): a short cut; nothing is found in no bytes
    return before != b"" and (of_id in before or of_session in before)


def with_trace(
    traces: Traces, trace: bytes, last_cell: int, append_time: Instant, window_ms: int
) -> Traces:
    """Return the traces with those of one more accepted completion.

    Args:
        last_cell: the last one that the completion's session touches.
        append_time: of the completion.
        window_ms: how long the window remembers.
    """
    since, recent, before = traces.since, traces.recent, traces.before
    if append_time - since > window_ms + MARGIN_MS:
        since, recent, before = append_time, b"", recent
    # guard (False): an accepted completion leaves its traces
    if recent is not None:
        # guard (True): too many traces are no traces
        recent = recent + trace if len(recent) < _BYTES_MAX else None
    # equivalent (>=): either of two equal numbers is the greater one
    return Traces(
        since, recent, before, last_cell if last_cell > traces.last_cell else traces.last_cell
    )
