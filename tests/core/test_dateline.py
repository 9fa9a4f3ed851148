"""Dates that travel skipped, in both directions, and what must be remembered for them.

What is here holds whether or not the policy counts the shift; test_shift.py has what that adds.
"""

import random
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.dateline import BRIDGE_MS, DatelineWindow, kept_from, observe
from pipeline.core.records import Run
from pipeline.core.rulebook import PolicyBook
from tests.core.scenes import (
    BOOK,
    DAY,
    HOUR,
    MINUTE,
    NOW,
    OLD_BOOK,
    Log,
    at,
    completion,
    day,
    revoke,
    world,
    zone,
)

UTC, APIA = zone("UTC"), zone("Pacific/Apia")

Travel = list[tuple[str, str]]
"""(when, where) of each completion."""


def travelled(journey: Travel, book: PolicyBook = BOOK) -> Log:
    log = Log(world(book))
    for n, (when, tz) in enumerate(journey):
        log.take(completion(n, at(when), tz), at(when))
    return log


def test_eastwards_over_the_date_line_skips_a_date() -> None:
    # Auckland on Tuesday evening, then Honolulu: Tuesday again, a date lived twice.
    # And back: Honolulu on Tuesday evening, ten hours in the air, Auckland on Thursday morning.
    log = travelled(
        [
            ("2026-06-16T20:00:00-10:00", "Pacific/Honolulu"),
            ("2026-06-18T08:00:00+12:00", "Pacific/Auckland"),
        ]
    )
    assert log.state.sets.bridged == ((day("2026-06-17"), 1),)
    progress = log.progress()
    assert progress.streak_days == progress.lifetime_days == 3
    assert progress.dates.bridged == (Run(day("2026-06-17"), 1),)


def test_westwards_over_the_date_line_a_date_lived_twice_counts_once() -> None:
    log = travelled(
        [
            ("2026-06-16T20:00:00+12:00", "Pacific/Auckland"),
            ("2026-06-16T08:00:00-10:00", "Pacific/Honolulu"),
            ("2026-06-16T20:00:00-10:00", "Pacific/Honolulu"),
            ("2026-06-17T20:00:00-10:00", "Pacific/Honolulu"),
        ]
    )
    assert log.state.sets.practised == ((day("2026-06-16"), 2),)
    assert log.state.sets.bridged == ()
    assert log.verdicts == ["accepted"] * 4


def test_both_ways_and_practice_on_the_skipped_date() -> None:
    log = travelled(
        [
            ("2026-06-16T20:00:00-10:00", "Pacific/Honolulu"),
            ("2026-06-18T08:00:00+12:00", "Pacific/Auckland"),
            # Back again the same day: the date that was skipped is lived after all.
            ("2026-06-17T20:00:00-10:00", "Pacific/Honolulu"),
        ]
    )
    assert log.state.sets.bridged == ((day("2026-06-17"), 1),)
    progress = log.progress()
    assert progress.lifetime_days == 3
    # What is practised shows as practised only.
    assert progress.dates.bridged == ()
    assert progress.dates.practised == (Run(day("2026-06-16"), 3),)


@pytest.mark.parametrize(("gap_ms", "bridges"), [(BRIDGE_MS - 1, True), (BRIDGE_MS, False)])
def test_less_than_23_hours_where_the_policy_counts_no_shift(gap_ms: int, bridges: bool) -> None:
    first = at("2026-06-16T20:00:00-10:00")
    events = [
        completion(1, first, "Pacific/Honolulu"),
        completion(2, first + gap_ms, "Pacific/Kiritimati"),
    ]
    for order in (events, events[::-1]):
        log = Log(world(OLD_BOOK)).take_all((event, first + gap_ms) for event in order)
        assert {o.local_date for o in log.outcomes} == {day("2026-06-16"), day("2026-06-18")}
        assert bool(log.state.sets.bridged) == bridges


def test_a_missed_day_at_home_is_not_bridged() -> None:
    log = travelled(
        [
            ("2026-06-17T02:59:59+02:00", "Europe/Berlin"),
            ("2026-06-18T03:00:00+02:00", "Europe/Berlin"),
        ]
    )
    assert log.state.sets.bridged == ()
    assert log.progress().streak_days == 1


def test_clocks_going_forward_do_not_make_a_bridge() -> None:
    # 23 hours and a second lie between, the shortest that a missed date can be at home.
    log = travelled(
        [
            ("2026-03-29T01:59:59+01:00", "Europe/Berlin"),
            ("2026-03-30T03:00:00+02:00", "Europe/Berlin"),
        ]
    )
    assert [o.local_date for o in log.outcomes] == [day("2026-03-28"), day("2026-03-30")]
    assert log.state.sets.bridged == ()


