"""The producer of completions when librdkafka gives up on it, against librdkafka's own broker."""

import asyncio
import ctypes
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import confluent_kafka as ck
import pytest

from pipeline.api.ingest.producing import (
    SILENT_S,
    InputProducer,
    NotAcknowledgedError,
    ProducerLimits,
)
from tests.api.scene import Scene

OUT_OF_ORDER = ck.KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER
LIMITS = ProducerLimits(records_max=100, bytes_max=1 << 20, delivery_ms_max=20_000)
QUICK = ProducerLimits(records_max=100, bytes_max=1 << 20, delivery_ms_max=300)
WAIT_S = 40
LIBRARIES = Path(ck.__file__).parents[1] / "confluent_kafka.libs"


@pytest.fixture
async def producer() -> AsyncIterator[InputProducer]:
    """Each librdkafka producer that it makes has a broker in its own process."""
    made = InputProducer({"test.mock.num.brokers": 1, "log_level": 0}, "t", LIMITS)
    await made.start()
    yield made
    await made.stop()


def give_up(producer: InputProducer) -> None:
    """Make librdkafka declare a fatal error, as when a sequence number was lost."""
    library = ctypes.CDLL(str(next(LIBRARIES.glob("librdkafka*"))))
    client = producer._producer
    handle = ctypes.c_void_p.from_address(id(client) + object.__basicsize__)
    library.rd_kafka_test_fatal_error(handle, OUT_OF_ORDER, b"a test's")


async def sent(producer: InputProducer) -> Any:
    return await asyncio.wait_for(producer.send(b"ann", b"{}", []), WAIT_S)


async def test_a_fatal_error_while_nothing_is_sent_is_got_over(
    producer: InputProducer,
) -> None:
    assert (await sent(producer)).offset >= 0
    for _ in range(2):
        dead = producer._producer
        give_up(producer)
        async with asyncio.timeout(WAIT_S):
            while producer._producer is dead:
                await asyncio.sleep(0.02)
        made = producer._producer
        producer.check_room(1, 1)
        assert (await sent(producer)).offset >= 0
        assert producer._producer is made
        assert not producer.is_dead


async def test_one_that_nothing_is_acknowledged_to_for_long_is_replaced_once() -> None:
    late_s = 0.0
    away = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
    producer = InputProducer(away, "t", QUICK, lambda: late_s)
    await producer.start()
    first = producer._producer

    async def times_out() -> None:
        with pytest.raises(NotAcknowledgedError):
            await sent(producer)

    await times_out()
    late_s = SILENT_S - 1
    await times_out()
    assert producer._producer is first
    late_s = SILENT_S
    await times_out()
    second = producer._producer
    assert second is not first
    await times_out()
    assert producer._producer is second
    await producer.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_dead_thread_is_told_to_those_who_may_restart_it(tmp_path: Path) -> None:
    producer = InputProducer({"bootstrap.servers": "127.0.0.1:1"}, "t", LIMITS)
    scene = Scene(tmp_path, given={"completions": producer})
    assert (await scene.get("/livez")).status == 200

    def end(_: float) -> None:
        raise SystemExit

    await producer.start()
    assert (await scene.get("/livez")).status == 200
    producer._producer = type("Ending", (), {"poll": staticmethod(end)})()
    async with asyncio.timeout(WAIT_S):
        while (await scene.get("/livez")).status == 200:
            await asyncio.sleep(0.02)
    answer = await scene.get("/livez")
    assert (answer.status, answer.json["ok"]) == (503, False)
    assert "acknowledgement" in answer.json["reasons"][0]
    await producer.stop()
    assert (await scene.get("/livez")).status == 200
