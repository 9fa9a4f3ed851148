"""`awaway doctor` on the real broker and registry: healthy, and with one thing wrong at a time."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema as RegistrySchema

from pipeline.cli import main as cli
from pipeline.codec.schemas import load_schemas
from pipeline.kafka.errors import UnreadableLogError
from pipeline.ops.doctor import brokers, records, registry, workers
from pipeline.ops.doctor import run as checks
from pipeline.ops.topics.admin import carry_out
from pipeline.ops.topics.plan import Change, Plan, SettingChange
from tests.integration.ledger import ROOT, Ledger

NOWHERE = "127.0.0.1:1"
LEVELS = ("ok", "warn", "fail", "skipped")
Doctor = Callable[..., dict[str, Any]]


@pytest.fixture
def doctor(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Doctor:
    """Runs the command; it has to end with that exit code, and finds something of each check."""

    monkeypatch.setattr(checks, "NEEDED_S", 60)
    monkeypatch.setattr(checks, "TOTAL_S", 60)

    def run(code: int, *words: str, **settings: Any) -> dict[str, Any]:
        # On a busy machine what is there may need long; what is away must not take as long.
        request_s = 3 if NOWHERE in settings.values() else 20
        for module in (brokers, records, registry, workers):
            monkeypatch.setattr(module, "REQUEST_S", request_s)
        for name, value in ledger.environment(**settings).items():
            if name.startswith("AWAWAY_"):
                monkeypatch.setenv(name, value)
        assert cli.run(["doctor", "-o", "json", *words]) == code, capsys.readouterr().out
        found = json.loads(capsys.readouterr().out)["findings"]
        return {one["check"]: one for one in found}

    return run


def has_coordinator(ledger: Ledger) -> bool:
    """Whether the brokers, which may just have started, know the group, which has no member yet."""
    try:
        return ledger.members() == 0
    except UnreadableLogError:
        return False


def levels(found: dict[str, Any], *besides: str) -> set[str]:
    return {one["level"] for name, one in found.items() if name not in besides}


def add_field(ledger: Ledger, topic: str, record: str) -> None:
    """Register a version of a schema that came after ours."""
    tree = json.loads(load_schemas(ROOT / "schemas")[record].text)
    tree["fields"].append({"name": "mood", "type": ["null", "string"], "default": None})
    schema = RegistrySchema(json.dumps(tree), "AVRO")
    ledger.registry.register_schema(f"{ledger.topic(topic)}-value", schema)


def test_each_thing_that_is_wrong_is_told_with_what_to_do(ledger: Ledger, doctor: Doctor) -> None:
    ledger.wait_for(lambda: has_coordinator(ledger))
    found = doctor(1)
    assert (found["workers"]["level"], found["workers"]["advice"]) == (
        "fail",
        "start one: `awaway worker`",
    )
    assert found["broker clock"]["level"] == "skipped", found["broker clock"]
    with ledger.worker() as worker:
        for number in range(12):
            ledger.complete(f"user {number}", f"c{number}", datetime.now(UTC))
        ledger.flush()
        ledger.drain(worker)
        # Nobody runs the downstream services here, so they may be late by now.
        found = doctor(0)
        assert levels(found, "acls", "delivery") == {"ok"}, found
        assert found["acls"]["level"] == "skipped"
        assert "no access rules" in found["acls"]["said"]
        assert found["delivery"]["level"] in {"ok", "warn"}
        assert f"{ledger.group}-0" in found["workers"]["said"]

        add_field(ledger, "completions", "PracticeCompleted")
        found = doctor(0)
        assert found["schemas"]["level"] == "warn"
        assert "came after ours" in found["schemas"]["said"]
        assert "start the release that knows" in found["schemas"]["advice"]

    wrong = SettingChange("message.timestamp.type", "LogAppendTime", "CreateTime")
    change = Change("configure", ledger.topic("commands"), (wrong,))
    carry_out(ledger.admin, Plan((change,), ()))
    add_field(ledger, "portals", "PortalUnlocked")
    ledger.send("audit", b"x", b"no entry", partition=1)
    ledger.flush()
    found = doctor(1)
    failed = {name for name, one in found.items() if one["level"] == "fail"}
    # The group keeps a worker that was stopped until its session is over.
    assert failed - {"workers"} == {"topics", "schemas", "audit"}, found
    said = "message.timestamp.type=CreateTime, not LogAppendTime"
    assert f"{ledger.topic('commands')} has {said}" in found["topics"]["said"]
    assert "awaway topics apply" in found["topics"]["advice"]
    assert "DELETE /subjects/" in found["schemas"]["said"]
    assert f"{ledger.topic('audit')}[1]" in found["audit"]["said"]

    # What is away is told once, and the rest all the same.
    found = doctor(1, REGISTRY_URL=f"http://{NOWHERE}", BOOTSTRAP_SERVERS=NOWHERE)
    assert "AWAWAY_REGISTRY_URL" in found["registry"]["advice"]
    assert f"now {NOWHERE}" in found["brokers"]["advice"]
    by_level = {level: {n for n, one in found.items() if one["level"] == level} for level in LEVELS}
    assert by_level == {
        "ok": {"files", "disk", "assets", "versions"},
        "warn": set(),
        "fail": {"brokers", "registry"},
        "skipped": {
            *("credentials", "topics", "acls", "schemas", "workers", "lag", "audit", "delivery"),
            "broker clock",
        },
    }
    found = doctor(1, REGISTRY_URL=f"http://{NOWHERE}")
    assert (found["registry"]["level"], found["schemas"]["level"]) == ("fail", "skipped")
    assert found["brokers"]["level"] == found["lag"]["level"] == "ok"
