"""Verdicts on completions, worked out by hand."""

from datetime import date
from typing import Any

import pytest

from tests.oracle.scenes import Scene, ms

NOON = "2026-05-10T12:00:00Z"
LATER = "2026-05-10T13:00:00Z"


def test_the_same_report_again_is_exact_and_names_the_first() -> None:
    scene = Scene()
    scene.sat(NOON, completion_id="c", session_id="s")
    verdict = scene.sat(NOON, completion_id="c", session_id="s", append=LATER)
    assert verdict.word == "exact"
    assert verdict.originals == (("completions", 0, 1),)
    assert scene.user.practised == {date(2026, 5, 10)}


def test_a_second_device_is_a_twin_and_stays_one() -> None:
    scene = Scene()
    scene.sat(NOON, completion_id="c", session_id="s")
    assert scene.sat(NOON, completion_id="d", session_id="s", append=LATER).word == "twin"
    # Compared with what counts: the twin never did.
    assert scene.sat(NOON, completion_id="d", session_id="s", append=LATER).word == "twin"


def test_an_id_used_for_something_else_is_a_collision() -> None:
    scene = Scene()
    scene.sat(NOON, completion_id="c", session_id="s")
    assert scene.sat("2026-05-10T18:00:00Z", completion_id="c").word == "collision"
    assert scene.sat(NOON, completion_id="c", session_id="s", practice="walk").word == "collision"


def test_the_id_decides_before_the_session() -> None:
    scene = Scene()
    scene.sat(NOON, completion_id="c", session_id="s")
    scene.sat("2026-05-10T18:00:00Z", completion_id="d", session_id="t")
    verdict = scene.sat("2026-05-10T20:00:00Z", completion_id="c", session_id="t")
    assert verdict.word == "collision"
    assert verdict.originals == (("completions", 0, 1),)


def test_an_overlap_counts_and_touching_is_none() -> None:
    scene = Scene()
    scene.sat(NOON, minutes=10)
    assert scene.sat("2026-05-10T12:10:00Z", minutes=10).word == "accepted"
    verdict = scene.sat("2026-05-10T12:10:01Z", minutes=5)
    assert (verdict.word, verdict.originals) == ("overlap", (("completions", 0, 2),))
    assert len(scene.user.counted) == 3


def test_the_same_report_from_another_zone_is_exact_and_says_that_a_date_was_at_stake() -> None:
    scene = Scene()
    evening = "2026-05-10T18:00:00Z"
    same: dict[str, Any] = {"completion_id": "c", "session_id": "s"}
    scene.sat(evening, tz="Europe/Berlin", **same)
    again = scene.sat(evening, tz="Pacific/Auckland", **same)
    [alert] = again.alerts
    [original] = alert.originals
    assert (again.word, alert.word, original.severity) == ("exact", "exact", "error")
    assert original.differing == {"tz"}
    assert (original.local_date, alert.local_date) == (date(2026, 5, 10), date(2026, 5, 11))
    beside = scene.sat(evening, tz="europe/berlin", **same).alerts[0].originals[0]
    assert (beside.severity, beside.differing) == ("info", frozenset())


def test_a_client_that_counts_its_sessions_from_1_is_told_with_severity_error() -> None:
    scene = Scene()
    verdicts = [scene.sat(f"2026-05-{day}T12:00:00Z", session_id="1") for day in (10, 11)]
    assert [verdict.word for verdict in verdicts] == ["accepted", "twin"]
    assert verdicts[1].alerts[0].originals[0].severity == "error"
    other_device = scene.sat("2026-05-10T12:00:01Z", session_id="1", append=LATER)
    [original] = other_device.alerts[0].originals
    assert original.severity == "notice"
    assert original.differing == {"started_at", "completed_at"}


def test_an_unknown_zone_counts_by_the_offset_and_is_told_once() -> None:
    scene = Scene(tz="Etc/Unknown")
    same: dict[str, Any] = {"completion_id": "c", "session_id": "s", "append": LATER}
    first = scene.sat("2026-05-10T02:30:00Z", offset_minutes=345, **same)
    assert (first.word, first.tz, first.assumed) == ("accepted", "+05:45", True)
    assert first.local_date == date(2026, 5, 10)
    [alert] = first.alerts
    assert (alert.word, alert.originals[0].severity) == ("assumed_zone", "notice")
    assert alert.originals[0].coordinates == ("completions", 0, 1)
    assert alert.originals[0].differing == {"tz"}
    assert first.originals == ()
    again = scene.sat("2026-05-10T02:30:00Z", offset_minutes=345, **same)
    assert [alert.word for alert in again.alerts] == ["exact"]
    overlapping = scene.sat("2026-05-10T02:35:00Z", offset_minutes=345, append=LATER)
    assert [alert.word for alert in overlapping.alerts] == ["overlap", "assumed_zone"]


def test_another_user_is_nobodys_duplicate() -> None:
    scene = Scene()
    scene.sat(NOON, completion_id="c", session_id="s")
    other = Scene(user_id="bo", judgement=scene.judgement, lines=1)
    assert other.sat(NOON, completion_id="c", session_id="s").word == "accepted"


