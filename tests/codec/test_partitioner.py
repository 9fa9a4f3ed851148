"""Partitions as Java's clients choose them."""

import pytest
from confluent_kafka import Producer
from hypothesis import given
from hypothesis import strategies as st

from pipeline.codec.partitioner import murmur2, partition_of
from pipeline.dev.local.stack import LocalStack


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_gives_what_kafkas_own_tests_expect(key: bytes, signed: int) -> None:
    """The vectors of Kafka's UtilsTest."""
    assert murmur2(key) == signed & 0xFFFFFFFF


def test_every_length_modulo_four_counts() -> None:
    assert murmur2(b"") == 275646681
    assert len({murmur2(b"k" * n) for n in range(9)}) == 9


@given(st.binary(max_size=64), st.integers(1, 100))
def test_a_partition_is_one_of_the_topics(key: bytes, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions


def test_the_cache_is_bounded() -> None:
    assert partition_of.cache_info().maxsize is not None


def test_librdkafka_puts_keys_where_we_expect_them(stack: LocalStack, topic_prefix: str) -> None:
    from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # noqa: PLC0415

    topic = f"{topic_prefix}keys"
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    for future in admin.create_topics([NewTopic(topic, 7, 1)]).values():
        future.result(15)
    placed: dict[bytes | None, int | None] = {}
    producer = Producer(
        {"bootstrap.servers": stack.bootstrap_servers, "partitioner": "murmur2_random"}
    )
    for n in range(200):
        key = f"user-{n}-é".encode()[: n % 17 + 1]
        producer.produce(
            topic,
            key=key,
            value=b"",
            on_delivery=lambda _, m: placed.update({m.key(): m.partition()}),
        )
    producer.flush(15)
    assert len(placed) > 100
    assert placed == {key: partition_of(key or b"", 7) for key in placed}
