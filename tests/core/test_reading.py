"""What a published progress means at a later instant."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.calendar import DAY_MS
from pipeline.core.geometry.catalogue import GoldenCatalogue
from pipeline.core.policy import load_policy
from pipeline.core.reading import (
    DayKind,
    covered_by,
    day_kinds,
    portal_ahead,
    runs_of,
    snapshots,
    today,
)
from pipeline.core.records import (
    Cause,
    Dates,
    Keys,
    NextPortal,
    PortalReached,
    ProgressUpdated,
    Run,
)
from pipeline.core.runs import contains, from_numbers

BOOK = load_policy((Path(__file__).parents[2] / "policy.yaml").read_text())
CATALOGUE = GoldenCatalogue()
DAY = 20_500
HOUR_MS = 3_600_000
NOON = DAY * DAY_MS + 12 * HOUR_MS


def progress(
    dates: Dates, tz: str = "UTC", portals: tuple[PortalReached, ...] = ()
) -> ProgressUpdated:
    return ProgressUpdated(
        *("ann", 1, 0, 0, 0, 0, 0, None, None, tz, dates, portals, Keys(), 0),
        *(None, 0, 3, None, "2026-01", "blue", NOON, Cause("awaway.completions", 0, 0)),
    )


def test_a_streak_breaks_overnight_in_the_users_own_zone() -> None:
    record = progress(Dates((Run(DAY - 3, 3),)), "Pacific/Auckland")
    policy = BOOK.at(NOON)
    # Auckland is 13 hours ahead in summer, and its day starts at 3: that is 14:00 in UTC.
    last_ms = DAY * DAY_MS + 14 * HOUR_MS - 1
    before, after = today(record, last_ms, policy), today(record, last_ms + 1, policy)
    assert (before.date, before.standing.streak_days) == (DAY, 3)
    assert (after.date, after.standing.streak_days) == (DAY + 1, 0)
    assert after.standing.longest_days == 3


def test_a_zone_that_is_no_more_is_read_as_utc() -> None:
    record = progress(Dates((Run(DAY, 1),)), "Atlantis/Capital")
    assert today(record, NOON, BOOK.at(NOON)).date == DAY


def test_a_date_is_what_made_it_count_and_a_revocation_wins() -> None:
    dates = Dates(
        practised=(Run(DAY, 2), Run(DAY + 6, 1)),
        bridged=(Run(DAY + 2, 1),),
        credited=(Run(DAY + 3, 2),),
        revoked=(Run(DAY + 4, 1), Run(DAY + 6, 1)),
    )
    assert list(day_kinds(dates, DAY - 1, DAY + 6)) == [
        DayKind.NOTHING,
        DayKind.PRACTISED,
        DayKind.PRACTISED,
        DayKind.BRIDGED,
        DayKind.CREDITED,
        DayKind.REVOKED,
        DayKind.NOTHING,
        DayKind.REVOKED,
    ]
    assert covered_by(dates) == ((DAY, 4),)


_sets = st.sets(st.integers(0, 30), max_size=20)


@given(_sets, _sets, _sets, _sets)
def test_what_counts_is_given_and_not_revoked(
    practised: set[int], bridged: set[int], credited: set[int], revoked: set[int]
) -> None:
    dates = Dates(
        *(
            tuple(Run(start, length) for start, length in from_numbers(numbers))
            for numbers in (practised, bridged, credited, revoked)
        )
    )
    covered = covered_by(dates)
    kinds = list(day_kinds(dates, 0, 30))
    for number in range(31):
        counts = number in (practised | bridged | credited) - revoked
        assert contains(covered, number) == counts
        assert (kinds[number] in (DayKind.REVOKED, DayKind.NOTHING)) == (not counts)
    assert runs_of(dates.practised) == from_numbers(practised)


def test_snapshots_go_backwards_over_runs_laps_and_pages() -> None:
    policy = BOOK.at(NOON)
    covered = ((DAY, 110), (DAY + 200, 2))
    everything = list(snapshots(covered, DAY + 1_000, 3, policy, CATALOGUE))
    assert [each.date for each in everything] == [
        *(DAY + 201, DAY + 200),
        *range(DAY + 109, DAY - 1, -1),
    ]
    by_date = {each.date: each for each in everything}
    first, last, again = by_date[DAY], by_date[DAY + 107], by_date[DAY + 108]
    assert (first.day, first.lap, first.frame, first.figure) == (1, 0, 1, "bindu")
    assert (last.day, last.lap, last.frame, last.completed) == (108, 0, 108, True)
    assert (again.day, again.lap, again.frame) == (109, 1, 1)
    assert first.asset_id == CATALOGUE.asset_id(1, 3)
    assert [each.date for each in everything if each.completed and each.date < DAY + 3] == [
        DAY + 2,
        DAY,
    ]
    page = list(snapshots(covered, DAY + 3, 3, policy, CATALOGUE))
    assert page == everything[-3:]
    assert not list(snapshots(covered, DAY, 3, policy, CATALOGUE))


@pytest.mark.parametrize(
    ("streak_days", "ahead"),
    [
        (0, NextPortal("tripod-of-life", "Tripod of Life", 7)),
        (5, NextPortal("tripod-of-life", "Tripod of Life", 2)),
    ],
)
def test_the_portal_ahead_is_the_first_that_was_not_told(
    streak_days: int, ahead: NextPortal
) -> None:
    portals = tuple(
        PortalReached(lap, slug, DAY, NOON, "5c" * 32)
        for lap, slug in ((1, "bindu"), (0, "bindu"), (0, "vesica-piscis"))
    )
    record = progress(Dates(), portals=portals)
    assert portal_ahead(record, BOOK.at(NOON), streak_days) == ahead
