"""The check that a completion makes sense, and when and where it took place.

Owns: the bounds on a completion, the correction of a clock that is ahead, late and future verdicts.
Does not own: whether it was seen before (dedupe.py), what it changes (fold.py).
Invariant: a verdict is a function of the completion, its append time and the policy.
"""

from typing import Final

import msgspec

from pipeline.core.calendar import DAY_MS, local_date
from pipeline.core.records import Instant, LocalDate, PracticeCompleted
from pipeline.core.rejection import Rejection, bad_id, quoted, rejected
from pipeline.core.rulebook import Policy
from pipeline.core.texts import PRACTICE_CHARS_MAX, is_id, is_practice
from pipeline.core.zones import Zone, offset_zone, zone_of

_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 3_600_000


class ValidCompletion(msgspec.Struct, frozen=True, gc=False):
    """When and where a completion that makes sense took place, its clock put right.

    Attributes:
        zone: where the user was.
        local_date: the date that it counts for.
        zone_assumed: nobody knows the zone that it names; the offset of its end is taken instead.
    """

    started_at: Instant
    completed_at: Instant
    zone: Zone
    local_date: LocalDate
    zone_assumed: bool


def examine(
    completion: PracticeCompleted,
    append_time: Instant,
    policy: Policy,
    recorded_date: LocalDate | None = None,
) -> ValidCompletion | Rejection:
    """Check a completion.

    Args:
        completion: of the right types, otherwise anything at all.
        append_time: of the completion; the only *now* there is.
        recorded_date: its local date, where that was decided before.

    Returns:
        When and where it took place, or the first reason to reject it.
    """
    if not (
        is_id(completion.user_id)
        and is_id(completion.completion_id)
        and is_id(completion.session_id)
        and is_practice(completion.practice)
    ):
        return _bad_text(completion)
    zone = zone_of(completion.tz)
    zone_assumed = zone is None
    if zone is None and completion.offset_minutes is not None:
        zone = offset_zone(completion.offset_minutes)
    if zone is None:
        return unknown_zone(completion.tz)
    length_ms = completion.completed_at - completion.started_at
    if not policy.session_ms_min <= length_ms <= policy.session_ms_max:
        return _bad_length(length_ms, policy)
    ahead_ms = 0 if completion.sent_at is None else completion.sent_at - append_time
    # guard (False): a clock that is too far ahead is not put right
    if ahead_ms > policy.clock_ahead_ms_max:
        return _bad_clock(ahead_ms, policy)
    shift_ms = ahead_ms if ahead_ms > policy.skew_tolerance_ms else 0
    completed_at = completion.completed_at - shift_ms
    # guard (False): what is too late or too early does not count
    if not -policy.late_ms <= completed_at - append_time <= policy.future_skew_ms:
        return _bad_time(completed_at - append_time, policy)
    date = recorded_date
    if date is None:
        date = local_date(completed_at, zone, policy.day_start_minutes)
    if date < policy.earliest_date:
        return rejected(
            "before_earliest_date", "it ended before the first date that the policy lets count"
        )
    return ValidCompletion(completion.started_at - shift_ms, completed_at, zone, date, zone_assumed)


def unknown_zone(tz: str) -> Rejection:
    """Return the rejection of a zone that nobody knows, of a completion without an offset."""
    return rejected(
        "unknown_zone",
        f"tz {quoted(tz)} is no zone that is known; send an IANA name such as Europe/Berlin, or an "
        "offset such as +02:00",
    )


def _bad_text(completion: PracticeCompleted) -> Rejection:
    for field in ("user_id", "completion_id", "session_id"):
        value = getattr(completion, field)
        if not is_id(value):
            return bad_id(field, value)
    return rejected(
        "bad_practice",
        f"practice must have 1 to {PRACTICE_CHARS_MAX} characters, not only space, and no control "
        f"ones, not {quoted(completion.practice)}",
    )


def _bad_length(length_ms: int, policy: Policy) -> Rejection:
    if length_ms < 0:
        return rejected("ends_before_start", f"completed_at is {-length_ms} ms before started_at")
    if length_ms < policy.session_ms_min:
        return rejected(
            "too_short", f"the session took {length_ms} ms; at least {policy.session_ms_min} count"
        )
    return rejected(
        "too_long", f"the session took {length_ms} ms; at most {policy.session_ms_max} count"
    )


def _bad_clock(ahead_ms: int, policy: Policy) -> Rejection:
    return rejected(
        "clock_too_far_ahead",
        f"the device's clock was {_spelled(ahead_ms)} ahead: sent_at is that long after the record "
        f"arrived; up to {_spelled(policy.clock_ahead_ms_max)} are put right. Have the device set "
        "its clock by the network; a session from before that can be credited by its date",
    )


def _spelled(length_ms: int) -> str:
    return f"{length_ms // _HOUR_MS} h {length_ms % _HOUR_MS // _MINUTE_MS} min"


def _bad_time(ahead_ms: int, policy: Policy) -> Rejection:
    if ahead_ms > 0:
        return rejected(
            "too_far_ahead",
            f"it ends {ahead_ms // _MINUTE_MS} minutes after it arrived; the device's clock is "
            "wrong, and sent_at does not show by how much",
        )
    return rejected(
        "too_late",
        f"it ended {-ahead_ms // DAY_MS} days before it arrived; at most "
        f"{policy.late_ms // DAY_MS} count without a review",
    )
