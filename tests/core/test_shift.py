"""Bridges where the policy takes off what a journey put the clock forward."""

import random
from datetime import UTC, datetime
from itertools import permutations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.calendar import local_date
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
    POLICY,
    TODAY,
    Event,
    Log,
    Practice,
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
SUN, MON, TUE, WED, THU = (f"2026-06-{n}" for n in range(14, 19))
AIR = ((day(TUE), 1),)
"""The date that nobody on board could practise on."""


def stay(book: PolicyBook, *practices: Practice) -> Log:
    """Practise, each folded as it ends."""
    log = Log(world(book))
    for n, practice in enumerate(practices):
        log.take(completion(n, clock(practice), practice[2]), clock(practice))
    return log


@pytest.mark.parametrize(
    ("home", "there"),
    [
        ("America/Los_Angeles", "Pacific/Auckland"),
        ("Pacific/Honolulu", "Asia/Tokyo"),
        ("America/New_York", "Asia/Tokyo"),
        ("America/Santiago", "Pacific/Auckland"),
        ("America/New_York", "Australia/Sydney"),
        ("-10:00", "GMT+13"),
        ("America/Chicago", "Asia/Hong_Kong"),
    ],
)
def test_one_practice_each_morning_survives_a_flight_that_skips_a_date(
    home: str, there: str
) -> None:
    """Sunday and Monday at seven at home, Wednesday at seven there: Tuesday was in the air."""
    mornings = ((SUN, "07:00", home), (MON, "07:00", home), (WED, "07:00", there))
    log = stay(BOOK, *mornings)
    assert log.state.sets.bridged == AIR
    progress = log.progress()
    assert (progress.streak_days, progress.longest_days, progress.lifetime_days) == (4, 4, 4)
    assert progress.dates.bridged == (Run(day(TUE), 1),)
    assert log.unlocked == [(0, "bindu"), (0, "vesica-piscis")]
    # The version before counts the 23 hours alone.
    short = clock(mornings[2]) - clock(mornings[1]) < BRIDGE_MS
    assert stay(OLD_BOOK, *mornings).progress().streak_days == (4 if short else 1)


@pytest.mark.parametrize("book", [BOOK, OLD_BOOK])
def test_an_evening_flight_is_bridged_under_both_versions(book: PolicyBook) -> None:
    home = "America/Los_Angeles"
    log = stay(book, (SUN, "20:00", home), (MON, "20:00", home), (WED, "07:30", "Australia/Sydney"))
    assert log.state.sets.bridged == AIR
    assert log.progress().streak_days == 4


TURN = at("2026-06-01T00:00:00Z")
MONDAY, WEDNESDAY = ("2026-05-25", "07:00", "US/Pacific"), ("2026-05-27", "07:00", "NZ")
FLIGHT = (
    completion(1, clock(MONDAY), MONDAY[2]),
    completion(2, clock(WEDNESDAY), WEDNESDAY[2]),
)


@pytest.mark.parametrize("flight", [FLIGHT, FLIGHT[::-1]])
@pytest.mark.parametrize(("second_at", "bridges"), [(TURN - 1, False), (TURN, True)])
def test_the_version_at_the_append_of_the_later_of_the_two_decides(
    flight: tuple[Event, Event], second_at: int, bridges: bool
) -> None:
    log = Log().take_all([(flight[0], TURN - DAY), (flight[1], second_at)])
    assert [bool(log.state.sets.bridged), log.outcomes[1].policy_version == "2026-06"] == [
        bridges,
        bridges,
    ]


@pytest.mark.parametrize(
    ("third", "bridges"),
    [
        (("2026-05-27", "08:00", "NZ"), True),
        # Neither the first nor the last of its date: what is kept does not change, but the rule
        # did.
        (("2026-05-27", "07:30", "NZ"), True),
        (("2026-05-25", "07:30", "US/Pacific"), True),
        (("2026-05-29", "07:00", "NZ"), False),
    ],
)
def test_it_is_asked_at_each_completion_for_the_dates_beside_its_own(
    third: Practice, bridges: bool
) -> None:
    more = (("2026-05-27", "09:00", "NZ"), ("2026-05-25", "09:00", "US/Pacific"))
    log = Log().take_all((event, TURN - 1) for event in FLIGHT)
    log.take_all((completion(3 + n, clock(p), p[2]), TURN - 1) for n, p in enumerate(more))
    assert log.state.sets.bridged == ()
    log.take(completion(5, clock(third), third[2]), TURN)
    assert bool(log.state.sets.bridged) == bridges


def test_a_bridge_once_made_stays_under_a_version_that_would_not_make_it() -> None:
    log = Log().take_all((event, TURN) for event in FLIGHT)
    made = log.state.sets.bridged
    assert made
    log.world = world(OLD_BOOK)
    log.take(completion(3, clock(WEDNESDAY) + HOUR, "NZ"), TURN)
    assert log.state.sets.bridged == made


