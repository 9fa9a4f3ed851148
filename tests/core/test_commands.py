"""What support and services ask for: checks, repetition, and what wins over what."""

import random
from itertools import permutations
from typing import Any
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.enumerations import COMMAND_KINDS
from pipeline.core.identity import NAMESPACE
from pipeline.core.keys import can_exist, key_ids
from pipeline.core.records import Command, Run
from pipeline.core.sets import REQUESTS_MAX, Sets, request_of
from pipeline.core.state import UserState
from tests.core.scenes import (
    BOOK,
    DAY,
    NOW,
    USER,
    Event,
    Log,
    at,
    book_of,
    claim,
    command,
    completion,
    credit,
    day,
    operation,
    reason_of,
    revoke,
    sets_of,
    withdraw,
    world,
)

TODAY = NOW // DAY
KEY = str(uuid5(NAMESPACE, f"{USER}/0/bindu/0"))


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (credit("", TODAY), "bad_request_id"),
        (credit("r" * 256, TODAY), "bad_request_id"),
        (Command("r", "", "credit", "lea"), "bad_user_id"),
        (Command("r", USER, "credit", ""), "bad_actor"),
        (Command("r", USER, "credit", "\ud800"), "bad_actor"),
        (command("r", "promote"), "unknown_kind"),
        (command("r", "\ud800" * 10_000), "unknown_kind"),
        (command("r", "redrive", payload=b"x"), "kind_not_supported"),
        (command("r", "erase"), "kind_not_supported"),
        (operation("r", actor=""), "bad_actor"),
        (operation("r", user_id="\u2028"), "bad_user_id"),
        (operation("r", reason="x" * 2001), "bad_note"),
        (operation("r", operation=None), "bad_operation"),
        (operation("r", operation="x" * 256), "bad_operation"),
        (operation("r", subject=None), "bad_subject"),
        (operation("r", subject="\u200b"), "bad_subject"),
        (operation("r", subject="x" * 2001), "bad_subject"),
        (command("r", "credit", local_date=TODAY, reason="x" * 2001), "bad_note"),
        (command("r", "credit", local_date=TODAY, ticket="\ud800"), "bad_note"),
        (command("r", "credit", local_date=TODAY, reason=None), "unexplained"),
        (command("r", "revoke", local_date=TODAY, ticket=""), "unexplained"),
        (command("r", "credit"), "no_local_date"),
        (credit("r", day("2009-12-31")), "date_too_early"),
        (credit("r", -(1 << 31)), "date_too_early"),
        (credit("r", TODAY + 2), "date_too_far_ahead"),
        (revoke("r", TODAY + 2), "date_too_far_ahead"),
        (command("r", "withdraw"), "bad_withdraws"),
        (withdraw("r", "x" * 256), "bad_withdraws"),
        (withdraw("r", "r"), "withdraws_itself"),
        (command("r", "claim_key"), "no_key_id"),
        (claim("r", ""), "unknown_key"),
        (claim("r", "\ud800" * 10_000), "unknown_key"),
        (claim("r", KEY.upper()), "unknown_key"),
        (claim("r", KEY.replace("-", "")), "unknown_key"),
        (claim("r", str(uuid5(NAMESPACE, f"{USER}/0/bindu/1"))), "unknown_key"),
        (claim("r", str(uuid5(NAMESPACE, "bob/0/bindu/0"))), "unknown_key"),
        (claim("r", str(uuid5(NAMESPACE, f"{USER}/0/moon/0"))), "unknown_key"),
        (claim("r", str(uuid5(NAMESPACE, f"{USER}/999/bindu/0"))), "unknown_key"),
    ],
)
def test_rejections(asked: Command, reason: str) -> None:
    log = Log()
    outcome = log.take(asked, NOW)
    assert reason_of(outcome) == reason
    rejection = outcome.rejection
    assert rejection is not None and rejection.stage == "validate"
    assert len(rejection.detail) < 400
    for text in (rejection.detail, outcome.actor, outcome.reason, outcome.ticket):
        (text or "").encode()
    assert outcome.action in (*COMMAND_KINDS, "unknown")
    assert (outcome.user_id, outcome.digest_before is None) == (
        (USER, False) if asked.user_id == USER else (None, True)
    )
    assert (outcome.operation, outcome.subject) == (None, None)


@pytest.mark.parametrize("user_id", ["", USER])
def test_an_operation_is_audited_and_changes_nothing(user_id: str) -> None:
    log = Log().take_all([(credit("r0", TODAY), NOW)])
    asked = operation("r1", user_id=user_id, reason=None, ticket=None)
    first, again = log.take(asked, NOW), log.take(asked, NOW)
    assert first == again
    assert (first.action, first.verdict, first.actor) == ("operation", "applied", "lea")
    assert (first.operation, first.subject) == ("rebuild.approve", "rb-1: diff 3f2a90c1")
    assert (first.state, first.seen, first.unlocks, first.geometry) == (None, None, (), ())
    if user_id:
        assert (first.user_id, first.revision) == (USER, 1)
        assert first.digest_before == first.digest_after == log.state.digest
    else:
        assert (first.user_id, first.revision, first.digest_after) == (None, 0, None)


