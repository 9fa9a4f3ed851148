"""What the engine leans on in a broker: one function for each promise.

Owns: the promises. Does not own: the brokers that are asked to keep them (sides.py).
Each function takes a side and fails when the promise is not kept.
"""

import time
from collections.abc import Callable
from typing import Final

import pytest

from pipeline.engine.errors import (
    BrokerError,
    ProducerLostError,
    SlotTakenError,
    TransactionAbortedError,
)
from pipeline.engine.ports import Ends, GroupConsumer, TopicPartition, TransactionalProducer
from tests.contract.sides import Assigned, Side, read, wait_for


def producer_of(side: Side, slot: str) -> TransactionalProducer:
    """A producer that may begin, once the coordinator of a broker that has just started answers."""
    deadline_s = time.monotonic() + 60
    while True:
        producer = side.cluster(slot).producer()
        try:
            producer.init_transactions()
        except BrokerError:
            producer.close()
            if time.monotonic() > deadline_s:
                raise
        else:
            return producer


def send(producer: TransactionalProducer, tp: TopicPartition, *values: bytes) -> list[int]:
    """Produce inside the open transaction; returns the offsets."""
    offsets: list[int] = []
    for value in values:
        producer.produce(*tp, b"key", value, None, offsets.append)
    producer.flush()
    return offsets


def aborted_records_are_invisible(side: Side) -> None:
    tp = TopicPartition(side.topic("log"), 0)
    producer = producer_of(side, "a")
    producer.begin()
    send(producer, tp, b"aborted")
    producer.abort()
    producer.begin()
    (offset,) = send(producer, tp, b"kept")
    producer.commit()
    found = read(side, "r", tp, offset + 2)
    assert [(record.offset(), record.value()) for record in found] == [(offset, b"kept")]


def delivery_tells_offsets(side: Side) -> None:
    tp = TopicPartition(side.topic("log"), 1)
    producer = producer_of(side, "a")
    producer.begin()
    offsets = send(producer, tp, b"1", b"2", b"3")
    producer.commit()
    found = read(side, "r", tp, offsets[-1] + 2)
    assert [record.offset() for record in found] == offsets == [0, 1, 2]


def an_open_transaction_holds_back_what_follows(side: Side) -> None:
    tp = TopicPartition(side.topic("log"), 0)
    first, second = producer_of(side, "a"), producer_of(side, "b")
    first.begin()
    (held,) = send(first, tp, b"held")
    second.begin()
    send(second, tp, b"later")
    second.commit()
    cluster = side.cluster("c")
    assert cluster.watermarks([tp])[tp].high >= held + 2
    assert read(side, "r", tp, held) == []
    first.commit()
    end = cluster.watermarks([tp])[tp].high
    assert [r.value() for r in read(side, "s", tp, end)] == [b"held", b"later"]


def the_next_producer_of_a_slot_fences_the_last(side: Side) -> None:
    tp = TopicPartition(side.topic("log"), 0)
    first = producer_of(side, "a")
    first.begin()
    send(first, tp, b"of the first")
    second = producer_of(side, "a")
    with pytest.raises(SlotTakenError):
        first.commit()
    second.begin()
    (offset,) = send(second, tp, b"of the second")
    second.commit()
    assert [r.value() for r in read(side, "r", tp, offset + 2)] == [b"of the second"]


def a_transaction_that_takes_too_long_is_aborted(side: Side) -> None:
    tp = TopicPartition(side.topic("log"), 0)
    producer = producer_of(side, "a")
    producer.begin()
    (offset,) = send(producer, tp, b"too late")
    cluster = side.cluster("c")
    wait_for(side, lambda: cluster.watermarks([tp])[tp].high == offset + 2)
    assert read(side, "r", tp, offset + 2) == []
    with pytest.raises(ProducerLostError):
        producer.commit()


def joined(side: Side, slot: str, topic: str) -> tuple[GroupConsumer, Assigned]:
    """A member with an assignment."""
    consumer, assigned = side.cluster(slot).consumer(), Assigned()
    consumer.subscribe([topic], assigned)

    def is_assigned() -> bool:
        consumer.poll(10, 0.1)
        return assigned.partitions is not None

    wait_for(side, is_assigned)
    return consumer, assigned


def offsets_count_with_their_transaction_and_are_waited_for(side: Side) -> None:
    topic = side.topic("in")
    tp = TopicPartition(topic, 0)
    consumer, _ = joined(side, "a", topic)
    assert consumer.committed([tp]) == {tp: None}
    producer = producer_of(side, "a")
    producer.begin()
    producer.send_offsets({tp: 7}, consumer.group_metadata())
    producer.abort()
    assert consumer.committed([tp]) == {tp: None}
    producer.begin()
    producer.send_offsets({tp: 8}, consumer.group_metadata())
    asked = side.beside(lambda: consumer.committed([tp]))
    side.pause(1.0)
    assert not asked.is_over
    producer.commit()
    wait_for(side, lambda: asked.is_over)
    assert asked.result == {tp: 8}
    consumer.close()


