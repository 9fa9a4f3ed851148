"""The adaptive batch size, and the back-off after failed transactions."""

from pipeline.engine.pacing import (
    BACKOFF_S_MAX,
    BACKOFF_S_MIN,
    FAILURES_WITHOUT_BACKOFF,
    SLOW_COMMIT_RECORDS_MIN,
    SLOW_FOLD_RECORDS_MIN,
    AdaptiveBatchSize,
    Backoff,
)
from pipeline.engine.stall import LOOK_EVERY_S


def test_a_slow_fold_shrinks_polls_to_one_record() -> None:
    batch_size = AdaptiveBatchSize(10_000, 1.0)
    for _ in range(20):
        batch_size.adapt(1.5, 0.0)
    assert batch_size.records_max == SLOW_FOLD_RECORDS_MIN == 1


def test_slow_commits_leave_enough_records_to_get_on() -> None:
    batch_size = AdaptiveBatchSize(10_000, 1.0)
    for _ in range(20):
        batch_size.adapt(0.1, 5.0)
    assert batch_size.records_max == SLOW_COMMIT_RECORDS_MIN


def test_a_small_configured_poll_never_grows_by_slow_commits() -> None:
    batch_size = AdaptiveBatchSize(10, 1.0)
    batch_size.adapt(0.1, 5.0)
    assert batch_size.records_max == 10


def test_a_slow_commit_does_not_undo_what_a_slow_fold_did() -> None:
    batch_size = AdaptiveBatchSize(10_000, 1.0)
    for _ in range(20):
        batch_size.adapt(1.5, 0.0)
    batch_size.adapt(0.1, 5.0)
    assert batch_size.records_max == 1


def test_quick_polls_let_it_grow_to_the_most() -> None:
    batch_size = AdaptiveBatchSize(10_000, 1.0)
    batch_size.adapt(1.5, 0.0)
    assert batch_size.records_max == 5_000
    for _ in range(4):
        batch_size.adapt(0.2, 0.2)
    assert batch_size.records_max == 10_000
    batch_size.adapt(0.2, 0.2)
    assert batch_size.records_max == 10_000


def test_transactions_that_keep_failing_are_tried_less_and_less_often() -> None:
    backoff, now, backoffs = Backoff(), 100.0, []
    for _ in range(10):
        backoff.failed(now)
        backoffs.append(round(max(0.0, backoff.until - now), 3))
    assert backoffs == [0.0, 0.0, 0.2, 0.4, 0.8, 1.6, *[BACKOFF_S_MAX] * 4]
    assert BACKOFF_S_MAX < LOOK_EVERY_S  # else the back-off would be taken for a stalled consumer


def test_after_one_that_succeeded_as_many_may_fail_at_once_as_before() -> None:
    backoff = Backoff()
    for _ in range(FAILURES_WITHOUT_BACKOFF + 5):
        backoff.failed(100.0)
    backoff.until = 0.0
    backoff.committed()
    for _ in range(FAILURES_WITHOUT_BACKOFF):
        backoff.failed(100.0)
        assert backoff.until == 0.0
    backoff.failed(100.0)
    assert backoff.until == 100.0 + BACKOFF_S_MIN


def test_it_grows_by_a_quarter_in_whole_records_and_by_one_at_least() -> None:
    batch_size = AdaptiveBatchSize(10_000, 1.0)
    batch_size.adapt(1.5, 0.0)
    batch_size.adapt(0.2, 0.2)
    assert batch_size.records_max == 6_250
    batch_size = AdaptiveBatchSize(11, 1.0)
    for _ in range(2):
        batch_size.adapt(1.5, 0.0)
    assert batch_size.records_max == 2
    grown = []
    for _ in range(5):
        batch_size.adapt(0.2, 0.2)
        grown.append(batch_size.records_max)
    assert grown == [3, 4, 5, 6, 7]


def test_half_of_an_odd_number_is_a_whole_number() -> None:
    batch_size = AdaptiveBatchSize(5, 1.0)
    batch_size.adapt(1.5, 0.0)
    assert batch_size.records_max == 2
    assert isinstance(batch_size.records_max, int)
