"""What devices report of the sessions: late, twice, in contradiction, by a wrong clock.

Owns: offline phones, skewed clocks, double posts, second devices, reused ids, overlaps, reports
that come too late; clients with habits of their own: old names for zones, newer schemas, session
ids counted from 1.
Does not own: what really happened (people.py), plain garbage (garbage.py).
Invariants: at most one kind of mistake is made about a session, so that the verdicts on its reports
are known beforehand; a duplicate is appended after its original and within the window.
"""

from collections import Counter
from datetime import date
from random import Random
from typing import Final

import msgspec

from pipeline.core.records import PracticeCompleted
from pipeline.dev.workload.ground_truth import InputRecord
from pipeline.dev.workload.json_variants import in_any_variant
from pipeline.dev.workload.people import DAY_MS, HOMES, MINUTE_MS, Role, Session, is_free, wall_date
from pipeline.dev.workload.wire import SPELLINGS, Spelling, Wire, completion_fields, json_completion
from pipeline.dev.workload.zone_names import ZoneNaming, zone_text

HOUR_MS: Final = 60 * MINUTE_MS
APP_VERSIONS: Final = ("7.1.0", "7.1.2", "7.2.0-beta.3", "6.9.4")

OFFLINE_MS_MAX: Final = 5 * DAY_MS
RETREAT_MS: Final = 21 * DAY_MS

NAMINGS: Final[dict[ZoneNaming, int]] = {
    "iana": 86, "offset": 3, "gmt": 2, "utc": 2, "odd_case": 2, "former": 2, "unknown": 3,
}  # fmt: skip
"""How many of a hundred devices name zones so."""

ELSEWHERE: Final = 0.15
"""Share of the exact duplicates and twins whose second report names another zone."""

VARIED: Final = 0.05
"""Share of the JSON reports that are written in one of the `VARIANTS`."""

NEWER: Final = 0.15
"""Share of the devices that write Avro by a newer schema, if they write Avro."""


class Limits(msgspec.Struct, frozen=True):
    """The policy's bounds that the generator stays within, or oversteps on purpose; in ms."""

    late_ms: int
    skew_tolerance_ms: int
    clock_ahead_ms_max: int
    future_skew_ms: int
    session_ms_min: int
    window_ms: int


def limits_of(policy: object) -> Limits:
    """Return the bounds of a policy in force, the core's or the oracle's."""
    return msgspec.convert(policy, Limits, from_attributes=True)


class Mistakes(msgspec.Struct, frozen=True):
    """Shares, 0 to 1, of the sessions about which a device makes each kind of mistake.

    Attributes:
        exact: it reports twice, with the same ids. twin: with the same session id only.
        collision: it reuses a completion id. overlap: it reports a session within another.
        too_late: it reports when the policy takes it no more.
    """

    exact: float = 0.015
    twin: float = 0.010
    collision: float = 0.002
    overlap: float = 0.004
    too_late: float = 0.0015


AS_IN_LIFE: Final = Mistakes()


class Device(msgspec.Struct, frozen=True):
    """One phone.

    Attributes:
        ahead_ms: how far its clock is ahead; beyond the tolerance but not too far, or behind, or 0.
        offline: spans (from, before) in ms since the epoch, in which it cannot send.
        naming: how it names zones. spelling: how it writes instants in JSON.
        newer: what is new in the schema by which it writes Avro; "" for nothing.
        counts_sessions: its session ids are numbers that begin with 1 each day.
        mistakes: how often it makes each.
        sends_at_ms: when it sends everything at once, first and second reports; None for soon after
            each session, when it is not offline.
    """

    device_id: str
    app_version: str
    avro: bool
    says_sent_at: bool
    ahead_ms: int
    offline: tuple[tuple[int, int], ...]
    naming: ZoneNaming = "iana"
    spelling: Spelling = "full"
    newer: str = ""
    counts_sessions: bool = False
    mistakes: Mistakes = AS_IN_LIFE
    sends_at_ms: int | None = None


class _Draft(msgspec.Struct, frozen=True):
    """A completion before it is put into bytes, in true time."""

    completion_id: str
    session_id: str
    session: Session
    append_time_ms: int
    verdict: str
    garbage: str = ""