def test_two_missing_dates_are_not_bridged() -> None:
    log = travelled(
        [
            ("2026-06-16T02:00:00-10:00", "Pacific/Honolulu"),
            ("2026-06-18T03:30:00+14:00", "Pacific/Kiritimati"),
        ]
    )
    assert [o.local_date for o in log.outcomes] == [day("2026-06-15"), day("2026-06-18")]
    assert log.state.sets.bridged == ()


@pytest.mark.parametrize(("before", "after"), [("20:00", "20:00"), ("04:00", "23:00")])
def test_samoa_had_no_such_date(before: str, after: str) -> None:
    events = [
        (f"2011-12-29T{before}:00-10:00", "Pacific/Apia"),
        (f"2011-12-31T{after}:00+14:00", "Pacific/Apia"),
    ]
    for order in (events, events[::-1]):
        log = Log()
        for n, (when, tz) in enumerate(order):
            log.take(completion(n, at(when), tz), at("2012-01-01T12:00:00+14:00"))
        assert log.state.sets.bridged == ((day("2011-12-30"), 1),)
        assert log.progress().streak_days == 3


def test_samoa_at_night_belongs_to_the_date_before_by_arithmetic() -> None:
    log = travelled([("2011-12-31T01:00:00+14:00", "Pacific/Apia")])
    assert log.state.sets.practised == ((day("2011-12-30"), 1),)


def test_elsewhere_that_date_could_be_missed() -> None:
    log = travelled(
        [
            ("2011-12-29T20:00:00+13:00", "Pacific/Auckland"),
            ("2011-12-31T20:00:00+13:00", "Pacific/Auckland"),
        ]
    )
    assert log.state.sets.bridged == ()


