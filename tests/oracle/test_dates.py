"""Local dates, bridges and stretches, worked out by hand."""

from datetime import date, timedelta

import pytest

from pipeline.oracle.dates import bridged, local_date, never_came, stretches
from tests.oracle.scenes import ms

THREE = timedelta(hours=3)


@pytest.mark.parametrize(
    ("instant", "tz", "expected"),
    [
        ("2026-03-10T02:59:59.999Z", "UTC", date(2026, 3, 9)),
        ("2026-03-10T03:00:00.000Z", "UTC", date(2026, 3, 10)),
        # Berlin, spring: 02:00 to 03:00 does not exist, so 03:00 comes right after 01:59:59.
        ("2026-03-29T00:59:59Z", "Europe/Berlin", date(2026, 3, 28)),
        ("2026-03-29T01:00:00Z", "Europe/Berlin", date(2026, 3, 29)),
        # Berlin, autumn: 02:30 comes twice, both before the day starts.
        ("2026-10-25T00:30:00Z", "Europe/Berlin", date(2026, 10, 24)),
        ("2026-10-25T01:30:00Z", "Europe/Berlin", date(2026, 10, 24)),
        ("2026-10-25T02:00:00Z", "Europe/Berlin", date(2026, 10, 25)),
        # Cairo has no midnight on this date.
        ("2024-04-25T21:59:59Z", "Africa/Cairo", date(2024, 4, 25)),
        ("2024-04-25T22:00:00Z", "Africa/Cairo", date(2024, 4, 25)),
        ("2024-04-26T00:00:00Z", "Africa/Cairo", date(2024, 4, 26)),
        # Samoa went from the 29th to the 31st.
        ("2011-12-30T09:59:59Z", "Pacific/Apia", date(2011, 12, 29)),
        ("2011-12-30T13:00:00Z", "Pacific/Apia", date(2011, 12, 31)),
        ("2024-02-29T12:00:00Z", "Asia/Kathmandu", date(2024, 2, 29)),
        ("2024-03-01T02:59:00+05:45", "Asia/Kathmandu", date(2024, 2, 29)),
        ("1969-12-31T23:00:00Z", "UTC", date(1969, 12, 31)),
    ],
)
def test_local_date(instant: str, tz: str, expected: date) -> None:
    assert local_date(ms(instant), tz, THREE) == expected


def test_the_day_may_start_at_midnight() -> None:
    assert local_date(ms("2026-03-10T00:00:00Z"), "UTC", timedelta()) == date(2026, 3, 10)


def test_a_date_is_bridged_when_travel_left_no_time_for_it() -> None:
    last = ms("2026-01-10T04:00:00Z")
    gap_ms = 23 * 3_600_000
    first, third = date(2026, 1, 9), date(2026, 1, 11)
    before = [(0, "UTC"), (last, "UTC")]
    assert bridged({first: before, third: [(last + gap_ms - 1, "UTC"), (last * 2, "UTC")]}) == {
        date(2026, 1, 10)
    }
    assert bridged({first: before, third: [(last + gap_ms, "UTC")]}) == set()


def test_a_practised_date_is_not_bridged_nor_are_two() -> None:
    first = date(2026, 1, 9)
    day = timedelta(days=1)
    one = [(0, "UTC")]
    assert bridged({first: one, first + day: one, first + 2 * day: one}) == set()
    assert bridged({first: one, first + 3 * day: one}) == set()


def test_a_date_that_never_came_is_bridged_for_those_who_lived_there() -> None:
    before, after = date(2011, 12, 29), date(2011, 12, 31)
    early, late = ms("2011-12-29T16:00:00Z"), ms("2011-12-31T09:00:00Z")
    at_home = {before: [(early, "Pacific/Apia")], after: [(late, "Pacific/Apia")]}
    assert bridged(at_home) == {date(2011, 12, 30)}
    elsewhere = {before: [(early, "Pacific/Tongatapu")], after: [(late, "Pacific/Tongatapu")]}
    assert bridged(elsewhere) == set()


def test_which_dates_never_came() -> None:
    assert never_came(date(2011, 12, 30), "Pacific/Apia")
    assert never_came(date(1994, 12, 31), "Pacific/Kiritimati")
    assert not never_came(date(2011, 12, 29), "Pacific/Apia")
    assert not never_came(date(2024, 4, 26), "Africa/Cairo")


def test_stretches_cross_months_and_leap_days() -> None:
    days = [date(2024, 2, 28), date(2024, 3, 1), date(2024, 2, 29), date(2024, 3, 3)]
    assert stretches(days) == [(date(2024, 2, 28), 3), (date(2024, 3, 3), 1)]
    assert stretches([]) == []