@pytest.mark.parametrize(
    ("home", "there", "bridges"),
    [
        ("Europe/Berlin", "Europe/Berlin", False),
        ("Europe/London", "Europe/Berlin", False),
        ("America/New_York", "Europe/London", False),
        ("America/New_York", "Europe/Berlin", False),  # 6 hours: exactly 23 remain
        ("Europe/Berlin", "Asia/Tokyo", True),  # 7 hours
        ("Pacific/Auckland", "America/Los_Angeles", False),  # westwards nothing is skipped
        ("Europe/Berlin", "America/New_York", False),
        ("America/Sao_Paulo", "Asia/Shanghai", True),  # 11 hours: too few for two mornings
    ],
)
def test_a_small_hop_with_a_missed_day_is_not_bridged(home: str, there: str, bridges: bool) -> None:
    """Monday evening at eight, Wednesday morning at seven; nothing on Tuesday."""
    log = stay(BOOK, (MON, "20:00", home), (WED, "07:00", there))
    assert bool(log.state.sets.bridged) == bridges
    mornings = stay(BOOK, (MON, "07:00", home), (WED, "07:00", there))
    assert mornings.state.sets.bridged == ()


def test_two_missing_dates_are_not_bridged_however_far_the_journey() -> None:
    log = stay(BOOK, (MON, "23:00", "Etc/GMT+12"), (THU, "03:00", "Pacific/Kiritimati"))
    assert log.state.sets.bridged == ()


@pytest.mark.parametrize(("minutes", "bridges"), [(-1, True), (0, False), (1, False)])
@pytest.mark.parametrize("seconds", [0, 59])
def test_exactly_23_hours_remain(minutes: int, bridges: bool, seconds: int) -> None:
    """Berlin is two hours ahead of UTC: 25 hours pass, less two. Whole minutes are compared."""
    left = clock((TUE, "02:30", "UTC"))  # before the day's start: Monday's practice
    back = left + 25 * HOUR + minutes * MINUTE
    events = [completion(1, left + seconds * 1000, "UTC"), completion(2, back, "Europe/Berlin")]
    dates = [local_date(e.completed_at, zone(e.tz), THREE) for e in events]
    assert dates == [day(MON), day(WED)]
    for order in permutations(events):
        log = Log().take_all((event, NOW + 3 * DAY) for event in order)
        assert bool(log.state.sets.bridged) == bridges


BERLIN_TO_TOKYO = [
    # The clocks in Berlin go forward on the 29th: Tokyo is 8 hours ahead before, 7 at noon.
    (("2026-03-28", "12:30", "Europe/Berlin"), ("2026-03-30", "03:00", "Asia/Tokyo"), False),
    # The clocks in Berlin go back on the 25th: Tokyo is 7 hours ahead before, 8 at noon.
    (("2026-10-24", "13:30", "Europe/Berlin"), ("2026-10-26", "03:00", "Asia/Tokyo"), True),
]


@pytest.mark.parametrize(("first", "second", "bridges"), BERLIN_TO_TOKYO)
def test_the_offsets_are_those_at_noon_of_the_date_between(
    first: Practice, second: Practice, bridges: bool
) -> None:
    assert clock(second) - clock(first) == 30 * HOUR + 30 * MINUTE
    for order in permutations((first, second)):
        events = [completion(n, clock(one), one[2]) for n, one in enumerate(order)]
        append_time = clock(second) + DAY
        log = Log(world(ALWAYS)).take_all((event, append_time) for event in events)
        assert bool(log.state.sets.bridged) == bridges


def test_so_are_those_of_a_second_completion_of_a_date() -> None:
    """From New York to Berlin, whose clocks go forward on the date of arrival.

    At noon of the date between Berlin is 5 hours ahead, and 6 from the next on. 28 and a half hours
    lie between the two that are closest: 23 and a half remain.
    """
    before = ("2026-03-27", "20:30", "America/New_York")
    after = [("2026-03-29", wall, "Europe/Berlin") for wall in ("12:00", "07:00")]
    assert clock(after[1]) - clock(before) == 28 * HOUR + 30 * MINUTE
    for order in permutations((before, *after)):
        events = [completion(n, clock(one), one[2]) for n, one in enumerate(order)]
        append_time = clock(after[0]) + DAY
        log = Log(world(ALWAYS)).take_all((event, append_time) for event in events)
        assert log.state.sets.bridged == ()


