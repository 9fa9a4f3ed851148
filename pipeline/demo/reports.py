"""What devices report of the sittings: late, twice, at odds with each other, by a wrong clock.

Owns: offline phones, skewed clocks, double posts, second devices, reused ids, overlaps, too late.
Does not own: what really happened (people.py), plain garbage (garbage.py).
Invariants: a sitting gets at most one kind of mischief, so that its verdict is known beforehand; a
duplicate is appended after its original and within the window.
"""

from random import Random
from typing import Final

import msgspec

from pipeline.core.records import PracticeCompleted
from pipeline.demo.people import DAY_MS, MINUTE_MS, Sitting, is_free
from pipeline.demo.planted import ToSend
from pipeline.demo.wire import Wire, json_completion

HOUR_MS: Final = 60 * MINUTE_MS
APP_VERSIONS: Final = ("7.1.0", "7.1.2", "7.2.0-beta.3", "6.9.4")

OFFLINE_MS_MAX: Final = 5 * DAY_MS

EXACT: Final = 0.015
TWIN: Final = 0.010
COLLISION: Final = 0.002
OVERLAP: Final = 0.004
TOO_LATE: Final = 0.0015


class Limits(msgspec.Struct, frozen=True):
    """The policy's bounds that the generator stays within, or oversteps on purpose; in ms."""

    late_ms: int
    skew_tolerance_ms: int
    clock_ahead_ms_max: int
    future_skew_ms: int
    session_ms_min: int


class Device(msgspec.Struct, frozen=True):
    """One phone.

    Attributes:
        ahead_ms: how far its clock is ahead; beyond the tolerance but not too far, or behind, or 0.
        offline: spans (from, before) in ms since the epoch, in which it cannot send.
    """

    device_id: str
    app_version: str
    avro: bool
    says_sent_at: bool
    ahead_ms: int
    offline: tuple[tuple[int, int], ...]


class _Draft(msgspec.Struct, frozen=True):
    """A completion before it is put into bytes, in true time."""

    completion_id: str
    session_id: str
    sitting: Sitting
    append_time_ms: int
    verdict: str
    garbage: str = ""


def make_device(month: tuple[int, int], limits: Limits, rng: Random) -> Device:
    """Return a phone for a month (from, before) in ms since the epoch."""
    ahead, luck = 0, rng.random()
    says_sent_at = rng.random() < 0.7
    least_ahead = limits.skew_tolerance_ms + 2 * MINUTE_MS
    if luck < 0.015 and least_ahead < limits.clock_ahead_ms_max:
        ahead = rng.randrange(least_ahead, limits.clock_ahead_ms_max)
        says_sent_at = True
    elif luck < 0.05:
        ahead = -rng.randrange(1_000, 10 * MINUTE_MS)
    offline = []
    if rng.random() < 0.08:
        longest = min(limits.late_ms - 2 * DAY_MS, OFFLINE_MS_MAX)
        for _ in range(rng.randrange(1, 3)):
            start = rng.randrange(*month)
            offline.append((start, start + rng.randrange(6 * HOUR_MS, longest)))
    return Device(
        device_id=f"{rng.choice(('ios', 'android', 'web'))}-{rng.getrandbits(32):08x}",
        app_version=rng.choice(APP_VERSIONS),
        avro=rng.random() < 0.5,
        says_sent_at=says_sent_at,
        ahead_ms=ahead,
        offline=tuple(offline),
    )


def reports(
    user_id: str, sat: list[Sitting], device: Device, limits: Limits, wire: Wire, rng: Random
) -> list[ToSend]:
    """Return what the user's devices send of the sittings `sat`, in no order."""
    sent = []
    for i, sitting in enumerate(sat):
        for draft in _drafts(i, sitting, sat, device, limits, rng):
            sent.append(_to_send(user_id, draft, device, wire, rng))
    return sent


