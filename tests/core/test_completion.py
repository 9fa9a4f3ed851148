"""What is rejected, why, and what a clock that is ahead does."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.completion import ValidCompletion, examine
from pipeline.core.records import PracticeCompleted
from pipeline.core.rejection import Rejection, quoted
from pipeline.core.texts import is_id, is_note
from tests.core.scenes import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    POLICY,
    Log,
    at,
    book_of,
    completion,
    reason_of,
)

LATE = POLICY.late_ms
FUTURE = POLICY.future_skew_ms
TOLERANCE = POLICY.skew_tolerance_ms
AHEAD = POLICY.clock_ahead_ms_max
SHORTEST, LONGEST = POLICY.session_ms_min, POLICY.session_ms_max


def examined(**fields: Any) -> ValidCompletion | Rejection:
    base = completion(1, NOW)
    return examine(
        PracticeCompleted(**{**{f: getattr(base, f) for f in base.__struct_fields__}, **fields}),
        NOW,
        POLICY,
    )


def lasting(length_ms: int) -> dict[str, int]:
    return {"started_at": NOW - length_ms, "completed_at": NOW}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"user_id": ""}, "bad_user_id"),
        ({"user_id": "u" * 256}, "bad_user_id"),
        ({"user_id": "a\0b"}, "bad_user_id"),
        ({"user_id": "\ud800"}, "bad_user_id"),
        ({"completion_id": ""}, "bad_completion_id"),
        ({"completion_id": "   "}, "bad_completion_id"),
        ({"completion_id": "c" * 256}, "bad_completion_id"),
        ({"session_id": ""}, "bad_session_id"),
        ({"session_id": "s\n"}, "bad_session_id"),
        ({"session_id": "s" * 1_000_000}, "bad_session_id"),
        ({"practice": ""}, "bad_practice"),
        ({"practice": "p" * 65}, "bad_practice"),
        ({"practice": "\udfff"}, "bad_practice"),
        ({"tz": ""}, "unknown_zone"),
        ({"tz": "Mars/Olympus"}, "unknown_zone"),
        ({"tz": "../../etc/passwd"}, "unknown_zone"),
        ({"tz": "\ud800" * 1_000_000}, "unknown_zone"),
        (lasting(-1), "ends_before_start"),
        (lasting(0), "too_short"),
        (lasting(SHORTEST - 1), "too_short"),
        (lasting(LONGEST + 1), "too_long"),
        ({"started_at": -(1 << 63), "completed_at": (1 << 63) - 1}, "too_long"),
        ({"started_at": (1 << 63) - 1, "completed_at": -(1 << 63)}, "ends_before_start"),
        ({"started_at": (1 << 63) - HOUR, "completed_at": (1 << 63) - 1}, "too_far_ahead"),
        ({"started_at": -(1 << 63), "completed_at": -(1 << 63) + HOUR}, "too_late"),
        ({"sent_at": (1 << 63) - 1}, "clock_too_far_ahead"),
        ({"sent_at": NOW + AHEAD + 1}, "clock_too_far_ahead"),
    ],
)
def test_rejections(fields: dict[str, Any], reason: str) -> None:
    found = examined(**fields)
    assert isinstance(found, Rejection)
    assert (found.stage, found.reason) == ("validate", reason)
    assert 10 < len(found.detail) < 400
    found.detail.encode()


@pytest.mark.parametrize("length_ms", [SHORTEST, LONGEST])
def test_lengths_at_the_bounds_count(length_ms: int) -> None:
    assert isinstance(examined(**lasting(length_ms)), ValidCompletion)


def shifted(completed_at: int, sent_at: int | None) -> ValidCompletion | Rejection:
    return examined(started_at=completed_at - HOUR, completed_at=completed_at, sent_at=sent_at)


@pytest.mark.parametrize(
    ("completed_at", "sent_at", "expected"),
    [
        # Delay is not skew: without a clock that is ahead, the device is believed.
        (NOW, None, NOW),
        (NOW - LATE, None, NOW - LATE),
        (NOW - LATE - 1, None, "too_late"),
        (NOW - LATE, NOW - DAY, NOW - LATE),
        (NOW + FUTURE, None, NOW + FUTURE),
        (NOW + FUTURE + 1, None, "too_far_ahead"),
        # Up to the tolerance the clock is believed, from there on it is put right.
        (NOW, NOW + TOLERANCE, NOW),
        (NOW, NOW + TOLERANCE + 1, NOW - TOLERANCE - 1),
        (NOW + 5 * HOUR, NOW + 5 * HOUR, NOW),
        (NOW + 4 * HOUR, NOW + 5 * HOUR, NOW - HOUR),
        # Far ahead nothing is believed, however well the two instants agree.
        (NOW + AHEAD, NOW + AHEAD, NOW),
        (NOW + AHEAD - LATE, NOW + AHEAD, NOW - LATE),
        (NOW + AHEAD - LATE - 1, NOW + AHEAD, "too_late"),
        (NOW + AHEAD + 1, NOW + AHEAD + 1, "clock_too_far_ahead"),
        (NOW, NOW + AHEAD + 1, "clock_too_far_ahead"),
        (NOW + 400 * DAY, NOW + 400 * DAY + 1, "clock_too_far_ahead"),
        # What is sent before it ended is still ahead.
        (NOW + 5 * HOUR + FUTURE, NOW + 5 * HOUR, NOW + FUTURE),
        (NOW + 5 * HOUR + FUTURE + 1, NOW + 5 * HOUR, "too_far_ahead"),
    ],
)
def test_clocks(completed_at: int, sent_at: int | None, expected: int | str) -> None:
    found = shifted(completed_at, sent_at)
    if isinstance(expected, str):
        assert isinstance(found, Rejection)
        assert found.reason == expected
    else:
        assert isinstance(found, ValidCompletion)
        assert (found.started_at, found.completed_at) == (expected - HOUR, expected)


def test_a_clock_put_right_decides_the_date() -> None:
    found = shifted(NOW + 18 * HOUR, NOW + 18 * HOUR)
    assert isinstance(found, ValidCompletion)
    assert found.local_date == NOW // DAY


def test_a_clock_too_far_ahead_is_told_by_how_much() -> None:
    found = shifted(NOW, NOW + 51 * HOUR + 7 * MINUTE)
    assert isinstance(found, Rejection)
    assert "51 h 7 min ahead" in found.detail
    assert "up to 24 h 0 min" in found.detail
    assert "credited" in found.detail


def test_before_the_earliest_date() -> None:
    log = Log()
    end = at("2010-01-01T02:59:59+00:00")
    assert reason_of(log.take(completion(1, end), end)) == "before_earliest_date"
    assert log.take(completion(1, end + MINUTE), end + MINUTE).verdict == "accepted"


texts = st.text(st.characters(), max_size=280)
"""Lone surrogates among them."""

absurd = st.integers(-(1 << 70), 1 << 70)
near = st.integers(-40 * DAY, 2 * DAY).map(lambda ms: NOW + ms)


@settings(max_examples=150)
@given(
    st.builds(
        PracticeCompleted,
        *[texts] * 4,
        *[st.one_of(absurd, near)] * 2,
        st.one_of(texts, st.sampled_from(("UTC", "Asia/Tokyo", "Etc/Unknown", "+2", ""))),
        st.one_of(st.none(), absurd, near),
        offset_minutes=st.one_of(st.none(), absurd, st.integers(-1_439, 1_439)),
    ),
    st.booleans(),
    st.one_of(st.just(NOW), st.integers(0, 1 << 42)),
)
def test_whatever_comes_is_a_verdict(
    event: PracticeCompleted, sound_ids: bool, append_time: int
) -> None:
    if sound_ids:
        ids = {"user_id": "ana", "completion_id": "c1", "session_id": "s1", "practice": "breath"}
        event = msgspec.structs.replace(event, **ids, started_at=event.completed_at - HOUR)
    outcome = Log().take(event, append_time)
    assert outcome.verdict in ("accepted", "dead_letter")
    assert (outcome.rejection is None) == (outcome.verdict == "accepted")
    assert (outcome.user_id is None) == (not is_id(event.user_id))
    assert (outcome.digest_before is None) == (outcome.user_id is None)
    for text in (outcome.user_id, outcome.reason, outcome.tz):
        (text or "").encode()
    if outcome.rejection is not None:
        outcome.rejection.detail.encode()
    assert (outcome.tz is None) == (outcome.verdict != "accepted")


def test_quotes_are_bounded_and_plain() -> None:
    assert quoted("Üb\n") == "'\\xdcb\\n'"
    assert quoted("x" * 81).endswith("... (81 characters)")
    assert len(quoted("\ud800" * 10_000)) < 120
    assert quoted("\ud800" * 80).endswith("... (80 characters)")


def test_notes() -> None:
    assert is_note("") and is_note("línea\n" * 300)
    assert not is_note("x" * 2001)
    assert not is_note("a\udc00b")


def test_a_policy_decides_by_append_time() -> None:
    book = book_of((1, "one", 1), earliest_date="2026-06-15")
    found = examine(completion(1, NOW - DAY), NOW, book.at(NOW))
    assert isinstance(found, Rejection)
