"""Frames, as events make them: which are told, in what order and with which date."""

import msgspec

from pipeline.core.sets import Sets
from pipeline.core.state import EMPTY
from tests.core.scenes import (
    DAY,
    HOUR,
    NOW,
    TODAY,
    USER,
    Log,
    book_of,
    completion,
    practised,
    revoke,
    world,
)


def test_each_new_day_is_a_new_frame() -> None:
    log = practised(Log(), *range(4))
    frames = [[(g.frame, g.figure_completed) for g in o.geometry] for o in log.outcomes]
    assert frames == [[(1, True)], [(2, False)], [(3, True)], [(4, False)]]
    (second,) = log.outcomes[1].geometry
    assert msgspec.structs.asdict(second) == {
        "user_id": USER,
        "local_date": TODAY + 1,
        "figure": "figure-3",
        "frame": 2,
        "variant": 3,
        "figure_completed": False,
        "asset_id": "asset-2-3",
        "asset_url": "https://assets.example/asset-2-3",
        "generator_version": "test-1",
        "cause": second.cause,
    }
    assert second.cause.offset == 1


def test_more_practice_on_one_date_draws_nothing_new() -> None:
    log = practised(Log(), 0)
    assert log.take(completion(1, NOW + HOUR), NOW + HOUR).geometry == ()


def test_a_date_of_an_old_run_does_not_change_the_current_frame() -> None:
    log = practised(Log(), 0, 5)
    assert [g.frame for g in log.outcomes[1].geometry] == []
    late = log.take(completion(1, NOW + DAY), NOW + 5 * DAY)
    assert late.geometry == ()
    joined = log.take(completion(2, NOW + 4 * DAY), NOW + 5 * DAY)
    assert [g.frame for g in joined.geometry] == [2]


def test_a_figure_that_an_old_run_completed_is_told_with_its_own_date() -> None:
    log = practised(Log(), 0, 1, 6)
    late = log.take(completion(1, NOW + 2 * DAY), NOW + 6 * DAY)
    assert [(g.frame, g.figure_completed, g.local_date) for g in late.geometry] == [
        (3, True, TODAY + 2)
    ]


def test_after_a_break_the_figure_starts_again() -> None:
    log = practised(Log(), 0, 1, 2, 8)
    assert [g.frame for g in log.outcomes[-1].geometry] == [1]
    practised(log, 9, 10)
    # The figure is complete again, and no portal is told again.
    assert [(g.frame, g.figure_completed) for g in log.outcomes[-1].geometry] == [(3, True)]
    assert log.outcomes[-1].unlocks == ()


def test_no_frame_without_a_streak() -> None:
    log = practised(Log(), 0, 1)
    gone = log.take(completion(1, NOW - 3 * DAY), NOW + 5 * DAY)
    assert gone.geometry == ()
    assert log.state.frame_published == 2
    progress = log.progress()
    assert (progress.figure, progress.frame, progress.asset_id) == (None, 0, None)
    assert (progress.streak_days, progress.lap, progress.cycle_day) == (0, 0, 0)
    assert progress.streak_safe_until is None
    assert progress.last_local_date == TODAY + 1


def test_the_last_frame_completes_the_last_figure() -> None:
    log = practised(Log(), *range(109))
    assert [(g.frame, g.figure_completed) for g in log.outcomes[107].geometry] == [(108, True)]
    assert [(g.frame, g.figure_completed) for g in log.outcomes[108].geometry] == [(1, True)]


def test_a_portal_that_completes_no_figure_tells_no_frame_of_an_old_run() -> None:
    log = Log(world(book_of((2, "two", 0))))
    practised(log, 0, 5)
    outcome = log.take(completion(1, NOW + DAY), NOW + 5 * DAY)
    assert [u.portal for u in outcome.unlocks] == ["two"]
    assert outcome.unlocks[0].field_keys == ()
    assert outcome.geometry == ()


def test_a_portal_that_completes_no_figure_still_tells_the_frame_of_today() -> None:
    log = practised(Log(world(book_of((2, "two", 0)))), 0, 1)
    assert [u.portal for u in log.outcomes[1].unlocks] == ["two"]
    (frame,) = log.outcomes[1].geometry
    assert (frame.frame, frame.figure_completed, frame.local_date) == (2, False, TODAY + 1)


FIVE_DAYS = world(book_of((1, "one", 0), (3, "three", 0), cycle_days=5))


def test_a_frame_that_was_told_already_is_not_told_again_for_the_figures_of_an_old_run() -> None:
    log = practised(Log(FIVE_DAYS), 0, 1, 2, 4, 5, 6, 7, 10)
    assert [(g.frame, g.local_date - TODAY) for g in log.outcomes[-1].geometry] == [(1, 10)]
    outcome = log.take(completion(1, NOW + 3 * DAY), NOW + 10 * DAY)
    assert [(u.lap, u.portal) for u in outcome.unlocks] == [(1, "one"), (1, "three")]
    # Frame 1 of today is no news; frame 1 of the old run's second lap completed a figure.
    assert [(g.frame, g.local_date - TODAY) for g in outcome.geometry] == [(1, 5), (3, 7)]


def test_one_event_that_unlocks_the_same_frame_in_two_laps_tells_both() -> None:
    log = Log(FIVE_DAYS)
    log.state = msgspec.structs.replace(EMPTY, sets=Sets(((TODAY, 5), (TODAY + 6, 6))))
    outcome = log.take(completion(1, NOW + 5 * DAY), NOW + 11 * DAY)
    assert [(u.lap, u.portal) for u in outcome.unlocks] == [
        *((0, "one"), (0, "three")),
        *((1, "one"), (1, "three")),
        (2, "one"),
    ]
    # Day 12 of the run: frame 2 of the third lap, the last to be told.
    assert [(g.frame, g.local_date - TODAY, g.figure_completed) for g in outcome.geometry] == [
        *((1, 0, True), (3, 2, True)),
        *((1, 5, True), (3, 7, True)),
        *((1, 10, True), (2, 11, False)),
    ]


def test_of_two_laps_the_frame_of_today_is_told_once_and_last() -> None:
    log = Log(FIVE_DAYS)
    log.state = msgspec.structs.replace(EMPTY, sets=Sets(((TODAY, 4), (TODAY + 5, 1))))
    outcome = log.take(completion(1, NOW + 4 * DAY), NOW + 5 * DAY)
    assert [(g.frame, g.local_date - TODAY) for g in outcome.geometry] == [(1, 0), (3, 2), (1, 5)]
    # The last one stays last where an old run's figures come later in its lap than today's.
    log = Log(FIVE_DAYS)
    log.state = msgspec.structs.replace(
        EMPTY, sets=Sets(((TODAY - 9, 4), (TODAY - 4, 3), (TODAY, 1)))
    )
    outcome = log.take(completion(1, NOW - 5 * DAY), NOW)
    assert [(g.frame, g.local_date - TODAY) for g in outcome.geometry] == [
        *((1, -9), (3, -7)),
        *((1, -4), (3, -2)),
        (1, 0),
    ]


def test_revoking_today_goes_back_a_frame() -> None:
    log = practised(Log(), 0, 1)
    outcome = log.take(revoke("r1", TODAY + 1), NOW + DAY)
    assert [(g.frame, g.local_date) for g in outcome.geometry] == [(1, TODAY)]
