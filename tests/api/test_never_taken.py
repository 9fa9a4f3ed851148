"""What no broker will ever take is refused for good, by itself; the rest of a batch is recorded.

The application is the real one, over the run's Kafka and over librdkafka's own broker, which says
what a test wants.
"""

import asyncio
import ctypes
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from pipeline.api.http.access import make_access, records_max
from pipeline.api.http.auth import ALL_SCOPES, Kind, Principal
from pipeline.api.ingest.producing import (
    BATCH_BYTES,
    InputProducer,
    ProducerLimits,
    RecordRefusedError,
)
from pipeline.dev.local.stack import LocalStack
from pipeline.settings.api import ApiSettings
from tests.api.scene import NOON, Answered, Scene
from tests.api.test_outcomes import Clock, opened
from tests.api.test_producing import LIBRARIES
from tests.integration.ledger import iso

RECORD_BYTES_MAX = 20_000
LIMITS = ProducerLimits(records_max=1_000, bytes_max=8 << 20, delivery_ms_max=20_000)
PRODUCE = 0
"""The API key of the request."""


@dataclass
class Api:
    """An API with a producer of a test's own."""

    scene: Scene
    producer: InputProducer

    async def post(self, *items: Any) -> Answered:
        """Post a batch, or one completion as itself."""
        body = json.dumps(items[0] if len(items) == 1 else items).encode()
        headers = {"content_type": "application/json"}
        return await self.scene.ask("POST", "/v1/completions", "", body, headers)

    def close(self) -> None:
        self.scene.store.close()


