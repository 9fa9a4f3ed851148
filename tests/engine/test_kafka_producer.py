"""The engine's producer on a real broker: what its errors are taken for."""

import pytest

from pipeline.dev.local.stack import LocalStack
from pipeline.engine.errors import SlotTakenError
from pipeline.engine.ports import TopicPartition
from tests.contract.promises import producer_of
from tests.contract.sides import RealSide


def test_who_was_fenced_hears_it_whatever_comes_next(stack: LocalStack, topic_prefix: str) -> None:
    """Once librdkafka knows, producing tells only that something fatal happened."""
    side = RealSide(stack, topic_prefix)
    topic = side.topic("log")
    first = producer_of(side, "a")
    first.begin()
    second = producer_of(side, "a")
    tp = TopicPartition(topic, 0)
    first.produce(*tp, b"key", b"of the first")
    with pytest.raises(SlotTakenError):
        first.flush()
    for _ in range(2):
        with pytest.raises(SlotTakenError):
            first.produce(*tp, b"key", b"more")
    second.begin()
    second.produce(*tp, b"key", b"of the second")
    second.flush()
    second.commit()
