"""Calls that hang are given up; the others behave as if they were made here."""

import threading

import pytest

from pipeline.engine.kafka.bounded_call import BoundedCaller, GivenUpError


def test_calls_are_made_in_order_and_raise_here() -> None:
    caller, made = BoundedCaller("test"), list[int]()
    for number in range(3):
        caller.call(lambda n=number: made.append(n), 5)  # type: ignore[misc]
    assert made == [0, 1, 2]
    with pytest.raises(ZeroDivisionError):
        caller.call(lambda: 1 / 0, 5)
    assert not caller.is_given_up


def test_a_call_that_hangs_is_given_up() -> None:
    caller, release = BoundedCaller("test"), threading.Event()
    with pytest.raises(GivenUpError):
        caller.call(release.wait, 0.05)
    assert caller.is_given_up
    release.set()
