"""A zone that changes its own offset, however far, is no journey, and gains no bridge."""

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.calendar import local_date
from pipeline.core.dateline import BRIDGE_MS, DatelineWindow, observe
from pipeline.core.rulebook import PolicyBook
from pipeline.core.zones import zone_names
from tests.core.scenes import (
    BOOK,
    DAY,
    HOUR,
    MINUTE,
    NOW,
    POLICY,
    Log,
    at,
    clock,
    completion,
    day,
    world,
    zone,
)

ALWAYS = PolicyBook((msgspec.structs.replace(POLICY, effective_from=0),), BOOK.window_ms)
"""The version in force now, as if it had been for ever."""

THREE = POLICY.day_start_minutes

CHANGES = [
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("Africa/Cairo", "2024-04-26"),
    ("Australia/Lord_Howe", "2026-04-05"),
    ("Australia/Lord_Howe", "2026-10-04"),
    ("Asia/Pyongyang", "2015-08-15"),
    ("Asia/Pyongyang", "2018-05-05"),
    ("America/Caracas", "2016-05-01"),
    ("Antarctica/Troll", "2026-03-29"),
    ("Pacific/Apia", "2011-12-30"),
    ("Pacific/Fakaofo", "2011-12-30"),
    ("Pacific/Kiritimati", "1994-12-31"),
    ("Pacific/Kwajalein", "1993-08-21"),
    ("Asia/Almaty", "2024-03-01"),
]


@pytest.mark.parametrize(("tz", "change"), CHANGES)
@pytest.mark.parametrize("missed", [-2, -1, 0, 1, 2])
def test_a_zone_that_changes_its_own_offset_is_no_journey(
    tz: str, change: str, missed: int
) -> None:
    """Every quarter of an hour of the two dates beside it, and the shift gains nothing."""
    x = day(change) + missed
    where = zone(tz)
    befores, afters = _quarters(x - 1, tz), _quarters(x + 1, tz)
    for a in (*befores[:4], *befores[-4:]):
        for c in (*afters[:4], *afters[-4:]):
            dateline, _ = observe(DatelineWindow(), x - 1, a, where, 0, True)
            with_shift = observe(dateline, x + 1, c, where, 0, True)
            without = observe(dateline, x + 1, c, where, 0, False)
            assert with_shift == without
            assert bool(without[1]) == (x in where.skipped or c - a < BRIDGE_MS)


def _quarters(when: int, tz: str) -> list[int]:
    """Return the quarters of an hour that count for a date."""
    around = range((when - 1) * DAY - 12 * HOUR, (when + 2) * DAY + 14 * HOUR, 15 * MINUTE)
    return [t for t in around if local_date(t, zone(tz), THREE) == when]


def test_samoas_skipped_date_is_bridged_and_the_one_before_it_is_not() -> None:
    last, night, first = (
        at("2011-12-29T20:00:00-10:00"),
        at("2011-12-31T01:00:00+14:00"),
        at("2011-12-31T20:00:00+14:00"),
    )
    log = Log(world(ALWAYS))
    log.take_all((completion(n, t, "Pacific/Apia"), first) for n, t in enumerate((last, first)))
    assert log.state.sets.bridged == ((day("2011-12-30"), 1),)
    # By arithmetic the night belongs to the 30th; the 29th could be missed, 24 hours' jump or not.
    log = Log(world(ALWAYS))
    before = at("2011-12-28T20:00:00-10:00")
    log.take_all((completion(n, t, "Pacific/Apia"), first) for n, t in enumerate((before, night)))
    assert [o.local_date for o in log.outcomes] == [day("2011-12-28"), day("2011-12-30")]
    assert log.state.sets.bridged == ()


EVERY_ZONE = (*sorted(zone_names()), "+05:30", "-02:30", "+12:45")


@settings(max_examples=400)
@given(
    st.sampled_from(EVERY_ZONE),
    st.integers(at("1971-01-01T00:00:00Z"), at("2050-01-01T00:00:00Z")),
    st.integers(0, 72 * 60 * MINUTE),
)
def test_no_zone_gains_from_its_own_shift(tz: str, instant: int, passed: int) -> None:
    """Whatever two instants in whatever zone: with the shift as without."""
    gains_nothing(tz, instant, passed)


def gains_nothing(tz: str, instant: int, passed: int) -> None:
    where = zone(tz)
    dates = [local_date(t, where, THREE) for t in (instant, instant + passed)]
    dateline, _ = observe(DatelineWindow(), dates[0], instant, where, -(1 << 40), True)
    found = [
        observe(dateline, dates[1], instant + passed, where, -(1 << 40), shift)[1]
        for shift in (True, False)
    ]
    assert found[0] == found[1]


def test_in_every_zone_there_is_nothing_to_gain() -> None:
    rng = random.Random(12)
    years = range(at("1990-01-01T00:00:00Z"), at("2030-01-01T00:00:00Z"), 15 * MINUTE)
    for tz in EVERY_ZONE:
        for _ in range(5):
            gains_nothing(tz, rng.choice(years), rng.randrange(20 * HOUR, 50 * HOUR))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Europe/Berlin", "Europe/Paris"),
        ("America/New_York", "America/Toronto"),
        ("Europe/Berlin", "+02:00"),
        ("Asia/Kolkata", "+05:30"),
        ("Europe/Kiev", "Europe/Kyiv"),
        ("Australia/Lord_Howe", "UTC+10:30"),
    ],
)
def test_two_zones_that_keep_the_same_time_are_no_journey(one: str, other: str) -> None:
    for pair in ((one, other), (other, one)):
        events = [
            completion(n, clock((when, wall, tz)), tz)
            for n, (when, wall, tz) in enumerate(
                (("2026-06-16", "02:59:59", pair[0]), ("2026-06-17", "03:00", pair[1]))
            )
        ]
        log = Log().take_all((event, NOW + 3 * DAY) for event in events)
        assert [o.local_date for o in log.outcomes] == [day("2026-06-15"), day("2026-06-17")]
        assert log.state.sets.bridged == ()
