"""What was rejected, judged once more as of when it came: its two times, and counting once."""

from typing import Any

import pytest
from msgspec.structs import replace

from pipeline.core.redrive import MEMORY_MARGIN_MS
from tests.core.scenes import (
    BOOK,
    DAY,
    HOUR,
    MINUTE,
    NOW,
    TODAY,
    USER,
    Log,
    at,
    command,
    completion,
    credit,
    practised,
    reason_of,
    redrive,
    withdraw,
)

CAUSE = "awaway.completions[3]@17"
ENDED = NOW - HOUR
LATE_MS = BOOK.at(NOW).late_ms


DETAILS = {
    "unexplained": "a redrive needs a reason and a ticket, for the audit",
    "bad_payload_topic": "payload_topic must be one of completions, commands",
    "bad_payload_cause": (
        "payload_cause must say where the record is, such as awaway.completions[3]@17, not {cause}"
    ),
    "no_payload": "a redrive needs the payload that is judged once more",
    "no_payload_append_time": "a redrive needs its record's append time",
    "payload_from_future": "payload_append_time is after the append of the redrive itself",
}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"user_id": ""}, "bad_user_id"),
        ({"request_id": ""}, "bad_request_id"),
        ({"actor": ""}, "bad_actor"),
        ({"reason": "x" * 2001}, "bad_note"),
        ({"reason": None}, "unexplained"),
        ({"ticket": ""}, "unexplained"),
        ({"payload_topic": None}, "bad_payload_topic"),
        ({"payload_topic": "awaway.completions"}, "bad_payload_topic"),
        ({"payload_cause": None}, "bad_payload_cause"),
        ({"payload_cause": "completions 3:17"}, "bad_payload_cause"),
        ({"payload_cause": f"{CAUSE} "}, "bad_payload_cause"),
        ({"payload": None}, "no_payload"),
        ({"payload_append_time": None}, "no_payload_append_time"),
        ({"payload_append_time": NOW + 1}, "payload_from_future"),
    ],
)
def test_redrives_that_are_not_carried_out(changed: dict[str, Any], reason: str) -> None:
    asked = replace(redrive("r1", NOW), **changed)
    outcome = Log().take_redriven(asked, completion(1, ENDED), NOW)
    assert reason_of(outcome) == reason
    is_placed = asked.payload_cause == CAUSE
    detail = DETAILS.get(reason)
    if detail is not None and outcome.rejection is not None:
        shown = detail.format(cause=repr(asked.payload_cause or ""))
        wanted = f"Redriven from {CAUSE}: {shown}" if is_placed else shown
        assert outcome.rejection.detail == wanted
    assert (outcome.action, outcome.subject) == ("redrive", CAUSE if is_placed else None)
    assert outcome.rejection is not None
    assert outcome.rejection.detail.startswith(f"Redriven from {CAUSE}: ") == is_placed


@pytest.mark.parametrize(
    ("event", "stage", "reason"),
    [
        (completion(1, ENDED, user_id="bob"), "transport", "key_not_user"),
        (replace(credit("r0", TODAY), user_id="bob"), "transport", "key_not_user"),
        (redrive("r0", NOW), "validate", "kind_not_redriven"),
        (command("r0", "repair"), "validate", "kind_not_redriven"),
        (command("r0", "operation"), "validate", "kind_not_redriven"),
        (command("r0", "erase"), "validate", "kind_not_redriven"),
    ],
)
def test_payloads_that_are_not_judged(event: Any, stage: str, reason: str) -> None:
    outcome = Log().take_redriven(redrive("r1", NOW), event, NOW)
    assert reason_of(outcome) == reason
    assert outcome.rejection is not None and outcome.rejection.stage == stage
    if stage == "validate":
        kinds = "credit, revoke, withdraw, claim_key"
        assert f"a completion or a command of kind {kinds}, not " in outcome.rejection.detail


def test_the_audit_names_who_asked_and_where_the_record_is() -> None:
    log = Log()
    outcome = log.take_redriven(redrive("r1", NOW - MINUTE), completion(1, ENDED), NOW)
    assert (outcome.action, outcome.actor, outcome.ticket) == ("redrive", "lea", "T-1")
    assert (outcome.reason, outcome.subject) == ("the app was down", CAUSE)
    assert (outcome.verdict, outcome.local_date, outcome.user_id) == ("accepted", TODAY, USER)
    assert outcome.seen is not None and outcome.seen.entry.topic == "commands"
    # Rejected once more, it says why now, and whose record it is.
    again = log.take_redriven(redrive("r2", NOW), completion(2, NOW - 100 * DAY), NOW)
    assert (reason_of(again), again.reason, again.actor) == ("too_late", "the app was down", "lea")
    assert again.rejection is not None
    assert again.rejection.detail.startswith(f"Redriven from {CAUSE}: it ended 100 days before")
    assert (again.revision, again.digest_before) == (1, log.state.digest)