def test_the_window_ends_by_append_time() -> None:
    scene = Scene()
    scene.sat(NOON, completion_id="c", append="2026-05-10T13:00:00Z")
    at_its_end = "2026-05-30T13:00:00Z"
    assert scene.sat(at_its_end, completion_id="c", append=at_its_end).word == "collision"
    after = "2026-05-30T13:00:00.001Z"
    assert scene.sat(after, completion_id="c", append=after).word == "accepted"


def test_a_clock_that_is_ahead_is_put_right_from_what_it_says_when_it_sends() -> None:
    scene = Scene()
    sent_ms = ms("2026-05-12T12:01:00Z")
    ahead = scene.sat("2026-05-12T12:00:00Z", append="2026-05-10T12:01:00Z", sent_at_ms=sent_ms)
    assert (ahead.word, ahead.local_date) == ("accepted", date(2026, 5, 10))
    # The shifted session is the one that others can cross.
    assert scene.sat("2026-05-10T12:05:00Z", append="2026-05-10T12:06:00Z").word == "overlap"


def test_a_resent_report_of_a_skewed_clock_is_still_exact() -> None:
    scene = Scene()
    same: dict[str, Any] = {"completion_id": "c", "session_id": "s"}
    first = ms("2026-05-12T12:01:00Z")
    scene.sat("2026-05-12T12:00:00Z", append="2026-05-10T12:01:00Z", sent_at_ms=first, **same)
    again = scene.sat(
        "2026-05-12T12:00:00Z", append="2026-05-10T15:01:02Z", sent_at_ms=first + 10_800_000, **same
    )
    assert again.word == "exact"


def test_a_report_by_a_clock_weeks_ahead_counts_once_however_often_it_is_sent() -> None:
    scene = Scene()
    same: dict[str, Any] = {"completion_id": "c", "session_id": "s"}
    end = "2026-06-19T12:00:00Z"
    words = [
        scene.sat(end, append=append, sent_at_ms=ms(end), **same).word
        for append in (NOON, "2026-05-31T12:00:00Z", "2026-06-18T12:00:00Z", "2026-06-30T12:00:00Z")
    ]
    assert words == ["dead_letter", "dead_letter", "accepted", "exact"]
    # Forgotten by then, but too late.
    assert scene.sat(end, append="2026-07-10T12:00:00Z", **same).category == "too_late"


def test_a_clock_within_the_tolerance_or_behind_is_trusted() -> None:
    scene = Scene()
    within = ms("2026-05-10T12:03:00Z")
    scene.sat("2026-05-10T12:00:00Z", append="2026-05-10T12:01:00Z", sent_at_ms=within)
    behind = ms("2026-05-01T12:00:00Z")
    scene.sat("2026-05-08T12:00:00Z", append="2026-05-10T12:01:00Z", sent_at_ms=behind)
    assert [one.end_ms for one in scene.user.counted] == [ms(NOON), ms("2026-05-08T12:00:00Z")]


@pytest.mark.parametrize(
    ("end", "append", "fields", "category"),
    [
        (NOON, "2026-05-24T12:00:00.001Z", {}, "too_late"),
        ("2026-05-10T12:10:00.001Z", NOON, {}, "too_far_ahead"),
        (NOON, LATER, {"minutes": -0.001}, "ends_before_start"),
        (NOON, LATER, {"minutes": 0.999}, "too_short"),
        (NOON, LATER, {"minutes": 720.001}, "too_long"),
        (NOON, LATER, {"sent_at_ms": ms("2026-05-13T13:00:00.001Z")}, "clock_too_far_ahead"),
        (NOON, LATER, {"tz": "Mars/Base"}, "unknown_zone"),
        (NOON, LATER, {"tz": ""}, "unknown_zone"),
        (NOON, LATER, {"tz": "Etc/Unknown", "offset_minutes": -721}, "unknown_zone"),
        (NOON, LATER, {"completion_id": ""}, "bad_completion_id"),
        (NOON, LATER, {"session_id": "a\0b"}, "bad_session_id"),
        (NOON, LATER, {"session_id": "\u202eb"}, "bad_session_id"),
        (NOON, LATER, {"completion_id": "c" * 256}, "bad_completion_id"),
        (NOON, LATER, {"practice": "\u3000\u200d"}, "bad_practice"),
        (NOON, LATER, {"practice": "p" * 65}, "bad_practice"),
        ("2009-12-31T12:00:00Z", "2009-12-31T12:00:00Z", {}, "date_too_early"),
    ],
)
def test_what_cannot_be_is_rejected(
    end: str, append: str, fields: dict[str, Any], category: str
) -> None:
    scene = Scene()
    verdict = scene.sat(end, append=append, **fields)
    assert (verdict.word, verdict.category) == ("dead_letter", category)
    assert scene.judgement.users == {}


@pytest.mark.parametrize(
    ("end", "append", "fields"),
    [
        (NOON, "2026-05-24T12:00:00Z", {}),
        ("2026-05-10T12:10:00Z", NOON, {}),
        (NOON, LATER, {"minutes": 1}),
        (NOON, LATER, {"minutes": 720}),
    ],
)
def test_the_bounds_themselves_are_allowed(end: str, append: str, fields: dict[str, Any]) -> None:
    assert Scene().sat(end, append=append, **fields).word == "accepted"
