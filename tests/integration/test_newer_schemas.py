"""A producer that registers a newer schema by itself: workers go on, and can be started again."""

import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from confluent_kafka.schema_registry import Schema as RegistrySchema

from pipeline.clock import now_ms
from pipeline.codec.avro import AvroEncoder
from pipeline.codec.schemas import load_schemas
from pipeline.core.records import PracticeCompleted
from pipeline.dev.workload.people import MINUTE_MS
from tests.integration.ledger import ROOT, Ledger

USER = "ada"


def check(ledger: Ledger) -> int:
    """`awaway worker --check`."""
    command = [sys.executable, "-m", "pipeline.cli.main", "worker", "--check"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=ledger.environment() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    print(done.stdout[-2_000:], done.stderr[-2_000:])
    return done.returncode


@pytest.mark.verify
def test_a_worker_takes_a_newer_schema_and_starts_with_it(ledger: Ledger) -> None:
    schema = load_schemas(ROOT / "schemas")["PracticeCompleted"]
    tree = json.loads(schema.text)
    tree["fields"].append({"name": "mood", "type": ["null", "string"], "default": None})
    subject = f"{ledger.topic('completions')}-value"

    def send(schema_id: int, completion_id: str, tail: bytes) -> None:
        end = now_ms()
        record = PracticeCompleted(
            completion_id, USER, completion_id, "breath", end - 20 * MINUTE_MS, end, "Europe/Berlin"
        )
        value = AvroEncoder(schema, schema_id).encode(record) + tail
        ledger.send("completions", USER.encode(), value)
        ledger.flush()

    with ledger.worker() as worker:
        ledger.complete(USER, "json", datetime.now(UTC))
        ledger.flush()
        ledger.drain(worker)
        newer = ledger.registry.register_schema(subject, RegistrySchema(json.dumps(tree), "AVRO"))
        send(newer, "first of its version", b"\x02\x08calm")
        ledger.drain(worker)
    assert ledger.read("deadletters") == []
    assert check(ledger) == 0
    with ledger.worker() as worker:
        send(newer, "after a restart", b"\x00")
        ledger.drain(worker)
    assert ledger.read("deadletters") == []
    assert len(ledger.read("audit")) == 3
