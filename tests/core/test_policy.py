"""Which policy files are refused, and which version rules an event."""

from datetime import UTC, datetime

import msgspec
import pytest

from pipeline.core.policy import PolicyBook, PolicyError, check_figures, load_policy
from tests.core.scenes import (
    BOOK,
    DAY,
    FIRST_TEXT,
    OLD_BOOK,
    OLD_POLICY,
    POLICY,
    POLICY_TEXT,
    Catalogue,
    at,
    day,
)

SECOND_VERSION = (
    FIRST_TEXT.partition("versions:\n")[2]
    .replace('"2026-01"', '"2026-07"')
    .replace("1970-01-01T00:00:00Z", "2026-07-01T02:00:00+02:00")
)


def changed(old: str, new: str, text: str = FIRST_TEXT) -> str:
    assert old in text
    return text.replace(old, new, 1)


def reason_for(text: str) -> str:
    with pytest.raises(PolicyError) as caught:
        load_policy(text)
    assert str(caught.value) == caught.value.reason
    return caught.value.reason


def test_the_policy_that_is_shipped() -> None:
    first, second = BOOK.versions
    assert (first.version, second.version) == ("2026-01", "2026-06")
    assert second.effective_from == at("2026-06-01T00:00:00Z")
    assert BOOK.at(second.effective_from - 1) is first
    assert BOOK.at(second.effective_from) is second
    assert (first.late_ms, second.late_ms) == (14 * DAY, 35 * DAY)
    assert (first.bridge_shift, second.bridge_shift) == (False, True)
    assert BOOK.cycle_days == 108
    assert BOOK.earliest_date == day("2010-01-01")
    assert BOOK.window_ms == 38 * DAY
    assert BOOK.late_ms_max == 35 * DAY
    for policy in BOOK.versions:
        assert policy.day_start_minutes == 180
        days = [portal.day for portal in policy.portals]
        assert days == [1, 3, 7, 13, 21, 30, 40, 51, 62, 73, 84, 96, 108]
        assert [d for d, portal in enumerate(policy.by_day) if portal] == days
        assert len(policy.by_day) == 109
    assert BOOK.keys_max["sri-yantra"] == 3


def test_the_second_version_changes_nothing_but_what_is_late_and_the_bridge() -> None:
    first, second = BOOK.versions
    assert second == msgspec.structs.replace(
        first,
        version="2026-06",
        effective_from=second.effective_from,
        late_ms=35 * DAY,
        bridge_shift=True,
    )


def test_the_window_of_35_days_is_38() -> None:
    text = POLICY_TEXT.replace("window_days: 38", "window_days: 37")
    assert "raise it to 38" in reason_for(text)