def test_what_the_audit_is_told() -> None:
    outcome = Log().take(credit("r1", TODAY), NOW)
    assert (outcome.action, outcome.actor, outcome.reason, outcome.ticket) == (
        "credit",
        "lea",
        "the app was down",
        "T-1",
    )
    assert (outcome.verdict, outcome.local_date) == ("applied", TODAY)
    assert outcome.state is not None
    assert outcome.digest_before != outcome.digest_after == outcome.state.digest


@pytest.mark.parametrize("date", [day("2010-01-01"), TODAY + 1])
def test_dates_at_the_bounds_count(date: int) -> None:
    assert Log().take(credit("r1", date), NOW).verdict == "applied"


def test_the_bounds_of_dates_do_not_depend_on_the_users_zone() -> None:
    log = Log()
    log.take(completion(1, NOW, "Etc/GMT+12"), NOW)
    assert log.take(credit("r1", TODAY + 1), NOW).verdict == "applied"


@pytest.mark.parametrize(
    "asked", [credit("r1", TODAY), revoke("r1", TODAY), withdraw("r1", "r0"), claim("r1", KEY)]
)
def test_asked_twice(asked: Command) -> None:
    log = Log()
    first = log.take(asked, NOW)
    assert request_of(log.state.sets, "r1") is not None
    again = log.take(asked, NOW + DAY)
    assert (first.verdict, again.verdict) == ("applied", "repeated")
    assert again.state is None
    assert again.digest_before == again.digest_after == first.digest_after
    for other in (credit("r1", TODAY - 1), withdraw("r1", "r9"), revoke("r1", TODAY + 1)):
        assert reason_of(log.take(other, NOW)) == "request_id_reused"
    assert log.state.revision == 1


def test_a_revocation_wins_whatever_the_order() -> None:
    events: tuple[Event, ...] = (
        completion(1, NOW),
        credit("r1", TODAY),
        revoke("r2", TODAY),
    )
    for order in permutations(events):
        log = Log()
        for event in order:
            log.take(event, NOW)
        progress = log.progress()
        assert (progress.lifetime_days, progress.streak_days, progress.last_local_date) == (
            0,
            0,
            None,
        )
        assert progress.streak_safe_until is None
        assert progress.dates.practised == progress.dates.credited == progress.dates.revoked
        log.take(withdraw("r3", "r2"), NOW)
        assert log.progress().lifetime_days == 1


def test_a_withdrawal_may_come_first() -> None:
    asked: tuple[Command, ...] = (credit("r1", TODAY), withdraw("r2", "r1"))
    logs = [Log().take_all([(c, NOW) for c in order]) for order in permutations(asked)]
    assert [log.verdicts for log in logs] == [["applied", "applied"]] * 2
    for log in logs:
        assert log.progress().dates.credited == ()
        assert log.progress().streak_days == 0
    assert logs[0].state.digest != logs[1].state.digest  # the first had told a portal
    assert logs[0].unlocked == [(0, "bindu")] and logs[1].unlocked == []


def test_two_credits_of_one_date_are_withdrawn_one_by_one() -> None:
    log = Log()
    for asked in (credit("r1", TODAY), credit("r2", TODAY), withdraw("r3", "r1")):
        log.take(asked, NOW)
    assert log.progress().dates.credited == (Run(TODAY, 1),)
    log.take(withdraw("r4", "r2"), NOW)
    assert log.progress().dates.credited == ()


def test_nothing_is_taken_back_silently() -> None:
    log = Log()
    for n in range(7):
        log.take(completion(n, NOW + n * DAY), NOW + n * DAY)
    log.take(revoke("r1", TODAY + 3), NOW + 6 * DAY)
    progress = log.progress()
    assert (progress.longest_days, progress.streak_days, progress.lifetime_days) == (3, 3, 6)
    assert [p.slug for p in progress.portals] == ["bindu", "vesica-piscis", "tripod-of-life"]
    log.take(withdraw("r2", "r1"), NOW + 6 * DAY)
    assert log.progress().longest_days == 7
    assert len(log.unlocked) == 3


def test_a_claim_before_its_grant_and_after() -> None:
    early, late = Log(), Log()
    early.take(claim("r1", KEY), NOW)
    assert early.progress().keys.claimed == (KEY,)
    assert early.progress().field_keys_pending == 0
    early.take(completion(1, NOW), NOW)
    late.take(completion(1, NOW), NOW)
    assert late.outcomes[0].unlocks[0].field_keys_pending == 1
    assert early.outcomes[1].unlocks[0].field_keys_pending == 0
    late.take(claim("r1", KEY), NOW)
    assert early.state.digest == late.state.digest
    assert early.progress().keys == late.progress().keys
    assert late.progress().field_keys_pending == 0
    late.take(withdraw("r2", "r1"), NOW)
    assert late.progress().field_keys_pending == 1
    assert late.progress().keys.claimed == ()


