"""A zone that nobody knows falls back to the offset that the end was written with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.identity import uuid_of
from pipeline.core.records import OriginalCompletion
from pipeline.core.zones import offset_zone, zone_of
from tests.core.scenes import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    TODAY,
    Log,
    at,
    completion,
    day,
    reason_of,
    spanning,
)


@pytest.mark.parametrize(
    "tz", ["Etc/Unknown", "", " ", "\u200b\xa0", "CEST", "Mars/Olympus", "\ud800", "x" * 10_000]
)
def test_it_counts_by_the_offset_and_says_so(tz: str) -> None:
    log = Log()
    late = at("2026-06-15T01:30:00Z")
    outcome = log.take(completion(1, late, tz, offset_minutes=120), late)
    assert (outcome.verdict, outcome.local_date) == ("accepted", day("2026-06-15"))
    assert (outcome.tz, outcome.tz_assumed) == ("Etc/GMT-2", True)
    assert log.state.tz == outcome.unlocks[0].tz == "Etc/GMT-2"
    (alert,) = outcome.alerts
    assert (alert.verdict, alert.severity) == ("assumed_zone", "notice")
    assert alert.differing_fields == ("tz",)
    assert alert.local_date == alert.original_local_date == outcome.local_date
    assert (alert.completion_id, alert.user_id) == ("c1", "ana")
    assert alert.original == OriginalCompletion("c1", "completions", 0, 0)
    assert alert.alert_id == uuid_of("completions/zone/0/0")
    assert alert.cause.offset == 0


@pytest.mark.parametrize(
    ("minutes", "name"),
    [
        *((0, "UTC"), (120, "Etc/GMT-2"), (-720, "Etc/GMT+12"), (840, "Etc/GMT-14")),
        *((330, "+05:30"), (-210, "-03:30"), (839, "+13:59"), (-719, "-11:59"), (1, "+00:01")),
    ],
)
def test_the_zone_is_the_offset_by_its_own_name(minutes: int, name: str) -> None:
    outcome = Log().take(completion(1, NOW, "Etc/Unknown", offset_minutes=minutes), NOW)
    assert (outcome.tz, outcome.tz_assumed) == (name, True)
    # Who sends that name later is where they were.
    assert zone_of(name) is offset_zone(minutes)


@pytest.mark.parametrize("minutes", [None, -721, 841, 1_439, -1_439, 1 << 70, -(1 << 70)])
def test_without_an_offset_that_a_place_has_it_is_a_dead_letter(minutes: int | None) -> None:
    log = Log()
    for tz in ("Etc/Unknown", ""):
        outcome = log.take(completion(1, NOW, tz, offset_minutes=minutes), NOW)
        assert reason_of(outcome) == "unknown_zone"
        assert (outcome.alerts, outcome.tz, outcome.tz_assumed) == ((), None, False)


def test_a_zone_that_is_known_is_asked_for_no_offset() -> None:
    """Somebody's phone says Tokyo and writes its instants in UTC, as many clients do."""
    late = at("2026-06-14T18:30:00Z")  # 03:30 in Tokyo
    for minutes in (0, 120, 5_000):
        outcome = Log().take(completion(1, late, "asia/tokyo", offset_minutes=minutes), late)
        assert (outcome.tz, outcome.tz_assumed) == ("Asia/Tokyo", False)
        assert (outcome.local_date, outcome.alerts) == (day("2026-06-15"), ())


def test_an_overlap_has_its_own_alert_beside_it() -> None:
    log = Log()
    log.take(completion(1, NOW), NOW)
    outcome = log.take(completion(2, NOW + MINUTE, "Etc/Unknown", offset_minutes=60), NOW + MINUTE)
    assert (outcome.verdict, outcome.tz_assumed) == ("overlap", True)
    overlap, assumed = outcome.alerts
    assert (overlap.verdict, overlap.severity) == ("overlap", "notice")
    assert overlap.original.completion_id == "c1"
    assert "tz" in overlap.differing_fields
    assert (assumed.verdict, assumed.severity) == ("assumed_zone", "notice")
    assert assumed.original.completion_id == assumed.completion_id == "c2"
    assert overlap.alert_id != assumed.alert_id
    assert overlap.cause == assumed.cause


def test_a_duplicate_has_only_its_own_alert() -> None:
    log = Log()
    event = completion(1, NOW, "Etc/Unknown", offset_minutes=120)
    log.take(event, NOW)
    outcome = log.take(event, NOW)
    assert [alert.verdict for alert in outcome.alerts] == ["exact"]
    assert (outcome.tz, outcome.tz_assumed) == (None, False)
    assert outcome.alerts[0].differing_fields == ()
    twin = log.take(completion(2, NOW, "", offset_minutes=120, session_id="s1"), NOW)
    assert [alert.verdict for alert in twin.alerts] == ["twin"]
    known = log.take(completion(1, NOW, "Europe/Berlin"), NOW)
    assert [(a.verdict, a.differing_fields) for a in known.alerts] == [("exact", ("tz",))]


def test_what_is_rejected_has_no_alert() -> None:
    log = Log()
    outcome = log.take(completion(1, NOW - 40 * DAY, "Etc/Unknown", offset_minutes=0), NOW)
    assert reason_of(outcome) == "too_late"
    assert outcome.alerts == ()


def test_an_assumed_zone_is_a_place_in_a_bridge() -> None:
    """A browser that does not know its zone flew along: the offsets say how far."""
    log = Log()
    for n, (end, minutes) in enumerate(
        (("2026-06-15T07:00:00-07:00", -420), ("2026-06-17T07:00:00+12:00", 720))
    ):
        log.take(completion(n, at(end), "Etc/Unknown", offset_minutes=minutes), at(end))
    assert log.state.sets.bridged == ((TODAY + 1, 1),)
    assert log.state.tz == "Etc/GMT-12"


@given(st.integers(-1_439, 1_439), st.integers(-60, 60), st.sampled_from(("", "Etc/Unknown")))
def test_alerts_of_one_input_have_different_ids(minutes: int, ahead: int, tz: str) -> None:
    log = Log()
    log.take(spanning(1, NOW - 2 * HOUR, NOW), NOW)
    end = NOW - HOUR + ahead * MINUTE
    outcome = log.take(completion(2, end, tz, offset_minutes=minutes), NOW)
    within = -720 <= minutes <= 840
    assert (outcome.rejection is None) == within
    if within:
        assert outcome.tz_assumed
        verdicts = [alert.verdict for alert in outcome.alerts]
        assert "assumed_zone" in verdicts
        assert ("overlap" in verdicts) == (outcome.verdict == "overlap")
    assert len({alert.alert_id for alert in outcome.alerts}) == len(outcome.alerts)
