"""The benchmark's input and its truth."""

from collections import Counter, defaultdict
from datetime import datetime
from itertools import pairwise

import msgspec
import pytest

from bench.data import (
    DAY_MS,
    SPAN_DAYS,
    Event,
    Shape,
    events_of,
    sessions_of,
    truth_of,
    users_at_random,
    users_once,
)
from pipeline.core.records import PracticeCompleted

NOW_MS = 1_795_400_000_000
SHAPE = Shape(events=5_000, users=500, now_ms=NOW_MS)


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return list(events_of(SHAPE, sessions_of(SHAPE, users_at_random(SHAPE))))


def instant_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000)


def test_same_shape_same_bytes(events: list[Event]) -> None:
    assert list(events_of(SHAPE, sessions_of(SHAPE, users_at_random(SHAPE)))) == events
    other = Shape(events=5_000, users=500, now_ms=NOW_MS, seed=109)
    assert list(events_of(other, sessions_of(other, users_at_random(other)))) != events


def test_size_and_fields(events: list[Event]) -> None:
    mean_bytes = sum(len(event.value) for event in events) / len(events)
    assert 240 <= mean_bytes <= 275
    known = set(PracticeCompleted.__struct_fields__)
    required = {"completion_id", "user_id", "session_id", "practice"}
    for event in events[:100]:
        value = msgspec.json.decode(event.value)
        assert required <= set(value) <= known
        assert value["user_id"].encode() == event.key
        assert value["completion_id"] == event.completion_id


def test_duplicates_are_exact_and_come_later(events: list[Event]) -> None:
    values = Counter(event.value for event in events)
    assert len(events) == SHAPE.events
    assert len(events) - len(values) == 100
    assert len({event.completion_id for event in events}) == len(values)


def test_own_sessions_in_order_apart_and_not_late(events: list[Event]) -> None:
    spans: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
    for event in dict.fromkeys(events):
        value = msgspec.json.decode(event.value)
        spans[event.key].append(
            (instant_ms(value["started_at"]), instant_ms(value["completed_at"]))
        )
    for own in spans.values():
        for started_ms, completed_ms in own:
            assert NOW_MS - SPAN_DAYS * DAY_MS <= started_ms < completed_ms < NOW_MS
            assert completed_ms - started_ms >= 60_000
        for (_, completed_ms), (next_ms, _) in pairwise(own):
            assert completed_ms < next_ms


def test_truth_by_a_plain_count(events: list[Event]) -> None:
    truth = truth_of(SHAPE, sessions_of(SHAPE, users_at_random(SHAPE)))
    assert (truth.events, truth.accepted, truth.duplicates) == (5_000, 4_900, 100)
    counted = Counter(event.key.decode() for event in dict.fromkeys(events))
    assert {user: said.accepted for user, said in truth.by_user.items()} == counted
    assert truth.portals == sum(said.portals for said in truth.by_user.values())
    for said in truth.by_user.values():
        assert 1 <= said.longest_days <= said.lifetime_days <= SPAN_DAYS + 1
        assert said.portals == sum(1 for day in (1, 3, 7) if day <= said.longest_days)


def test_part_has_the_same_events_per_user() -> None:
    assert SHAPE.first(1_000) == Shape(events=1_000, users=100, now_ms=NOW_MS)
    assert SHAPE.first(9_999_999) == SHAPE


def test_users_once_holds_each_user_once() -> None:
    order = users_once(SHAPE)
    assert sorted(order) == list(range(500))
    assert order != sorted(order)
