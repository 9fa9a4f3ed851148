"""Portals, keys, streaks and corrections, worked out by hand."""

from datetime import date
from uuid import uuid4

from pipeline.dev.oracle.users import key_id
from tests.oracle.scenes import RULES, Scene, ms


def _month_of_may(*days: int, scene: Scene | None = None) -> Scene:
    scene = scene or Scene()
    for day in days:
        scene.sat(f"2026-05-{day:02d}T12:00:00Z", append=f"2026-05-{max(days):02d}T12:30:00Z")
    return scene


def test_portals_open_on_their_days_and_again_in_the_next_lap() -> None:
    scene = _month_of_may(*range(1, 8))
    assert list(scene.user.unlocks) == [(0, "seed"), (0, "leaf"), (0, "tree"), (1, "seed")]
    assert scene.user.unlocks[(0, "leaf")].reached_on == date(2026, 5, 3)
    assert scene.user.unlocks[(1, "seed")].reached_on == date(2026, 5, 7)
    assert len(scene.user.keys_granted) == 4


def test_a_late_day_that_closes_a_gap_tells_what_it_opens() -> None:
    scene = _month_of_may(1, 2, 4, 5, 6)
    assert set(scene.user.unlocks) == {(0, "seed"), (0, "leaf")}
    scene.sat("2026-05-03T12:00:00Z", append="2026-05-06T13:00:00Z")
    assert (0, "tree") in scene.user.unlocks
    assert scene.user.unlocks[(0, "tree")].unlocked_at_ms == ms("2026-05-06T13:00:00Z")


def test_after_a_break_nothing_is_told_twice() -> None:
    scene = _month_of_may(1, 2, 3, 5, 6, 7)
    assert [u.reached_on.day for u in scene.user.unlocks.values()] == [1, 3]
    assert scene.user.progress(ms("2026-05-07T13:00:00Z"), RULES.policies[0]).streak_days == 3


def test_a_streak_lives_until_the_day_after_its_last_date_is_over() -> None:
    scene = _month_of_may(1, 2)
    policy = RULES.policies[0]
    still = scene.user.progress(ms("2026-05-04T02:59:59Z"), policy)
    assert (still.streak_days, still.streak_safe_until) == (2, date(2026, 5, 3))
    over = scene.user.progress(ms("2026-05-04T03:00:00Z"), policy)
    assert (over.streak_days, over.cycle_day, over.streak_safe_until) == (0, 0, None)
    assert (over.longest_days, over.lifetime_days, over.last_local_date) == (2, 2, date(2026, 5, 2))


def test_the_next_portal_is_counted_from_the_current_run() -> None:
    scene = _month_of_may(1, 2)
    policy = RULES.policies[0]
    assert scene.user.progress(ms("2026-05-02T13:00:00Z"), policy).next_portal == ("leaf", 1)
    # After a break: the portals that are open already are not ahead.
    assert scene.user.progress(ms("2026-05-09T13:00:00Z"), policy).next_portal == ("leaf", 3)
    at_the_end = _month_of_may(*range(1, 7)).user.progress(ms("2026-05-06T13:00:00Z"), policy)
    assert at_the_end.next_portal == ("seed", 1)
    shown = scene.user.unlocks[(0, "seed")].shown
    assert (shown.streak_days, shown.next_portal) == (1, ("leaf", 2))


def test_lap_and_day_of_the_cycle() -> None:
    scene = _month_of_may(*range(1, 8))
    shown = scene.user.progress(ms("2026-05-07T13:00:00Z"), RULES.policies[0])
    assert (shown.streak_days, shown.lap, shown.cycle_day) == (7, 1, 1)


def test_a_revocation_wins_takes_no_portal_back_and_can_be_withdrawn() -> None:
    scene = _month_of_may(1, 2, 3)
    day = date(2026, 5, 2)
    scene.asked("revoke", "2026-05-03T13:00:00Z", request_id="x", local_date=day)
    scene.asked("credit", "2026-05-03T13:01:00Z", local_date=day)
    assert scene.user.covered == {date(2026, 5, 1), date(2026, 5, 3)}
    assert (0, "leaf") in scene.user.unlocks
    assert scene.user.progress(ms("2026-05-03T14:00:00Z"), RULES.policies[0]).longest_days == 1
    scene.asked("withdraw", "2026-05-03T15:00:00Z", withdraws="x")
    assert len(scene.user.covered) == 3
    assert scene.user.revoked == set()


def test_a_revocation_before_the_portal_keeps_it_shut() -> None:
    scene = Scene()
    scene.asked("revoke", "2026-05-01T00:00:00Z", local_date=date(2026, 5, 2))
    _month_of_may(1, 2, 3, scene=scene)
    assert set(scene.user.unlocks) == {(0, "seed")}


def test_a_withdrawal_may_come_before_what_it_withdraws() -> None:
    scene = Scene()
    assert scene.asked("withdraw", "2026-05-01T00:00:00Z", withdraws="x").word == "applied"
    day = date(2026, 5, 1)
    credit = scene.asked("credit", "2026-05-01T01:00:00Z", request_id="x", local_date=day)
    assert credit.word == "applied"
    assert scene.user.covered == set()