def test_it_is_judged_by_the_time_at_which_it_came() -> None:
    came = NOW - 10 * DAY
    late = completion(1, came - LATE_MS)
    assert reason_of(Log().take(late, NOW)) == "too_late"
    assert Log().take_redriven(redrive("r1", came), late, NOW).verdict == "accepted"
    too_late = completion(1, came - LATE_MS - 1)
    assert reason_of(Log().take_redriven(redrive("r1", came), too_late, NOW)) == "too_late"
    # What was ahead of its clock then is so still, and is put right as it would have been then.
    ahead = completion(1, came + HOUR)
    assert Log().take(ahead, NOW).verdict == "accepted"
    assert reason_of(Log().take_redriven(redrive("r1", came), ahead, NOW)) == "too_far_ahead"
    sent = completion(1, came + 14 * HOUR, sent_at=came + 14 * HOUR)
    outcome = Log().take_redriven(redrive("r1", came), sent, NOW)
    assert (outcome.verdict, outcome.local_date) == ("accepted", came // DAY)


def test_it_is_judged_by_the_policy_of_then_and_told_as_of_now() -> None:
    came = at("2026-05-20T12:00:00+00:00")
    first, second = BOOK.versions[:2]
    assert first.late_ms < second.late_ms and came < second.effective_from < NOW
    late = completion(1, came - first.late_ms - 1)
    outcome = Log().take_redriven(redrive("r1", came), late, NOW)
    assert (reason_of(outcome), outcome.policy_version) == ("too_late", first.version)

    log = practised(Log(), -1, 0)
    outcome = log.take_redriven(redrive("r1", came), completion(1, came - HOUR), NOW + HOUR)
    assert (outcome.verdict, outcome.policy_version) == ("accepted", first.version)
    # The run that goes on is the one of today, not the day in May.
    assert outcome.standing is not None and outcome.standing.streak_days == 2
    log = Log()
    (unlock,) = log.take_redriven(redrive("r1", came), completion(1, came - HOUR), NOW).unlocks
    assert (unlock.unlocked_at, unlock.policy_version) == (NOW, second.version)
    assert unlock.reached_on == came // DAY


def test_redriven_twice_it_counts_once() -> None:
    log = Log()
    for n, after in enumerate((0, MINUTE, 20 * DAY, 36 * DAY)):
        log.take_redriven(redrive(f"r{n}", NOW - MINUTE), completion(1, ENDED), NOW + after)
    assert log.verdicts == ["accepted", "exact", "exact", "exact"]
    assert log.state.revision == 1


def test_it_counts_once_with_what_came_meanwhile() -> None:
    event = completion(1, ENDED)
    log = Log()
    log.take(event, NOW + DAY)  # the client sent it again, after it was rejected
    log.take_redriven(redrive("r1", NOW), event, NOW + 2 * DAY)
    log.take_redriven(redrive("r2", NOW), replace(event, completion_id="of the watch"), NOW + DAY)
    log.take_redriven(redrive("r3", NOW), replace(event, practice="walking"), NOW + DAY)
    log.take(event, NOW + 3 * DAY)
    assert log.verdicts == ["accepted", "exact", "twin", "collision", "exact"]
    (alert,) = log.outcomes[1].alerts
    assert alert.cause.topic == "commands" and alert.original.topic == "completions"


@pytest.mark.parametrize("after", [DAY, 10 * DAY, 34 * DAY, 37 * DAY, 39 * DAY, 80 * DAY])
def test_what_comes_after_it_does_not_count_again(after: int) -> None:
    """As it was, at any time: either the redrive is remembered, or it is too late."""
    came, event = NOW - 30 * DAY, completion(1, NOW - 31 * DAY)
    log = Log()
    assert log.take_redriven(redrive("r1", came), event, NOW).verdict == "accepted"
    assert log.take(event, NOW + after).verdict in ("exact", "dead_letter")


def test_what_the_window_forgot_leads_to_no_other_date() -> None:
    event = completion(1, ENDED)
    log = Log()
    log.take(event, NOW)
    sets, portals = log.state.sets, log.state.portals
    forgotten = NOW + BOOK.window_ms - MEMORY_MARGIN_MS
    assert log.take_redriven(redrive("r1", NOW), event, forgotten).verdict == "exact"
    outcome = log.take_redriven(redrive("r2", NOW), event, forgotten + 1)
    assert (outcome.verdict, outcome.local_date) == ("accepted", TODAY)
    assert (outcome.digest_before, outcome.unlocks) == (outcome.digest_after, ())
    assert (log.state.sets, log.state.portals, log.state.revision) == (sets, portals, 2)


def test_a_command_is_carried_out_once() -> None:
    log, asked = Log(), credit("r0", TODAY + 1)
    as_command: dict[str, Any] = {"payload_topic": "commands"}
    came = NOW - 3 * DAY
    outcome = log.take_redriven(redrive("r1", came, **as_command), asked, NOW)
    assert reason_of(outcome) == "date_too_far_ahead"  # as it was then
    asked = credit("r0", TODAY - 2)
    outcome = log.take_redriven(redrive("r2", came, **as_command), asked, NOW)
    assert (outcome.action, outcome.verdict, outcome.local_date) == (
        "redrive",
        "applied",
        TODAY - 2,
    )
    log.take(asked, NOW)
    log.take_redriven(redrive("r3", came, **as_command), asked, NOW)
    log.take(withdraw("r4", "r0"), NOW)
    log.take_redriven(redrive("r5", came, **as_command), asked, NOW)
    assert log.verdicts[2:] == ["repeated", "repeated", "applied", "repeated"]
    assert log.progress().lifetime_days == 0