def test_two_claims_of_one_key_count_once() -> None:
    log = Log()
    log.take(completion(1, NOW), NOW)
    log.take(claim("r1", KEY), NOW)
    log.take(claim("r2", KEY), NOW)
    log.take(withdraw("r3", "r1"), NOW)
    assert log.progress().keys.claimed == (KEY,)
    assert log.progress().field_keys_pending == 0


def test_keys_that_can_exist() -> None:
    book = book_of((1, "one", 2), (5, "five", 0), cycle_days=5, earliest_date="2026-06-03")
    # From 3 June to 17 June at most: 15 days, laps 0 to 2.
    possible = {
        str(uuid5(NAMESPACE, f"{USER}/{lap}/{slug}/{i}"))
        for lap in range(6)
        for slug in ("one", "five")
        for i in range(3)
        if can_exist(book, USER, str(uuid5(NAMESPACE, f"{USER}/{lap}/{slug}/{i}")), NOW)
    }
    assert possible == {
        str(uuid5(NAMESPACE, f"{USER}/{lap}/one/{i}")) for lap in range(3) for i in range(2)
    }
    assert not can_exist(book, USER, KEY, at("2026-05-01T00:00:00+00:00"))
    short = book_of((1, "one", 1), cycle_days=3, earliest_date="2026-06-03")
    laps = [lap for lap in range(9) if can_exist(short, USER, key_ids(USER, lap, "one", 1)[0], NOW)]
    assert laps == [0, 1, 2, 3, 4]


@given(st.text(), st.integers(0, 50), st.integers(0, 5))
def test_ids_are_uuids_of_version_five(user_id: str, lap: int, keys: int) -> None:
    user_id = user_id.encode(errors="replace").decode()
    ids = key_ids(user_id, lap, "bindu", keys)
    assert ids == tuple(str(uuid5(NAMESPACE, f"{user_id}/{lap}/bindu/{i}")) for i in range(keys))
    assert all(UUID(key).version == 5 for key in ids)


def test_there_is_a_bound_on_requests() -> None:
    full = tuple((f"r{n:05}", TODAY) for n in range(REQUESTS_MAX))
    log = Log()
    log.state = UserState(sets=Sets(credits=full))
    assert reason_of(log.take(credit("new", TODAY), NOW)) == "too_many_requests"
    assert log.take(credit("r00007", TODAY), NOW).verdict == "repeated"
    assert log.take(revoke("new", TODAY), NOW).verdict == "applied"


requests = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(("credit", "revoke")), st.integers(TODAY - 9, TODAY)),
        st.tuples(st.just("withdraw"), st.integers(0, 12)),
        st.tuples(st.just("claim_key"), st.sampled_from(("bindu", "sri-yantra"))),
    ),
    max_size=12,
)


def as_command(number: int, request: tuple[str, Any]) -> Command:
    kind, about = request
    request_id = f"r{number}"
    if kind == "withdraw":
        return withdraw(request_id, f"r{about}" if about != number else "r-none")
    if kind == "claim_key":
        return claim(request_id, key_ids(USER, 0, about, 1)[0])
    return command(request_id, kind, local_date=about)


@given(requests, st.randoms(use_true_random=False))
def test_revocations_and_withdrawals_commute(
    asked: list[tuple[str, Any]], order: random.Random
) -> None:
    commands: list[Any] = [as_command(n, request) for n, request in enumerate(asked)]
    events = commands + [completion(n, NOW - 2 * n * DAY) for n in range(4)]
    straight = Log().take_all([(event, NOW) for event in events])
    shuffled = events + order.choices(events, k=5)
    order.shuffle(shuffled)
    mixed = Log().take_all([(event, NOW) for event in shuffled])
    assert mixed.verdicts.count("repeated") + mixed.verdicts.count("exact") == 5
    assert sets_of(straight) | {"unlocked": ()} == sets_of(mixed) | {"unlocked": ()}
    one, other = straight.progress(), mixed.progress()
    assert (one.streak_days, one.longest_days, one.lifetime_days) == (
        other.streak_days,
        other.longest_days,
        other.lifetime_days,
    )
    assert one.dates == other.dates
    assert one.keys.claimed == other.keys.claimed
    assert len(set(mixed.unlocked)) == len(mixed.unlocked)
    withdrawn = {c.withdraws for c in commands if c.kind == "withdraw"}
    live = {
        kind: {c.local_date for c in commands if c.kind == kind and c.request_id not in withdrawn}
        for kind in ("credit", "revoke")
    }
    practised = {TODAY - 2 * n for n in range(4)}
    assert one.lifetime_days == len((practised | live["credit"]) - live["revoke"])


def test_unlocks_by_a_command_are_adjustments() -> None:
    live = Log().take(credit("r1", TODAY), NOW)
    assert live.unlocks[0].origin == "adjustment"
    assert live.unlocks[0].practice is None
    assert live.unlocks[0].tz == "UTC"
    rebuilt = Log(world(origin="rebuild")).take(credit("r1", TODAY), NOW)
    assert rebuilt.unlocks[0].origin == "rebuild"
    assert BOOK.at(NOW).version == rebuilt.policy_version
