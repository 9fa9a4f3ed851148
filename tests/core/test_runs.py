"""Runs behave as sets of numbers do."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.runs import (
    Runs,
    contains,
    difference,
    first_reaching,
    from_numbers,
    union,
    with_number,
)

numbers = st.frozensets(st.integers(-30, 30))


def spread(runs: Runs) -> list[int]:
    return [number for start, length in runs for number in range(start, start + length)]


def assert_canonical(runs: Runs) -> None:
    for (start, length), (after, _) in pairwise(runs):
        assert start + length < after
    assert all(length > 0 for _, length in runs)


@given(st.lists(st.integers(-30, 30)))
def test_any_order_of_the_same_numbers_gives_the_same_runs(order: list[int]) -> None:
    runs: Runs = ()
    for number in order:
        before = runs
        runs = with_number(runs, number)
        assert (runs is before) == (number in spread(before))
        assert abs(len(runs) - len(before)) <= 1
    assert_canonical(runs)
    assert runs == from_numbers(order)
    assert spread(runs) == sorted(set(order))


@given(numbers, numbers)
def test_algebra(left: frozenset[int], right: frozenset[int]) -> None:
    a, b = from_numbers(left), from_numbers(right)
    for runs, expected in ((union(a, b), left | right), (difference(a, b), left - right)):
        assert_canonical(runs)
        assert spread(runs) == sorted(expected)


def test_with_nothing_to_add_or_take_away_it_is_the_same_object() -> None:
    some = from_numbers([1, 2, 5])
    assert union(some, ()) is some
    assert union((), some) is some
    assert difference(some, ()) is some
    assert difference((), some) == ()


def test_a_number_within_an_earlier_run_changes_nothing() -> None:
    runs = from_numbers([1, 2, 3, 7])
    assert with_number(runs, 2) is runs


def test_a_hole_that_reaches_over_two_runs_cuts_both() -> None:
    left, right = ((2, 3), (10, 5)), ((0, 1), (3, 10))
    assert difference(left, right) == ((2, 1), (13, 2))


@given(numbers, st.integers(-32, 32))
def test_questions(given_numbers: frozenset[int], number: int) -> None:
    runs = from_numbers(given_numbers)
    assert contains(runs, number) == (number in given_numbers)
    assert first_reaching(runs, number) == next(
        (r for r in runs if r[0] + r[1] - 1 >= number), None
    )


def test_a_hole_over_several_runs() -> None:
    assert difference(((0, 2), (4, 1), (6, 4)), ((1, 6), (8, 1))) == ((0, 1), (7, 1), (9, 1))


def test_closing_a_gap_joins_both_sides() -> None:
    assert with_number(((1, 2), (4, 3), (9, 1)), 3) == ((1, 6), (9, 1))


def test_a_number_before_all_others() -> None:
    assert with_number(((5, 2),), 1) == ((1, 1), (5, 2))
    assert with_number(((5, 2),), 4) == ((4, 3),)
