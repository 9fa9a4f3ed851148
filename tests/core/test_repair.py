"""A repair puts one state in place of the one that it names, or nothing at all."""

from typing import Any

import pytest
from msgspec.structs import replace

from pipeline.core.fold import Outcome, fold_repair
from pipeline.core.keys import key_ids
from pipeline.core.progress import progress_of
from pipeline.core.records import Cause, Command
from pipeline.core.repair import LAP_MAX, Repair, is_sensible
from pipeline.core.sets import Sets, digest_of
from pipeline.core.state import EMPTY, Unlocked, UserState
from pipeline.core.streak import standing_of
from tests.core.scenes import (
    DAY,
    NOW,
    POLICY,
    TODAY,
    USER,
    Log,
    command,
    completion,
    practised,
    reason_of,
    repair_of,
    revoke,
    world,
)

CAUSE = Cause("commands", 0, 77, "repair-1")
BINDU, VESICA = (key_ids(USER, 0, slug, 1) for slug in ("bindu", "vesica-piscis"))
WINDOW = ((b"iana\0c1", b"kept"), (b"iana\0c2", None))
FIRST, LAST = 100, 200
"""Between which all dates are, where nothing else is said."""


def put_right(live: UserState, repair: Repair | None, **other: Any) -> Outcome:
    asked = command("repair-1", "repair", payload=b"not read here", **other)
    return fold_repair(live, asked, repair, CAUSE, NOW, world())


def right_of(live: UserState, repair: Repair) -> UserState:
    """Return the state after a repair that applies."""
    outcome = put_right(live, repair)
    assert outcome.verdict == "applied"
    assert outcome.state is not None
    return outcome.state


@pytest.fixture
def live() -> UserState:
    """Return a user of whom yesterday was lost."""
    return practised(Log(), -3, -2, 0).state


@pytest.fixture
def derived() -> UserState:
    """Return the user as the whole log says."""
    return practised(Log(), -3, -2, -1, 0).state


def test_it_puts_in_place_what_the_log_says(live: UserState, derived: UserState) -> None:
    state = right_of(live, repair_of(derived, live))
    assert state.sets == derived.sets
    assert state.digest == derived.digest == digest_of(derived.sets)
    assert state.granted == derived.granted == tuple(sorted(BINDU + VESICA))
    assert (state.tz, state.tz_at, state.tz_id) == (derived.tz, derived.tz_at, derived.tz_id)
    assert state.dateline == derived.dateline
    assert state.seen_filter == derived.seen_filter
    assert (state.checked_days, state.checked_policy) == (4, POLICY.version)


def test_its_outcome_is_complete(live: UserState, derived: UserState) -> None:
    outcome = put_right(live, repair_of(derived, live, window=WINDOW))
    assert (outcome.action, outcome.actor, outcome.verdict) == ("repair", "lea", "applied")
    assert (outcome.reason, outcome.ticket) == ("the app was down", "T-1")
    assert (outcome.user_id, outcome.policy_version) == (USER, POLICY.version)
    assert outcome.revision == live.revision + 1
    assert (outcome.digest_before, outcome.digest_after) == (live.digest, derived.digest)
    assert outcome.rejection is None
    assert outcome.seen is None
    assert outcome.window == WINDOW


def test_the_revision_goes_on_by_one_whatever_the_carried_state_counts(
    live: UserState, derived: UserState
) -> None:
    for carried_revision in (0, live.revision, 999):
        repair = repair_of(replace(derived, revision=carried_revision), live)
        assert right_of(live, repair).revision == live.revision + 1


def test_the_digest_is_that_of_the_sets_whatever_the_carried_state_says(live: UserState) -> None:
    repair = Repair(live.revision, live.digest, replace(live, digest="0123456789abcdef"))
    assert right_of(live, repair).digest == live.digest


def test_a_portal_that_was_missed_is_unlocked_by_it(live: UserState, derived: UserState) -> None:
    outcome = put_right(live, repair_of(derived, live))
    (unlock,) = outcome.unlocks
    assert (unlock.lap, unlock.portal, unlock.origin) == (0, "vesica-piscis", "rebuild")
    assert (unlock.field_keys, unlock.field_keys_pending) == (VESICA, 2)
    assert (unlock.reached_on, unlock.unlocked_at) == (TODAY - 1, NOW)
    assert (unlock.practice, unlock.cause) == (None, CAUSE)
    assert unlock.streak_days == 4
    assert outcome.state is not None
    assert [row.slug for row in outcome.state.portals] == ["bindu", "vesica-piscis"]
    assert outcome.state.portals[0] == live.portals[0]


