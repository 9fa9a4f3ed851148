"""Whatever the order and repetition, the same events end in the same sets, streak and portals."""

import random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.keys import key_ids
from pipeline.core.records import Command, ProgressUpdated
from tests.core.scenes import (
    DAY,
    HOUR,
    NOW,
    POLICY,
    USER,
    Event,
    Log,
    claim,
    completion,
    credit,
    revoke,
    withdraw,
    zone,
)

TODAY = NOW // DAY
ZONES = (
    *("UTC", "Europe/Berlin", "Pacific/Kiritimati", "Pacific/Honolulu", "America/St_Johns"),
    *("Pacific/Auckland", "america/los angeles", "GMT+5:30", "Asia/Tokyo", "Etc/GMT+12"),
)
UNKNOWN = ("Etc/Unknown", "")
KEYS = [key_ids(USER, 0, portal.slug, 1)[0] for portal in POLICY.portals[:5]]

practice = st.tuples(
    st.integers(0, 13 * 24),
    st.sampled_from((*ZONES, *UNKNOWN)),
    st.sampled_from((-600, 0, 60, 330, 780)),
)
travelled = st.tuples(st.integers(0, 5 * 24), st.sampled_from(ZONES), st.just(0))
"""Close together, so that many dates are bridged."""

credited = st.tuples(st.integers(TODAY - 30, TODAY + 1), st.sampled_from((None, *ZONES)))
claimed = st.sampled_from(KEYS)
events = st.builds(
    lambda completions, credits, claims: [
        *(
            completion(n, NOW - hours * HOUR, tz, offset_minutes=minutes)
            for n, (hours, tz, minutes) in enumerate(completions)
        ),
        *(credit(f"credit-{n}", date, tz) for n, (date, tz) in enumerate(credits)),
        *(claim(f"claim-{n}", key) for n, key in enumerate(claims)),
    ],
    st.one_of(st.lists(practice, max_size=16), st.lists(travelled, max_size=16)),
    st.lists(credited, max_size=10),
    st.lists(claimed, max_size=4),
)


def folded(log: list[Event]) -> Log:
    # Append times grow by a little, so that no completion comes to be late by its place.
    return Log().take_all((event, NOW + n) for n, event in enumerate(log))


def comparable(progress: ProgressUpdated) -> dict[str, Any]:
    """Return all of a progress that the order of the log may not change."""
    shown = msgspec.structs.asdict(progress)
    shown["portals"] = {(p.lap, p.slug, p.asset_id) for p in progress.portals}
    del shown["cause"], shown["updated_at"], shown["revision"]
    if not progress.dates.practised:
        # Of adjustments that say where the user is the last one counts, and the streak by it.
        for by_zone in ("tz", "streak_days", "streak_safe_until", "lap", "cycle_day", "frame"):
            del shown[by_zone]
        del shown["figure"], shown["asset_id"]
    return shown


def known_zones(log: list[Event]) -> set[str]:
    """Return the zones that adjustments of a log say, by the names that they are known by."""
    said = {event.tz for event in log if isinstance(event, Command) and event.tz is not None}
    return {zone(tz).name for tz in said}


@settings(max_examples=80, deadline=None)
@given(events, st.randoms(use_true_random=False))
def test_any_order_and_any_repetition(log: list[Event], order: random.Random) -> None:
    straight = folded(log)
    shuffled = log + [event for event in log if order.random() < 0.4]
    order.shuffle(shuffled)
    mixed = folded(shuffled)
    assert straight.state.sets == mixed.state.sets
    assert straight.state.digest == mixed.state.digest
    assert comparable(straight.progress()) == comparable(mixed.progress())
    assert straight.state.dateline == mixed.state.dateline
    if straight.state.tz_id:
        assert straight.state.tz == mixed.state.tz == straight.progress().tz
    else:
        assert {straight.state.tz, mixed.state.tz} <= (known_zones(log) or {""})
    placed = [log.progress().tz_known for log in (straight, mixed)]
    assert placed[0] == placed[1]
    assert sorted(straight.unlocked) == sorted(mixed.unlocked)
    assert len(mixed.unlocked) == len(set(mixed.unlocked))
    assert straight.state.revision == mixed.state.revision == len(log)
    repeats = sum(verdict in ("exact", "repeated") for verdict in mixed.verdicts)
    assert repeats == len(shuffled) - len(log)


@settings(max_examples=60, deadline=None)
@given(
    st.permutations(
        [credit("a", TODAY - 2, "Asia/Tokyo"), revoke("b", TODAY - 9, "UTC"), credit("c", TODAY)]
    ),
    st.lists(st.sampled_from(ZONES), max_size=2),
)
def test_the_place_is_that_of_the_last_adjustment_until_a_completion_says_one(
    adjustments: list[Event], practices: list[str]
) -> None:
    said = [e.tz for e in adjustments if isinstance(e, Command) and e.tz is not None]
    log = folded(adjustments)
    assert log.state.tz == said[-1]
    completions = [completion(n, NOW - n * HOUR, tz) for n, tz in enumerate(practices)]
    log = folded([*completions[:1], *adjustments, *completions[1:]])
    assert log.state.tz == (zone(practices[0]).name if practices else said[-1])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("practice"), st.integers(0, 13 * 24)),
            st.tuples(st.sampled_from(("credit", "revoke")), st.integers(TODAY - 20, TODAY)),
            st.tuples(st.just("withdraw"), st.integers(0, 30)),
        ),
        max_size=40,
    )
)
def test_no_portal_twice_whatever_comes(history: list[tuple[str, int]]) -> None:
    log = Log()
    longest = 0
    for n, (kind, about) in enumerate(history):
        event: Event
        if kind == "practice":
            event = completion(n, NOW - about * HOUR)
        elif kind == "credit":
            event = credit(f"r{n}", about)
        elif kind == "revoke":
            event = revoke(f"r{n}", about)
        else:
            event = withdraw(f"r{n}", f"r{about}")
        outcome = log.take(event, NOW + n)
        longest = max(longest, log.progress().longest_days)
        # Not at all would be as bad: what the longest run ever reached is unlocked, at once.
        assert log.unlocked == [
            (0, portal.slug) for portal in POLICY.portals if portal.day <= longest
        ]
        assert [p.slug for p in log.progress().portals] == [slug for _, slug in log.unlocked]
        assert outcome.digest_after == (outcome.state or log.state).digest
    assert len(log.unlocked) == len(set(log.unlocked))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=40, unique=True))
def test_progress_is_what_counting_days_says(days: list[int]) -> None:
    log = Log()
    for n in sorted(days, key=lambda d: (d % 3, d)):
        log.take(credit(f"r{n}", TODAY - 40 + n, "UTC"), NOW)
    progress = log.progress()
    longest = streak = run = 0
    for n in range(41):
        run = run + 1 if n in days else 0
        longest = max(longest, run)
        streak = run if n in days else (streak if n == 40 else 0)
    assert (progress.longest_days, progress.lifetime_days) == (longest, len(days))
    assert progress.streak_days == streak
    assert progress.cycle_day == (streak - 1) % 108 + 1 if streak else progress.cycle_day == 0
    assert progress.last_local_date == TODAY - 40 + max(days)