def make_device(
    month: tuple[int, int],
    limits: Limits,
    rng: Random,
    role: Role = "",
    newer: tuple[str, ...] = (),
) -> Device:
    """Return a phone for a month (from, before) in ms since the epoch.

    Args:
        newer: what may be new in the schema by which it writes Avro.
    """
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
    naming = rng.choices(tuple(NAMINGS), tuple(NAMINGS.values()))[0]
    # Avro has no offset beside the instant, and an unknown zone is only taken with an offset.
    avro = rng.random() < 0.5 and naming != "unknown"
    device = Device(
        device_id=f"{rng.choice(('ios', 'android', 'web'))}-{rng.getrandbits(32):08x}",
        app_version=rng.choice(APP_VERSIONS),
        avro=avro,
        says_sent_at=says_sent_at,
        ahead_ms=ahead,
        offline=tuple(offline),
        naming=naming,
        spelling=rng.choice(SPELLINGS),
        newer=rng.choice(newer) if newer and rng.random() < NEWER else "",
    )
    return _of_role(device, role, month, limits, rng)


def _of_role(
    device: Device, role: Role, month: tuple[int, int], limits: Limits, rng: Random
) -> Device:
    if role == "counts_sessions":
        return msgspec.structs.replace(device, ahead_ms=0, offline=(), counts_sessions=True)
    away_ms = min(RETREAT_MS, limits.late_ms - 2 * DAY_MS)
    if role == "retreat" and month[1] - month[0] > away_ms + 2 * DAY_MS:
        start = rng.randrange(month[0], month[1] - away_ms - DAY_MS)
        return msgspec.structs.replace(device, offline=((start, start + away_ms),))
    return device


def reports(
    user_id: str, sat: list[Session], device: Device, limits: Limits, wire: Wire, rng: Random
) -> list[InputRecord]:
    """Return what the user's devices send of the sessions `sat`, in no order."""
    if device.spelling == "java":
        sat = [_on_whole_minutes(session) for session in sat]
    if device.counts_sessions:
        drafts = _numbered(sat, device, limits, rng)
    else:
        drafts = [
            draft
            for i, session in enumerate(sat)
            for draft in _drafts(i, session, sat, device, limits, rng)
        ]
    return [_to_send(user_id, draft, device, wire, rng) for draft in drafts]