def test_portals_that_were_unlocked_are_not_told_again(live: UserState, derived: UserState) -> None:
    outcome = put_right(live, Repair(live.revision, live.digest, derived))
    assert outcome.unlocks == ()
    assert outcome.state is not None
    assert (outcome.state.portals, outcome.state.granted) == (derived.portals, derived.granted)


@pytest.mark.parametrize("policy", [POLICY.version, "another"])
def test_a_state_that_calls_itself_checked_hides_no_portal(policy: str) -> None:
    told = practised(Log(), -2, -1, 0).state
    missed = replace(
        told,
        sets=replace(told.sets, unlocked=()),
        portals=(),
        granted=(),
        checked_days=108,
        checked_policy=policy,
    )
    outcome = put_right(missed, Repair(missed.revision, missed.digest, missed))
    assert [unlock.portal for unlock in outcome.unlocks] == ["bindu", "vesica-piscis"]
    assert outcome.state is not None
    assert outcome.state.checked_days == 3


def test_it_takes_dates_away_and_leaves_the_portals() -> None:
    live = practised(Log(), -2, -1, 0).state
    log = practised(Log(), 0)
    outcome = put_right(live, repair_of(log.state, live))
    assert (outcome.unlocks, outcome.geometry[0].frame) == ((), 1)
    assert outcome.state is not None
    assert outcome.state.sets.practised == ((TODAY, 1),)
    assert outcome.state.sets.unlocked == live.sets.unlocked
    assert (outcome.state.portals, outcome.state.granted) == (live.portals, live.granted)


def test_the_current_frame_is_published_unless_it_was_the_last(
    live: UserState, derived: UserState
) -> None:
    assert (live.frame_published, derived.frame_published) == (1, 4)
    outcome = put_right(live, repair_of(derived, live))
    # The figure that the missed portal completes, and the frame of today.
    assert [(g.frame, g.local_date) for g in outcome.geometry] == [(3, TODAY - 1), (4, TODAY)]
    same = put_right(live, Repair(live.revision, live.digest, replace(live, frame_published=9)))
    assert same.geometry == ()
    assert same.state is not None
    assert same.state.frame_published == 1


def test_progress_follows(live: UserState, derived: UserState) -> None:
    outcome = put_right(live, repair_of(derived, live))
    assert outcome.state is not None
    progress = progress_of(USER, outcome.state, CAUSE, NOW, world())
    assert (progress.streak_days, progress.longest_days, progress.lifetime_days) == (4, 4, 4)
    assert (progress.revision, progress.cause) == (live.revision + 1, CAUSE)
    assert outcome.standing == standing_of(((TODAY - 3, 4),), "UTC", NOW, POLICY)


def test_nobody_may_be_repaired_too(derived: UserState) -> None:
    state = right_of(EMPTY, Repair(EMPTY.revision, EMPTY.digest, derived))
    assert (state.sets, state.revision) == (derived.sets, 1)


def test_a_user_may_be_put_back(live: UserState, derived: UserState) -> None:
    repaired = right_of(live, Repair(live.revision, live.digest, derived))
    back = right_of(repaired, Repair(repaired.revision, repaired.digest, live))
    assert replace(back, revision=live.revision, frame_published=live.frame_published) == live
    assert back.revision == live.revision + 2


def test_what_comes_after_it_counts_as_if_nothing_had_been_lost(derived: UserState) -> None:
    log, whole = practised(Log(), -3, -2, 0), practised(Log(), -3, -2, -1, 0)
    log.state = right_of(log.state, Repair(log.state.revision, log.state.digest, derived))
    for one in (log, whole):
        practised(one, 1)
        one.take(revoke("r1", TODAY - 3), NOW + DAY)
    assert log.state.digest == whole.state.digest
    assert log.state.revision == whole.state.revision == 6
    assert log.progress().streak_days == whole.progress().streak_days == 4


