"""Local dates where clocks and calendars are at their worst."""

from datetime import date, datetime

import pytest

from pipeline.core.calendar import (
    DAY_MS,
    date_of,
    day_of,
    local_date,
    maybe_day_of,
    utc_date,
)
from tests.core.scenes import at, day, zone

THREE = 180


@pytest.mark.parametrize(
    ("instant", "tz", "expected"),
    [
        # The day starts at three on the wall clock, whatever the offset.
        ("2026-06-15T02:59:59.999+02:00", "Europe/Berlin", "2026-06-14"),
        ("2026-06-15T03:00:00+02:00", "Europe/Berlin", "2026-06-15"),
        ("2026-01-01T02:59:59+01:00", "Europe/Berlin", "2025-12-31"),
        # Spring forward: 02:00 becomes 03:00, so the date changes with the jump.
        ("2026-03-29T01:59:59.999+01:00", "Europe/Berlin", "2026-03-28"),
        ("2026-03-29T03:00:00+02:00", "Europe/Berlin", "2026-03-29"),
        # Fall back: 02:30 comes twice, both times before the day's start.
        ("2026-10-25T02:30:00+02:00", "Europe/Berlin", "2026-10-24"),
        ("2026-10-25T02:30:00+01:00", "Europe/Berlin", "2026-10-24"),
        ("2026-10-25T03:00:00+01:00", "Europe/Berlin", "2026-10-25"),
        # Midnight did not exist in Cairo that Friday.
        ("2024-04-25T23:59:59+02:00", "Africa/Cairo", "2024-04-25"),
        ("2024-04-26T01:00:00+03:00", "Africa/Cairo", "2024-04-25"),
        ("2024-04-26T03:00:00+03:00", "Africa/Cairo", "2024-04-26"),
        # Samoa went from the 29th to the 31st.
        ("2011-12-29T23:59:59-10:00", "Pacific/Apia", "2011-12-29"),
        ("2011-12-31T00:00:00+14:00", "Pacific/Apia", "2011-12-30"),
        ("2011-12-31T03:00:00+14:00", "Pacific/Apia", "2011-12-31"),
        # Leap days, also in a century.
        ("2028-02-29T12:00:00+00:00", "UTC", "2028-02-29"),
        ("2028-03-01T01:00:00+00:00", "UTC", "2028-02-29"),
        ("2000-03-01T01:00:00+00:00", "UTC", "2000-02-29"),
        ("2100-03-01T01:00:00+00:00", "UTC", "2100-02-28"),
        # The ends of the earth, at one instant.
        ("2026-06-15T10:30:00+00:00", "Pacific/Kiritimati", "2026-06-15"),
        ("2026-06-15T14:30:00+00:00", "Pacific/Kiritimati", "2026-06-16"),
        ("2026-06-15T14:30:00+00:00", "Etc/GMT+12", "2026-06-14"),
        # Before 1970.
        ("1969-12-31T23:59:59.999+00:00", "UTC", "1969-12-31"),
    ],
)
def test_local_date(instant: str, tz: str, expected: str) -> None:
    assert local_date(at(instant), zone(tz), THREE) == day(expected)


def test_the_day_may_start_at_midnight_or_noon() -> None:
    instant = at("2026-06-15T00:00:00+00:00")
    assert local_date(instant, zone("UTC"), 0) == day("2026-06-15")
    assert local_date(instant + DAY_MS // 2 - 1, zone("UTC"), 720) == day("2026-06-14")
    assert local_date(instant + DAY_MS // 2, zone("UTC"), 720) == day("2026-06-15")


def test_a_date_only_grows_with_the_instant_in_one_zone() -> None:
    for tz in ("Africa/Cairo", "Australia/Lord_Howe", "America/St_Johns"):
        start = at("2024-01-01T00:00:00+00:00")
        dates = [local_date(start + n * 900_000, zone(tz), THREE) for n in range(366 * 96)]
        # Only the repeated hour could step back, and it lies before three in each of these.
        assert dates == sorted(dates)
        assert set(dates) == set(range(dates[0], dates[-1] + 1))


def test_dates_that_a_zone_skipped() -> None:
    assert zone("Pacific/Apia").skipped == {day("2011-12-30")}
    assert zone("Pacific/Kwajalein").skipped == {day("1993-08-21")}
    assert zone("Pacific/Kiritimati").skipped == {day("1994-12-31")}
    assert zone("Europe/Berlin").skipped == frozenset()
    # Manila went the other way, long before; Alaska gained a day.
    assert zone("America/Juneau").skipped == frozenset()


def test_utc_date_is_floored() -> None:
    assert utc_date(-1) == -1
    assert utc_date(0) == 0


@pytest.mark.parametrize("name", ["Australia/Lord_Howe", "Europe/Berlin", "Africa/Monrovia"])
def test_the_offset_is_the_zones_own_at_every_second(name: str) -> None:
    """Around changes at full and at half hours, and for more hours than are kept."""
    found = zone(name)
    changes = (at("2026-04-04T15:30:00Z"), at("2026-03-29T01:00:00Z"), at("1972-01-07T00:44:30Z"))
    seconds = [ms // 1000 + step for ms in changes for step in (-1801, -1, 0, 1, 1799, 1801, 3600)]
    for at_s in [*seconds, *range(0, 6_000 * 3_600, 3_600), *seconds]:
        offset = datetime.fromtimestamp(at_s, found.info).utcoffset()
        assert offset is not None
        assert found.offset_s(at_s) == offset.total_seconds()


def test_a_local_date_and_its_calendar_date_are_one() -> None:
    assert day_of(0) == date(1970, 1, 1)
    assert maybe_day_of(None) is None
    for number in (-719_162, -1, 20_000, 2_932_896):
        day = maybe_day_of(number)
        assert day is not None
        assert date_of(day) == number