def test_a_credit_counts_like_practice() -> None:
    scene = _month_of_may(1, 3)
    scene.asked("credit", "2026-05-03T13:00:00Z", local_date=date(2026, 5, 2))
    assert (0, "leaf") in scene.user.unlocks
    assert scene.user.unlocks[(0, "leaf")].reached_on == date(2026, 5, 3)


def test_commands_that_must_be_refused() -> None:
    scene = Scene()
    at = "2026-05-03T13:00:00Z"
    refused = [
        scene.asked("credit", at, local_date=date(2026, 5, 5)),
        scene.asked("credit", at, local_date=date(2009, 12, 31)),
        scene.asked("credit", at),
        scene.asked("revoke", at, local_date=date(2026, 5, 1), reason=None),
        scene.asked("withdraw", at),
        scene.asked("claim_key", at, key_id=str(uuid4())),
        scene.asked("abracadabra", at),
        scene.asked("withdraw", at, withdraws="x", actor=""),
        scene.asked("withdraw", at, withdraws="x", request_id="x"),
        scene.asked("credit", at, local_date=date(2026, 5, 3), tz="Mars/Base"),
        scene.asked("credit", at, local_date=date(2026, 5, 3), reason="w" * 2_001),
    ]
    assert [verdict.category for verdict in refused] == [
        "date_ahead", "date_too_early", "no_date", "no_reason", "nothing_withdrawn",
        "impossible_key", "unknown_kind", "bad_actor", "withdraws_itself", "unknown_zone",
        "bad_note",
    ]  # fmt: skip
    assert scene.judgement.users == {}
    allowed = scene.asked("credit", at, local_date=date(2026, 5, 4))
    assert allowed.word == "applied"


def test_the_same_request_again_is_repeated() -> None:
    scene = Scene()
    for word in ("applied", "repeated"):
        verdict = scene.asked(
            "credit", "2026-05-03T13:00:00Z", request_id="x", local_date=date(2026, 5, 3)
        )
        assert verdict.word == word


def test_a_request_id_is_taken_once() -> None:
    scene = Scene()
    at = "2026-05-03T13:00:00Z"
    scene.asked("credit", at, request_id="x", local_date=date(2026, 5, 3))
    for kind, day in (("credit", 2), ("revoke", 3)):
        verdict = scene.asked(kind, at, request_id="x", local_date=date(2026, 5, day))
        assert (verdict.word, verdict.category) == ("dead_letter", "request_id_reused")
    assert scene.user.covered == {date(2026, 5, 3)}


def test_a_credit_for_tomorrow_does_not_hide_the_run_that_today_can_carry_on() -> None:
    scene = _month_of_may(1, 2)
    scene.asked("credit", "2026-05-03T12:00:00Z", local_date=date(2026, 5, 4))
    shown = scene.user.progress(ms("2026-05-03T12:00:00Z"), RULES.policies[0])
    assert (shown.streak_days, shown.streak_safe_until) == (2, date(2026, 5, 3))
    assert shown.last_local_date == date(2026, 5, 4)


def test_a_claim_may_come_before_its_grant() -> None:
    scene = Scene()
    claimed = key_id("ana", 0, "leaf", 1)
    scene.asked("claim_key", "2026-05-01T00:00:00Z", key_id=claimed)
    assert (scene.user.keys_claimed, scene.user.keys_pending) == ({claimed}, set())
    _month_of_may(1, 2, 3, scene=scene)
    assert scene.user.keys_pending == {key_id("ana", 0, "seed", 0), key_id("ana", 0, "leaf", 0)}


def test_the_zone_is_that_of_the_session_that_ended_last_whatever_the_order() -> None:
    scene = Scene()
    scene.sat("2026-05-10T12:00:00Z", tz="Asia/Tokyo")
    scene.sat("2026-05-09T12:00:00Z", tz="Europe/Berlin", append="2026-05-10T13:00:00Z")
    assert scene.user.tz == "Asia/Tokyo"
    # A tie goes to the greater id.
    scene.sat("2026-05-10T12:00:00Z", tz="Asia/Seoul", minutes=1, completion_id="a0")
    assert scene.user.tz == "Asia/Tokyo"
    scene.sat("2026-05-10T12:00:00Z", tz="Asia/Seoul", minutes=1, completion_id="d0")
    assert scene.user.tz == "Asia/Seoul"


def test_until_a_completion_says_a_zone_an_adjustment_may() -> None:
    scene = Scene()
    day = date(2026, 5, 9)
    scene.asked("credit", "2026-05-10T12:00:00Z", local_date=day)
    assert (scene.user.zone, scene.user.tz) == (None, "UTC")
    scene.asked("credit", "2026-05-10T12:00:00Z", local_date=day, tz="asia/tokyo")
    scene.asked("revoke", "2026-05-10T12:00:00Z", local_date=date(2026, 5, 1), tz="GMT-7")
    scene.asked("credit", "2026-05-10T12:00:00Z", local_date=day)
    scene.asked("withdraw", "2026-05-10T12:00:00Z", withdraws="r3", tz="Mars/Base")
    assert scene.user.tz == "Etc/GMT+7"
    scene.sat("2026-05-01T12:00:00Z", tz="Asia/Seoul", append="2026-05-10T13:00:00Z")
    assert scene.user.tz == "Asia/Seoul"