@pytest.mark.parametrize("revisions", [-1, 1])
def test_another_revision_is_rejected(live: UserState, derived: UserState, revisions: int) -> None:
    repair = repair_of(derived, live, revision=live.revision + revisions, window=WINDOW)
    outcome = put_right(live, repair)
    assert reason_of(outcome) == "state_changed"
    rejection = outcome.rejection
    assert rejection is not None
    assert f"revision {repair.revision}, and the user is at {live.revision}" in rejection.detail
    assert (outcome.unlocks, outcome.geometry, outcome.window) == ((), (), ())
    assert outcome.digest_before == outcome.digest_after == live.digest
    assert outcome.revision == live.revision
    assert (outcome.user_id, outcome.reason) == (USER, "the app was down")


def test_another_digest_of_the_same_revision_is_rejected(
    live: UserState, derived: UserState
) -> None:
    outcome = put_right(live, repair_of(derived, live, digest=derived.digest))
    assert reason_of(outcome) == "state_changed"


def test_what_came_after_it_was_derived_is_not_undone(derived: UserState) -> None:
    log = practised(Log(), -3, -2, 0)
    repair = repair_of(derived, log.state)
    log.take(completion(1, NOW), NOW)  # the same date once more: the sets stay as they are
    assert log.state.digest == repair.digest
    assert reason_of(put_right(log.state, repair)) == "state_changed"


def test_sent_twice_it_applies_once(live: UserState, derived: UserState) -> None:
    repair = repair_of(derived, live)
    assert reason_of(put_right(right_of(live, repair), repair)) == "state_changed"


def test_one_that_cannot_be_read_is_rejected(live: UserState) -> None:
    outcome = put_right(live, None)
    assert reason_of(outcome) == "bad_repair"
    assert (outcome.action, outcome.digest_after) == ("repair", live.digest)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"reason": None}, "unexplained"),
        ({"reason": ""}, "unexplained"),
        ({"ticket": None}, "unexplained"),
        ({"ticket": ""}, "unexplained"),
        ({"reason": "x" * 2001}, "bad_note"),
        ({"ticket": "\ud800"}, "bad_note"),
        ({"actor": ""}, "bad_actor"),
    ],
)
def test_who_asks_has_to_say_who_and_why(
    live: UserState, derived: UserState, other: dict[str, Any], reason: str
) -> None:
    assert reason_of(put_right(live, repair_of(derived, live), **other)) == reason
    assert reason_of(put_right(live, None, **other)) == reason


def test_what_is_said_of_one_that_is_not_explained(live: UserState) -> None:
    rejection = put_right(live, None, ticket=None).rejection
    assert rejection is not None
    assert rejection.detail == "a repair needs a reason and a ticket, for the audit"


@pytest.mark.parametrize(("request_id", "user_id"), [("", USER), ("r" * 256, USER), ("r", "")])
def test_ids_are_checked_as_those_of_any_command(request_id: str, user_id: str) -> None:
    asked = Command(request_id, user_id, "repair", "lea", "the app was down", "T-1")
    outcome = fold_repair(EMPTY, asked, Repair(0, EMPTY.digest, EMPTY), CAUSE, NOW, world())
    assert reason_of(outcome) == ("bad_request_id" if user_id else "bad_user_id")
    assert outcome.user_id == (user_id or None)


def test_by_any_other_way_it_is_not_carried_out(live: UserState) -> None:
    log = Log()
    log.state = live
    assert reason_of(log.take(command("r1", "repair"), NOW)) == "kind_not_supported"


def state_with(tz: str = "", reached_on: tuple[int, ...] = (), **sets: Any) -> UserState:
    portals = tuple(Unlocked(0, "bindu", date, NOW, "asset") for date in reached_on)
    return replace(EMPTY, sets=Sets(**sets), portals=portals, tz=tz)


