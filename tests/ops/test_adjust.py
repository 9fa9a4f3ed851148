"""A correction does what its preview says, for every user and every request."""

from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.codec import json_inputs
from pipeline.core.calendar import day_of
from pipeline.core.fold import fold_command
from pipeline.core.progress import progress_of
from pipeline.core.records import Cause, Command
from pipeline.core.sets import covered
from pipeline.core.state import EMPTY
from pipeline.ops.adjust.preview import AdjustmentPreview, preview
from pipeline.ops.adjust.request import Asked, command_of, encoded, new_request_id
from pipeline.ops.adjust.user_state import KeyNotClaimedError, SentCommand, claim_of, user_state_of
from tests.core.scenes import (
    BOOK,
    DAY,
    NOW,
    TODAY,
    USER,
    Event,
    Log,
    claim,
    command,
    completion,
    credit,
    revoke,
    withdraw,
)
from tests.properties import examples

UNKNOWN_KEY = "00000000-0000-5000-8000-000000000000"


def practised(*days_ago: int) -> list[Event]:
    return [completion(n, NOW - n * DAY) for n in days_ago]


def log_of(*events: Event) -> Log:
    return Log().take_all((event, NOW) for event in events)


def seen(log: Log, one: Command) -> AdjustmentPreview:
    return preview(log.state, one, log.world, NOW)


def test_a_credit_that_closes_a_gap_shows_all_that_follows() -> None:
    found = seen(log_of(*practised(3, 1)), credit("r1", TODAY - 2))
    assert (found.verdict, found.rejection, found.notes) == ("applied", None, ())
    assert (found.before.streak_days, found.after.streak_days) == (1, 3)
    assert (found.before.longest_days, found.after.longest_days) == (1, 3)
    assert (found.before.lifetime_days, found.after.lifetime_days) == (2, 3)
    assert (found.before.figure, found.after.figure) == ("figure-1", "figure-3")
    assert found.dates_added == (day_of(TODAY - 2),)
    assert [(one.lap, one.slug, one.title) for one in found.portals] == [
        (0, "vesica-piscis", "Vesica Piscis")
    ]
    assert found.after.keys_granted == found.before.keys_granted + len(found.portals[0].keys) == 2
    assert found.changes_something and msgspec.json.encode(found)


def test_a_revocation_takes_the_date_and_leaves_the_portals() -> None:
    found = seen(log_of(*practised(2, 1, 0)), revoke("r1", TODAY - 1))
    assert found.dates_removed == (day_of(TODAY - 1),)
    assert (found.before.streak_days, found.after.streak_days) == (3, 1)
    assert found.before.keys_granted == found.after.keys_granted
    assert found.notes == ("portals and keys that were unlocked stay unlocked",)


def test_a_repeat_and_a_rejection_change_nothing() -> None:
    log = log_of(*practised(1), credit("r1", TODAY - 5))
    for one, verdict, reason in (
        (credit("r1", TODAY - 5), "repeated", None),
        (credit("r1", TODAY - 6), "dead_letter", "request_id_reused"),
        (credit("r2", TODAY + 9), "dead_letter", "date_too_far_ahead"),
        (replace(credit("r2", TODAY), ticket=None), "dead_letter", "unexplained"),
        (replace(credit("r2", TODAY), ticket="x" * 300), "dead_letter", "field_too_long"),
        (claim("r2", UNKNOWN_KEY), "dead_letter", "unknown_key"),
    ):
        found = seen(log, one)
        assert found.verdict == verdict
        assert (found.rejection and found.rejection.reason) == reason
        assert found.before == found.after and not found.changes_something


@pytest.mark.parametrize(
    ("events", "one", "note"),
    [
        ((), credit("r1", TODAY), "nothing is known of this user"),
        (practised(1), credit("r1", TODAY - 1), "counts already"),
        (practised(1), revoke("r1", TODAY - 3), "does not count already"),
        ([revoke("r0", TODAY)], credit("r1", TODAY), "the date is revoked by r0"),
        (practised(1), withdraw("r1", "r0"), "no request r0 of this user is known"),
        ([withdraw("r0", "x")], withdraw("r1", "r0"), "ask anew instead"),
    ],
)
def test_what_has_no_effect_is_noted(events: list[Event], one: Command, note: str) -> None:
    found = seen(log_of(*events), one)
    assert found.verdict == "applied" and any(note in each for each in found.notes)


def test_a_key_of_a_portal_ahead_is_claimed_when_it_unlocks() -> None:
    log = log_of(*practised(3, 1))
    (key,) = seen(log, credit("r1", TODAY - 2)).portals[0].keys
    found = seen(log, claim("r2", key))
    assert found.keys_claimed == (key,)
    assert any("not granted yet" in note for note in found.notes)


# --- the state that the log stands for -----------------------------------------------------------

