"""Portals, keys and streaks, as events make them."""

from datetime import date, datetime, time, timedelta

import msgspec
import pytest

from pipeline.core.calendar import date_of, instant_of, local_date
from pipeline.core.enumerations import DATED, REQUEST_KINDS
from pipeline.core.identity import uuid_of
from pipeline.core.keys import key_ids
from pipeline.core.policy import PolicyBook, load_policy
from pipeline.core.records import NextPortal, Run
from pipeline.core.sets import Sets, with_request
from pipeline.core.state import EMPTY
from pipeline.core.streak import Standing, current_run, standing_of, today_of
from tests.core.scenes import (
    BOOK,
    DAY,
    FIRST_TEXT,
    HOUR,
    NOW,
    POLICY,
    TODAY,
    USER,
    Log,
    at,
    book_of,
    claim,
    completion,
    credit,
    day,
    practised,
    revoke,
    world,
    zone,
)


def test_the_first_portal_says_everything() -> None:
    log = Log()
    outcome = log.take(completion(1, NOW, "Europe/Berlin"), NOW + 5)
    (unlock,) = outcome.unlocks
    assert msgspec.structs.asdict(unlock) == {
        "unlock_id": uuid_of("ana/0/bindu"),
        "user_id": USER,
        "lap": 0,
        "portal": "bindu",
        "title": "Bindu",
        "cycle_day": 1,
        "streak_days": 1,
        "longest_days": 1,
        "lifetime_days": 1,
        "reached_on": TODAY,
        "tz": "Europe/Berlin",
        "practice": "breath",
        "figure": "bindu",
        "frame": 1,
        "asset_id": "asset-1-3",
        "asset_url": "https://assets.example/asset-1-3",
        "field_keys": key_ids(USER, 0, "bindu", 1),
        "field_keys_pending": 1,
        "next_portal": NextPortal("vesica-piscis", "Vesica Piscis", 2),
        "policy_version": "2026-06",
        "origin": "live",
        "unlocked_at": NOW + 5,
        "cause": unlock.cause,
    }
    assert (unlock.cause.topic, unlock.cause.offset, unlock.cause.id) == ("completions", 0, "c1")


def test_every_portal_of_a_lap_and_on_into_the_next() -> None:
    log = practised(Log(), *range(112))
    expected = [(0, portal.slug) for portal in POLICY.portals]
    assert log.unlocked == [*expected, (1, "bindu"), (1, "vesica-piscis")]
    by_slug = {(u.lap, u.portal): u for o in log.outcomes for u in o.unlocks}
    sri = by_slug[0, "sri-yantra"]
    assert (sri.reached_on, sri.streak_days, sri.cycle_day) == (TODAY + 107, 108, 108)
    assert sri.next_portal == NextPortal("bindu", "Bindu", 1)
    assert len(sri.field_keys) == 3
    again = by_slug[1, "bindu"]
    assert (again.reached_on, again.cycle_day, again.streak_days) == (TODAY + 108, 1, 109)
    assert again.field_keys_pending == sum(portal.keys for portal in POLICY.portals) + 1
    progress = log.progress()
    assert (progress.lap, progress.cycle_day, progress.streak_days) == (1, 4, 112)
    assert len({key for u in by_slug.values() for key in u.field_keys}) == len(
        progress.keys.granted
    )
    assert list(progress.keys.granted) == sorted(progress.keys.granted)


def test_a_broken_streak_starts_again_and_tells_no_portal_twice() -> None:
    log = practised(Log(), *range(8), *range(10, 17))
    assert log.unlocked == [(0, p) for p in ("bindu", "vesica-piscis", "tripod-of-life")]
    progress = log.progress()
    assert (progress.streak_days, progress.longest_days, progress.lifetime_days) == (7, 8, 15)
    practised(log, *range(17, 23))
    assert log.unlocked[-1] == (0, "seed-of-life")


