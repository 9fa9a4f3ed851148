"""Duplicates of each kind, overlaps, and the cover that bounds what overlaps cost."""

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.dedupe import (
    CELL_MS,
    Cover,
    Session,
    admit,
    cover_size_max,
    with_session,
)
from pipeline.core.identity import uuid_of
from pipeline.core.records import OriginalCompletion, RecordCoordinates
from pipeline.core.seen_filter import CELL_UNKNOWN
from pipeline.ops.validate.state import Remembered
from tests.core.scenes import (
    BOOK,
    DAY,
    HOUR,
    MINUTE,
    NOW,
    POLICY,
    TODAY,
    USER,
    Log,
    completion,
    spanning,
)


def first_two(**second: object) -> Log:
    log = Log()
    first = completion(1, NOW - HOUR)
    log.take(first, NOW)
    log.take(msgspec.structs.replace(first, **second), NOW + 1)
    return log


@pytest.mark.parametrize(
    ("second", "verdict", "severity", "differing"),
    [
        ({}, "exact", "info", ()),
        ({"device_id": "phone", "sent_at": NOW, "context": {"a": "b"}}, "exact", "info", ()),
        ({"tz": "utc"}, "exact", "info", ()),
        ({"tz": "Asia/Tokyo"}, "exact", "info", ("tz",)),
        ({"practice": "walk"}, "collision", "error", ("practice",)),
        ({"session_id": "s2"}, "collision", "error", ("session_id",)),
        (
            {"started_at": NOW - 3 * HOUR, "completed_at": NOW - 2 * HOUR},
            "collision",
            "error",
            ("started_at", "completed_at"),
        ),
        ({"completion_id": "c2"}, "twin", "notice", ()),
        ({"completion_id": "c2", "practice": "walk"}, "twin", "notice", ("practice",)),
    ],
)
def test_what_does_not_count(
    second: dict[str, object], verdict: str, severity: str, differing: tuple[str, ...]
) -> None:
    log = first_two(**second)
    first, outcome = log.outcomes
    assert outcome.verdict == verdict
    assert outcome.state is None and outcome.seen is None and outcome.rejection is None
    assert outcome.digest_before == outcome.digest_after == first.digest_after
    assert outcome.local_date is None
    (alert,) = outcome.alerts
    assert (alert.local_date, alert.original_local_date) == (TODAY, TODAY)
    assert (alert.verdict, alert.severity, alert.differing_fields) == (verdict, severity, differing)
    assert alert.original == OriginalCompletion("c1", "completions", 0, 0)
    assert alert.original.coordinates == RecordCoordinates("completions", 0, 0)
    assert str(alert.cause.coordinates) == "completions[0]@1"
    assert alert.completion_id == second.get("completion_id", "c1")
    assert alert.alert_id == uuid_of("completions/alert/0/1")
    assert alert.cause.offset == 1


def test_the_id_is_asked_before_the_session() -> None:
    log = Log()
    log.take(completion(1, NOW - 3 * HOUR), NOW)
    log.take(completion(2, NOW - 2 * HOUR), NOW)
    assert log.take(completion(1, NOW - 2 * HOUR, session_id="s2"), NOW).verdict == "collision"


def test_what_was_rejected_is_not_remembered() -> None:
    log = Log()
    log.take(completion(1, NOW - HOUR, tz="Nowhere"), NOW)
    assert log.take(completion(1, NOW - HOUR), NOW).verdict == "accepted"
    log.take(completion(1, NOW - HOUR, practice="walk"), NOW)
    assert log.take(completion(1, NOW - HOUR), NOW).verdict == "exact"


def test_copies_of_a_clock_that_is_ahead_are_the_same_content() -> None:
    log = Log()
    event = completion(1, NOW + 5 * HOUR, sent_at=NOW + 5 * HOUR)
    log.take(event, NOW)
    assert log.take(event, NOW + MINUTE).verdict == "exact"


def test_nothing_accepted_can_outlive_the_window() -> None:
    for late in (0, POLICY.late_ms - 1):
        log = Log()
        event = completion(1, NOW - late)
        log.take(event, NOW)
        for wait in range(0, BOOK.window_ms + 3 * DAY, 6 * HOUR):
            log.take(event, NOW + wait)
        assert set(log.verdicts[1:]) == {"exact", "dead_letter"}


