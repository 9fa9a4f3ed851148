"""Local dates, bridges and runs, worked out by hand."""

from datetime import UTC, date, datetime, timedelta

import pytest

from pipeline.dev.oracle.dates import (
    Ending,
    bridged_beside,
    is_bridged,
    local_date,
    never_came,
    offset_minutes,
    runs_of,
)
from tests.oracle.scenes import ms

THREE = timedelta(hours=3)
ONE_DAY = timedelta(days=1)


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


def _ends(*said: tuple[str, str]) -> dict[date, list[Ending]]:
    """Return what `bridged_beside` is given, of (end, zone)."""
    ends: dict[date, list[Ending]] = {}
    for end, tz in said:
        day = local_date(ms(end), tz, THREE)
        ends.setdefault(day, []).append(Ending(ms(end), tz))
    return ends


def _bridged(*said: tuple[str, str], with_shift: bool = False) -> set[date]:
    ends = _ends(*said)
    return {one for day in ends for one in bridged_beside(day, ends, with_shift=with_shift)}


def test_a_date_is_bridged_when_travel_left_no_time_for_it() -> None:
    last = ms("2026-01-10T04:00:00Z")
    gap_ms = 23 * 3_600_000
    first, third = date(2026, 1, 9), date(2026, 1, 11)
    before = [Ending(0, "UTC"), Ending(last, "UTC")]
    left_none = {
        first: before,
        third: [Ending(last + gap_ms - 1, "UTC"), Ending(last * 2, "UTC")],
    }
    assert bridged_beside(first, left_none, with_shift=False) == {date(2026, 1, 10)}
    assert bridged_beside(third, left_none, with_shift=False) == {date(2026, 1, 10)}
    left_some = {first: before, third: [Ending(last + gap_ms, "UTC")]}
    assert bridged_beside(first, left_some, with_shift=True) == set()


def test_a_practised_date_is_not_bridged_nor_are_two() -> None:
    first = date(2026, 1, 9)
    one = [Ending(0, "UTC")]
    three = {first: one, first + ONE_DAY: one, first + 2 * ONE_DAY: one}
    assert bridged_beside(first, three, with_shift=True) == set()
    far = {first: one, first + 3 * ONE_DAY: one}
    assert bridged_beside(first, far, with_shift=True) == set()


def test_a_date_that_never_came_is_bridged_for_those_who_lived_there() -> None:
    early, late = "2011-12-29T16:00:00Z", "2011-12-31T09:00:00Z"
    assert _bridged((early, "Pacific/Apia"), (late, "Pacific/Apia")) == {date(2011, 12, 30)}
    assert _bridged((early, "Pacific/Tongatapu"), (late, "Pacific/Tongatapu")) == set()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # Each practises at seven in the morning of the traveller's own clock.
        (("2026-06-10T07:00:00-07:00", "America/Los_Angeles"), ("12T07:00:00+12:00", "NZ")),
        (("2026-06-10T07:00:00-10:00", "Pacific/Honolulu"), ("12T07:00:00+09:00", "Asia/Tokyo")),
        (("2026-06-10T07:00:00-07:00", "Etc/GMT+7"), ("12T07:00:00+12:00", "Etc/GMT-12")),
        (("2026-06-10T07:00:00-08:00", "-08:00"), ("12T07:00:00+05:45", "+05:45")),
    ],
)
def test_a_morning_flight_eastwards_is_bridged_with_the_shift_alone(
    before: tuple[str, str], after: tuple[str, str]
) -> None:
    flown = (before, (f"2026-06-{after[0]}", after[1]))
    assert _bridged(*flown) == set()
    assert _bridged(*flown, with_shift=True) == {date(2026, 6, 11)}


@pytest.mark.parametrize(
    ("before", "after", "tz"),
    [
        # No place of its own accord: a clock that goes forward, and one that skips a date.
        ("2026-03-28T22:30:00Z", "2026-03-30T03:00:00Z", "Europe/Berlin"),
        ("2024-04-25T20:00:00Z", "2024-04-27T02:00:00Z", "Africa/Cairo"),
        ("2026-06-10T23:59:00Z", "2026-06-12T03:00:00Z", "UTC"),
        # As close as one zone comes: the hour that is missing is no travel.
        ("2026-03-28T01:59:00Z", "2026-03-29T01:00:00Z", "Europe/Berlin"),
    ],
)
def test_no_zone_gains_from_the_shift(before: str, after: str, tz: str) -> None:
    assert len(_ends((before, tz), (after, tz))) == 2
    assert _bridged((before, tz), (after, tz), with_shift=True) == set()


def test_the_shift_is_that_of_both_clocks_at_noon_between() -> None:
    noon = datetime(2026, 3, 29, 12, tzinfo=UTC)
    assert offset_minutes("Europe/Berlin", noon) == 120
    assert offset_minutes("-05:30", noon) == -330
    assert offset_minutes("Etc/GMT-2", noon) == 120
    # London to Berlin, over the night in which both go forward: an hour of shift.
    at = {
        date(2026, 3, 28): [Ending(ms("2026-03-28T12:00:00Z"), "Europe/London")],
        date(2026, 3, 30): [Ending(ms("2026-03-29T11:59:59Z"), "Europe/Berlin")],
    }
    assert is_bridged(date(2026, 3, 29), at, with_shift=True)
    at[date(2026, 3, 30)] = [Ending(ms("2026-03-29T12:00:00Z"), "Europe/Berlin")]
    assert not is_bridged(date(2026, 3, 29), at, with_shift=True)


def test_which_dates_never_came() -> None:
    assert never_came(date(2011, 12, 30), "Pacific/Apia")
    assert never_came(date(1994, 12, 31), "Pacific/Kiritimati")
    assert not never_came(date(2011, 12, 29), "Pacific/Apia")
    assert not never_came(date(2024, 4, 26), "Africa/Cairo")


def test_runs_cross_months_and_leap_days() -> None:
    days = [date(2024, 2, 28), date(2024, 3, 1), date(2024, 2, 29), date(2024, 3, 3)]
    assert runs_of(days) == [(date(2024, 2, 28), 3), (date(2024, 3, 3), 1)]
    assert runs_of([]) == []