def _drafts(
    i: int, sitting: Sitting, sat: list[Sitting], device: Device, limits: Limits, rng: Random
) -> list[_Draft]:
    completion_id = f"c-{rng.getrandbits(64):016x}"
    session_id = f"s-{rng.getrandbits(64):016x}"
    append = _append_time(sitting.end_ms, device, rng)
    base = _Draft(completion_id, session_id, sitting, append, "accepted")
    luck = rng.random()
    if luck < TOO_LATE:
        append = sitting.end_ms + limits.late_ms + rng.randrange(HOUR_MS, 5 * DAY_MS)
        return [
            _Draft(completion_id, session_id, sitting, append, "dead_letter", garbage="too_late")
        ]
    luck -= TOO_LATE
    last_chance = sitting.end_ms + limits.late_ms - HOUR_MS
    again = append + _delay(rng)
    if again >= last_chance:
        return [base]
    if luck < EXACT:
        return [base, _Draft(completion_id, session_id, sitting, again, "exact")]
    luck -= EXACT
    if luck < TWIN:
        nudged = msgspec.structs.replace(sitting, end_ms=sitting.end_ms + rng.choice((0, 700)))
        other_id = f"c-{rng.getrandbits(64):016x}"
        return [base, _Draft(other_id, session_id, nudged, again, "twin")]
    luck -= TWIN
    if luck < COLLISION:
        other_session = rng.choice((session_id, f"s-{rng.getrandbits(64):016x}"))
        longer = msgspec.structs.replace(
            sitting, start_ms=sitting.start_ms - rng.randrange(1, 9999)
        )
        return [base, _Draft(completion_id, other_session, longer, again, "collision")]
    luck -= COLLISION
    if luck < OVERLAP:
        middle = (sitting.start_ms + sitting.end_ms) // 2
        crossing = msgspec.structs.replace(
            sitting, start_ms=middle, end_ms=sitting.end_ms + 3 * MINUTE_MS
        )
        if is_free(sat[:i] + sat[i + 1 :], crossing.start_ms, crossing.end_ms):
            other_id = f"c-{rng.getrandbits(64):016x}"
            other_session = f"s-{rng.getrandbits(64):016x}"
            again = max(again, crossing.end_ms + 1_000)
            return [base, _Draft(other_id, other_session, crossing, again, "overlap")]
    return [base]


def _append_time(end_ms: int, device: Device, rng: Random) -> int:
    append = end_ms + rng.randrange(150, 4_000)
    for start, before in device.offline:
        if start <= append < before:
            append = before + rng.randrange(500, 60_000)
    return append


def _delay(rng: Random) -> int:
    """Time between the first report and the second: mostly a retry, now and then the next day."""
    return (
        rng.randrange(1_000, 120_000)
        if rng.random() < 0.8
        else rng.randrange(HOUR_MS, 36 * HOUR_MS)
    )


def _to_send(user_id: str, draft: _Draft, device: Device, wire: Wire, rng: Random) -> ToSend:
    sitting = draft.sitting
    says_sent_at = device.says_sent_at
    completion = PracticeCompleted(
        completion_id=draft.completion_id,
        user_id=user_id,
        session_id=draft.session_id,
        practice=sitting.practice,
        started_at=sitting.start_ms + device.ahead_ms,
        completed_at=sitting.end_ms + device.ahead_ms,
        tz=sitting.tz,
        sent_at=draft.append_time_ms - rng.randrange(20, 140) + device.ahead_ms
        if says_sent_at
        else None,
        device_id=device.device_id,
        app_version=device.app_version,
        context={"source": "timer"} if rng.random() < 0.3 else {},
    )
    # A second report may come by another client of the same user, which writes the other format.
    avro = device.avro if draft.verdict == "accepted" else rng.random() < 0.5
    if avro:
        value = wire.avro_completion(completion)
    else:
        value = json_completion(completion, local=rng.random() < 0.3)
    headers: tuple[tuple[str, bytes], ...] = ()
    if rng.random() < 0.05:
        trace = f"00-{rng.getrandbits(128) | 1:032x}-{rng.getrandbits(64) | 1:016x}-01"
        headers = (("traceparent", trace.encode()),)
    return ToSend(
        kind="completions",
        partition=None,
        key=user_id.encode(),
        value=value,
        append_time_ms=draft.append_time_ms,
        headers=headers,
        verdict=draft.verdict,
        garbage=draft.garbage,
    )
