"""The store and its topic on a real broker: workers that come and go, kills, a topic made anew."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from pipeline.codec.avro import AvroEncoder
from pipeline.core.records import ProgressUpdated
from pipeline.dev.local.stack import LocalStack
from pipeline.ops.topics import sync as topic_ops
from pipeline.ops.topics.file import Target, load_topics
from tests.api.scene import SCHEMA, person
from tests.api.serving import Served, serving
from tests.integration.ledger import ROOT, Ledger

USERS = [f"user-{n}" for n in range(40)]


@pytest.fixture
def ledger(
    stack: LocalStack, topic_prefix: str, tmp_path: Path, published: Path
) -> Iterator[Ledger]:
    made = Ledger(stack, topic_prefix, tmp_path, published)
    made.set_up()
    yield made
    made.close()


def publish(ledger: Ledger, *records: ProgressUpdated) -> None:
    """As a worker does."""
    subject = f"{ledger.topic('progress')}-value"
    schema_id = ledger.registry.get_latest_version(subject).schema_id
    assert schema_id is not None
    encode = AvroEncoder(SCHEMA, schema_id).encode
    for record in records:
        ledger.send("progress", record.user_id.encode(), encode(record))
    ledger.flush()


def metric(running: Served, name: str) -> float:
    """The value of one series, 0 where there is none."""
    for line in httpx2.get(f"{running.base}/metrics").text.splitlines():
        if line.startswith(f"{name} "):
            return float(line.rpartition(" ")[2])
    return 0.0


def progress_at(
    running: Served, client: httpx2.Client, user_id: str, revision: int
) -> dict[str, Any]:
    """The progress of a user once it has a revision."""
    found: dict[str, Any] = {}

    def there() -> bool:
        nonlocal found
        answer = client.get(f"/v1/users/{user_id}/progress", params={"min_revision": revision})
        found = answer.json()
        return answer.status_code == 200

    running.ledger.wait_for(there)
    return found


class Reader(threading.Thread):
    """Reads all users over and over, and notes what is wrong."""

    def __init__(self, client: httpx2.Client) -> None:
        super().__init__(daemon=True)
        self.client = client
        self.done = threading.Event()
        self.reads = 0
        self.wrong: list[str] = []
        self.revisions: dict[str, int] = {}

    def run(self) -> None:
        while not self.done.is_set():
            for user_id in USERS:
                self._read(user_id)
            time.sleep(0.05)

    def _read(self, user_id: str) -> None:
        answer = self.client.get(f"/v1/users/{user_id}/progress")
        self.reads += 1
        if answer.status_code != 200:
            self.wrong.append(f"{user_id}: {answer.status_code} {answer.text}")
            return
        revision = answer.json()["revision"]
        if revision < self.revisions.get(user_id, 0):
            self.wrong.append(f"{user_id}: went back to {revision}")
        self.revisions[user_id] = revision


@contextmanager
def reading(client: httpx2.Client) -> Iterator[Reader]:
    """A reader that finds nothing wrong."""
    reader = Reader(client)
    reader.start()
    try:
        yield reader
    finally:
        reader.done.set()
        reader.join(20)
    assert not reader.wrong, reader.wrong[:3]
    assert reader.reads > len(USERS)


def practise(ledger: Ledger, name: str, days_ago: int) -> None:
    """Every user practises once."""
    at = datetime.now(UTC) - timedelta(days=days_ago)
    for user_id in USERS:
        ledger.complete(user_id, f"{name} of {user_id}", at)
    ledger.flush()


@pytest.mark.verify
@pytest.mark.timeout(180)
def test_reads_go_on_while_workers_stop_start_and_rebalance(ledger: Ledger) -> None:
    first = ledger.start_worker(0)
    practise(ledger, "first", 2)
    with serving(ledger, API_RATE_PEOPLE_PER_S="100000") as running:
        client = running.client("desk", "support")
        for user_id in USERS:
            assert progress_at(running, client, user_id, 1)["streak_days"] in (0, 1)
        with reading(client) as reader:
            second = ledger.start_worker(1)
            practise(ledger, "second", 1)
            ledger.drain()
            assert ledger.stop_worker(first) == 0
            ledger.kill_worker(second)
            practise(ledger, "third", 0)
            ledger.start_worker(0)
            for user_id in USERS:
                assert progress_at(running, client, user_id, 3)["streak_days"] == 3
            assert reader.is_alive()
        assert metric(running, "awaway_api_append_to_readable_seconds_count") >= len(USERS)
        assert metric(running, 'awaway_api_append_to_readable_seconds_bucket{le="1.0"}') >= 0


@pytest.mark.verify
@pytest.mark.timeout(180)
def test_after_a_kill_it_starts_from_its_disk_and_never_from_another_topics(
    ledger: Ledger,
) -> None:
    people = [person(f"user-{n}", revision=2) for n in range(300)]
    publish(ledger, *people)
    with serving(ledger) as running:
        client = running.client("desk", "support")
        assert progress_at(running, client, "user-7", 2)["longest_days"] == 3
        assert metric(running, 'awaway_api_progress_records_total{outcome="applied"}') == 300
        # What came after the flush at the end of the load may be lost with the process.
        publish(ledger, person("user-7", revision=5, days=7), person("user-8", revision=1, days=9))
        assert progress_at(running, client, "user-7", 5)["longest_days"] == 7
        running.process.kill()
        running.process.wait(10)
        with serving(ledger) as again:
            client = again.client("desk", "support")
            assert progress_at(again, client, "user-7", 5)["longest_days"] == 7
            assert progress_at(again, client, "user-8", 2)["longest_days"] == 3
            assert progress_at(again, client, "user-299", 2)["user_id"] == "user-299"
            assert metric(again, 'awaway_api_progress_records_total{outcome="applied"}') <= 1
            assert metric(again, 'awaway_api_progress_records_total{outcome="superseded"}') <= 1
            assert metric(again, "awaway_api_users") == 300
        _without_a_broker(ledger)
        _with_the_topic_made_anew(ledger)
        running.process.returncode = 0  # it was killed on purpose


def _without_a_broker(ledger: Ledger) -> None:
    with serving(
        ledger, BOOTSTRAP_SERVERS="127.0.0.1:1", REGISTRY_URL="http://127.0.0.1:1"
    ) as away:
        answer = away.client("desk", "support").get("/v1/users/user-7/progress")
        assert (answer.status_code, answer.json()["revision"]) == (200, 5)
        assert answer.json()["lag_ms"] > 0
        unknown = away.client("desk", "support").get("/v1/users/nobody/progress")
        assert unknown.status_code == 503


def _with_the_topic_made_anew(ledger: Ledger) -> None:
    topic = ledger.topic("progress")
    ledger.admin.delete_topics([topic])[topic].result()
    ledger.wait_for(lambda: topic not in ledger.admin.list_topics(timeout=5).topics)
    target = Target(prefix=ledger.prefix, partitions=ledger.partitions)
    topic_ops.apply(ledger.admin, load_topics(ROOT / "topics.yaml"), target)
    publish(ledger, person("user-7", revision=1, days=1))
    with serving(ledger) as other:
        client = other.client("desk", "support")
        assert progress_at(other, client, "user-7", 1)["longest_days"] == 1
        assert client.get("/v1/users/user-8/progress").status_code == 404
        assert metric(other, "awaway_api_stores_set_aside_total") == 1
        # A tombstone and a record of nobody's making.
        ledger.send("progress", b"user-7", None)
        ledger.send("progress", b"user-9", b"not a record")
        ledger.flush()
        ledger.wait_for(lambda: client.get("/v1/users/user-7/progress").status_code == 404)
        ledger.wait_for(
            lambda: metric(other, 'awaway_api_progress_records_total{outcome="refused"}') == 1
        )
