"""Dead letters of several reasons are redriven: each gets its outcome, and counts once."""

import json
import signal
import subprocess
import sys
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chaos.ledger import DEADLINE_S
from pipeline.codec.partitioner import partition_of
from pipeline.codec.registry import SchemaResolver
from pipeline.dev.workload.wire import plain_completion, rfc3339
from pipeline.ops.adjust.user_state import UserStates
from tests.codec.samples import SCHEMAS
from tests.core.scenes import BOOK
from tests.integration.ledger import Ledger

NOW = (datetime.now(UTC) - timedelta(days=1)).replace(hour=12)
NOW_MS = int(NOW.timestamp() * 1000)
DAY_MS = 86_400_000
BECAUSE = {"actor": "ops:lea", "reason": "the cause is mended", "ticket": "O-1"}
USER = "ada"


def _completion(name: str, days_ago: int) -> bytes:
    return plain_completion(USER, name, NOW_MS - days_ago * DAY_MS, tz="UTC")


def _credit(days_ago: int, **fields: Any) -> bytes:
    date = (NOW - timedelta(days=days_ago)).date().isoformat()
    record = {"request_id": "credit-1", "user_id": USER, "kind": "credit", "actor": "eva"}
    return json.dumps(record | {"local_date": date} | BECAUSE | fields).encode()


def _reject(ledger: Ledger) -> None:
    """Send seven inputs that are rejected, of one user, and two that are not."""
    key = USER.encode()
    elsewhere = (partition_of(key, ledger.partitions) + 1) % ledger.partitions
    plan = {"poison": "poison"}
    with ledger.worker(plan=plan) as worker:
        ledger.send("completions", key, _completion("good", 2))
        ledger.send("completions", key, _completion("poison", 3))
        ledger.send("completions", None, _completion("no key", 4))
        ledger.send("completions", key, _completion("elsewhere", 5), partition=elsewhere)
        ledger.send("completions", key, _completion("good", 2), partition=elsewhere)
        ledger.send("completions", key, _completion("too late", 90))
        ledger.send("completions", key, b"\x01noise")
        ledger.send("commands", b"somebody", _credit(6))
        ledger.send("commands", key, _credit(7, request_id="credit-2"))
        ledger.flush()
        ledger.drain(worker)


def _redrive(ledger: Ledger, letters: list[dict[str, Any]], times: int) -> None:
    """Send the redrive of each letter so often."""
    for n in range(times):
        for letter in letters:
            cause = letter["cause"]
            topic = cause["topic"].removeprefix(ledger.prefix)
            record = {
                "request_id": f"redrive-{topic}-{cause['partition']}-{cause['offset']}-{n}",
                "user_id": USER,
                "kind": "redrive",
                "payload": b64encode(letter["value"]).decode(),
                "payload_append_time": rfc3339(_ms(letter["append_time"])),
                "payload_topic": topic,
                "payload_cause": _place(letter),
                **BECAUSE,
            }
            ledger.send("commands", USER.encode(), json.dumps(record).encode())
    ledger.flush()


def _ms(instant: Any) -> int:
    return round(instant.timestamp() * 1000) if isinstance(instant, datetime) else int(instant)


def _place(letter: dict[str, Any]) -> str:
    cause = letter["cause"]
    return f"{cause['topic']}[{cause['partition']}]@{cause['offset']}"


