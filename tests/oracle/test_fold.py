"""The pipeline's fold agrees with the oracle on random histories."""

from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.enumerations import COMMAND_KINDS
from pipeline.core.records import Command, PracticeCompleted
from pipeline.dev.oracle.users import key_id
from pipeline.dev.workload.wire import json_command, json_completion
from tests.oracle.scenes import POLICY, ms
from tests.oracle.side_by_side import Event, SideBySide, day
from tests.properties import examples

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
ZONES = (
    "UTC", "Europe/Berlin", "America/Los_Angeles", "Pacific/Auckland", "Pacific/Honolulu",
    "Pacific/Kiritimati", "Pacific/Apia", "Asia/Kathmandu", "America/St_Johns", "Africa/Cairo",
)  # fmt: skip
SPELLINGS = (
    "europe/berlin", " Pacific/Auckland", "America/Los Angeles", "US/Pacific-New", "Asia/Riyadh87",
    "+02:00", "GMT+13", "UTC-10:00", "\u22123:30", "Z", "-1200", "UTC+15", "Etc/Unknown", "Factory",
    "", "\u200b", "Mars/Base",
)  # fmt: skip
OFFSETS = (None, None, 0, 120, 345, 720, 840, 841, -600, -720, -721)
PRACTICES = ("breath", "breath", "نفس\u200cگیری", "🫨", "瞑想\u3000", "\u3000", "a\x00", "p" * 65)
STARTS = tuple(
    ms(start)
    for start in (
        "2026-06-26T00:00:00Z",  # the second policy takes effect within
        "2011-12-26T00:00:00Z",  # Samoa skips a date
        "2026-03-25T00:00:00Z",  # clocks go forward in Berlin
        "2026-10-20T00:00:00Z",  # and back
        "2024-02-24T00:00:00Z",  # a leap day
        "2024-04-22T00:00:00Z",  # Cairo misses a midnight
    )
)


@dataclass(frozen=True)
class Habit:
    """Bounds of a random history: a few days, ids and zones, so that things meet."""

    start: int
    days: int
    ids: int
    zones: tuple[str, ...]


def completions(habit: Habit) -> st.SearchStrategy[tuple[Event, int]]:
    """Completions and their append times."""

    def build(
        half_hours: int,
        sat: tuple[int, str],
        names: tuple[int, int],
        zone: tuple[str, int | None],
        delay: int,
        ahead: int,
    ) -> tuple[Event, int]:
        end = habit.start + half_hours * HOUR_MS // 2
        append = end + delay
        completion = PracticeCompleted(
            completion_id=f"c{names[0]}",
            user_id="ana",
            session_id=f"s{names[1]}",
            practice=sat[1],
            started_at=end - sat[0] * 60_000 + ahead,
            completed_at=end + ahead,
            tz=zone[0],
            sent_at=append + ahead if ahead else None,
            offset_minutes=zone[1],
        )
        return completion, append

    return st.builds(
        build,
        st.integers(0, habit.days * 48),
        st.tuples(
            st.sampled_from((0, 1, 20, 30, 45, 700, 721)),
            st.sampled_from(PRACTICES[:2] * 6 + PRACTICES),
        ),
        st.tuples(st.integers(0, habit.ids), st.integers(0, habit.ids)),
        st.tuples(st.sampled_from(habit.zones), st.sampled_from(OFFSETS)),
        st.sampled_from(
            (0, 1, 1000, HOUR_MS, 13 * DAY_MS, 14 * DAY_MS, 14 * DAY_MS + 1, 15 * DAY_MS, -DAY_MS)
        ),
        st.sampled_from(
            (0, 0, 0, -HOUR_MS, 60_000, 120_000, 120_001, 5 * HOUR_MS, 3 * DAY_MS, 3 * DAY_MS + 1)
        ),
    )


def commands(habit: Habit) -> st.SearchStrategy[tuple[Event, int]]:
    """Commands and their append times."""

    def build(
        kind: str,
        number: int,
        about: tuple[int, str | None],
        target: int,
        key: tuple[int, str, int],
        at: int,
    ) -> tuple[Event, int]:
        append = habit.start + at * HOUR_MS
        command = Command(
            request_id=f"r{number}",
            user_id="ana",
            kind=kind,
            actor="lea",
            reason="why",
            ticket="T-1",
            local_date=habit.start // DAY_MS + about[0],
            key_id=key_id("ana", *key),
            withdraws=f"r{target}",
            tz=about[1],
        )
        return command, append

    return st.builds(
        build,
        st.sampled_from(("credit", *COMMAND_KINDS)),
        st.integers(0, habit.ids),
        st.tuples(
            st.integers(-1, habit.days + 1),
            st.one_of(st.none(), st.none(), st.sampled_from(habit.zones)),
        ),
        st.integers(0, habit.ids),
        st.tuples(st.integers(0, 1), st.sampled_from(("seed", "leaf", "nix")), st.integers(0, 2)),
        st.integers(0, habit.days * 24),
    )


