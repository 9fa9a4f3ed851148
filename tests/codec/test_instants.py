"""RFC 3339 to milliseconds, against the standard library's datetime."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.codec.instants import INSTANT_MAX, INSTANT_MIN, NotAnInstantError, instant_ms

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@settings(max_examples=300)
@given(
    st.datetimes(datetime(3, 1, 1), datetime(9998, 12, 1)),  # noqa: DTZ001 - zones come below
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
    st.integers(0, 9),
)
def test_it_agrees_with_datetime(naive: datetime, offset_minutes: int, digits: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    sign = "-" if offset_minutes < 0 else "+"
    hours, minutes = divmod(abs(offset_minutes), 60)
    fraction = f".{naive.microsecond:06}000"[: digits + 1] if digits else ""
    text = (
        f"{naive:%Y}".zfill(4) + f"-{naive:%m-%dT%H:%M:%S}{fraction}{sign}{hours:02}:{minutes:02}"
    )
    kept = int(f"{naive.microsecond:06}"[: min(digits, 3)].ljust(3, "0"))
    expected = (moment.replace(microsecond=0) - EPOCH) // timedelta(milliseconds=1) + kept
    assert instant_ms(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.001Z", 1),
        ("1970-01-01T00:00:00.0019Z", 1),
        ("1969-12-31T23:59:59.9999999999999999999999Z", -1),
        ("1970-01-01t00:00:00z", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00-00:00", 0),
        ("2024-02-29T12:00:00.5+05:45", 1_709_187_300_500),
        ("2026-03-01T06:30:00.123456789-11:00", 1_772_386_200_123),
    ],
)
def test_fractions_are_rounded_down_to_the_earlier_millisecond(text: str, expected: int) -> None:
    assert instant_ms(text) == expected


def test_the_edges_are_within_the_range_that_is_declared() -> None:
    assert instant_ms("0002-01-02T00:00:00Z") >= INSTANT_MIN
    assert instant_ms("9998-12-28T23:59:59.999Z") <= INSTANT_MAX
    assert instant_ms("0002-01-02T23:59:59+23:59") >= INSTANT_MIN
    assert instant_ms("9998-12-28T23:59:59.999-23:59") <= INSTANT_MAX


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2026-03-01T06:30:00", "instant_without_offset"),
        ("2026-03-01T06:30:00.123", "instant_without_offset"),
        ("2026-03-01T06:30:00+0100", "invalid_instant"),
        ("2026-03-01T06:30:00+01", "invalid_instant"),
        ("2026-03-01T06:30:00+24:00", "invalid_instant"),
        ("2026-03-01T06:30:00+01:60", "invalid_instant"),
        ("2026-03-01T06:30:00.Z", "invalid_instant"),
        ("2026-03-01T06:30:00,5Z", "invalid_instant"),
        ("2026-03-01T06:30:00 Z", "invalid_instant"),
        ("2026-03-01T06:30:00Z ", "invalid_instant"),
        ("2026-03-01T06:30:60Z", "invalid_instant"),
        ("2026-03-01T24:00:00Z", "invalid_instant"),
        ("2026-03-01T06:60:00Z", "invalid_instant"),
        ("2026-03-01T06:30Z", "invalid_instant"),
        ("2026-03-01 06:30:00Z", "invalid_instant"),
        ("2026-02-29T06:30:00Z", "invalid_instant"),
        ("2026-13-01T06:30:00Z", "invalid_instant"),
        ("2026-00-01T06:30:00Z", "invalid_instant"),
        ("0000-01-01T00:00:00Z", "invalid_instant"),
        ("2026-03-01", "invalid_instant"),
        ("20260301T063000Z", "invalid_instant"),
        ("", "invalid_instant"),
        ("now", "invalid_instant"),
        ("1772346600123", "invalid_instant"),
        ("٢٠٢٦-03-01T06:30:00Z", "invalid_instant"),
        ("2026-03-01T٠٦:30:00Z", "invalid_instant"),
        ("2026-03-01T06:30:00.٠Z", "invalid_instant"),
        ("+12026-03-01T06:30:00Z", "invalid_instant"),
        ("0001-12-31T00:00:00Z", "instant_out_of_range"),
        ("9999-01-01T00:00:00Z", "instant_out_of_range"),
    ],
)
def test_anything_else_is_refused(text: str, reason: str) -> None:
    with pytest.raises(NotAnInstantError) as caught:
        instant_ms(text)
    assert caught.value.reason == reason


def test_the_look_up_tables_stay_bounded_and_right() -> None:
    day = datetime(1980, 1, 1, tzinfo=UTC)
    for n in range(9_000):
        moment = day + timedelta(days=n)
        assert instant_ms(f"{moment:%Y-%m-%d}T00:00:00Z") == (moment - EPOCH) // timedelta(
            milliseconds=1
        )
    for n in range(17_000):
        assert instant_ms(f"1970-01-01T00:00:00.{n:05}Z") == n // 100
