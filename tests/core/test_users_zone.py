"""Where a user is: by the completions, until then by the adjustments, until then nobody knows."""

import pytest

from pipeline.core.reading import today, zone_for
from pipeline.core.records import Command
from pipeline.core.zones import LAST_ON_EARTH
from tests.core.scenes import (
    BOOK,
    DAY,
    HOUR,
    MINUTE,
    NOW,
    TODAY,
    USER,
    Event,
    Log,
    at,
    claim,
    command,
    completion,
    credit,
    day,
    reason_of,
    revoke,
    withdraw,
)

IMPORTED_AT = at("2026-06-14T22:00:00-07:00")


def imported(tz: str | None = None) -> Log:
    """Five days of an old app, up to 14 June, credited in the evening of that day."""
    log = Log()
    for n in range(10, 15):
        log.take(credit(f"imp-{n}", day(f"2026-06-{n}"), tz), IMPORTED_AT)
    return log


def read(log: Log, instant: int, tz: str | None = None) -> tuple[int, int]:
    """Return the date and the streak that a reader is shown."""
    shown = today(log.progress(), instant, BOOK.at(instant), tz)
    assert shown.tz == zone_for(log.progress(), tz)
    return shown.date, shown.standing.streak_days


class TestNobodyKnows:
    def test_it_says_so(self) -> None:
        log = imported()
        progress = log.progress()
        assert (progress.tz, progress.tz_known) == ("UTC", False)
        assert log.state.tz == ""
        assert log.unlocked == [(0, "bindu"), (0, "vesica-piscis")]
        assert {u.tz for o in log.outcomes for u in o.unlocks} == {"UTC"}
        assert {(o.tz, o.tz_assumed) for o in log.outcomes} == {(None, False)}

    @pytest.mark.parametrize("instant", ["2026-06-15T19:59:00-07:00", "2026-06-15T20:30:00-07:00"])
    def test_the_streak_holds_in_the_evening_west_of_greenwich(self, instant: str) -> None:
        log = imported()
        assert log.progress(at(instant)).streak_days == 5
        assert read(log, at(instant))[1] == 5

    def test_it_holds_until_the_date_is_over_everywhere(self) -> None:
        log = imported()
        # The 15th ends at three on the 16th, twelve hours behind UTC.
        over = at("2026-06-16T03:00:00-12:00")
        assert log.progress(over - 1).streak_days == 5
        assert log.progress(over - 1).streak_safe_until == day("2026-06-15")
        assert log.progress(over).streak_days == 0
        assert read(log, over - 1) == (day("2026-06-15"), 5)
        assert read(log, over) == (day("2026-06-16"), 0)
        assert today(log.progress(), over, BOOK.at(over)).tz == LAST_ON_EARTH

    def test_a_practice_in_that_time_goes_on_with_it(self) -> None:
        log = imported()
        end = at("2026-06-15T23:00:00-10:00")
        log.take(completion(1, end, "Pacific/Honolulu"), end)
        assert log.progress().streak_days == 6
        assert (log.progress().tz, log.progress().tz_known) == ("Pacific/Honolulu", True)

    def test_a_command_that_is_about_no_date_tells_nothing(self) -> None:
        log = imported()
        for asked in (
            command("w1", "withdraw", withdraws="none", tz="Asia/Tokyo"),
            command("k1", "claim_key", key_id=log.state.granted[0], tz="Asia/Tokyo"),
            command("w2", "withdraw", withdraws="none", tz="Nowhere"),
        ):
            assert log.take(asked, IMPORTED_AT).verdict == "applied"
        assert log.state.tz == ""