@pytest.mark.parametrize(
    "state",
    [
        EMPTY,
        state_with(practised=((FIRST, 1),), bridged=((LAST, 1),)),
        state_with(practised=((FIRST, LAST - FIRST + 1),)),
        state_with(practised=((FIRST, 2), (FIRST + 3, 4), (FIRST + 8, 1))),
        state_with(credits=(("a", LAST), ("b", FIRST)), revocations=(("a", FIRST), ("c", LAST))),
        state_with(withdrawals=(("a", "z"), ("b", "z")), claims=(("a", "key"),)),
        state_with(unlocked=(("bindu", ((0, 1), (2, 1))), ("vesica-piscis", ((0, LAP_MAX + 1),)))),
        state_with(unlocked=(("bindu", ((LAP_MAX, 1),)),)),
        state_with(reached_on=(FIRST, LAST, FIRST)),
        state_with(tz="Europe/Berlin"),
    ],
)
def test_a_state_that_a_worker_could_have_come_to_is_sensible(state: UserState) -> None:
    assert is_sensible(state, FIRST, LAST)


NO_RUNS = {
    "unsorted": ((110, 1), (105, 1)),
    "twice": ((110, 1), (110, 1)),
    "touching": ((110, 2), (112, 1)),
    "overlapping": ((110, 3), (112, 3)),
    "empty": ((110, 0),),
    "below empty": ((110, -1),),
    "too early": ((FIRST - 1, 3),),
    "too late": ((LAST + 1, 1),),
    "ending too late": ((LAST, 2),),
    "endless": ((110, 2**40),),
    "the second ending too late": ((110, 1), (LAST - 1, 3)),
}
NO_REQUESTS: dict[str, tuple[str, ...]] = {
    "unsorted": ("b", "a"),
    "twice": ("a", "a"),
    "no id": ("",),
    "an id and none": ("a", "b\n"),
}


@pytest.mark.parametrize("runs", NO_RUNS.values(), ids=NO_RUNS)
@pytest.mark.parametrize("field", ["practised", "bridged"])
def test_runs_that_no_dates_have_are_not(field: str, runs: Any) -> None:
    assert not is_sensible(state_with(**{field: runs}), FIRST, LAST)


@pytest.mark.parametrize(
    "laps", [((0, LAP_MAX + 2),), ((LAP_MAX + 1, 1),), ((-1, 1),), ((0, 1), (1, 1))]
)
def test_laps_that_nobody_practises_are_not(laps: Any) -> None:
    assert not is_sensible(state_with(unlocked=(("bindu", ((0, 1),)), ("x", laps))), FIRST, LAST)


@pytest.mark.parametrize("ids", NO_REQUESTS.values(), ids=NO_REQUESTS)
@pytest.mark.parametrize(
    ("field", "about"),
    [
        ("credits", FIRST),
        ("revocations", FIRST),
        ("withdrawals", "r"),
        ("claims", "key"),
        ("unlocked", ((0, 1),)),
    ],
)
def test_names_without_order_are_not(field: str, about: Any, ids: tuple[str, ...]) -> None:
    requests: dict[str, Any] = {field: tuple((x, about) for x in ids)}
    assert not is_sensible(state_with(**requests), FIRST, LAST)


@pytest.mark.parametrize("date", [FIRST - 1, LAST + 1, 2**40])
@pytest.mark.parametrize("field", ["credits", "revocations"])
def test_requests_for_other_dates_are_not(field: str, date: int) -> None:
    requests: dict[str, Any] = {field: (("a", FIRST), ("b", date))}
    assert not is_sensible(state_with(**requests), FIRST, LAST)


@pytest.mark.parametrize(
    "state",
    [
        state_with(withdrawals=(("a", "z"), ("b", ""))),
        state_with(claims=(("a", "key"), ("b", ""))),
        state_with(reached_on=(FIRST, FIRST - 1)),
        state_with(reached_on=(FIRST, LAST + 1)),
        state_with(reached_on=(2**40,)),
        state_with(tz="Mars/Base"),
    ],
)
def test_a_state_that_names_what_there_is_not_is_not(state: UserState) -> None:
    assert not is_sensible(state, FIRST, LAST)


def test_its_dates_are_those_of_the_policy_and_of_the_day() -> None:
    first, last = POLICY.earliest_date, TODAY + 1
    for dates in (((first, 1),), ((last, 1),)):
        right_of(EMPTY, Repair(0, EMPTY.digest, state_with(practised=dates)))
    for dates in (((first - 1, 1),), ((last + 1, 1),)):
        outcome = put_right(EMPTY, Repair(0, EMPTY.digest, state_with(practised=dates)))
        assert reason_of(outcome) == "bad_repair"