def offsets_of_nobody_are_taken_and_may_be_aborted(side: Side) -> None:
    topic = side.topic("in")
    tp = TopicPartition(topic, 0)
    consumer, _ = joined(side, "a", topic)
    producer = producer_of(side, "a")
    producer.begin()
    producer.send_offsets({tp: 3}, consumer.group_metadata())
    producer.commit()
    producer.begin()
    producer.send_offsets({tp: 9}, side.cluster("a").outsider())
    producer.abort()
    assert consumer.committed([tp]) == {tp: 3}
    consumer.close()


def stable_ends_are_before_the_first_open_transaction(side: Side) -> None:
    topic = side.topic("log")
    partitions = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
    producer = producer_of(side, "a")
    producer.begin()
    (first,) = send(producer, partitions[0], b"1")
    producer.commit()
    cluster = side.cluster("b")
    due = {partitions[0]: Ends(first + 2, first + 2), partitions[1]: Ends(0, 0)}
    wait_for(side, lambda: cluster.ends(partitions) == due)
    producer.begin()
    send(producer, partitions[0], b"2")
    assert cluster.ends(partitions) == {**due, partitions[0]: Ends(first + 2, first + 3)}
    producer.abort()
    wait_for(side, lambda: cluster.ends(partitions)[partitions[0]] == Ends(first + 4, first + 4))


def a_member_of_an_earlier_generation_commits_nothing(side: Side) -> None:
    topic = side.topic("in")
    tp = TopicPartition(topic, 0)
    first, assigned = joined(side, "a", topic)
    stale = first.group_metadata()
    assert assigned.partitions == [TopicPartition(topic, 0), TopicPartition(topic, 1)]
    second, other = side.cluster("b").consumer(), Assigned()
    second.subscribe([topic], other)

    def is_dealt_anew() -> bool:
        first.poll(10, 0.1)
        second.poll(10, 0.1)
        return assigned.partitions == [tp] and other.partitions == [TopicPartition(topic, 1)]

    wait_for(side, is_dealt_anew)
    producer = producer_of(side, "a")
    producer.begin()
    with pytest.raises(TransactionAbortedError):
        producer.send_offsets({tp: 3}, stale)
    producer.abort()
    producer.begin()
    producer.send_offsets({tp: 4}, first.group_metadata())
    producer.commit()
    assert first.committed([tp]) == {tp: 4}
    first.close()
    second.close()


def a_slot_that_joins_again_takes_its_place(side: Side) -> None:
    topic = side.topic("in")
    first, _ = joined(side, "a", topic)
    second, _ = joined(side, "a", topic)
    with pytest.raises(SlotTakenError):
        wait_for(side, lambda: first.poll(10, 0.1) is None)
    with pytest.raises(SlotTakenError):
        first.check_slot()
    second.check_slot()
    first.close()
    second.close()


def fetching_starts_at_exactly_the_named_offsets(side: Side) -> None:
    topic = side.topic("in")
    tp = TopicPartition(topic, 0)
    producer = producer_of(side, "a")
    producer.begin()
    send(producer, tp, b"0", b"1", b"2", b"3")
    producer.commit()
    consumer, _ = joined(side, "b", topic)
    for start in (2, 0, 3):
        consumer.fetch({tp: start})
        found: list[int] = []

        def has_all(found: list[int] = found) -> bool:
            found += [record.offset() for record in consumer.poll(10, 0.1)]
            return bool(found) and found[-1] == 3

        wait_for(side, has_all)
        assert found == list(range(start, 4))
    consumer.fetch({})
    assert consumer.poll(10, 0.3) == []
    consumer.close()


def a_topic_that_is_made_again_has_another_id(side: Side) -> None:
    topic = side.topic("log")
    cluster = side.cluster("a")
    before = cluster.topic_ids([topic])
    assert cluster.topic_ids([topic]) == before
    side.make_again("log")
    after = cluster.topic_ids([topic, f"{topic}-that-is-not-there"])
    assert after.keys() == before.keys()
    assert after != before
    assert cluster.partition_counts([topic]) == {topic: 2}


PROMISES: Final[tuple[Callable[[Side], None], ...]] = (
    aborted_records_are_invisible,
    delivery_tells_offsets,
    an_open_transaction_holds_back_what_follows,
    the_next_producer_of_a_slot_fences_the_last,
    a_transaction_that_takes_too_long_is_aborted,
    offsets_count_with_their_transaction_and_are_waited_for,
    offsets_of_nobody_are_taken_and_may_be_aborted,
    stable_ends_are_before_the_first_open_transaction,
    a_member_of_an_earlier_generation_commits_nothing,
    a_slot_that_joins_again_takes_its_place,
    fetching_starts_at_exactly_the_named_offsets,
    a_topic_that_is_made_again_has_another_id,
)