REQUESTS = st.sampled_from(["r1", "r2", "r3", "r4"])
DATES = st.integers(TODAY - 6, TODAY + 3)
KEYS = st.sampled_from(
    [key for one in log_of(*practised(*range(9))).state.granted for key in (one,)] + [UNKNOWN_KEY]
)
COMMANDS = st.one_of(
    st.builds(credit, REQUESTS, DATES),
    st.builds(revoke, REQUESTS, DATES),
    st.builds(withdraw, REQUESTS, REQUESTS),
    st.builds(claim, REQUESTS, KEYS),
)
EVENTS = st.lists(
    st.one_of(st.integers(0, 6).map(lambda n: completion(n, NOW - n * DAY)), COMMANDS), max_size=14
)


@given(EVENTS, COMMANDS)
@trials(max_examples=examples(150))
def test_the_preview_over_the_published_is_what_the_worker_decides(
    events: list[Event], one: Command
) -> None:
    log = log_of(*events)
    published = log.progress() if log.state.revision else None
    sent = [SentCommand(each, NOW) for each in events if isinstance(each, Command)]
    found = preview(user_state_of(published, sent, BOOK), one, log.world, NOW)
    outcome = fold_command(log.state, one, Cause("commands", 0, 0, one.request_id), NOW, log.world)
    after = outcome.state or log.state
    shown = progress_of(USER, after, Cause("", 0, 0), NOW, log.world)
    assert found.verdict == outcome.verdict
    assert (found.rejection and found.rejection.reason) == (
        outcome.rejection and outcome.rejection.reason
    )
    for name in ("streak_days", "longest_days", "lifetime_days", "lap", "cycle_day", "figure"):
        assert getattr(found.after, name) == getattr(shown, name)
    assert found.after.keys_pending == shown.field_keys_pending
    assert [one.keys for one in found.portals] == [one.field_keys for one in outcome.unlocks]
    gained = len(found.dates_added) - len(found.dates_removed)
    assert gained == _count(covered(after.sets)) - _count(covered(log.state.sets))


def _count(runs: tuple[tuple[int, int], ...]) -> int:
    return sum(length for _, length in runs)


def test_what_no_request_in_the_log_explains_stays() -> None:
    log = log_of(*practised(1), credit("r1", TODAY - 5), revoke("r2", TODAY - 1))
    (key,) = log.state.granted
    log.take(claim("r3", key), NOW)
    state = user_state_of(log.progress(), [], BOOK)
    assert covered(state.sets) == covered(log.state.sets) == ((TODAY - 5, 1),)
    found = preview(state, withdraw("r9", "r1"), log.world, NOW)
    assert not found.dates_removed and any("r1" in note for note in found.notes)
    assert preview(state, claim("r8", key), log.world, NOW).keys_claimed == ()


def test_nobody_is_empty() -> None:
    assert user_state_of(None, [], BOOK) == EMPTY


# --- returning a key -----------------------------------------------------------------------------


def test_a_key_is_returned_by_withdrawing_its_claim() -> None:
    log = log_of(*practised(0))
    (key,) = log.state.granted
    with pytest.raises(KeyNotClaimedError, match="no request of this user claimed it"):
        claim_of(log.state, key, "back")
    log.take(claim("r1", key), NOW)
    assert claim_of(log.state, key, "back") == "r1"
    assert seen(log, withdraw("back", "r1")).keys_returned == (key,)
    log.take(withdraw("back", "r1"), NOW)
    assert claim_of(log.state, key, "back") == "r1"  # asked again
    with pytest.raises(KeyNotClaimedError, match="the claim was withdrawn"):
        claim_of(log.state, key, "other")


def test_a_key_that_is_claimed_twice_is_returned_by_neither() -> None:
    log = log_of(*practised(0))
    (key,) = log.state.granted
    for request in ("r2", "r1"):
        log.take(claim(request, key), NOW)
    with pytest.raises(KeyNotClaimedError, match=r"r1, r2.*none of them holds"):
        claim_of(log.state, key, "back")


# --- the command ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("correction", "about", "kind", "field", "value"),
    [
        ("credit-day", date(2026, 3, 1), "credit", "local_date", 20_513),
        ("revoke-day", date(1970, 1, 1), "revoke", "local_date", 0),
        ("withdraw", "r1", "withdraw", "withdraws", "r1"),
        ("return-key", "r1", "withdraw", "withdraws", "r1"),
        ("claim-key", UNKNOWN_KEY, "claim_key", "key_id", UNKNOWN_KEY),
    ],
)
def test_a_correction_is_a_command_that_the_worker_reads(
    correction: Any, about: Any, kind: str, field: str, value: object
) -> None:
    asked = Asked(correction, USER, about, "the app was down", "T-1", "Asia/Tokyo")
    made = command_of(asked, "eva", "r9")
    expected = command("r9", kind, actor="eva", tz="Asia/Tokyo", **{field: value})
    assert made == expected == json_inputs.command(encoded(made))


def test_request_ids_are_new() -> None:
    assert len({new_request_id() for _ in range(100)}) == 100
