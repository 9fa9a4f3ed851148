"""How much a poll takes, and when, from how earlier ones went."""

from pipeline.engine.pacing import (
    COMMIT_FLOOR,
    FAILURES_AT_ONCE,
    FOLD_FLOOR,
    REST_S_MAX,
    REST_S_MIN,
    Pace,
    Rest,
)
from pipeline.engine.stall import LOOK_EVERY_S


def test_a_slow_fold_shrinks_polls_to_one_record() -> None:
    pace = Pace(10_000, 1.0)
    for _ in range(20):
        pace.took(1.5, 0.0)
    assert pace.records_max == FOLD_FLOOR == 1


def test_slow_commits_leave_enough_records_to_get_on() -> None:
    pace = Pace(10_000, 1.0)
    for _ in range(20):
        pace.took(0.1, 5.0)
    assert pace.records_max == COMMIT_FLOOR


def test_a_small_configured_poll_never_grows_by_slow_commits() -> None:
    pace = Pace(10, 1.0)
    pace.took(0.1, 5.0)
    assert pace.records_max == 10


def test_a_slow_commit_does_not_undo_what_a_slow_fold_did() -> None:
    pace = Pace(10_000, 1.0)
    for _ in range(20):
        pace.took(1.5, 0.0)
    pace.took(0.1, 5.0)
    assert pace.records_max == 1


def test_quick_polls_let_it_grow_to_the_most() -> None:
    pace = Pace(10_000, 1.0)
    pace.took(1.5, 0.0)
    assert pace.records_max == 5_000
    for _ in range(4):
        pace.took(0.2, 0.2)
    assert pace.records_max == 10_000
    pace.took(0.2, 0.2)
    assert pace.records_max == 10_000


def test_transactions_that_keep_failing_are_tried_less_and_less_often() -> None:
    rest, now, rests = Rest(), 100.0, []
    for _ in range(10):
        rest.failed(now)
        rests.append(round(max(0.0, rest.until - now), 3))
    assert rests == [0.0, 0.0, 0.2, 0.4, 0.8, 1.6, *[REST_S_MAX] * 4]
    assert REST_S_MAX < LOOK_EVERY_S  # else the rest would be taken for a stalled consumer


def test_after_one_that_succeeded_as_many_may_fail_at_once_as_before() -> None:
    rest = Rest()
    for _ in range(FAILURES_AT_ONCE + 5):
        rest.failed(100.0)
    rest.until = 0.0
    rest.committed()
    for _ in range(FAILURES_AT_ONCE):
        rest.failed(100.0)
        assert rest.until == 0.0
    rest.failed(100.0)
    assert rest.until == 100.0 + REST_S_MIN


def test_it_grows_by_a_quarter_in_whole_records_and_by_one_at_least() -> None:
    pace = Pace(10_000, 1.0)
    pace.took(1.5, 0.0)
    pace.took(0.2, 0.2)
    assert pace.records_max == 6_250
    pace = Pace(11, 1.0)
    for _ in range(2):
        pace.took(1.5, 0.0)
    assert pace.records_max == 2
    grown = []
    for _ in range(5):
        pace.took(0.2, 0.2)
        grown.append(pace.records_max)
    assert grown == [3, 4, 5, 6, 7]


def test_half_of_an_odd_number_is_a_whole_number() -> None:
    pace = Pace(5, 1.0)
    pace.took(1.5, 0.0)
    assert pace.records_max == 2
    assert isinstance(pace.records_max, int)
