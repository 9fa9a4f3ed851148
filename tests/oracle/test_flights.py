"""The pipeline's fold agrees with the oracle about dates that travel skips.

Sessions end near the ends of local days and at a few hours between, so that few of them are needed
to meet the bounds: 23 hours, the hours by which a clock is put forward, the night of a change to
summer time, the change from one bridge rule to the other.
"""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.records import PracticeCompleted
from pipeline.dev.oracle.dates import EPOCH, offset_minutes
from pipeline.dev.oracle.zones import named
from tests.oracle.scenes import POLICY, ms
from tests.oracle.side_by_side import SideBySide
from tests.properties import examples

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
STARTS = tuple(
    ms(start)
    for start in (
        "2026-06-25T00:00:00Z",
        "2026-06-28T00:00:00Z",  # the rule changes within
        "2026-07-10T00:00:00Z",
        "2026-10-23T00:00:00Z",  # Berlin goes back by an hour
        "2027-03-26T00:00:00Z",  # and forward
    )
)
ROUTES = (
    ("Europe/Berlin", "Europe/Berlin"),
    ("America/Los_Angeles", "Pacific/Auckland"),
    ("Pacific/Honolulu", "Asia/Tokyo"),
    ("UTC-10:00", "GMT+13"),
    ("Europe/London", "+05:45"),
    ("Pacific/Auckland", "America/Los_Angeles"),
)
MINUTES = (180, 239, 240, 420, 720)
"""Of the local day; the day starts at 180, or at 240."""

Flown = list[tuple[PracticeCompleted, int]]


def _by_the_clock(start: int, day: int, minute: int, tz: str) -> int:
    wall = start + (day * 1_440 + minute) * MINUTE_MS
    east = offset_minutes(named(tz) or "", EPOCH + timedelta(milliseconds=wall))
    return wall - east * MINUTE_MS


@st.composite
def journeys(draw: st.DrawFn) -> Flown:
    """A few days of somebody who practises in one or two zones, two days apart or less."""
    start = draw(st.sampled_from(STARTS))
    home, away = draw(st.sampled_from(ROUTES))
    stops = draw(
        st.lists(
            st.tuples(
                st.integers(0, 3),
                st.sampled_from(MINUTES),
                st.sampled_from((0, 0, -1, 1)),
                st.booleans(),
                st.sampled_from((0, 0, 0, 1, 30, 80)),
            ),
            min_size=2,
            max_size=7,
        )
    )
    log = []
    for n, (day, minute, odd_ms, is_away, delay) in enumerate(stops):
        tz = away if is_away else home
        end = _by_the_clock(start, day, minute, tz) + odd_ms
        sitting = (end - MINUTE_MS, end, tz)
        said = PracticeCompleted(f"c{n}", "ana", f"s{n}", "breath", *sitting)
        log.append((said, end + delay * HOUR_MS))
    return sorted(log, key=lambda line: line[1]) if draw(st.booleans()) else log


@settings(max_examples=examples(150), deadline=None)
@given(journeys())
def test_any_journey(log: Flown) -> None:
    both = SideBySide(POLICY)
    for event, append_time in log:
        both.take(event, append_time)
    both.compare_users()


def test_the_night_of_summer_time_is_no_journey() -> None:
    both = SideBySide(POLICY)
    for n, end in enumerate(("2027-03-27T03:59+01:00", "2027-03-28T04:00+02:00")):
        sitting = (ms(end) - MINUTE_MS, ms(end), "Europe/Berlin")
        both.take(PracticeCompleted(f"c{n}", "ana", f"s{n}", "breath", *sitting), ms(end))
    both.compare_users()
    user = both.judgement.users["ana"]
    assert len(user.practised) == 2 and user.bridged == set()
