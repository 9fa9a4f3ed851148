"""Reading topics to an end that is really one, on the real broker."""

import time
from collections.abc import Sequence

import confluent_kafka as ck
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from pipeline.dev.local.stack import LocalStack
from pipeline.kafka import committed_log
from pipeline.kafka.committed_log import CommittedLog
from pipeline.kafka.errors import UnreadableLogError, unreadable
from pipeline.kafka.reader import Partition, Reader


@pytest.fixture
def topic(stack: LocalStack, topic_prefix: str) -> str:
    """A topic of two partitions."""
    name = f"{topic_prefix}log"
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    admin.create_topics([NewTopic(name, 2, 1)])[name].result(30)
    deadline = time.monotonic() + 30
    while name not in admin.list_topics(timeout=10).topics:  # it is told a little later
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return name


def transactional(stack: LocalStack, topic: str) -> ck.Producer:
    producer = ck.Producer(
        {"bootstrap.servers": stack.bootstrap_servers, "transactional.id": topic}
    )
    producer.init_transactions(30)
    return producer


def test_empty_topic_has_an_end(stack: LocalStack, topic: str) -> None:
    with CommittedLog(stack.bootstrap_servers, [topic]) as log:
        assert list(log.rest(20)) == []


def test_a_leader_that_is_not_known_yet_is_asked_for_again(
    stack: LocalStack, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[int] = []
    answer = Reader.ends

    def early(reader: Reader, partitions: Sequence[Partition]) -> dict[Partition, int]:
        if len(refused) < 2:
            refused.append(1)
            raise unreadable("early", ck.KafkaError(ck.KafkaError.UNKNOWN_LEADER_EPOCH))
        return answer(reader, partitions)

    monkeypatch.setattr(Reader, "ends", early)
    with CommittedLog(stack.bootstrap_servers, [topic]) as log:
        assert list(log.rest(20)) == []
    assert len(refused) == 2


def test_committed_records_and_no_others(stack: LocalStack, topic: str) -> None:
    producer = transactional(stack, topic)
    for value, ending in (("a", "commit"), ("b", "abort"), ("c", "commit")):
        producer.begin_transaction()
        for partition in (0, 1):
            producer.produce(topic, value, partition=partition)
        getattr(producer, f"{ending}_transaction")(30)
    with CommittedLog(stack.bootstrap_servers, [topic]) as log:
        found = [(message.partition(), message.value()) for message in log.rest(20)]
        assert sorted(found) == [(0, b"a"), (0, b"c"), (1, b"a"), (1, b"c")]
        assert list(log.rest(20)) == []


def test_an_open_transaction_holds_the_end_back(stack: LocalStack, topic: str) -> None:
    producer = transactional(stack, topic)
    producer.begin_transaction()
    producer.produce(topic, "open", partition=1)
    producer.flush(30)
    with CommittedLog(stack.bootstrap_servers, [topic]) as log:
        with pytest.raises(UnreadableLogError) as caught:
            list(log.rest(1))
        assert f"('{topic}', 1)" in caught.value.why
        producer.commit_transaction(30)
        assert [message.value() for message in log.rest(20)] == [b"open"]


def test_unknown_topic_is_named(stack: LocalStack, topic_prefix: str) -> None:
    with pytest.raises(UnreadableLogError, match=f"{topic_prefix}nowhere"):
        CommittedLog(stack.bootstrap_servers, [f"{topic_prefix}nowhere"])


def test_brokers_that_do_not_answer_are_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committed_log, "REQUEST_TIMEOUT_S", 0.2)
    with pytest.raises(UnreadableLogError, match="the brokers do not answer") as caught:
        CommittedLog("127.0.0.1:1", ["any"])
    assert caught.value.fix == "check AWAWAY_BOOTSTRAP_SERVERS"
