"""Posting completions while the brokers are slow: answers are bounded, and say what is so.

The application is the real one over librdkafka's own broker, whose answers take as long as a test
says.
"""

import asyncio
import ctypes
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import confluent_kafka as ck
import pytest

from pipeline.api.http.access import make_access
from pipeline.api.ingest import producing
from pipeline.api.ingest.producing import InputProducer, ProducerLimits
from pipeline.settings.api import ApiSettings
from tests.api.scene import NOON, Answered, Scene
from tests.api.test_outcomes import Clock, opened
from tests.integration.ledger import iso

LIMITS = ProducerLimits(records_max=3, bytes_max=100_000, delivery_ms_max=1_500)
AT_ONCE_S = 1.0
"""Longest that an answer may take which waits for nobody, on a busy machine."""

WAIT_S = 30.0


@dataclass
class Later:
    """A clock that a test may put forward."""

    by_s: float = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.by_s


@dataclass
class Slow:
    """An API whose broker can be made slow."""

    scene: Scene
    producer: InputProducer
    clock: Later
    number: int = 0

    def answer_after(self, delay_ms: int) -> None:
        """Make each of the broker's answers wait."""
        library = ctypes.CDLL(
            str(next((Path(ck.__file__).parents[1] / "confluent_kafka.libs").glob("librdkafka*")))
        )
        library.rd_kafka_handle_mock_cluster.restype = ctypes.c_void_p
        client = ctypes.c_void_p.from_address(id(self.producer._producer) + object.__basicsize__)
        cluster = ctypes.c_void_p(library.rd_kafka_handle_mock_cluster(client))
        assert library.rd_kafka_mock_broker_set_rtt(cluster, 1, delay_ms) == 0

    async def post(self, count: int = 1) -> Answered:
        """Post new completions."""
        batch = []
        for _ in range(count):
            self.number += 1
            batch.append(
                {
                    "completion_id": f"c{self.number}",
                    "user_id": "ann",
                    "session_id": f"s{self.number}",
                    "practice": "breath",
                    "started_at": iso(NOON - 1_200_000),
                    "completed_at": iso(NOON - 1_000),
                    "tz": "UTC",
                }
            )
        body = json.dumps(batch).encode()
        headers = {"content_type": "application/json"}
        return await self.scene.ask("POST", "/v1/completions", "", body, headers)

    async def post_until_recorded(self) -> Answered:
        """Post as a client does that heeds 429 and 503, within a bound."""
        deadline_s = time.monotonic() + WAIT_S
        while (answer := await self.post()).status != 202:
            assert answer.status in (429, 503), answer.body
            assert time.monotonic() < deadline_s, answer.body
            await asyncio.sleep(0.1)
        return answer

    async def until_in_flight(self, count: int) -> None:
        """Wait until that many records are on their way."""
        async with asyncio.timeout(WAIT_S):
            while self.producer.in_flight != count:
                await asyncio.sleep(0.01)


@pytest.fixture
async def slow(tmp_path: Path) -> AsyncIterator[Slow]:
    """With a broker that has answered once."""
    clock = Later()
    client = {"test.mock.num.brokers": 1, "log_level": 0}
    producer = InputProducer(client, "t.completions", LIMITS, clock)
    index = opened(tmp_path / "index", Clock())
    given = {
        "completions": producer,
        "outcomes": index,
        "access": make_access(ApiSettings(api_auth_off=True), lambda: NOON),
    }
    made = Slow(Scene(tmp_path / "store", given=given), producer, clock)
    await producer.start()
    await made.post_until_recorded()
    yield made
    made.answer_after(0)
    await producer.stop()
    index.close()
    made.scene.store.close()


async def test_a_post_that_is_not_acknowledged_ends_in_503_within_its_bound(slow: Slow) -> None:
    slow.answer_after(60_000)
    began_s = time.monotonic()
    first = asyncio.create_task(slow.post(2))
    await slow.until_in_flight(2)
    slow.clock.by_s = producing.SLOW_S
    asked_s = time.monotonic()
    refused = await slow.post()
    assert time.monotonic() - asked_s < AT_ONCE_S
    assert (refused.status, refused.json["type"].rpartition(":")[2]) == (503, "brokers-slow")
    assert int(refused.headers["retry-after"]) >= 1
    answer = await asyncio.wait_for(first, WAIT_S)
    took_s = time.monotonic() - began_s
    assert LIMITS.delivery_ms_max / 1000 <= took_s < LIMITS.delivery_ms_max / 1000 + 5
    assert (answer.status, answer.json["type"].rpartition(":")[2]) == (503, "not-acknowledged")
    assert int(answer.headers["retry-after"]) >= 1
    assert [item["status"] for item in answer.json["items"]] == ["failed", "failed"]
    assert slow.producer.results["failed"] == 2
    assert slow.producer.in_flight == 0
    slow.answer_after(0)
    assert (await slow.post_until_recorded()).json["recorded"] == 1


async def test_too_many_in_flight_are_answered_with_429_and_wait_for_nobody(slow: Slow) -> None:
    slow.producer._limits = replace(LIMITS, delivery_ms_max=20_000)
    slow.answer_after(1_000)
    waiting = [asyncio.create_task(slow.post()) for _ in range(2)]
    await slow.until_in_flight(2)
    began_s = time.monotonic()
    whole = await slow.post(2)
    assert time.monotonic() - began_s < AT_ONCE_S
    assert (whole.status, whole.json["type"].rpartition(":")[2]) == (429, "too-many-in-flight")
    assert int(whole.headers["retry-after"]) >= 1
    assert slow.producer.in_flight == 2  # of a batch that has no room nothing is sent
    slow.producer._limits = ProducerLimits(records_max=100, bytes_max=500, delivery_ms_max=20_000)
    assert (await slow.post()).status == 429
    for least in (replace(LIMITS, records_max=1), replace(LIMITS, bytes_max=10)):
        slow.producer._limits = least
        never = await slow.post(2)  # what is more than ever may go is not told to come again
        assert (never.status, never.json["type"].rpartition(":")[2]) == (413, "batch-too-large")
        assert "retry-after" not in never.headers
    slow.producer._limits = replace(LIMITS, delivery_ms_max=20_000)
    answers = await asyncio.wait_for(asyncio.gather(*waiting), WAIT_S)
    assert [answer.status for answer in answers] == [202, 202]
    slow.answer_after(0)
    assert (await slow.post_until_recorded()).status == 202