def naive(instants: dict[int, list[tuple[int, str]]]) -> set[int]:
    """Return the bridged dates by comparing every completion with every other."""
    found = set()
    for before, practices in instants.items():
        x = before + 1
        noon = datetime.fromtimestamp(x * 86_400 + 43_200, UTC)
        for a, a_tz in practices:
            for c, c_tz in instants.get(before + 2, ()):
                shift = sum(
                    sign * (offset.total_seconds() // 60)
                    for sign, tz in ((1, c_tz), (-1, a_tz))
                    for offset in (noon.astimezone(zone(tz).info).utcoffset(),)
                    if offset is not None
                )
                if c - a < BRIDGE_MS or c // MINUTE - a // MINUTE - shift < 23 * 60:
                    found.add(x)
    return found


JOURNEYS = ("Pacific/Auckland", "Europe/Berlin", "America/Los_Angeles", "Etc/GMT+12", "+05:30")
moves = st.lists(
    st.tuples(st.integers(0, 13 * 24 * 4), st.sampled_from(JOURNEYS)),
    min_size=2,
    max_size=14,
    unique=True,
)


@settings(max_examples=200)
@given(moves, st.sampled_from(("2026-03-29", "2026-06-15", "2026-10-25")), st.randoms())
def test_any_order_bridges_what_every_pair_says(
    events: list[tuple[int, str]], around: str, order: random.Random
) -> None:
    start = (day(around) - 6) * DAY
    dateline = DatelineWindow()
    instants: dict[int, list[tuple[int, str]]] = {}
    bridged: set[int] = set()
    order.shuffle(events)
    for quarter, tz in events:
        instant = start + quarter * 15 * MINUTE + order.randrange(15 * MINUTE)
        when = local_date(instant, zone(tz), THREE)
        instants.setdefault(when, []).append((instant, tz))
        keep_from = kept_from(start + 14 * DAY, 35 * DAY)
        dateline, found = observe(dateline, when, instant, zone(tz), keep_from, True)
        bridged.update(found)
        assert bridged == naive(instants)
    assert [row[0] for row in dateline.recent] == sorted(instants)


def test_every_order_of_several_completions_a_date_in_several_zones() -> None:
    practices = (
        (MON, "07:00", "America/Los_Angeles"),
        (MON, "22:00", "America/New_York"),
        (MON, "12:00", "Pacific/Honolulu"),
        (WED, "07:00", "Pacific/Auckland"),
        (WED, "05:00", "Asia/Tokyo"),
        (WED, "23:00", "Europe/Berlin"),
    )
    events = [completion(n, clock(p), p[2]) for n, p in enumerate(practices)]
    ends = {log_state(order) for order in permutations(events)}
    assert len(ends) == 1
    ((_, bridged, dateline),) = ends
    assert bridged == AIR
    monday, wednesday = dateline.recent
    # The extremes of the times and of the times less the offset are those of different practices.
    assert monday[1] + day(MON) * DAY == clock(practices[0])
    assert monday[2] + day(MON) * DAY == clock(practices[1])
    assert monday[4] == (clock(practices[2]) - day(MON) * DAY) // MINUTE + 10 * 60
    assert wednesday[1] + day(WED) * DAY == clock(practices[3])
    assert wednesday[3] == (clock(practices[3]) - day(WED) * DAY) // MINUTE - 12 * 60


def log_state(order: tuple[Event, ...]) -> tuple[object, object, DatelineWindow]:
    log = Log().take_all((event, NOW + 4 * DAY) for event in order)
    return log.state.digest, log.state.sets.bridged, log.state.dateline


def test_a_completion_between_the_known_ones_changes_what_is_kept_if_its_zone_is_another() -> None:
    start = TODAY * DAY
    dateline = DatelineWindow()
    for instant, tz in ((start, "UTC"), (start + 4 * HOUR, "UTC"), (start + HOUR, "NZ")):
        dateline, _ = observe(dateline, TODAY, instant, zone(tz), 0, True)
    # An hour past midnight, less the 12 hours that New Zealand is ahead.
    assert dateline.recent == ((TODAY, 0, 4 * HOUR, 60 - 720, 240),)
    again, _ = observe(dateline, TODAY, start + 2 * HOUR, zone("NZ"), 0, True)
    assert again is dateline


def test_what_is_kept_is_bounded_by_the_late_window() -> None:
    log = Log()
    zones = ("Pacific/Kiritimati", "Etc/GMT+12", "Europe/Berlin")
    for n in range(0, 150 * 24, 7):
        end = NOW + n * HOUR
        log.take(completion(n, end, zones[n % 3]), end)
        # 35 days, 6 of margin, and a date that is a day ahead.
        assert len(log.state.dateline.recent) <= 35 + 6 + 2
    assert len(log.state.dateline.recent) >= 35


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1 << 32))
def test_nothing_that_is_reachable_is_forgotten(seed: int) -> None:
    """Phones late by up to 35 days, in zones far apart, and append times that step back."""
    rng = random.Random(seed)
    events = []
    for n in range(120):
        end = NOW + n * 13 * HOUR + rng.randrange(13 * HOUR)
        delay = rng.choice((0, rng.randrange(35 * DAY), 35 * DAY))
        events.append((end + delay, completion(n, end, rng.choice(JOURNEYS))))
    events.sort(key=lambda event: event[0] + rng.randrange(2 * HOUR))
    log = Log()
    instants: dict[int, list[tuple[int, str]]] = {}
    for append_time, event in events:
        outcome = log.take(event, append_time)
        assert outcome.local_date is not None
        instants.setdefault(outcome.local_date, []).append((event.completed_at, event.tz))
    bridged = {x for start, n in log.state.sets.bridged for x in range(start, start + n)}
    assert bridged == naive(instants)
    assert bridged