def _by_reason(letters: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {f"{one['reason']} {json_id(one['value'])}": one for one in letters}


def json_id(value: bytes) -> str:
    """The id in a JSON input; empty where it is none."""
    if not value.startswith(b"{"):
        return ""
    record = json.loads(value)
    return str(record.get("completion_id") or record["request_id"])


OUTCOMES = {
    "zero_division_error poison": ("accepted", None),
    "no_key no key": ("accepted", None),
    "wrong_partition elsewhere": ("accepted", None),
    "wrong_partition good": ("exact", None),
    "too_late too late": ("dead_letter", "too_late"),
    "unknown_format ": ("dead_letter", "unknown_format"),
    "key_not_user credit-1": ("applied", None),
}
AGAIN = {"accepted": "exact", "applied": "repeated", "exact": "exact", "dead_letter": "dead_letter"}


def test_each_letter_gets_its_outcome_and_counts_once(ledger: Ledger) -> None:
    _reject(ledger)
    letters = [one.value for one in ledger.read("deadletters")]
    by_reason = _by_reason(letters)
    assert by_reason.keys() == OUTCOMES.keys()
    assert ledger.progress()[USER]["lifetime_days"] == 2
    _redrive(ledger, letters, times=2)
    settings: dict[str, Any] = {"BATCH_RECORDS_MAX": "3"}
    killed = ledger.start_worker(plan={"crash": {"step": "apply", "nth": 2}}, **settings)
    assert killed.wait(DEADLINE_S) == -signal.SIGKILL, ledger.log()
    with ledger.worker(plan={}, **settings) as worker:
        ledger.drain(worker)

    entries = [one.value for one in ledger.read("audit") if one.value["action"] == "redrive"]
    for reason, letter in by_reason.items():
        mine = [one for one in entries if one["subject"] == _place(letter)]
        verdict, rejection = OUTCOMES[reason]
        assert [one["verdict"] for one in mine] == [verdict, AGAIN[verdict]], reason
        for one in mine:
            said = {name: one[name] for name in BECAUSE}
            assert (said, one["rejection"]) == (BECAUSE, rejection)
            assert (one["user_id"], one["cause"]["topic"]) == (USER, ledger.topic("commands"))
    progress = ledger.progress()[USER]
    assert (progress["lifetime_days"], progress["revision"]) == (6, 6)
    # Whoever corrects the user knows the request that was redriven.
    client = {"bootstrap.servers": ledger.bootstrap}
    schema_of = SchemaResolver(ledger.registry).writer_schema
    states = UserStates(client, ledger.prefix, SCHEMAS, schema_of, BOOK)
    known = states.read([USER], lambda *_: None)[USER]
    assert [name for name, _ in known.sets.credits] == ["credit-1", "credit-2"]
    assert ledger.audited_offsets() == ledger.input_offsets()

    # What is rejected again is a letter again, of the redrive, and names the original.
    places = {_place(letter) for letter in letters}
    again = [one.value for one in ledger.read("deadletters") if _place(one.value) not in places]
    assert len(again) == 4
    for letter in again:
        redrive = json.loads(letter["value"])
        assert redrive["kind"] == "redrive"
        assert letter["detail"].startswith(f"Redriven from {redrive['payload_cause']}: ")
        assert letter["reason"] in ("too_late", "unknown_format")
    assert _derived_otherwise(ledger) == []


def _derived_otherwise(ledger: Ledger) -> list[Any]:
    """The users whom a rebuild derives otherwise from the log than the workers did."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pipeline.cli.main", "rebuild", "start"),
            *("--processes", "1", "-o", "json"),
        ],
        env=ledger.environment(DATA_DIR=str(ledger.folder / "operator")),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    users: list[Any] = json.loads(done.stdout)["diff"]["users"]
    return users


@pytest.mark.verify
def test_under_traffic_and_by_another_worker_nothing_counts_twice(ledger: Ledger) -> None:
    """Every completion is rejected once, then comes again by itself or redriven, in any order."""
    key, names = USER.encode(), [f"c{n}" for n in range(30)]
    elsewhere = (partition_of(key, ledger.partitions) + 1) % ledger.partitions
    for n, name in enumerate(names):
        ledger.send("completions", key, _completion(name, n % 10), partition=elsewhere)
    ledger.flush()
    with ledger.worker(plan={}) as worker:
        ledger.drain(worker)
    letters = [one.value for one in ledger.read("deadletters")]
    assert len(letters) == len(names)
    settings: dict[str, Any] = {"BATCH_RECORDS_MAX": "4"}
    for nth in (3, 5):
        _redrive(ledger, letters, times=1)
        for n, name in enumerate(names):
            ledger.send("completions", key, _completion(name, n % 10))
        ledger.flush()
        killed = ledger.start_worker(plan={"crash": {"step": "apply", "nth": nth}}, **settings)
        assert killed.wait(DEADLINE_S) == -signal.SIGKILL, ledger.log()
    with ledger.worker(plan={}, DATA_DIR=str(ledger.folder / "another disk")) as worker:
        ledger.drain(worker)
    verdicts = [one.value["verdict"] for one in ledger.read("audit")]
    assert verdicts.count("accepted") + verdicts.count("overlap") == len(names)
    assert verdicts.count("exact") == 3 * len(names)
    assert ledger.progress()[USER]["lifetime_days"] == 10
    assert ledger.audited_offsets() == ledger.input_offsets()