def _on_whole_minutes(session: Session) -> Session:
    start, end = (ms // MINUTE_MS * MINUTE_MS for ms in (session.start_ms, session.end_ms))
    return msgspec.structs.replace(session, start_ms=start, end_ms=end)


def _numbered(sat: list[Session], device: Device, limits: Limits, rng: Random) -> list[_Draft]:
    """Return reports whose session ids begin with 1 each day; later uses of an id are twins."""
    drafts: list[_Draft] = []
    counted_at: dict[str, int] = {}
    of_the_day: Counter[date] = Counter()
    for session in sat:
        day = wall_date(session)
        of_the_day[day] += 1
        session_id = str(of_the_day[day])
        append = _append_time(session.end_ms, device, rng)
        last = counted_at.get(session_id)
        is_twin = last is not None and append - last <= limits.window_ms
        if not is_twin:
            counted_at[session_id] = append
        verdict = "twin" if is_twin else "accepted"
        completion_id = f"c-{rng.getrandbits(64):016x}"
        drafts.append(_Draft(completion_id, session_id, session, append, verdict))
    return drafts


def _drafts(
    i: int, session: Session, sat: list[Session], device: Device, limits: Limits, rng: Random
) -> list[_Draft]:
    completion_id = f"c-{rng.getrandbits(64):016x}"
    session_id = f"s-{rng.getrandbits(64):016x}"
    append = _append_time(session.end_ms, device, rng)
    base = _Draft(completion_id, session_id, session, append, "accepted")
    often, luck = device.mistakes, rng.random()
    if luck < often.too_late:
        append = session.end_ms + limits.late_ms + rng.randrange(HOUR_MS, 5 * DAY_MS)
        return [
            _Draft(completion_id, session_id, session, append, "dead_letter", garbage="too_late")
        ]
    luck -= often.too_late
    last_chance = session.end_ms + limits.late_ms - HOUR_MS
    again = append + _delay(device, rng)
    if again >= last_chance:
        return [base]
    reported = session
    if luck < often.exact + often.twin and rng.random() < ELSEWHERE:
        reported = msgspec.structs.replace(session, tz=rng.choice(HOMES)[0])
    if luck < often.exact:
        return [base, _Draft(completion_id, session_id, reported, again, "exact")]
    luck -= often.exact
    if luck < often.twin:
        nudged = msgspec.structs.replace(reported, end_ms=session.end_ms + rng.choice((0, 700)))
        other_id = f"c-{rng.getrandbits(64):016x}"
        return [base, _Draft(other_id, session_id, nudged, again, "twin")]
    luck -= often.twin
    if luck < often.collision:
        other_session = rng.choice((session_id, f"s-{rng.getrandbits(64):016x}"))
        longer = msgspec.structs.replace(
            session, start_ms=session.start_ms - rng.randrange(1, 9999)
        )
        return [base, _Draft(completion_id, other_session, longer, again, "collision")]
    luck -= often.collision
    if luck < often.overlap:
        middle = (session.start_ms + session.end_ms) // 2
        crossing = msgspec.structs.replace(
            session, start_ms=middle, end_ms=session.end_ms + 3 * MINUTE_MS
        )
        if is_free(sat[:i] + sat[i + 1 :], crossing.start_ms, crossing.end_ms):
            other_id = f"c-{rng.getrandbits(64):016x}"
            other_session = f"s-{rng.getrandbits(64):016x}"
            again = max(again, crossing.end_ms + 1_000)
            return [base, _Draft(other_id, other_session, crossing, again, "overlap")]
    return [base]


def _append_time(end_ms: int, device: Device, rng: Random) -> int:
    if device.sends_at_ms is not None:
        return device.sends_at_ms
    append = end_ms + rng.randrange(150, 4_000)
    for start, before in device.offline:
        if start <= append < before:
            append = before + rng.randrange(500, 60_000)
    return append


def _delay(device: Device, rng: Random) -> int:
    """Return the ms from a first report to the second: mostly of a retry, at times of a day."""
    if device.sends_at_ms is not None:
        return 0
    return (
        rng.randrange(1_000, 120_000)
        if rng.random() < 0.8
        else rng.randrange(HOUR_MS, 36 * HOUR_MS)
    )


def _to_send(user_id: str, draft: _Draft, device: Device, wire: Wire, rng: Random) -> InputRecord:
    session = draft.session
    says_sent_at = device.says_sent_at
    ended = session.end_ms + device.ahead_ms
    completion = PracticeCompleted(
        completion_id=draft.completion_id,
        user_id=user_id,
        session_id=draft.session_id,
        practice=session.practice,
        started_at=session.start_ms + device.ahead_ms,
        completed_at=ended,
        tz=zone_text(device.naming, session.tz, ended, rng),
        sent_at=draft.append_time_ms - rng.randrange(20, 140) + device.ahead_ms
        if says_sent_at
        else None,
        device_id=device.device_id,
        app_version=device.app_version,
        context={"source": "timer"} if rng.random() < 0.3 else {},
    )
    # A second report may come by another client of the same user, which writes the other format.
    avro = device.avro if draft.verdict == "accepted" else rng.random() < 0.5
    if avro and device.naming != "unknown":
        encode = wire.newer_completions[device.newer] if device.newer else wire.avro_completion
        value = encode(completion)
    else:
        value = _json(completion, session.tz, device, rng)
    headers: tuple[tuple[str, bytes], ...] = ()
    if rng.random() < 0.05:
        trace = f"00-{rng.getrandbits(128) | 1:032x}-{rng.getrandbits(64) | 1:016x}-01"
        headers = (("traceparent", trace.encode()),)
    return InputRecord(
        kind="completions",
        partition=None,
        key=user_id.encode(),
        value=value,
        append_time_ms=draft.append_time_ms,
        headers=headers,
        verdict=draft.verdict,
        garbage=draft.garbage,
    )


def _json(completion: PracticeCompleted, place: str, device: Device, rng: Random) -> bytes:
    says_offset = device.naming == "unknown" or rng.random() < 0.3
    where = place if says_offset else None
    if rng.random() < VARIED:
        return in_any_variant(completion_fields(completion, where, device.spelling), rng)
    return json_completion(completion, where, device.spelling)