def test_the_first_version_alone_is_the_policy_that_was() -> None:
    assert BOOK.versions[0] == OLD_POLICY
    assert OLD_BOOK.window_ms == 17 * DAY


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "cannot be read"),
        ("[", "cannot be read"),
        ("- 1", "cannot be read"),
        ("a: " + "[" * 400, "cannot be read"),
        ("\0", "cannot be read"),
        ("#" * 1_000_001, "longer than 1000000"),
        ("cycle_days: 108\nearliest_date: &x 2010-01-01\nwindow_days: *x\n", "line 3: aliases"),
        ("[1, 2]: 3\n", "cannot be read"),
        ("? {a: 1}\n: 3\n", "cannot be read"),
        (changed("window_days: 17", "window_days: 17\nwindow_days: 9"), "'window_days' is given"),
        (changed("slug: bindu,", "slug: bindu, day: 2,"), "'day' is given twice"),
        (changed("window_days: 17", "window_dys: 16"), "window_d"),
        (changed("    late_days: 14", "    late_days: 14\n    lat_days: 3"), "lat_days"),
        (changed("late_days: 14", "bridge_shift: 1\n    late_days: 14"), "bridge_shift"),
        (changed("late_days: 14", "late_days: two"), "late_days"),
        (changed("late_days: 14", "late_days: 14.5"), "late_days"),
        (changed("late_days: 14", "late_days: .nan"), "late_days"),
        (changed('version: "2026-01"', "version: 2026.1"), "version"),
        (changed("cycle_days: 108", "cycle_days: 0"), "cycle_days is 0"),
        (changed("cycle_days: 108", "cycle_days: 109"), "cycle_days is 109"),
        (changed("cycle_days: 108", "cycle_days: 100"), "day 108 is not in 1 to 100"),
        (changed("earliest_date: 2010-01-01", "earliest_date: 2010-02-30"), "cannot be read"),
        (FIRST_TEXT.partition("versions:")[0] + "versions: []\n", "no versions"),
        (changed('"2026-01"', '""'), "empty or too long"),
        (changed('"2026-01"', f'"{"v" * 65}"'), "empty or too long"),
        (changed('"2026-01"', '"a\\tb"'), "control characters"),
        (changed("1970-01-01T00:00:00Z", "1970-01-01T00:00:00"), "no zone"),
        (changed("1970-01-01T00:00:00Z", "2026-01-01T00:00:00Z"), "must be effective_from"),
        (FIRST_TEXT + SECOND_VERSION.replace("2026-07-01", "1970-01-01"), "must take effect"),
        (FIRST_TEXT + SECOND_VERSION.replace('"2026-07"', '"2026-01"'), "two versions are called"),
        (changed('"03:00"', '"3:00"'), "day_start"),
        (changed('"03:00"', '"12:01"'), "day_start"),
        (changed('"03:00"', '"02:60"'), "day_start"),
        (changed('"03:00"', "10:00"), "day_start"),
        (changed("late_days: 14", "late_days: 0"), "late_days must be 1 to 366"),
        (changed("late_days: 14", "late_days: 367"), "late_days must be 1 to 366"),
        (changed("skew_tolerance_s: 120", "skew_tolerance_s: -1"), "skew_tolerance_s"),
        (changed("skew_tolerance_s: 120", "skew_tolerance_s: 601"), "skew_tolerance_s"),
        (changed("future_skew_s: 600", "future_skew_s: 86401"), "skew_tolerance_s"),
        (changed("session_s_min: 60", "session_s_min: 9"), "session_s_min must be 10"),
        (changed("session_s_max: 43200", "session_s_max: 60"), "session_s_max"),
        (changed("session_s_max: 43200", "session_s_max: 86401"), "session_s_max"),
        (changed("clock_ahead_s_max: 86400", "clock_ahead_s_max: 119"), "skew_tolerance_s, 120"),
        (changed("clock_ahead_s_max: 86400", "clock_ahead_s_max: 31622401"), "to 31622400"),
        (changed("window_days: 17", "window_days: 16"), "raise it to 17"),
        (changed("late_days: 14", "late_days: 15"), "raise it to 18"),
        (changed("clock_ahead_s_max: 86400", "clock_ahead_s_max: 172800"), "raise it to 18"),
        (
            # Each version alone would do with 17 days.
            changed("clock_ahead_s_max: 86400", "clock_ahead_s_max: 120")
            .replace("late_days: 14", "late_days: 15") + SECOND_VERSION,
            "raise it to 18",
        ),
        (changed("day: 3,", "day: 1,"), "day 1 does not come after day 1"),
        (changed("day: 3,", "day: 8,"), "day 7 does not come after day 8"),
        (changed("day: 1,", "day: 0,"), "day 0 is not in"),
        (changed("slug: vesica-piscis", "slug: bindu"), "two portals are called 'bindu'"),
        (changed("slug: bindu", "slug: Bindu"), "a slug is"),
        (changed("slug: bindu", "slug: 7th"), "a slug is"),
        (changed("slug: bindu", f"slug: {'b' * 65}"), "a slug is"),
        (changed("slug: bindu", 'slug: "a/b"'), "a slug is"),
        (changed("figure: bindu", "figure: no figure"), "is no slug"),
        (changed("title: Bindu", 'title: ""'), "title must"),
        (changed("title: Bindu", f"title: {'T' * 121}"), "title must"),
        (changed("title: Bindu", 'title: "a\\nb"'), "title must"),
        (changed("keys: 1", "keys: -1"), "keys must"),
        (changed("keys: 1", "keys: 17"), "keys must"),
        (FIRST_TEXT.partition("    portals:")[0] + "    portals: []\n", "has no portals"),
    ],
)  # fmt: skip
def test_refused(text: str, reason: str) -> None:
    assert reason in reason_for(text)


def test_bounds_that_are_just_allowed() -> None:
    text = changed("late_days: 14", "late_days: 15").replace("window_days: 17", "window_days: 18")
    text = changed("clock_ahead_s_max: 86400", "clock_ahead_s_max: 120", text)
    book = load_policy(
        text.replace('"03:00"', '"12:00"').replace("future_skew_s: 600", "future_skew_s: 86400")
    )
    assert book.versions[0].day_start_minutes == 720
    assert book.versions[0].clock_ahead_ms_max == book.versions[0].skew_tolerance_ms == 120_000


def test_a_version_that_does_not_say_puts_clocks_right_up_to_a_day() -> None:
    book = load_policy(changed("    clock_ahead_s_max: 86400", "    # not said"))
    assert book.versions[0].clock_ahead_ms_max == DAY


def test_versions_take_turns() -> None:
    book = load_policy(
        FIRST_TEXT
        + SECOND_VERSION.replace("late_days: 14", "late_days: 7").replace("keys: 3", "keys: 1")
    )
    turn = at("2026-07-01T00:00:00+00:00")
    assert [book.at(t).version for t in (-1, 0, turn - 1, turn, turn + DAY)] == [
        "2026-01",
        "2026-01",
        "2026-01",
        "2026-07",
        "2026-07",
    ]
    assert book.late_ms_max == 14 * DAY
    assert not book.versions[1].bridge_shift  # a version that does not say counts no shift
    # A key that an older version granted stays one that can be claimed.
    assert book.keys_max["tree-of-life"] == 3


def test_an_effective_time_may_be_in_any_zone() -> None:
    book = load_policy(FIRST_TEXT + SECOND_VERSION)
    moment = datetime(2026, 7, 1, tzinfo=UTC)
    assert book.versions[1].effective_from == moment.timestamp() * 1000


def test_portals_name_the_figure_that_is_drawn() -> None:
    def drawn(frame: int) -> str:
        portal = POLICY.by_day[frame]
        return portal.figure if portal else "another"

    check_figures(BOOK, drawn)
    with pytest.raises(PolicyError, match="day 1 draws 'figure-1', not 'bindu'"):
        check_figures(BOOK, Catalogue().figure_of)


def test_a_book_is_what_load_policy_returns() -> None:
    assert isinstance(BOOK, PolicyBook)
