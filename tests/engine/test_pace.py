"""How many records a poll takes, from how long earlier ones took."""

from pipeline.engine.pace import COMMIT_FLOOR, FOLD_FLOOR, Pace


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