def test_a_streak_in_no_zone_holds_until_its_day_is_over_everywhere() -> None:
    scene = Scene()
    scene.asked("credit", "2026-05-10T12:00:00Z", local_date=date(2026, 5, 9))
    policy = RULES.policies[0]
    # The tenth ends at three in the night of the eleventh, twelve hours west of Greenwich.
    assert scene.user.progress(ms("2026-05-11T14:59:59Z"), policy).streak_days == 1
    assert scene.user.progress(ms("2026-05-11T15:00:00Z"), policy).streak_days == 0


def test_what_keeps_a_date_from_counting_is_named() -> None:
    scene = Scene()
    at = "2026-05-10T13:00:00Z"
    day = date(2026, 5, 10)
    assert scene.sat("2026-05-10T12:00:00Z").revoked_by == ()
    assert scene.asked("revoke", at, request_id="y", local_date=day).revoked_by == ()
    assert scene.asked("revoke", at, request_id="x", local_date=day).revoked_by == ("y",)
    assert scene.asked("credit", at, local_date=day).revoked_by == ("x", "y")
    again = scene.asked("revoke", at, request_id="x", local_date=day)
    assert (again.word, again.revoked_by) == ("repeated", ("y",))
    scene.asked("withdraw", at, withdraws="y")
    assert scene.sat("2026-05-10T12:30:00Z").revoked_by == ("x",)
    assert scene.asked("credit", at, local_date=date(2026, 5, 9)).revoked_by == ()
    assert scene.sat("2026-05-10T12:30:00Z").revision == scene.user.revision == 8


def test_flying_west_over_the_date_line_keeps_the_streak() -> None:
    scene = Scene()
    scene.sat("2026-05-10T19:30:00-07:00", tz="America/Los_Angeles")
    scene.sat("2026-05-12T07:15:00+12:00", tz="Pacific/Auckland")
    assert scene.user.bridged == {date(2026, 5, 11)}
    assert scene.user.progress(ms("2026-05-11T20:00:00Z"), RULES.policies[0]).streak_days == 3


def test_flying_east_over_the_date_line_counts_the_date_once() -> None:
    scene = Scene()
    scene.sat("2026-05-12T08:00:00+12:00", tz="Pacific/Auckland")
    scene.sat("2026-05-12T20:00:00-07:00", tz="America/Los_Angeles")
    assert scene.user.practised == {date(2026, 5, 12)}
    assert scene.user.bridged == set()


def test_samoa_had_no_such_date() -> None:
    scene = Scene(tz="Pacific/Apia")
    scene.sat("2011-12-30T06:00:00Z")
    scene.sat("2011-12-30T17:00:00Z")
    assert scene.user.practised == {date(2011, 12, 29), date(2011, 12, 31)}
    assert scene.user.bridged == {date(2011, 12, 30)}


def test_a_new_policy_adds_portals_to_those_already_reached_and_drops_others() -> None:
    scene = Scene()
    for day in (29, 30):
        scene.sat(f"2026-06-{day}T12:00:00Z")
    assert set(scene.user.unlocks) == {(0, "seed")}
    verdict = scene.sat("2026-07-01T03:30:00Z")
    assert verdict.local_date == date(2026, 6, 30)  # its day starts at four
    assert set(scene.user.unlocks) == {(0, "seed"), (0, "stem")}
    assert scene.user.unlocks[(0, "stem")].reached_on == date(2026, 6, 30)
    scene.sat("2026-07-01T12:00:00Z")
    assert (0, "leaf") not in scene.user.unlocks


def test_which_bridge_rule_holds_depends_on_when_a_completion_comes() -> None:
    before = Scene()
    before.sat("2026-06-26T07:00:00-07:00", tz="America/Los_Angeles")
    before.sat("2026-06-28T07:00:00+12:00", tz="Pacific/Auckland")
    assert before.user.bridged == set()
    # The same neighbours again once the second policy is in force: it is asked anew.
    before.sat("2026-06-28T07:15:00+12:00", tz="Pacific/Auckland", append="2026-07-01T00:00:00Z")
    assert before.user.bridged == {date(2026, 6, 27)}
    after = Scene()
    after.sat("2026-07-03T07:00:00-07:00", tz="America/Los_Angeles")
    after.sat("2026-07-05T07:00:00+12:00", tz="Pacific/Auckland")
    assert after.user.bridged == {date(2026, 7, 4)}


def test_who_stays_at_home_gains_nothing_from_the_shift() -> None:
    scene = Scene(tz="Pacific/Auckland")
    scene.sat("2026-07-03T07:00:00+12:00")
    scene.sat("2026-07-05T07:00:00+12:00")
    assert scene.user.bridged == set()
