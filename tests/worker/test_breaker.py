"""The breaker: failures are counted over a bounded number of inputs."""

import pytest

from pipeline.worker.breaker import (
    BREAKER_FAILURES_MAX,
    BREAKER_INPUTS,
    Breaker,
    TooManyFoldFailuresError,
)


def test_one_failure_more_than_the_bound_trips_it() -> None:
    breaker = Breaker()
    breaker.count(BREAKER_FAILURES_MAX, BREAKER_FAILURES_MAX)
    with pytest.raises(TooManyFoldFailuresError, match="101 of the last 101 inputs"):
        breaker.count(1, 1)


def test_failures_of_earlier_inputs_are_forgotten() -> None:
    breaker = Breaker()
    for _ in range(3):
        breaker.count(BREAKER_INPUTS, BREAKER_FAILURES_MAX)
    breaker.count(1, 1)
    with pytest.raises(TooManyFoldFailuresError):
        breaker.count(1, BREAKER_FAILURES_MAX)
