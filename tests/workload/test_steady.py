"""The benchmark's input and its truth."""

from collections import Counter, defaultdict
from datetime import datetime
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from bench.truth import truth_of
from pipeline.core.records import PracticeCompleted
from pipeline.dev.workload.ground_truth import InputRecord, tally
from pipeline.dev.workload.people import DAY_MS
from pipeline.dev.workload.steady import (
    SPAN_DAYS,
    Steady,
    completions_of,
    records_of,
    users_at_random,
    users_once,
)

NOW_MS = 1_795_400_000_000
STEADY = Steady(events=5_000, users=500, now_ms=NOW_MS)


@pytest.fixture(scope="module")
def events() -> list[InputRecord]:
    return list(records_of(STEADY, completions_of(STEADY, users_at_random(STEADY))))


def fields_of(record: InputRecord) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(record.value or b"")
    return decoded


def counting(events: list[InputRecord]) -> list[InputRecord]:
    return [event for event in events if event.verdict == "accepted"]


def instant_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000)


def test_the_same_arguments_make_the_same_bytes(events: list[InputRecord]) -> None:
    assert list(records_of(STEADY, completions_of(STEADY, users_at_random(STEADY)))) == events
    other = Steady(events=5_000, users=500, now_ms=NOW_MS, seed=109)
    assert list(records_of(other, completions_of(other, users_at_random(other)))) != events


def test_size_and_fields(events: list[InputRecord]) -> None:
    mean_bytes = sum(len(event.value or b"") for event in events) / len(events)
    assert 240 <= mean_bytes <= 275
    known = set(PracticeCompleted.__struct_fields__)
    required = {"completion_id", "user_id", "session_id", "practice"}
    for event in events[:100]:
        fields = fields_of(event)
        assert required <= set(fields) <= known
        assert fields["user_id"].encode() == event.key


def test_duplicates_are_exact_and_come_later(events: list[InputRecord]) -> None:
    values = Counter(event.value for event in events)
    assert len(events) == STEADY.events
    assert len(events) - len(values) == 100
    assert len({fields_of(event)["completion_id"] for event in events}) == len(values)
    seen = set()
    for event in events:
        assert event.verdict == ("exact" if event.value in seen else "accepted")
        seen.add(event.value)


def test_own_sessions_in_order_apart_and_not_late(events: list[InputRecord]) -> None:
    spans: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for fields in map(fields_of, counting(events)):
        spans[fields["user_id"]].append(
            (instant_ms(fields["started_at"]), instant_ms(fields["completed_at"]))
        )
    for own in spans.values():
        for started_ms, completed_ms in own:
            assert NOW_MS - SPAN_DAYS * DAY_MS <= started_ms < completed_ms < NOW_MS
            assert completed_ms - started_ms >= 60_000
        for (_, completed_ms), (next_ms, _) in pairwise(own):
            assert completed_ms < next_ms


def test_truth_by_a_plain_count(events: list[InputRecord]) -> None:
    truth = truth_of(STEADY, completions_of(STEADY, users_at_random(STEADY)))
    assert (truth.events, truth.accepted, truth.duplicates) == (5_000, 4_900, 100)
    assert tally(events).verdicts == {"accepted": truth.accepted, "exact": truth.duplicates}
    counted = Counter(fields_of(event)["user_id"] for event in counting(events))
    assert {user: said.accepted for user, said in truth.by_user.items()} == counted
    assert truth.portals == sum(said.portals for said in truth.by_user.values())
    for said in truth.by_user.values():
        assert 1 <= said.longest_days <= said.lifetime_days <= SPAN_DAYS + 1
        assert said.portals == sum(1 for day in (1, 3, 7) if day <= said.longest_days)


def test_part_has_the_same_events_per_user() -> None:
    assert STEADY.first(1_000) == Steady(events=1_000, users=100, now_ms=NOW_MS)
    assert STEADY.first(9_999_999) == STEADY


def test_users_once_holds_each_user_once() -> None:
    order = users_once(STEADY)
    assert sorted(order) == list(range(500))
    assert order != sorted(order)