def test_a_late_date_joins_two_runs_and_unlocks_in_order() -> None:
    log = practised(Log(), *range(4), *range(5, 9))
    outcome = log.take(completion(1, NOW + 4 * DAY), NOW + 8 * DAY)
    assert [u.portal for u in outcome.unlocks] == ["tripod-of-life"]
    (unlock,) = outcome.unlocks
    # The run that reached it did so on its seventh date, not today.
    assert (unlock.reached_on, unlock.streak_days) == (TODAY + 6, 9)
    assert unlock.next_portal == NextPortal("seed-of-life", "Seed of Life", 4)


def test_what_was_unlocked_for_a_longer_run_stays_checked_after_it_was_cut() -> None:
    log = practised(Log(), *range(4))
    assert log.state.checked_days == 4
    log.take(revoke("r1", TODAY + 2), NOW + 3 * DAY)
    assert log.progress().longest_days == 2
    assert log.state.checked_days == 4


def test_several_portals_at_once() -> None:
    log = practised(Log(), *range(0, 15, 2))
    for n in range(1, 14, 2):
        log.take(credit(f"r{n}", TODAY + n), NOW + 14 * DAY)
    assert log.unlocked == [
        (0, p) for p in ("bindu", "vesica-piscis", "tripod-of-life", "seed-of-life")
    ]
    assert log.progress().streak_days == 15


def test_one_date_that_unlocks_several_portals() -> None:
    log = Log()
    log.state = msgspec.structs.replace(EMPTY, sets=Sets(((TODAY, 6), (TODAY + 7, 6))))
    outcome = log.take(completion(1, NOW + 6 * DAY), NOW + 12 * DAY)
    assert [u.portal for u in outcome.unlocks] == [
        "bindu",
        "vesica-piscis",
        "tripod-of-life",
        "seed-of-life",
    ]
    assert {u.field_keys_pending for u in outcome.unlocks} == {4}
    assert [u.reached_on - TODAY for u in outcome.unlocks] == [0, 2, 6, 12]
    # The last of the frames is the current one.
    assert [(g.frame, g.figure_completed) for g in outcome.geometry] == [
        (1, True),
        (3, True),
        (7, True),
        (13, True),
    ]


def test_portals_of_an_old_run_do_not_count_days_of_the_new_one() -> None:
    log = practised(Log(), 0, 1, 3, 6)
    outcome = log.take(completion(1, NOW + 2 * DAY), NOW + 6 * DAY)
    (unlock,) = outcome.unlocks
    assert unlock.portal == "vesica-piscis"
    assert (unlock.streak_days, unlock.longest_days, unlock.lifetime_days) == (1, 4, 5)
    # Ahead of the current run, and not one that is unlocked already.
    assert unlock.next_portal == NextPortal("tripod-of-life", "Tripod of Life", 6)