@pytest.mark.parametrize(
    ("start", "end", "overlaps"),
    [
        (-20, -10, False),
        (-20, 0, False),
        (-20, 1, True),
        (2, 4, True),
        (-20, 30, True),
        (0, 10, True),
        (9, 20, True),
        (10, 20, False),
    ],
)
def test_overlaps_count_and_are_told(start: int, end: int, overlaps: bool) -> None:
    log = Log()
    base = NOW - 3 * HOUR
    log.take(completion(1, base + 10 * MINUTE), NOW)
    outcome = log.take(spanning(2, base + start * MINUTE, base + end * MINUTE), NOW)
    assert outcome.verdict == ("overlap" if overlaps else "accepted")
    assert log.state.revision == 2
    assert len(outcome.alerts) == overlaps
    for alert in outcome.alerts:
        assert (alert.severity, alert.original.completion_id) == ("notice", "c1")
        assert alert.differing_fields[0] == "session_id"


def test_an_overlap_counts_for_its_own_date() -> None:
    log = Log()
    midnight = NOW // DAY * DAY
    three = midnight + 3 * HOUR
    log.take(completion(1, three - MINUTE), NOW)
    log.take(completion(2, three + MINUTE), NOW)
    assert log.verdicts == ["accepted", "overlap"]
    assert log.state.sets.practised == ((midnight // DAY - 1, 2),)


def test_an_overlap_across_cells() -> None:
    log = Log()
    edge = (NOW // CELL_MS - 1) * CELL_MS
    log.take(completion(1, edge + MINUTE), NOW)
    outcome = log.take(spanning(2, edge - 9 * HOUR, edge - 8 * MINUTE), NOW)
    assert outcome.verdict == "overlap"
    assert outcome.seen is not None
    # The cell of the overlap has c1 already; both are needed there.
    assert [cell for cell, _ in outcome.seen.covers] == [edge // CELL_MS - 2, edge // CELL_MS - 1]


def test_the_original_of_an_overlap_is_named_after_the_window_forgot_its_fields() -> None:
    log = Log()
    log.take(completion(1, NOW - HOUR), NOW)
    log.memory.ids.clear()
    outcome = log.take(completion(2, NOW - HOUR), NOW)
    (alert,) = outcome.alerts
    assert alert.original.completion_id == "c1"
    assert alert.differing_fields == ()
    # Its date is not known any more; an overlap counts anyhow, so none is at stake.
    assert (alert.local_date, alert.original_local_date) == (TODAY, None)
    assert alert.severity == "notice"


def session(start: int, end: int, name: str = "") -> Session:
    return Session(start, end, name or f"{start}-{end}", "completions", 0, 0)


spans = st.tuples(st.integers(-8, 40), st.integers(1, 12)).map(lambda s: (s[0], s[0] + s[1]))
"""In ticks, 12 to a cell: some start before it, some reach beyond."""

TICK = CELL_MS // 12


@given(st.lists(spans, max_size=25))
def test_a_cover_is_the_union_with_nothing_superfluous(ticks: list[tuple[int, int]]) -> None:
    cover: Cover = ()
    accepted: list[Session] = []
    for start, end in ticks:
        new = session(start * TICK, end * TICK)
        if new.end <= 0 or new.start >= CELL_MS:
            continue
        extended = with_session(cover, new, 0)
        assert (extended is not cover) == any(one is new for one in extended)
        cover = extended
        accepted.append(new)
        assert ticks_of(cover) == ticks_of(tuple(accepted))
        for left_out in cover:
            rest = tuple(one for one in cover if one is not left_out)
            assert ticks_of(rest) != ticks_of(cover)
        assert list(cover) == sorted(cover, key=lambda one: one.start)


def ticks_of(cover: Cover) -> set[int]:
    return {
        tick
        for one in cover
        for tick in range(max(one.start // TICK, 0), min(one.end // TICK, CELL_MS // TICK))
    }


@given(st.lists(spans, max_size=20))
def test_an_overlap_with_any_accepted_session_is_seen(ticks: list[tuple[int, int]]) -> None:
    memory = Remembered(BOOK.window_ms)
    accepted: list[Session] = []
    for start, end in ticks:
        new = session(start * TICK, end * TICK)
        crossed, covers = admit(memory, USER, new, CELL_UNKNOWN)
        expected = any(one.start < new.end and new.start < one.end for one in accepted)
        assert (crossed is not None) == expected
        if crossed is not None:
            assert crossed in accepted
            assert crossed.start < new.end and new.start < crossed.end
        for cell, cover in covers:
            assert cover is not memory.covers.get((USER, cell), (0, ()))[1]
            memory.covers[USER, cell] = (0, cover)
        accepted.append(new)


def test_the_earliest_overlapped_session_is_named() -> None:
    memory = Remembered(BOOK.window_ms)
    edge = 10 * CELL_MS
    for one in (session(edge + 5, edge + 9), session(edge - 9, edge - 5)):
        for cell, cover in admit(memory, USER, one, CELL_UNKNOWN)[1]:
            memory.covers[USER, cell] = (0, cover)
    crossed, _ = admit(memory, USER, session(edge - 20, edge + 20), CELL_UNKNOWN)
    assert crossed == session(edge - 9, edge - 5)


@pytest.mark.parametrize(
    ("end", "cells"), [(0, [-1]), (1, [-1, 0]), (CELL_MS, [-1, 0]), (CELL_MS + 1, [-1, 0, 1])]
)
def test_a_session_is_in_the_cells_of_which_it_has_an_instant(end: int, cells: list[int]) -> None:
    covers = admit(Remembered(BOOK.window_ms), USER, session(-1, end), CELL_UNKNOWN)[1]
    assert [cell for cell, _ in covers] == cells


def test_only_what_lies_in_the_cell_counts() -> None:
    before, new = session(CELL_MS - 20, CELL_MS + 3), session(CELL_MS - 10, CELL_MS + 5)
    assert with_session((before,), new, 1) == (new,)
    beyond = (session(10, CELL_MS + 10),)
    assert with_session(beyond, session(20, CELL_MS + 20), 0) is beyond


def test_of_sessions_that_start_at_once_the_longest_is_kept_in_every_cell() -> None:
    shorter, longer = session(10, CELL_MS + 10), session(10, CELL_MS + 20)
    assert with_session((shorter,), longer, 0) == (longer,)
    assert with_session((longer,), shorter, 0) == (longer,)


def test_a_session_that_adds_nothing_is_not_written() -> None:
    cover = with_session((session(0, 100),), session(90, 200), 0)
    assert with_session(cover, session(20, 80), 0) is cover
    assert with_session(cover, session(95, 110), 0) is cover
    assert with_session(cover, session(0, 100, "copy"), 0) is cover


def test_a_long_session_makes_many_short_ones_superfluous() -> None:
    cover: Cover = ()
    for n in range(50):
        cover = with_session(cover, session(n * 100, n * 100 + 50), 0)
    assert len(cover) == 50
    assert with_session(cover, session(-10, 5000), 0) == (session(-10, 5000),)


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 1 << 32))
def test_a_cover_stays_small_however_many_sessions_there_are(seed: int) -> None:
    rng = random.Random(seed)
    shortest = 10 * MINUTE
    bound = cover_size_max(shortest)
    cover: Cover = ()
    sizes = []
    for n in range(1500):
        start = rng.randrange(-HOUR, CELL_MS)
        length = shortest if n % 10 else rng.randrange(shortest, 3 * shortest)
        if start + length > 0:
            cover = with_session(cover, session(start, start + length, str(n)), 0)
            sizes.append(len(cover))
    assert max(sizes) <= bound
    assert bound == 74
    instants = sorted({edge for one in cover for edge in (one.start, one.end - 1)})
    assert max(sum(one.start <= x < one.end for one in cover) for x in instants) <= 2


def test_the_cost_of_an_event_does_not_grow_with_the_events_in_the_window() -> None:
    log = Log()
    for n in range(1000):
        start = NOW - DAY + (n * 7919 * MINUTE) % (20 * HOUR) + n
        log.take(spanning(n, start, start + MINUTE), NOW + n)
    assert set(log.verdicts) == {"accepted", "overlap"}
    assert max(len(cover) for _, cover in log.memory.covers.values()) <= cover_size_max(MINUTE)
    assert len(log.memory.covers) <= 5
