"""The simulated broker is held to the real one: both keep the same promises."""

from collections.abc import Callable

import pytest

from pipeline.dev.local.stack import LocalStack
from tests.contract.promises import PROMISES
from tests.contract.sides import RealSide, Side, SimSide

Promise = Callable[[Side], None]


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_the_simulated_broker_keeps_it(promise: Promise) -> None:
    side = SimSide()
    side.play(lambda: promise(side))


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_kafka_keeps_it(promise: Promise, stack: LocalStack, topic_prefix: str) -> None:
    side = RealSide(stack, topic_prefix)
    side.play(lambda: promise(side))
