"""RFC 3339 to milliseconds, against the standard library's datetime."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.codec.instants import (
    INSTANT_MAX,
    INSTANT_MIN,
    NotAnInstantError,
    instant_and_offset,
    instant_ms,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@settings(max_examples=300)
@given(
    st.datetimes(datetime(2, 1, 2), datetime(9998, 12, 30)),  # noqa: DTZ001 - zones come below
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
    assert instant_and_offset(text) == (expected, offset_minutes)


@settings(max_examples=300)
@given(
    st.datetimes(datetime(2, 1, 2), datetime(9998, 12, 30)),  # noqa: DTZ001 - zones come below
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
    st.sampled_from("Tt "),
    st.sampled_from(["", ":00", ":00.000"]),
    st.booleans(),
)
def test_every_spelling_of_one_instant_is_that_instant(
    naive: datetime, offset_minutes: int, between: str, seconds: str, colon: bool
) -> None:
    naive = naive.replace(second=0, microsecond=0)
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    sign = "-" if offset_minutes < 0 else "+"
    hours, minutes = divmod(abs(offset_minutes), 60)
    endings = [f"{sign}{hours:02}{':' if colon else ''}{minutes:02}"]
    if not minutes:
        endings.append(f"{sign}{hours:02}")
    if not offset_minutes:
        endings += ["z", "Z"]
    for ending in endings:
        text = f"{naive.isoformat()[:10]}{between}{naive:%H:%M}{seconds}{ending}"
        expected = (moment - EPOCH) // timedelta(milliseconds=1)
        assert instant_and_offset(text) == (expected, offset_minutes)
        assert instant_ms(text) == expected


@pytest.mark.parametrize(
    ("text", "utc", "offset_minutes"),
    [
        ("2026-05-04T07:30+03:00", "2026-05-04T04:30:00Z", 180),  # Java, at a full minute
        ("2026-05-04T07:30Z", "2026-05-04T07:30:00Z", 0),
        ("2026-05-04 07:30:15+0300", "2026-05-04T04:30:15Z", 180),  # PostgreSQL, strftime
        ("2026-05-04 07:30:15.25-03", "2026-05-04T10:30:15.250Z", -180),
        ("2026-05-04 07:30-0330", "2026-05-04T11:00:00Z", -210),
        ("2026-05-04t07:30z", "2026-05-04T07:30:00Z", 0),
        ("2026-05-04 07:30:15 +0300", "2026-05-04T04:30:15Z", 180),  # Ruby, Swift
        ("2026-05-04 07:30:15 UTC", "2026-05-04T07:30:15Z", 0),
        ("2026-05-04T07:30:15GMT", "2026-05-04T07:30:15Z", 0),
        ("20260504T073015Z", "2026-05-04T07:30:15Z", 0),  # iCalendar
        ("20260504T0730+0300", "2026-05-04T04:30:00Z", 180),
        ("2026-05-04T07:30:15.5+3:00", "2026-05-04T04:30:15.500Z", 180),
        ("2026-05-04T07:30:15+03:00[Europe/Moscow]", "2026-05-04T04:30:15Z", 180),  # RFC 9557
        ("2026-05-04T07:30:15Z[Europe/Moscow][u-ca=iso8601]", "2026-05-04T07:30:15Z", 0),
        (" 2026-05-04T07:30:15Z\r\n", "2026-05-04T07:30:15Z", 0),
        ("2026-05-04T07:30:00-00:00", "2026-05-04T07:30:00Z", 0),
        ("2026-05-04T07:30:00.999+23:59", "2026-05-03T07:31:00.999Z", 1_439),
        ("2026-05-04T07:30:00.999-23:59", "2026-05-05T07:29:00.999Z", -1_439),
        ("1969-12-31T23:59:59.999-00:01", "1970-01-01T00:00:59.999Z", -1),
    ],
)
def test_what_clients_write_beside_rfc_3339(text: str, utc: str, offset_minutes: int) -> None:
    assert instant_and_offset(text) == (instant_ms(utc), offset_minutes)
    assert instant_ms(text) == instant_ms(utc)


@pytest.mark.parametrize(
    "text",
    [
        "2016-12-31T23:59:60Z",
        "2016-12-31T23:59:60.5Z",
        "2017-01-01T00:59:60+01:00",
        "2017-01-01T05:29:60.000+0530",
        "2016-12-31 15:59:60-08",
    ],
)
def test_a_leap_second_is_the_last_millisecond_of_its_minute(text: str) -> None:
    assert instant_ms(text) == instant_ms("2016-12-31T23:59:59.999Z")
    assert instant_ms(text) == instant_ms("2017-01-01T00:00:00Z") - 1


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


@pytest.mark.parametrize(
    ("first", "before"),
    [
        ("0002-01-01T00:00:00Z", "0001-12-31T23:59:59.999Z"),
        ("0001-12-31T12:00-12:00", "0001-12-31T11:59:59.999-12:00"),
        ("0002-01-01T14:00:00+14:00", "0002-01-01T13:59:59.999+14:00"),
    ],
)
def test_the_first_instant_that_is_taken(first: str, before: str) -> None:
    assert instant_ms(first) == instant_and_offset(first)[0] == INSTANT_MIN
    with pytest.raises(NotAnInstantError, match="its year in UTC"):
        instant_ms(before)


@pytest.mark.parametrize(
    ("last", "after"),
    [
        ("9998-12-31T23:59:59.999Z", "9999-01-01T00:00Z"),
        ("9998-12-31T23:59:60Z", "9999-12-31T23:59:60Z"),
        ("9999-01-01T13:59:59.999+14:00", "9999-01-01T14:00:00+14:00"),
        ("9998-12-31T11:59:59.999-12:00", "9998-12-31T12:00:00-12:00"),
    ],
)
def test_the_last_instant_that_is_taken(last: str, after: str) -> None:
    assert instant_ms(last) == instant_and_offset(last)[0] == INSTANT_MAX
    with pytest.raises(NotAnInstantError, match="its year in UTC") as caught:
        instant_ms(after)
    assert caught.value.reason == "instant_out_of_range"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2026-03-01T06:30:00", "instant_without_offset"),
        ("2026-03-01T06:30:00.123", "instant_without_offset"),
        ("2026-03-01T06:30:00+24:00", "invalid_instant"),
        ("2026-03-01T06:30:00+01:60", "invalid_instant"),
        ("2026-03-01T06:30:00.Z", "invalid_instant"),
        ("2026-03-01T06:30:00,5Z", "invalid_instant"),
        ("2026-03-01T06:30:60Z", "invalid_instant"),
        ("2026-03-01T24:00:00Z", "invalid_instant"),
        ("2026-03-01T06:60:00Z", "invalid_instant"),
        ("2026-03-01  06:30:00Z", "invalid_instant"),
        ("2026-03-01_06:30:00Z", "invalid_instant"),
        ("2026-03-01T06:30:00\n", "invalid_instant"),
        ("2026-03-01T06:30:00\ud83d", "invalid_instant"),
        ("2026-02-29T06:30:00Z", "invalid_instant"),
        ("2026-13-01T06:30:00Z", "invalid_instant"),
        ("2026-00-01T06:30:00Z", "invalid_instant"),
        ("0000-01-01T00:00:00Z", "invalid_instant"),
        ("2026-03-01", "invalid_instant"),
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
    with pytest.raises(NotAnInstantError):
        instant_and_offset(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2026-W19-1T07:30:00Z", "it is a week date"),
        ("2026W191T07:30:00Z", "it is a week date"),
        ("2026-124T07:30:00Z", "it does not begin with a date such as 2026-03-01"),
        ("1777879800000", "it does not begin with a date"),
        ("2026-05-04", "after its date comes no time of day"),
        ("2026-05-04T7:30Z", "after its date comes no time of day"),
        ("2026-05-04T07:30:00,5Z", "its fraction begins with a comma"),
        ("2026-05-04T07:30,5Z", "its fraction begins with a comma"),
        ("2026-05-04T07:30.5Z", "it has a fraction and no seconds"),
        ("2026-05-04T07:30", "it has no offset from UTC"),
        ("2026-05-04T07:30:00", "it has no offset from UTC"),
        ("2026-05-04T07:30:00.25", "it has no offset from UTC"),
        ("2026-05-04T07:30:00\u221203:00", "its offset has U+2212 for a sign"),
        ("2026-05-04T07:30:00+3", "its offset is not of the form +02:00, +0200 or +02"),
        ("2026-05-04T07:30+24:00", "or beyond 23:59"),
        ("2026-05-04T07:30:00.25+03:60", "its offset is not of the form"),
        ("2026-05-04T07:30:00 Europe/Vienna", "something that is no offset"),
        ("2026-05-04T24:00:00Z", "its hour is 24; the last one is 23, and midnight is 00:00"),
        ("2026-05-04T31:00Z", "its hour is 31"),
        ("2026-05-04T07:61:00Z", "its minute is 61; the last one is 59"),
        ("2026-05-04T07:30:61Z", "its second is 61; the last one is 59"),
        ("2026-05-04T07:30:60Z", "its second is 60, and a leap second is only at 23:59:60 UTC"),
        ("2016-12-31T23:59:60+01:00", "a leap second is only at 23:59:60 UTC"),
        ("2026-02-30T07:30Z", "there is no such date"),
        ("9999-02-01T07:30Z", "its year in UTC is not one of 2 to 9998"),
    ],
)
def test_a_refusal_says_what_is_wrong(text: str, why: str) -> None:
    with pytest.raises(NotAnInstantError) as caught:
        instant_ms(text)
    assert why in str(caught.value)


@given(st.text(max_size=40) | st.text("0123456789-T:.Z+W, ", max_size=34))
def test_whatever_the_text_the_two_readings_agree(text: str) -> None:
    try:
        instant = instant_ms(text)
    except NotAnInstantError as error:
        with pytest.raises(NotAnInstantError, match=re.escape(str(error))):
            instant_and_offset(text)
    else:
        assert instant_and_offset(text)[0] == instant
        assert INSTANT_MIN <= instant <= INSTANT_MAX


def test_a_fraction_may_be_of_any_length() -> None:
    for ending in ("Z", "", "+", "x"):
        text = f"2026-05-04T07:30:00.{'9' * 1_000_000}{ending}"
        if ending == "Z":
            assert instant_ms(text) == instant_ms("2026-05-04T07:30:00.999Z")
            continue
        with pytest.raises(NotAnInstantError):
            instant_ms(text)


def test_the_look_up_tables_stay_bounded_and_right() -> None:
    day = datetime(1980, 1, 1, tzinfo=UTC)
    for n in range(9_000):
        moment = day + timedelta(days=n)
        assert instant_ms(f"{moment:%Y-%m-%d}T00:00:00Z") == (moment - EPOCH) // timedelta(
            milliseconds=1
        )
    for n in range(17_000):
        assert instant_ms(f"1970-01-01T00:00:00.{n:05}Z") == n // 100
