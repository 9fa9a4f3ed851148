"""An outcome has the user's revision whatever became of the input, and why it is a dead letter."""

import msgspec
import pytest

from pipeline.core.enumerations import COMMAND_KINDS
from pipeline.core.records import Command
from tests.core.scenes import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    TODAY,
    USER,
    Event,
    Log,
    at,
    command,
    completion,
    credit,
    day,
    reason_of,
    revoke,
    withdraw,
)

UNCHANGED: list[tuple[str, Event]] = [
    ("exact", completion(1, NOW)),
    ("twin", completion(5, NOW, session_id="s1")),
    ("collision", completion(1, NOW, practice="walk")),
    ("dead_letter", completion(6, NOW - 60 * DAY)),
    ("dead_letter", completion(6, NOW, tz="Nowhere")),
    ("dead_letter", completion(6, NOW, completion_id="")),
    ("repeated", credit("r1", TODAY - 1)),
    ("dead_letter", credit("r1", TODAY - 2)),
    ("dead_letter", command("r9", "promote")),
    ("dead_letter", command("r9", "credit", local_date=TODAY, tz="Nowhere")),
    ("dead_letter", command("", "credit", local_date=TODAY)),
]


@pytest.mark.parametrize(("verdict", "event"), UNCHANGED)
def test_an_input_that_changes_nothing_tells_the_users_revision(verdict: str, event: Event) -> None:
    log = Log()
    log.take(completion(1, NOW), NOW)
    log.take(credit("r1", TODAY - 1), NOW)
    outcome = log.take(event, NOW)
    assert (outcome.verdict, outcome.state, outcome.standing) == (verdict, None, None)
    assert outcome.revision == log.state.revision == 2
    assert outcome.user_id == USER
    assert outcome.digest_before == outcome.digest_after == log.state.digest


def test_an_input_that_changes_something_tells_the_new_one() -> None:
    log = Log()
    events: list[Event] = [completion(1, NOW), completion(2, NOW)]
    events += [revoke("r1", TODAY), withdraw("w1", "r1")]
    for n, event in enumerate(events, 1):
        outcome = log.take(event, NOW)
        assert outcome.state is not None
        assert outcome.revision == outcome.state.revision == n
    assert log.verdicts == ["accepted", "overlap", "applied", "applied"]


@pytest.mark.parametrize(
    "event",
    [
        completion(1, NOW, user_id=" "),
        completion(1, NOW, user_id="\ud800"),
        Command("r1", "", "credit", "lea", "why", "T-1", TODAY),
    ],
)
def test_without_a_user_there_is_none(event: Event) -> None:
    log = Log()
    log.take(completion(1, NOW), NOW)
    outcome = log.take(event, NOW)
    assert (outcome.user_id, outcome.revision) == (None, 0)
    assert (outcome.digest_before, outcome.digest_after) == (None, None)


def test_a_completion_that_was_rejected_gives_its_reason_and_a_command_keeps_its_own() -> None:
    log = Log()
    assert log.take(completion(1, NOW, practice=""), NOW).reason == "bad_practice"
    outcome = log.take(credit("r1", TODAY + 9), NOW)
    assert reason_of(outcome) == "date_too_far_ahead"
    assert outcome.reason == "the app was down"
    for reason in (None, ""):
        bare = log.take(command("r1", "credit", local_date=TODAY, reason=reason), NOW)
        assert bare.reason == reason_of(bare) == "unexplained"
    spoilt = log.take(command("r1", "credit", local_date=TODAY, reason="\ud800"), NOW)
    assert reason_of(spoilt) == spoilt.reason == "bad_note"
    applied = log.take(command("w1", "withdraw", withdraws="r0", reason=None), NOW)
    assert (applied.verdict, applied.reason) == ("applied", None)


# --- what the field reported ---------------------------------------------------------------------


def test_clocks_that_change_around_the_days_start() -> None:
    log = Log()
    for n, end in enumerate(
        (
            "2026-10-24T20:00:00+02:00",
            "2026-10-25T02:30:00+02:00",
            "2026-10-25T02:55:00+01:00",  # the hour comes a second time
            "2026-10-25T20:00:00+01:00",
            "2026-10-26T20:00:00+01:00",
        )
    ):
        log.take(completion(n, at(end), "Europe/Berlin"), at(end))
    assert [o.local_date for o in log.outcomes] == [
        day(f"2026-10-{n}") for n in (24, 24, 24, 25, 26)
    ]
    assert log.progress().streak_days == 3
    assert log.state.sets.bridged == ()


def test_history_is_not_derived_anew_in_a_new_zone() -> None:
    log = Log()
    tokyo, angeles = ("Asia/Tokyo", "+09:00"), ("America/Los_Angeles", "-07:00")
    for n, (wall, (tz, offset)) in enumerate(
        (
            *(("2026-06-10T23:30:00", tokyo), ("2026-06-11T05:00:00", tokyo)),
            *(("2026-06-12T23:30:00", tokyo), ("2026-06-12T20:00:00", angeles)),
            ("2026-06-13T20:00:00", angeles),
        )
    ):
        log.take(completion(n, at(wall + offset), tz), at(wall + offset))
    assert [o.local_date for o in log.outcomes] == [
        day(f"2026-06-{n}") for n in (10, 11, 12, 12, 13)
    ]
    assert log.progress().streak_days == 4