class TestStreak:
    @pytest.mark.parametrize(("later_days", "streak"), [(0, 2), (1, 2), (2, 0)])
    def test_it_lasts_until_the_end_of_the_next_date(self, later_days: int, streak: int) -> None:
        log = practised(Log(), -1, 0)
        progress = log.progress(NOW + later_days * DAY)
        assert progress.streak_days == streak
        assert progress.streak_safe_until == (TODAY + 1 if streak else None)
        assert progress.longest_days == 2

    def test_the_day_ends_at_the_day_start_in_the_users_zone(self) -> None:
        log = Log()
        end = at("2026-06-15T12:00:00+14:00")
        log.take(completion(1, end, "Pacific/Kiritimati"), end)
        last = at("2026-06-17T02:59:59+14:00")
        assert log.progress(last).streak_days == 1
        assert log.progress(last + 1000).streak_days == 0
        west = Log()
        end = at("2026-06-15T12:00:00-12:00")
        west.take(completion(1, end, "Etc/GMT+12"), end)
        last = at("2026-06-17T02:59:59-12:00")
        assert west.progress(last).streak_days == 1
        assert west.progress(last + 1000).streak_days == 0

    def test_every_zone_and_hour_agrees_with_asking_the_zone(self) -> None:
        runs = ((TODAY - 20, 3), (TODAY - 3, 1), (TODAY - 1, 1), (TODAY + 1, 2))
        for tz in ("Pacific/Kiritimati", "Etc/GMT+12", "UTC", "Asia/Kathmandu"):
            for hour in range(-24 * 26, 24 * 8):
                instant = NOW + hour * HOUR
                today = local_date(instant, zone(tz), POLICY.day_start_minutes)
                expected = next((r for r in runs if r[0] + r[1] - 1 >= today - 1), None)
                assert current_run(runs, tz, instant, POLICY) == expected

    def test_a_zone_that_no_longer_exists_is_read_as_utc(self) -> None:
        runs = ((TODAY - 1, 1),)
        assert current_run(runs, "Gone/Zone", NOW, POLICY) == runs[0]
        assert current_run(runs, "Gone/Zone", NOW + 15 * HOUR, POLICY) is None
        before_the_day_starts = at("2026-06-15T02:59:59+00:00")
        assert today_of("Gone/Zone", before_the_day_starts, POLICY) == TODAY - 1
        assert today_of("Gone/Zone", before_the_day_starts + 1000, POLICY) == TODAY

    def test_somebody_without_a_date_stands_nowhere(self) -> None:
        nowhere = Standing(0, 0, 0, 0, 0, None, None)
        assert standing_of((), "UTC", NOW, POLICY) == nowhere

    def test_a_credit_for_tomorrow_breaks_nothing(self) -> None:
        log = practised(Log(), -2, -1)
        log.take(credit("r1", TODAY + 1), NOW)
        # Today is still open, so the run up to yesterday goes on.
        progress = log.progress()
        assert (progress.streak_days, progress.streak_safe_until) == (2, TODAY)
        assert progress.last_local_date == TODAY + 1
        practised(log, 0)
        assert log.progress().streak_days == 4
        assert log.progress().streak_safe_until == TODAY + 2

    def test_the_zone_is_that_of_the_completion_that_ended_last(self) -> None:
        log = Log()
        log.take(completion(1, NOW, "Asia/Tokyo"), NOW)
        log.take(completion(2, NOW - HOUR, "Europe/Berlin"), NOW)
        assert log.state.tz == "Asia/Tokyo"
        log.take(completion(0, NOW, "UTC"), NOW)
        assert log.state.tz == "Asia/Tokyo"
        log.take(completion(3, NOW, "Africa/Cairo"), NOW)
        assert log.state.tz == "Africa/Cairo"


@pytest.mark.parametrize(
    ("tz", "year"),
    [
        ("Europe/Berlin", 2028),
        ("Africa/Cairo", 2024),
        ("Australia/Lord_Howe", 2026),
        ("America/St_Johns", 2026),
        ("America/Santiago", 2026),
        ("Asia/Kathmandu", 2024),
    ],
)
def test_noon_every_day_of_a_year_is_one_streak(tz: str, year: int) -> None:
    log = Log()
    first = date_of(date(year, 1, 1))
    days = date_of(date(year + 1, 1, 1)) - first
    for n in range(days):
        noon = datetime.combine(date(year, 1, 1) + timedelta(n), time(12), zone(tz).info)
        log.take(completion(n, instant_of(noon), tz), instant_of(noon))
    assert log.state.sets.practised == ((first, days),)
    assert log.state.sets.bridged == ()
    assert log.progress().streak_days == days == (366 if year % 4 == 0 else 365)


def two_versions(second_portals: str) -> PolicyBook:
    head, _, rest = FIRST_TEXT.partition("versions:\n")
    version = rest.replace('"2026-01"', '"next"').replace("1970-01-01", "2026-06-20")
    version = version.partition("    portals:\n")[0] + "    portals:\n" + second_portals
    return load_policy(f"{head}versions:\n{rest}{version}")