def test_one_neighbour_in_samoa_is_enough_and_may_come_last() -> None:
    events = [
        completion(1, at("2011-12-29T06:00:00+00:00"), "UTC"),
        completion(2, at("2011-12-31T06:00:00+00:00"), "UTC"),
        completion(3, at("2011-12-31T06:30:00+00:00"), "Pacific/Apia"),
        completion(4, at("2011-12-31T04:00:00+00:00"), "Pacific/Apia"),
    ]
    for order in permutations(events):
        log = Log()
        for event in order:
            log.take(event, at("2012-01-01T00:00:00+00:00"))
        assert log.state.sets.bridged == ((day("2011-12-30"), 1),)
        assert log.state.dateline.absent == (day("2011-12-30"),)
    # Long after, nothing of it is remembered, and the bridge stays.
    later = at("2012-03-01T00:00:00+00:00")
    log.take(completion(5, later), later)
    # Midnight in UTC belongs to the date before; UTC has no offset to take off.
    assert log.state.dateline == DatelineWindow(((later // DAY - 1, DAY, DAY, 1_440, 1_440),), ())
    assert log.state.sets.bridged == ((day("2011-12-30"), 1),)


def test_the_neighbour_in_samoa_may_be_the_one_before() -> None:
    events = [
        completion(1, at("2011-12-29T04:00:00-10:00"), "Pacific/Apia"),
        completion(2, at("2011-12-31T23:00:00+00:00"), "UTC"),
    ]
    for order in (events, events[::-1]):
        log = Log().take_all((event, at("2012-01-01T00:00:00+00:00")) for event in order)
        assert log.state.dateline.absent == (day("2011-12-30"),)
        assert log.state.sets.bridged == ((day("2011-12-30"), 1),)


def test_only_skipped_dates_beside_the_completion_are_remembered() -> None:
    gone = day("2011-12-30")
    for date, absent in ((gone - 2, ()), (gone - 1, (gone,)), (gone + 1, (gone,)), (gone + 2, ())):
        dateline, _ = observe(DatelineWindow(), date, date * DAY, APIA, 0, False)
        assert dateline.absent == absent


@pytest.mark.parametrize("keep", [-1, 0, 1, 2])
def test_what_is_before_the_earliest_date_that_matters_is_forgotten(keep: int) -> None:
    gone = day("2011-12-30")
    dateline, _ = observe(DatelineWindow(), gone - 1, (gone - 1) * DAY, APIA, 0, False)
    dateline, _ = observe(dateline, gone + 1, (gone + 1) * DAY, APIA, 0, False)
    dateline, _ = observe(dateline, gone + 9, (gone + 9) * DAY, UTC, gone + keep, False)
    kept = tuple(date for date in (gone - 1, gone + 1) if date >= gone + keep)
    assert tuple(row[0] for row in dateline.recent) == (*kept, gone + 9)
    assert dateline.absent == ((gone,) if keep <= 0 else ())


def test_of_two_dates_that_zones_never_had_the_earlier_is_forgotten_first() -> None:
    """Kwajalein moved over the date line in 1993, and Kiritimati at the end of 1994."""
    early, late = day("1993-08-21"), day("1994-12-31")
    known = DatelineWindow()
    for gone, tz in ((early, "Pacific/Kwajalein"), (late, "Pacific/Kiritimati")):
        known, _ = observe(known, gone + 1, (gone + 1) * DAY, zone(tz), 0, False)
    assert known.absent == (early, late)
    for keep_from, absent in (
        (early, (early, late)),
        (early + 1, (late,)),
        (late, (late,)),
        (late + 1, ()),
    ):
        dateline, _ = observe(known, late + 9, (late + 9) * DAY, UTC, keep_from, False)
        assert dateline.absent == absent


def test_a_bridge_can_be_revoked_like_any_date() -> None:
    log = travelled(
        [
            ("2026-06-16T20:00:00-10:00", "Pacific/Honolulu"),
            ("2026-06-18T08:00:00+12:00", "Pacific/Auckland"),
        ]
    )
    log.take(revoke("r1", day("2026-06-17")), log.append_time)
    assert log.progress().streak_days == 1
    assert log.progress().lifetime_days == 2


ZONES = {"Pacific/Kiritimati": 14, "UTC": 0, "Pacific/Honolulu": -10, "Etc/GMT+12": -12}
moves = st.lists(
    st.tuples(st.integers(0, 12 * 24 - 1), st.sampled_from(sorted(ZONES))),
    min_size=2,
    max_size=14,
    unique=True,
)


def naive_bridges(instants: dict[int, list[int]]) -> set[int]:
    return {
        x + 1
        for x in instants
        if x + 2 in instants and min(instants[x + 2]) - max(instants[x]) < BRIDGE_MS
    }


@given(moves, st.randoms(use_true_random=False))
def test_any_order_bridges_the_same(events: list[tuple[int, str]], order: random.Random) -> None:
    start = NOW - 13 * DAY
    instants: dict[int, list[int]] = {}
    dateline = DatelineWindow()
    bridged: set[int] = set()
    order.shuffle(events)
    for hour, tz in events:
        instant = start + hour * HOUR
        date = (instant + ZONES[tz] * HOUR - 3 * HOUR) // DAY
        instants.setdefault(date, []).append(instant)
        keep_from = kept_from(NOW, 14 * DAY)
        dateline, found = observe(dateline, date, instant, zone(tz), keep_from, False)
        bridged.update(found)
        assert bridged == naive_bridges(instants)
    assert [row[0] for row in dateline.recent] == sorted(instants)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 32))
def test_nothing_reachable_is_forgotten(seed: int) -> None:
    """A long log by append time, phones late by up to the whole window, steps back included."""
    rng = random.Random(seed)
    log = Log(world(OLD_BOOK))
    zones = ("Pacific/Kiritimati", "Etc/GMT+12", "Pacific/Honolulu")
    events = []
    for n in range(150):
        end = NOW + n * 11 * HOUR + rng.randrange(11 * HOUR)
        delay = rng.choice((0, rng.randrange(14 * DAY), 14 * DAY))
        events.append((end + delay, completion(n, end, rng.choice(zones))))
    # Append times of a log may step back a little, when a leader changes.
    events.sort(key=lambda event: event[0] + rng.randrange(2 * HOUR))
    instants: dict[int, list[int]] = {}
    for append_time, event in events:
        outcome = log.take(event, append_time)
        assert outcome.local_date is not None
        instants.setdefault(outcome.local_date, []).append(event.completed_at)
        assert len(log.state.dateline.recent) <= 14 + 2 * 6
    bridged = {x for start, n in log.state.sets.bridged for x in range(start, start + n)}
    assert bridged == naive_bridges(instants)
    assert bridged


def test_instants_within_the_known_ones_change_nothing() -> None:
    dateline, _ = observe(DatelineWindow(), 100, 100 * DAY, UTC, 0, True)
    dateline, _ = observe(dateline, 100, 100 * DAY + 2 * MINUTE, UTC, 0, True)
    again, bridges = observe(dateline, 100, 100 * DAY + MINUTE, UTC, 0, True)
    assert again is dateline
    assert bridges == ()