@pytest.mark.parametrize(
    ("late_days", "verdict"),
    [(0, "accepted"), (21, "accepted"), (34, "accepted"), (35, "accepted"), (36, "dead_letter")],
)
def test_people_come_back_from_a_retreat_without_a_phone(late_days: int, verdict: str) -> None:
    log = Log()
    end = NOW - late_days * DAY
    outcome = log.take(completion(1, end, "Asia/Kathmandu", sent_at=NOW - MINUTE), NOW)
    assert outcome.verdict == verdict
    if verdict == "accepted":
        assert outcome.local_date == TODAY - late_days
        # It is remembered for as long as it could be sent again.
        for again in (NOW + DAY, NOW + 35 * DAY, NOW + 38 * DAY):
            assert log.take(completion(1, end, "Asia/Kathmandu"), again).verdict in (
                "exact",
                "dead_letter",
            )
        assert log.state.revision == 1
    else:
        assert reason_of(outcome) == "too_late"
        assert outcome.rejection is not None
        assert "at most 35" in outcome.rejection.detail


def test_a_month_offline_is_one_streak() -> None:
    log = Log()
    for n in range(30, -1, -1):
        log.take(completion(n, NOW - n * DAY), NOW)
    assert log.progress().streak_days == 31
    assert log.unlocked[-1] == (0, "flower-of-life")


def test_before_june_fourteen_days_are_the_most() -> None:
    may = at("2026-05-20T12:00:00Z")
    assert reason_of(Log().take(completion(1, may - 15 * DAY), may)) == "too_late"
    assert Log().take(completion(1, may - 14 * DAY), may).policy_version == "2026-01"


@pytest.mark.parametrize(
    ("end", "sent_at", "reason"),
    [
        ("1970-01-01T00:25:00Z", None, "too_late"),
        ("2038-01-19T03:14:07Z", "2038-01-19T03:14:09Z", "clock_too_far_ahead"),
        ("2038-01-19T03:14:07Z", None, "too_far_ahead"),
    ],
)
def test_clocks_at_the_ends_of_their_time(end: str, sent_at: str | None, reason: str) -> None:
    sent = None if sent_at is None else at(sent_at)
    outcome = Log().take(completion(1, at(end), sent_at=sent), NOW)
    assert reason_of(outcome) == outcome.reason == reason


def test_a_clock_that_is_behind_is_believed() -> None:
    """Delay is not skew (ADR 0010): a record that waited looks the same."""
    outcome = Log().take(completion(1, NOW - 26 * HOUR, sent_at=NOW - 26 * HOUR + 2_000), NOW)
    assert (outcome.verdict, outcome.local_date) == ("accepted", TODAY - 1)


@pytest.mark.parametrize(
    ("length_ms", "reason"),
    [
        (-40 * MINUTE, "ends_before_start"),
        (0, "too_short"),
        (MINUTE - 1, "too_short"),
        (12 * HOUR + 1_000, "too_long"),
    ],
)
def test_sessions_that_take_no_time_or_too_much(length_ms: int, reason: str) -> None:
    log = Log()
    outcome = log.take(completion(1, NOW, started_at=NOW - length_ms), NOW)
    assert reason_of(outcome) == outcome.reason == reason
    assert log.progress().streak_days == 0


ABSURD = (0, -1, 1 << 31, -(1 << 63), (1 << 63) - 1, 1 << 80)


@pytest.mark.parametrize("absurd", ABSURD)
@pytest.mark.parametrize(
    "field", ["started_at", "completed_at", "sent_at", "offset_minutes", "practice"]
)
def test_no_field_of_a_completion_ends_the_fold(field: str, absurd: int) -> None:
    value = "\ud800" * (abs(absurd) % 3) if field == "practice" else absurd
    for tz in ("UTC", "Etc/Unknown", "\udfff"):
        event = msgspec.structs.replace(completion(1, NOW, tz), **{field: value})
        outcome = Log().take(event, NOW)
        assert outcome.verdict in ("accepted", "dead_letter")
        assert (outcome.rejection is None) == (outcome.verdict == "accepted")


@pytest.mark.parametrize("text", ["", "\ud800", "\udfff" * 300, "x" * 100_000, "\x00", "\u202e"])
@pytest.mark.parametrize(
    "field",
    ["request_id", "user_id", "kind", "actor", "reason", "ticket", "key_id", "withdraws", "tz"],
)
def test_no_text_of_a_command_ends_the_fold(field: str, text: str) -> None:
    for kind in (*COMMAND_KINDS, "other"):
        whole = Command("r1", USER, kind, "lea", "why", "T-1", TODAY, "k", "r0")
        outcome = Log().take(msgspec.structs.replace(whole, **{field: text}), NOW)
        assert outcome.verdict in ("applied", "dead_letter")
        for said in (outcome.actor, outcome.reason, outcome.ticket, outcome.user_id):
            (said or "").encode()
        if outcome.rejection is not None:
            outcome.rejection.detail.encode()
            assert len(outcome.rejection.detail) < 600


@pytest.mark.parametrize("date", [-(1 << 31), (1 << 31) - 1, 1 << 70, -(1 << 70)])
@pytest.mark.parametrize("kind", COMMAND_KINDS)
def test_no_date_of_a_command_ends_the_fold(kind: str, date: int) -> None:
    outcome = Log().take(command("r1", kind, local_date=date, tz="UTC"), NOW)
    assert outcome.verdict == "dead_letter"