def completion(name: str, note_chars: int = 0) -> dict[str, Any]:
    """A completion of so many characters and some; parts of them in each entry of its context."""
    notes = {f"note {n}": "x" * 1_000 for n in range(note_chars // 1_000)}
    return {
        "completion_id": name,
        "user_id": "ann",
        "session_id": name,
        "practice": "breath",
        "started_at": iso(NOON - 1_200_000),
        "completed_at": iso(NOON - 1_000),
        "tz": "UTC",
    } | ({"context": notes} if notes else {})


async def opened_api(folder: Path, client: dict[str, Any], topic: str) -> Api:
    producer = InputProducer(client, topic, LIMITS)
    index = opened(folder / "index", Clock())
    access = make_access(ApiSettings(api_auth_off=True), lambda: NOON)
    given = {"completions": producer, "outcomes": index, "access": access}
    scene = Scene(folder / "store", given=given, within=())
    await producer.start()
    return Api(scene, producer)


@pytest.fixture
async def small(stack: LocalStack, topic_prefix: str, tmp_path: Path) -> AsyncIterator[Api]:
    """With a topic whose records may have 20,000 bytes."""
    client: dict[str, Any] = {"bootstrap.servers": stack.bootstrap_servers}
    topic = NewTopic(
        f"{topic_prefix}completions", 1, 1, config={"max.message.bytes": str(RECORD_BYTES_MAX)}
    )
    admin = AdminClient(client)
    admin.create_topics([topic])[topic.topic].result(30)
    made = await opened_api(tmp_path, client, topic.topic)
    yield made
    await made.producer.stop()
    made.close()


async def test_a_record_that_is_too_large_for_the_topic_is_413_and_not_send_it_again(
    small: Api,
) -> None:
    answer = await small.post(completion("large", 30_000))
    assert (answer.status, answer.json["type"].rpartition(":")[2]) == (413, "completion-too-large")
    assert "retry-after" not in answer.headers
    (item,) = answer.json["items"]
    assert (item["status"], item["error"]["reason"]) == ("refused", "too_large")
    again = await small.post(completion("small"))
    assert (again.status, again.json["items"][0]["position"]["offset"]) == (202, 0)
    assert small.producer.results == {"acknowledged": 1, "refused": 1, "failed": 0}


async def test_neighbours_of_a_record_that_is_too_large_are_recorded_once(small: Api) -> None:
    """Together they are more than the topic takes, each alone is not."""
    names = [f"c{n}" for n in range(40)]
    batch = [completion(name, 2_000) for name in names]
    batch[7:7] = [completion("large", 30_000)]
    answer = await small.post(*batch)
    assert answer.status == 207
    assert (answer.json["recorded"], answer.json["refused"], answer.json["failed"]) == (40, 1, 0)
    refused = answer.json["items"][7]
    assert (refused["completion_id"], refused["error"]["reason"]) == ("large", "too_large")
    offsets = {item["position"]["offset"] for item in answer.json["items"] if "position" in item}
    assert len(offsets) == 40
    assert small.producer.in_flight == 0
    larger = await small.post(*(completion(f"l{n}", 30_000) for n in range(2)))
    assert (larger.status, larger.json["items"][1]["status"]) == (413, "refused")


@pytest.fixture
async def mocked(tmp_path: Path) -> AsyncIterator[Api]:
    """With librdkafka's broker."""
    client = {"test.mock.num.brokers": 1, "log_level": 0}
    made = await opened_api(tmp_path, client, "t.completions")
    assert (await made.post(completion("first"))).status == 202
    yield made
    await made.producer.stop()
    made.close()


def say(producer: Any, *errors: int) -> None:
    """Have a producer's broker answer its next requests so."""
    library = ctypes.CDLL(str(next(LIBRARIES.glob("librdkafka*"))))
    library.rd_kafka_handle_mock_cluster.restype = ctypes.c_void_p
    client = ctypes.c_void_p.from_address(id(producer) + object.__basicsize__)
    cluster = ctypes.c_void_p(library.rd_kafka_handle_mock_cluster(client))
    library.rd_kafka_mock_push_request_errors(cluster, PRODUCE, len(errors), *errors)


def one_by_one(producer: InputProducer) -> Any:
    """What sends records alone, connected."""
    made = producer._make(records_at_once=1)
    made.produce(producer.topic, b"{}", b"nobody")
    assert made.flush(30) == 0
    producer._one_by_one = made
    return made


@pytest.mark.parametrize(
    ("code", "status", "slug"),
    [
        (KafkaError.MSG_SIZE_TOO_LARGE, 413, "completion-too-large"),
        (KafkaError.RECORD_LIST_TOO_LARGE, 413, "completion-too-large"),
        (KafkaError.INVALID_RECORD, 422, "invalid-completion"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, 503, "not-acknowledged"),
        (KafkaError.POLICY_VIOLATION, 503, "not-acknowledged"),
    ],
)
async def test_what_is_refused_alone_is_refused_for_good_unless_it_is_not_the_records_fault(
    mocked: Api, code: int, status: int, slug: str
) -> None:
    say(mocked.producer._producer, code)
    say(one_by_one(mocked.producer), code)
    answer = await mocked.post(completion("c"))
    assert (answer.status, answer.json["type"].rpartition(":")[2]) == (status, slug)
    assert ("retry-after" in answer.headers) == (status == 503)
    assert answer.json["items"][0]["status"] == ("failed" if status == 503 else "refused")
    assert mocked.producer.in_flight == 0
    if status != 503:
        assert (await mocked.post(completion("d"))).status == 202


async def test_what_was_refused_with_others_is_taken_alone(mocked: Api) -> None:
    say(mocked.producer._producer, KafkaError.INVALID_RECORD)
    answer = await mocked.post(*(completion(f"c{n}") for n in range(5)))
    assert (answer.status, answer.json["recorded"]) == (202, 5)
    assert mocked.producer.results["refused"] == 0


async def test_a_record_larger_than_a_batch_was_alone_the_first_time(mocked: Api) -> None:
    say(mocked.producer._producer, KafkaError.MSG_SIZE_TOO_LARGE)
    value = b"x" * (BATCH_BYTES + 1)
    with pytest.raises(RecordRefusedError, match="never take"):
        await asyncio.wait_for(mocked.producer.send(b"ann", value, []), 30)
    assert mocked.producer._one_by_one is None
    assert mocked.producer.results["refused"] == 1


def test_a_batch_larger_than_a_burst_is_too_large_and_not_too_soon() -> None:
    person, app = (Principal(kind.value, kind, ALL_SCOPES) for kind in (Kind.USER, Kind.SERVICE))
    given: dict[str, Any] = {
        "api_batch_records_max": 1_000,
        "api_rate_people_per_s": 2.0,
        "api_burst_s": 5.0,
    }
    settings = ApiSettings(**given)
    assert (records_max(settings, person), records_max(settings, app)) == (10, 1_000)
    slow = ApiSettings(**given | {"api_rate_people_per_s": 0.01})
    assert records_max(slow, person) == 1
    unbounded = ApiSettings(**given | {"api_rate_people_per_s": 0})
    assert records_max(unbounded, person) == 1_000