class TestPolicyChanges:
    BOOK = two_versions(
        """      - {day: 2, slug: second, title: Second, figure: x, keys: 1}
      - {day: 3, slug: vesica-piscis, title: New Name, figure: x, keys: 5}
      - {day: 9, slug: bindu, title: Bindu, figure: x, keys: 1}
"""
    )

    def test_a_portal_that_was_added_is_unlocked_at_the_next_event(self) -> None:
        log = practised(Log(world(self.BOOK)), *range(4))
        outcome = log.take(completion(1, NOW + 6 * DAY), NOW + 6 * DAY)
        assert [(u.portal, u.reached_on - TODAY) for u in outcome.unlocks] == [("second", 1)]
        assert outcome.policy_version == outcome.unlocks[0].policy_version == "next"
        # Dropped and moved portals stay, and are not told again.
        practised(log, *range(7, 20))
        assert log.unlocked == [(0, "bindu"), (0, "vesica-piscis"), (0, "second")]
        assert [p.slug for p in log.progress().portals] == ["bindu", "vesica-piscis", "second"]

    def test_append_time_decides_and_not_the_practice(self) -> None:
        log = Log(world(self.BOOK))
        log.take(completion(1, NOW), NOW + 6 * DAY)
        assert log.unlocked == []
        assert log.outcomes[0].policy_version == "next"

    def test_back_and_forth_between_versions_tells_nothing_twice(self) -> None:
        log = practised(Log(world(self.BOOK)), *range(4))
        for n in range(6):
            # Append times that step back over the change.
            log.take(completion(n, NOW + 4 * DAY), NOW + (6 if n % 2 else 4) * DAY)
        assert sorted(log.unlocked) == [(0, "bindu"), (0, "second"), (0, "vesica-piscis")]

    def test_keys_of_a_dropped_portal_can_still_be_claimed(self) -> None:
        log = Log(world(self.BOOK))
        key = key_ids(USER, 0, "sri-yantra", 1)[0]
        assert log.take(claim("r1", key), NOW + 30 * DAY).verdict == "applied"
        more = key_ids(USER, 0, "vesica-piscis", 5)[4]
        assert log.take(claim("r2", more), NOW).verdict == "applied"


def test_a_shorter_cycle() -> None:
    log = practised(Log(world(book_of((1, "one", 1), (5, "five", 0), cycle_days=5))), *range(11))
    assert log.unlocked == [(0, "one"), (0, "five"), (1, "one"), (1, "five"), (2, "one")]
    assert log.state.sets.unlocked == (("five", ((0, 2),)), ("one", ((0, 3),)))


def test_ten_years_of_one_user() -> None:
    log = Log(world(BOOK))
    for n in range(3653):
        log.take(completion(n, NOW + n * DAY, "Europe/Berlin"), NOW + n * DAY)
    progress = log.progress()
    assert (progress.streak_days, progress.longest_days) == (3653, 3653)
    assert (progress.lap, progress.cycle_day) == (33, 3653 - 33 * 108)
    assert progress.dates.practised == (Run(day("2026-06-15"), 3653),)
    assert log.unlocked == sorted(
        log.unlocked,
        key=lambda portal: (portal[0], [p.slug for p in POLICY.portals].index(portal[1])),
    )
    assert len(log.unlocked) == len(set(log.unlocked)) == 33 * 13 + 11
    assert len(log.state.dateline.recent) <= 35 + 7
    assert progress.field_keys_pending == len(progress.keys.granted) == len(log.state.granted)


def test_a_completion_with_a_portal_keeps_every_set_that_it_does_not_grow() -> None:
    """Whatever set a later release adds: its default must not come back."""
    log = Log()
    before = log.state.sets
    for kind in REQUEST_KINDS:
        before = with_request(before, kind, f"a {kind}", TODAY - 9 if kind in DATED else "another")
    log.state = msgspec.structs.replace(log.state, sets=before)
    log.take(completion(1, NOW), NOW)
    kept = [name for name in Sets.__struct_fields__ if name not in ("practised", "unlocked")]
    for name in kept:
        assert getattr(log.state.sets, name) == getattr(before, name)
        assert name == "bridged" or getattr(before, name)
    assert log.state.sets.practised and log.state.sets.unlocked != before.unlocked
