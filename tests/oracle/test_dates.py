"""Local dates, bridges and stretches, worked out by hand."""

from datetime import date, timedelta

import pytest

from pipeline.oracle.dates import bridged, local_date, stretches
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


def test_a_date_is_bridged_when_nobody_could_have_practised_on_it() -> None:
    last = ms("2026-01-10T04:00:00Z")
    gap_ms = 23 * 3_600_000
    first, third = date(2026, 1, 9), date(2026, 1, 11)
    assert bridged({first: [0, last], third: [last + gap_ms - 1, last + 2 * gap_ms]}) == {
        date(2026, 1, 10)
    }
    assert bridged({first: [last], third: [last + gap_ms]}) == set()


def test_a_practised_date_is_not_bridged_nor_are_two() -> None:
    first = date(2026, 1, 9)
    day = timedelta(days=1)
    assert bridged({first: [0], first + day: [1], first + 2 * day: [2]}) == set()
    assert bridged({first: [0], first + 3 * day: [1]}) == set()


def test_stretches_cross_months_and_leap_days() -> None:
    days = [date(2024, 2, 28), date(2024, 3, 1), date(2024, 2, 29), date(2024, 3, 3)]
    assert stretches(days) == [(date(2024, 2, 28), 3), (date(2024, 3, 3), 1)]
    assert stretches([]) == []
