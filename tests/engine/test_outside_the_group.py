"""A client that never joins the group is given up, and no other is."""

import pytest

from pipeline.engine.errors import BrokerError, ConsumerLostError
from pipeline.engine.kafka import consumers as kafka_consumers
from pipeline.engine.kafka.config import KafkaConfig
from pipeline.engine.kafka.consumers import KafkaGroupConsumer, SlotHolder

AWAY = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
ITSELF = SlotHolder("app-0-1", "app-0-1-abc")


class Group:
    """A group that knows somebody under the slot, or nobody, or is away."""

    def __init__(self, answer: SlotHolder | BrokerError | None) -> None:
        self.answer = answer
        self.asked = 0

    def holder(self) -> SlotHolder | None:
        self.asked += 1
        if isinstance(self.answer, BrokerError):
            raise self.answer
        return self.answer


def outside(group: Group) -> KafkaGroupConsumer:
    """A consumer that has been waiting for its assignment since it was made."""
    return KafkaGroupConsumer(KafkaConfig(AWAY, "app", "app-0"), group.holder)


def test_whom_the_group_does_not_know_after_a_while_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    group = Group(None)
    consumer = outside(group)
    assert consumer.poll(1, 0.0) == []
    assert group.asked == 0  # joining takes its time
    monkeypatch.setattr(kafka_consumers, "OUTSIDE_S", 0.0)
    with pytest.raises(ConsumerLostError, match="does not join"):
        consumer.poll(1, 0.0)
    consumer.close()


@pytest.mark.parametrize("answer", [ITSELF, BrokerError("listing the group's members failed")])
def test_a_member_without_partitions_and_a_group_that_is_away_are_waited_for(
    monkeypatch: pytest.MonkeyPatch, answer: SlotHolder | BrokerError
) -> None:
    group = Group(answer)
    consumer = outside(group)
    monkeypatch.setattr(kafka_consumers, "OUTSIDE_S", 0.0)
    assert consumer.poll(1, 0.0) == []
    assert group.asked == 1
    monkeypatch.setattr(kafka_consumers, "OUTSIDE_S", 60.0)
    assert consumer.poll(1, 0.0) == []
    assert group.asked == 1  # not at every poll
    consumer.close()
