"""A date that a revocation covers does not count, and whoever gives it again is told why."""

from itertools import permutations

import pytest

from tests.core.scenes import (
    DAY,
    HOUR,
    NOW,
    TODAY,
    Event,
    Log,
    claim,
    completion,
    credit,
    practised,
    reason_of,
    revoke,
    withdraw,
)


def test_a_credit_of_a_revoked_date_names_what_to_withdraw() -> None:
    log = practised(Log(), -2, -1)
    log.take(revoke("r1", TODAY - 1), NOW)
    outcome = log.take(credit("c1", TODAY - 1), NOW)
    assert (outcome.verdict, outcome.local_date) == ("applied", TODAY - 1)
    assert outcome.revoked_by == ("r1",)
    assert log.progress().streak_days == 0
    assert log.take(credit("c1", TODAY - 1), NOW).revoked_by == ("r1",)  # repeated
    log.take(withdraw("w1", "r1"), NOW)
    assert log.progress().streak_days == 2
    assert log.take(credit("c1", TODAY - 1), NOW).revoked_by == ()
    assert log.take(credit("c2", TODAY - 1), NOW).revoked_by == ()


def test_so_does_a_completion() -> None:
    log = Log()
    log.take(revoke("r1", TODAY), NOW)
    outcome = log.take(completion(1, NOW), NOW)
    assert (outcome.verdict, outcome.revoked_by) == ("accepted", ("r1",))
    overlap = log.take(completion(2, NOW), NOW)
    assert (overlap.verdict, overlap.revoked_by) == ("overlap", ("r1",))
    assert log.take(completion(1, NOW), NOW).revoked_by == ()  # it counts for no date
    assert log.take(completion(3, NOW - DAY), NOW).revoked_by == ()
    assert log.progress().lifetime_days == 1
    log.take(withdraw("w1", "r1"), NOW)
    assert log.take(completion(4, NOW + HOUR), NOW + HOUR).revoked_by == ()
    assert log.progress().lifetime_days == 2


def test_all_that_live_are_named_and_sorted() -> None:
    log = Log()
    for request_id in ("r3", "r1", "r2", "r10"):
        log.take(revoke(request_id, TODAY), NOW)
    log.take(revoke("r0", TODAY - 1), NOW)
    log.take(withdraw("w1", "r2"), NOW)
    assert log.take(credit("c1", TODAY), NOW).revoked_by == ("r1", "r10", "r3")
    assert log.take(completion(1, NOW), NOW).revoked_by == ("r1", "r10", "r3")


def test_a_revocation_names_the_others() -> None:
    log = Log()
    first = log.take(revoke("r1", TODAY), NOW)
    second = log.take(revoke("r2", TODAY), NOW)
    again = log.take(revoke("r1", TODAY), NOW)
    assert (first.revoked_by, second.revoked_by, again.revoked_by) == ((), ("r1",), ("r2",))
    assert again.verdict == "repeated"
    log.take(withdraw("w1", "r1"), NOW)
    assert log.take(revoke("r2", TODAY), NOW).revoked_by == ()


@pytest.mark.parametrize("asked", [withdraw("w1", "r1"), claim("k1", "none")])
def test_what_is_about_no_date_names_none(asked: Event) -> None:
    log = Log()
    log.take(revoke("r1", TODAY), NOW)
    assert log.take(asked, NOW).revoked_by == ()


def test_what_is_rejected_names_none() -> None:
    log = Log()
    log.take(revoke("r1", TODAY), NOW)
    outcome = log.take(credit("r1", TODAY), NOW)
    assert reason_of(outcome) == "request_id_reused"
    assert (outcome.revoked_by, outcome.local_date) == ((), TODAY)
    assert log.take(completion(1, NOW, practice=" "), NOW).revoked_by == ()


def test_a_withdrawal_that_came_first_is_a_withdrawal() -> None:
    for order in permutations((revoke("r1", TODAY), withdraw("w1", "r1"))):
        log = Log().take_all((asked, NOW) for asked in order)
        assert log.take(credit("c1", TODAY), NOW).revoked_by == ()
        assert log.progress().lifetime_days == 1


def test_a_restored_streak_tells_no_portal_again() -> None:
    log = practised(Log(), -3, -2, -1)
    log.take(revoke("r1", TODAY - 1), NOW)
    log.take(withdraw("w1", "r1"), NOW)
    log.take(credit("c1", TODAY), NOW)
    assert log.unlocked == [(0, "bindu"), (0, "vesica-piscis")]
    assert log.progress().streak_days == 4
