"""No completion counts twice, however late it is sent again and whatever clocks say."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.policy import PolicyError, load_policy
from pipeline.core.records import PracticeCompleted
from pipeline.core.rulebook import Policy, PolicyBook
from tests.core.scenes import (
    BOOK,
    DAY,
    FIRST_TEXT,
    HOUR,
    MINUTE,
    NOW,
    POLICY,
    Log,
    completion,
    reason_of,
    world,
)

COUNTED = ("accepted", "overlap")


def least_window(versions: tuple[Policy, ...]) -> int:
    """Return the least window in which nothing counts twice: without the day that is added."""
    return (
        max(policy.late_ms for policy in versions)
        + max(policy.clock_ahead_ms_max for policy in versions)
        + max(policy.future_skew_ms for policy in versions)
    )


def times_counted(book: PolicyBook, sendings: list[tuple[PracticeCompleted, int]]) -> int:
    verdicts = Log(world(book)).take_all(sendings).verdicts
    return sum(verdict in COUNTED for verdict in verdicts)


@st.composite
def books(draw: st.DrawFn) -> PolicyBook:
    """One to three versions that take turns around `NOW`, with as short a window as can be."""
    turns = sorted(
        draw(st.sets(st.sampled_from(range(NOW - DAY, NOW + 9 * DAY, HOUR)), max_size=2))
    )
    versions = []
    for turn in (0, *turns):
        tolerance = draw(st.sampled_from((0, MINUTE, HOUR)))
        versions.append(
            msgspec.structs.replace(
                POLICY,
                version=str(turn),
                effective_from=turn,
                late_ms=draw(st.integers(1, 3)) * DAY,
                skew_tolerance_ms=tolerance,
                clock_ahead_ms_max=draw(st.sampled_from((tolerance, HOUR, DAY, 3 * DAY))),
                future_skew_ms=draw(st.sampled_from((tolerance, HOUR, DAY))),
            )
        )
    return PolicyBook(tuple(versions), least_window(tuple(versions)))


@st.composite
def sendings(draw: st.DrawFn, book: PolicyBook) -> list[tuple[PracticeCompleted, int]]:
    """The same completion again and again, at times that are near to where verdicts change."""

    def near(*bounds: int) -> int:
        return draw(st.sampled_from(bounds)) + draw(st.sampled_from((0, 0, -1, 1)))

    def ahead() -> int:
        caps = (policy.clock_ahead_ms_max for policy in book.versions)
        return draw(st.one_of(st.just(near(0, *caps)), st.integers(-DAY, 40 * DAY)))

    def after() -> int:
        late = (ended + policy.late_ms for policy in book.versions)
        again = near(NOW, NOW + book.window_ms, NOW + 2 * book.window_ms, *late)
        return draw(st.one_of(st.just(again), st.integers(NOW - DAY, NOW + 40 * DAY)))

    first = ahead()
    ended = NOW + first + near(0, -DAY, *(policy.future_skew_ms for policy in book.versions))
    event = completion(1, ended, sent_at=NOW + first)
    sent = [(event, NOW)]
    for _ in range(draw(st.integers(1, 4))):
        append = after()
        # The same record, or the same completion by a clock that was set in between.
        says = draw(st.sampled_from((NOW + first, NOW + first, None, append + ahead())))
        sent.append((msgspec.structs.replace(event, sent_at=says), append))
    return sent


@settings(max_examples=400)
@given(st.data())
def test_nothing_counts_twice(data: st.DataObject) -> None:
    book = data.draw(books())
    assert times_counted(book, data.draw(sendings(book))) <= 1


def test_a_completion_at_every_bound_needs_the_whole_window() -> None:
    furthest = POLICY.clock_ahead_ms_max
    event = completion(1, NOW + furthest + POLICY.future_skew_ms, sent_at=NOW + furthest)
    window = least_window(BOOK.versions)
    for window_ms, counted in ((window - 1, 2), (window, 1)):
        again = [(event, NOW + window_ms + 1), (event, NOW + window_ms + 2)]
        book = PolicyBook(BOOK.versions, window_ms)
        assert times_counted(book, [(event, NOW), *again]) == counted


@pytest.mark.parametrize("ahead", [POLICY.clock_ahead_ms_max, 3 * DAY, 17 * DAY, 40 * DAY])
def test_a_clock_that_is_days_ahead_wins_nothing(ahead: int) -> None:
    log = Log()
    event = completion(1, NOW + ahead, sent_at=NOW + ahead)
    first = log.take(event, NOW)
    if ahead > POLICY.clock_ahead_ms_max:
        assert reason_of(first) == "clock_too_far_ahead"
    for hours in range(0, (BOOK.window_ms + ahead) // HOUR + 24, 6):
        log.take(event, NOW + hours * HOUR + 1)
    assert sum(verdict in COUNTED for verdict in log.verdicts) == 1


def test_an_older_version_keeps_the_window_long() -> None:
    """A completion that one version accepted meets another one when it is sent again."""
    turn = NOW + DAY
    generous = msgspec.structs.replace(POLICY, clock_ahead_ms_max=5 * DAY, late_ms=DAY)
    strict = msgspec.structs.replace(POLICY, effective_from=turn, clock_ahead_ms_max=MINUTE * 2)
    event = completion(1, NOW + 5 * DAY, sent_at=NOW + 5 * DAY)
    each = [least_window((policy,)) for policy in (generous, strict)]
    both = least_window((generous, strict))
    assert max(each) < both
    for window_ms, counted in ((max(each), 2), (both, 1)):
        book = PolicyBook((generous, strict), window_ms)
        assert times_counted(book, [(event, NOW), (event, NOW + window_ms + 1)]) == counted


@pytest.mark.parametrize(
    ("late_days", "ahead_s", "future_s", "least_days"),
    [(14, 86_400, 600, 17), (14, 120, 600, 16), (3, 86_400, 86_400, 6), (30, 200_000, 5_000, 34)],
)
def test_a_policy_that_loads_has_such_a_window_and_a_day(
    late_days: int, ahead_s: int, future_s: int, least_days: int
) -> None:
    text = (
        FIRST_TEXT.replace("late_days: 14", f"late_days: {late_days}")
        .replace("clock_ahead_s_max: 86400", f"clock_ahead_s_max: {ahead_s}")
        .replace("future_skew_s: 600", f"future_skew_s: {future_s}")
    )
    book = load_policy(text.replace("window_days: 17", f"window_days: {least_days}"))
    assert 0 <= book.window_ms - least_window(book.versions) - DAY < DAY
    with pytest.raises(PolicyError, match=f"raise it to {least_days}, or .* count twice"):
        load_policy(text.replace("window_days: 17", f"window_days: {least_days - 1}"))
