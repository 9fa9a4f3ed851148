"""The reader without a group and its questions, on the real broker; what failures are told as."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, cast

import confluent_kafka as ck
import pytest
from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from pipeline.dev.local.stack import LocalStack
from pipeline.kafka import admin as admin_module
from pipeline.kafka import reader as reader_module
from pipeline.kafka.admin import Admin
from pipeline.kafka.errors import OffsetGoneError, UnreadableLogError, unreadable
from pipeline.kafka.reader import FROM_THE_START, Partition, PolledRecords, Reader
from pipeline.worker.lag import BrokerOffsets, LagUnknownError, Offsets

NOWHERE = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
WAIT_S = 20.0


@pytest.fixture
def topic(stack: LocalStack, topic_prefix: str) -> str:
    """A topic of two partitions; the first has the values 0, 1 and 2."""
    name = f"{topic_prefix}read"
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    admin.create_topics([NewTopic(name, 2, 1)])[name].result(30)
    producer = ck.Producer({"bootstrap.servers": stack.bootstrap_servers})
    for value in (b"0", b"1", b"2"):
        producer.produce(name, value, partition=0, timestamp=1_000 + int(value))
    assert producer.flush(30) == 0
    return name


@pytest.fixture
def reader(stack: LocalStack) -> Iterator[Reader]:
    with Reader({"bootstrap.servers": stack.bootstrap_servers}, "none") as found:
        yield found


def until(reader: Reader, met: Callable[[], bool]) -> list[bytes | None]:
    """The values that come until a condition holds."""
    found: list[bytes | None] = []
    deadline = time.monotonic() + WAIT_S
    while not met():
        assert time.monotonic() < deadline
        found += [record.value() for record in reader.poll(100, 0.2).records]
    return found


def test_records_come_with_their_ends(reader: Reader, topic: str) -> None:
    first, second = reader.partitions([topic])
    reader.assign({first: 1, second: FROM_THE_START})
    assert until(reader, lambda: len(reader.reached) == 2) == [b"1", b"2"]
    assert reader.reached == {first: 3, second: 0}
    reader.assign({first: 2})
    assert reader.reached == {}
    assert [one.value() for one in reader.gather(1, WAIT_S).records] == [b"2"]


def test_what_partitions_have_is_told_without_reading(reader: Reader, topic: str) -> None:
    both = reader.partitions([topic])
    first, second = both
    assert reader.starts(both) == {first: 0, second: 0}
    assert reader.ends(both) == {first: 3, second: 0}
    assert reader.since(both, 1_001) == {first: 1, second: -1}
    assert reader.ends([]) == {}


def test_the_end_of_a_reader_of_committed_records_is_the_last_stable_offset(
    stack: LocalStack, reader: Reader, topic: str
) -> None:
    bootstrap = {"bootstrap.servers": stack.bootstrap_servers}
    producer = ck.Producer({**bootstrap, "transactional.id": topic})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, b"open", partition=0)
    producer.flush(30)
    partition = (topic, 0)
    with Reader({**bootstrap, "isolation.level": "read_uncommitted"}, "none") as uncommitted:
        assert (reader.ends([partition]), uncommitted.ends([partition])) == (
            {partition: 3},
            {partition: 4},
        )
    producer.abort_transaction(30)


def test_an_offset_that_is_gone_is_told_at_once(reader: Reader, topic: str) -> None:
    reader.assign({(topic, 0): 99})
    with pytest.raises(OffsetGoneError):
        until(reader, lambda: False)


def test_the_lag_is_asked_for_from_outside_the_group(stack: LocalStack, topic: str) -> None:
    """The group has an offset of one partition; a broker that is away is told, and asked again."""
    bootstrap = {"bootstrap.servers": stack.bootstrap_servers}
    member = ck.Consumer({**bootstrap, "group.id": topic, "enable.auto.commit": False})
    member.commit(offsets=[ck.TopicPartition(topic, 0, 2)], asynchronous=False)
    member.close()
    both: list[Partition] = [(topic, 0), (topic, 1)]
    source = BrokerOffsets(bootstrap, topic)
    known = {both[0]: Offsets(2, 0, 3), both[1]: Offsets(None, 0, 0)}
    assert (source.offsets([]), source.offsets(both)) == ({}, known)
    with pytest.raises(LagUnknownError):
        source.offsets([(f"{topic}-nowhere", 0)])
    assert source.offsets(both) == known


def test_topics_are_told_by_their_ids(stack: LocalStack, topic: str) -> None:
    admin = Admin({"bootstrap.servers": stack.bootstrap_servers}, WAIT_S)
    found = admin.topics([topic])[topic]
    assert found.partitions == 2 and len(found.topic_id) == 22
    with pytest.raises(UnreadableLogError, match="nowhere") as caught:
        admin.topics([topic, f"{topic}-nowhere"])
    assert caught.value.code == KafkaError.UNKNOWN_TOPIC_OR_PART
    assert admin.topics([topic])[topic] == found  # by a new client


class Silent:
    """An admin client that does not answer."""

    def __init__(self, *_: object) -> None:
        self.asked: Future[object] = Future()

    def list_topics(self, *_: object, **__: object) -> None:
        """A broker is there."""

    def describe_topics(self, *_: object, **__: object) -> dict[str, Future[object]]:
        return {"any": self.asked}


def test_a_client_is_kept_while_it_has_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_module, "AdminClient", Silent)
    monkeypatch.setattr(admin_module, "ANSWER_GRACE_S", 0.0)
    kept: list[Any] = []
    monkeypatch.setattr(admin_module, "_kept", kept)
    admin = Admin({}, 0.01)
    for count in (1, 2):
        with pytest.raises(UnreadableLogError, match="any cannot be described"):
            admin.topics(["any"])
        assert len({id(client) for client, _ in kept}) == count
    kept[0][0].asked.set_result(None)
    last = kept[1][0]
    with pytest.raises(UnreadableLogError):
        admin.topics(["any"])
    assert [client is last for client, _ in kept] == [True, False]


def test_brokers_that_are_away_are_told_in_the_same_words_by_every_question() -> None:
    with Reader(NOWHERE, "none", timeout_s=0.2) as away:
        for ask in (
            lambda: away.partitions(["any"]),
            lambda: away.ends([("any", 0)]),
            lambda: away.committed([("any", 0)]),
        ):
            with pytest.raises(UnreadableLogError, match="the brokers do not answer") as caught:
                ask()
            assert caught.value.fix.startswith("check AWAWAY_BOOTSTRAP_SERVERS")


def test_a_refusal_is_told_as_what_failed() -> None:
    refused = unreadable("asking", KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    assert (refused.what, refused.code) == ("asking", KafkaError.TOPIC_AUTHORIZATION_FAILED)
    assert "authorization" in refused.why.lower()
    timed_out = KafkaError(KafkaError._TIMED_OUT)
    for late in (unreadable("asking", timed_out), unreadable("asking", TimeoutError("Timed out"))):
        assert late.what == "the brokers do not answer in time"
        assert late.why.startswith("asking: ") and "imed out" in late.why
        assert "find-hanging" in late.fix
    gone = unreadable("reading", KafkaException(KafkaError(KafkaError.OFFSET_OUT_OF_RANGE)))
    assert isinstance(gone, OffsetGoneError)


class Event:
    """An event of a client, or a record."""

    def __init__(self, offset: int, code: int | None = None) -> None:
        self._offset, self._code = offset, code

    def error(self) -> KafkaError | None:
        return None if self._code is None else KafkaError(self._code)

    def topic(self) -> str:
        return "t"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset


class Client:
    """A consumer of events that a test names."""

    def __init__(self, *events: Event) -> None:
        self.events = list(events)

    def consume(self, count: int, _wait_s: float) -> list[Event]:
        found, self.events = self.events[:count], self.events[count:]
        return found


@pytest.mark.parametrize("is_patient", [True, False])
def test_only_a_patient_reader_reads_on_after_an_event(is_patient: bool) -> None:
    with Reader(NOWHERE, "none", is_patient=is_patient) as reader:
        client = Client(Event(4), Event(0, KafkaError._TRANSPORT), Event(5))
        reader._client, closing = cast(Any, client), reader._client
        if is_patient:
            assert [record.offset() for record in reader.poll(9, 0).records] == [4, 5]
        else:
            with pytest.raises(UnreadableLogError):
                reader.poll(9, 0)
        reader._client = closing


def test_a_position_follows_the_last_record_also_after_an_end() -> None:
    records = cast(list[Message], [Event(3), Event(7)])
    assert PolledRecords(records, {("t", 0): 7, ("t", 1): 2}).positions() == {
        ("t", 0): 8,
        ("t", 1): 2,
    }
    assert PolledRecords(records, {("t", 0): 11}).positions() == {("t", 0): 11}


def transaction(stack: LocalStack, topic: str, value: bytes) -> None:
    """A record, and after it the control record that no reader is given."""
    producer = ck.Producer(
        {"bootstrap.servers": stack.bootstrap_servers, "transactional.id": topic}
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, value, partition=0)
    producer.commit_transaction(30)


def test_a_client_that_has_gone_silent_is_told_and_one_at_its_ends_is_not(
    stack: LocalStack, reader: Reader, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader.assign(dict.fromkeys(reader.partitions([topic]), FROM_THE_START))
    transaction(stack, topic, b"3")
    until(reader, lambda: reader.reached == {(topic, 0): 5, (topic, 1): 0})
    monkeypatch.setattr(reader_module, "SILENT_S", 0.2)
    deadline = time.monotonic() + 2.0
    while time.monotonic() < deadline:
        assert reader.poll(100, 0.1).records == []
    reader._client.pause([ck.TopicPartition(topic, 0)])  # a client that delivers nothing
    transaction(stack, topic, b"4")
    with pytest.raises(UnreadableLogError, match=f"delivers nothing of {topic} 0"):
        until(reader, lambda: False)


@pytest.mark.parametrize("is_patient", [True, False])
def test_a_client_is_silent_while_the_brokers_are_away(
    is_patient: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "SILENT_S", 0.0)
    with Reader(NOWHERE, "none", timeout_s=0.2, is_patient=is_patient) as reader:
        reader.assign({("t", 0): 0})
        if is_patient:
            assert reader.poll(9, 0.1) == PolledRecords([], {})
        else:
            with pytest.raises(UnreadableLogError, match="the brokers do not answer"):
                reader.poll(9, 0.1)