def redriven(event: Event, came: int, number: int, after: int) -> tuple[Event, int]:
    """An event, redriven so long after it came."""
    is_command = isinstance(event, Command)
    command = Command(
        f"x{number}",
        "ana",
        "redrive",
        "lea",
        "why",
        "T-1",
        payload=json_command(event) if isinstance(event, Command) else json_completion(event),
        payload_append_time=came,
        payload_topic="commands" if is_command else "completions",
        payload_cause="awaway.commands[0]@1" if is_command else "awaway.completions[0]@1",
    )
    return command, came + after


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[Event, int]]:
    """A log in some order; mostly by append time, as logs are."""
    habit = Habit(
        start=draw(st.sampled_from(STARTS)),
        days=draw(st.integers(2, 12)),
        ids=draw(st.sampled_from((3, 12, 200))),
        zones=tuple(
            draw(st.lists(st.sampled_from(ZONES + SPELLINGS), min_size=1, max_size=4, unique=True))
        ),
    )
    log = draw(
        st.lists(
            st.one_of(completions(habit), completions(habit), completions(habit), commands(habit)),
            max_size=40,
        )
    )
    # Some of it is redriven, whatever became of it, and so is some that never came otherwise.
    lost = draw(st.lists(st.one_of(completions(habit), commands(habit)), max_size=5))
    chosen = draw(st.lists(st.integers(0, 39), max_size=5))
    delays = st.sampled_from((0, 1, HOUR_MS, DAY_MS, 5 * DAY_MS, -1))
    for number, (event, came) in enumerate([*lost, *[log[n] for n in chosen if n < len(log)]]):
        line = redriven(event, came, number, draw(delays))
        log.insert(draw(st.integers(0, len(log))), line)
    if draw(st.booleans()):
        log.sort(key=lambda line: line[1])
    return log


@settings(max_examples=examples(100), deadline=None)
@given(histories())
def test_any_history(log: list[tuple[Event, int]]) -> None:
    both = SideBySide(POLICY)
    for event, append_time in log:
        both.take(event, append_time)
    both.compare_users()


@pytest.mark.parametrize("seed", range(4))
def test_months_of_a_traveller_with_a_bad_connection(seed: int) -> None:
    rng = Random(seed)
    both = SideBySide(POLICY)
    start = STARTS[seed % len(STARTS)]
    log: list[tuple[Event, int]] = []
    zone = "UTC"
    for n in range(400):
        if rng.random() < 0.05:
            zone = rng.choice(ZONES)
        end = start + n * DAY_MS // 2 + rng.randrange(-5, 5) * HOUR_MS
        append = end + rng.choice((1000, 1000, 1000, rng.randrange(18 * DAY_MS)))
        begin = end - rng.choice((600_000, 600_000, 11 * HOUR_MS))
        fields = (f"c{n}", "ana", f"s{n}", "breath", begin, end, zone)
        log.append((PracticeCompleted(*fields), append))
        if rng.random() < 0.1:
            log.append((PracticeCompleted(*fields), append + rng.randrange(DAY_MS)))
        if rng.random() < 0.05:
            kind = rng.choice(("credit", "revoke"))
            about = end // DAY_MS - rng.randrange(3)
            log.append(redriven(*log[-1], n, rng.choice((HOUR_MS, 5 * DAY_MS))))
            request = Command(f"r{n}", "ana", kind, "lea", "why", "T-1", about)
            log.append((request, append))
    log.sort(key=lambda line: line[1])
    words = [both.take(event, append)[1].word for event, append in log]
    both.compare_users()
    assert {"accepted", "exact", "overlap", "applied", "dead_letter"} <= set(words)
    assert both.judgement.users["ana"].unlocks.keys() > {(0, "seed"), (0, "tree")}


def test_ten_years_of_one_user_with_long_breaks() -> None:
    both = SideBySide(POLICY)
    start = ms("2026-07-02T12:00:00Z")
    practised = [n for n in range(3650) if n % 365 < 100 and n % 97]
    for n in practised:
        end = start + n * DAY_MS
        fields = (f"c{n}", "ana", f"s{n}", "breath", end - 600_000, end, "Europe/Berlin")
        both.take(PracticeCompleted(*fields), end)
    both.compare_users()
    user = both.judgement.users["ana"]
    assert len(user.practised) == len(practised)
    assert (15, "tree") in user.unlocks
    assert user.tz == "Europe/Berlin"


def test_samoa_and_a_revocation_together() -> None:
    both = SideBySide(POLICY)
    for n, end in enumerate(("2011-12-29T20:00:00-10:00", "2011-12-31T21:00:00+14:00")):
        at = ms(end)
        fields = (f"c{n}", "ana", f"s{n}", "breath", at - 600_000, at, "Pacific/Apia")
        both.take(PracticeCompleted(*fields), at)
    about = day("2011-12-30")
    revoke = Command("r", "ana", "revoke", "lea", "why", "T-1", about)
    both.take(revoke, ms("2012-01-01T00:00:00Z"))
    both.compare_users()
    assert len(both.judgement.users["ana"].covered) == 2


@pytest.mark.parametrize("tz", [None, "", " ", "\u200b", "europe/berlin", "Mars/Base"])
def test_the_zone_of_a_credit(tz: str | None) -> None:
    both = SideBySide(POLICY)
    credit = Command("r", "ana", "credit", "lea", "why", "T-1", day("2026-06-25"), tz=tz)
    _, judged = both.take(credit, ms("2026-06-26T00:00:00Z"))
    both.compare_users()
    assert judged.word == ("dead_letter" if tz == "Mars/Base" else "applied")
    shown = {user.tz for user in both.judgement.users.values()}
    assert shown == {None: {"UTC"}, "europe/berlin": {"Europe/Berlin"}, "Mars/Base": set()}.get(
        tz, {"UTC"}
    )