class TestAnAdjustmentSaysIt:
    @pytest.mark.parametrize(
        ("tz", "name"),
        [
            ("America/Los_Angeles", "America/Los_Angeles"),
            ("america/los angeles", "America/Los_Angeles"),
            ("-07:00", "Etc/GMT+7"),
            ("US/Pacific-New", "America/Los_Angeles"),
        ],
    )
    def test_by_its_canonical_name(self, tz: str, name: str) -> None:
        log = imported(tz)
        progress = log.progress()
        assert (log.state.tz, progress.tz, progress.tz_known) == (name, name, True)
        assert {u.tz for o in log.outcomes for u in o.unlocks} == {name}
        over = at("2026-06-16T03:00:00-07:00")
        assert log.progress(over - 1).streak_days == 5
        assert log.progress(over).streak_days == 0

    def test_the_last_one_applied_counts(self) -> None:
        log = imported("America/Los_Angeles")
        log.take(credit("c1", TODAY - 20), NOW)
        assert log.state.tz == "America/Los_Angeles"
        log.take(revoke("r1", TODAY - 20, "Asia/Tokyo"), NOW)
        assert log.state.tz == "Asia/Tokyo"
        assert log.take(credit("imp-10", day("2026-06-10"), "UTC"), NOW).verdict == "repeated"
        assert log.state.tz == "Asia/Tokyo"
        # One that was rejected says nothing.
        reason_of(log.take(credit("c2", TODAY + 9, "UTC"), NOW))
        assert log.state.tz == "Asia/Tokyo"

    @pytest.mark.parametrize("tz", ["Nowhere", "CEST", "+15:00", "\ud800", "x" * 5_000])
    @pytest.mark.parametrize("kind", ["credit", "revoke"])
    def test_one_that_nobody_knows_is_a_dead_letter(self, kind: str, tz: str) -> None:
        log = Log()
        outcome = log.take(command("c1", kind, local_date=TODAY, tz=tz), NOW)
        assert reason_of(outcome) == "unknown_zone"
        assert outcome.reason == "the app was down"
        assert outcome.rejection is not None
        outcome.rejection.detail.encode("ascii")
        assert log.state.revision == outcome.revision == 0
        # It was not taken in: the same id may be used again.
        assert log.take(credit("c1", TODAY), NOW).verdict == "applied"

    def test_the_first_completion_wins_for_ever(self) -> None:
        log = imported("America/Los_Angeles")
        # However long ago it took place.
        log.take(completion(1, NOW - 30 * DAY, "Europe/Berlin"), NOW)
        assert log.state.tz == "Europe/Berlin"
        log.take(credit("c1", TODAY, "Asia/Tokyo"), NOW)
        assert log.state.tz == log.progress().tz == "Europe/Berlin"
        assert log.outcomes[-1].verdict == "applied"

    def test_in_whatever_order_the_completion_wins(self) -> None:
        events: list[Event] = [
            credit("c1", TODAY - 1, "Asia/Tokyo"),
            completion(1, NOW, "Europe/Berlin"),
        ]
        for order in (events, events[::-1]):
            assert Log().take_all((e, NOW) for e in order).state.tz == "Europe/Berlin"

    def test_a_zone_alone_changes_no_set(self) -> None:
        plain, with_zone = (Log().take(credit("c1", TODAY, tz), NOW) for tz in (None, "Asia/Tokyo"))
        assert plain.digest_after == with_zone.digest_after


class TestTheReaderSaysIt:
    """Three days in Tokyo, and on the fourth in Los Angeles: there it is 16 June all day."""

    def traveller(self) -> Log:
        log = Log()
        for n in (13, 14, 15):
            end = at(f"2026-06-{n}T20:00:00+09:00")
            log.take(completion(n, end, "Asia/Tokyo"), end)
        return log

    @pytest.mark.parametrize("wall", ["08:00", "11:30", "20:00", "23:59"])
    def test_today_is_as_it_is_where_they_are(self, wall: str) -> None:
        log = self.traveller()
        instant = at(f"2026-06-16T{wall}:00-07:00")
        here = "America/Los_Angeles"
        assert read(log, instant, here) == (day("2026-06-16"), 3)
        in_tokyo = day("2026-06-16") if wall == "08:00" else day("2026-06-17")
        assert read(log, instant) == (in_tokyo, 3 if wall == "08:00" else 0)
        log.take(completion(16, instant, here), instant)
        assert log.progress().streak_days == 4

    @pytest.mark.parametrize("tz", ["-07:00", "us/pacific", "Etc/GMT+7"])
    def test_in_any_spelling(self, tz: str) -> None:
        log = self.traveller()
        assert read(log, at("2026-06-16T20:00:00-07:00"), tz) == (day("2026-06-16"), 3)

    def test_eastwards_it_is_tomorrow_sooner(self) -> None:
        log = self.traveller()
        instant = at("2026-06-17T02:30:00+09:00")
        assert read(log, instant) == (day("2026-06-16"), 3)
        assert read(log, instant, "Pacific/Auckland") == (day("2026-06-17"), 0)

    def test_it_comes_before_a_zone_that_nobody_knows(self) -> None:
        log = imported()
        instant = at("2026-06-16T06:00:00Z")
        assert read(log, instant) == (day("2026-06-15"), 5)
        assert read(log, instant, "America/Los_Angeles") == (day("2026-06-15"), 5)
        assert read(log, instant, "Europe/Berlin") == (day("2026-06-16"), 0)
        # The record itself says the same whoever reads.
        assert log.progress(instant).streak_days == 5

    def test_it_changes_nothing_that_is_kept(self) -> None:
        log = self.traveller()
        before = log.state
        read(log, NOW + 2 * DAY, "Pacific/Honolulu")
        assert log.state is before


def test_an_actor_may_not_be_blank() -> None:
    asked = Command("r1", USER, "credit", "\u200b", "why", "T-1", TODAY)
    assert reason_of(Log().take(asked, NOW)) == "bad_actor"


def test_a_withdrawn_credit_leaves_its_zone() -> None:
    """As a completion does: what was said of the user's place stays true."""
    log = Log()
    log.take(credit("c1", TODAY, "Asia/Tokyo"), NOW)
    log.take(withdraw("w1", "c1"), NOW + MINUTE)
    assert log.state.tz == "Asia/Tokyo"
    assert log.take(claim("k1", log.state.granted[0]), NOW + HOUR).verdict == "applied"
