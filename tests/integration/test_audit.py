"""The audit on a real broker: signed, verified, exported, and a forged entry found."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import confluent_kafka as ck
import pytest

from pipeline.cli import main
from pipeline.core.audit import ChainHead
from pipeline.ops.audit import verify as verifying
from tests.cli.test_audit import check
from tests.integration.ledger import Ledger
from tests.ops.audit_chains import entry

NOON = datetime.now(UTC) - timedelta(hours=1)


class Desk:
    """`awaway audit` over a ledger, with keys and a store of checkpoints in a folder."""

    def __init__(self, folder: Path, captured: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._captured = captured
        self.keys = ("--keys", str(folder / "keys.txt"))
        self.store = ("--store", str(folder / "store"))

    def __call__(self, *words: str) -> tuple[int, Any]:
        self._captured.readouterr()
        code = main.run(["audit", *words, "-o", "json"])
        return code, json.loads(self._captured.readouterr().out)

    def sign(self) -> tuple[int, Any]:
        return self("checkpoint", "--key", str(self.folder / "a.pem"), *self.keys, *self.store)

    def verify(self, *words: str) -> tuple[int, Any]:
        return self("verify", *self.keys, *self.store, *words)


@pytest.fixture
def desk(
    ledger: Ledger,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Desk:
    ledger.be_set_in(monkeypatch)
    made = Desk(tmp_path / "audit", capsys)
    made.folder.mkdir()
    assert made("keygen", str(made.folder / "a.pem"), *made.keys)[0] == 0
    return made


def complete(ledger: Ledger, days: range) -> None:
    """A completion of each of ten people on some days, processed."""
    for day in days:
        for n in range(10):
            ledger.complete(f"u{n}", f"c{n}-{day}", NOON - timedelta(days=day), tz="UTC")
    ledger.flush()
    with ledger.worker() as worker:
        ledger.drain(worker)


def forge(ledger: Ledger, partition: int) -> int:
    """Append an entry that links; returns its offset."""
    last = [one for one in ledger.read("audit") if one.partition == partition][-1]
    head = ChainHead(last.value["sequence"] + 1, last.value["hash"])
    value = last.raw[:5] + entry(head, "blue", partition)[5:]
    placed: list[int] = []
    producer = ck.Producer({"bootstrap.servers": ledger.bootstrap})
    producer.produce(
        ledger.topic("audit"),
        value,
        partition=partition,
        on_delivery=lambda _, record: placed.append(record.offset() or 0),
    )
    assert producer.flush(10) == 0
    return placed[0]


def test_an_audit_is_signed_and_verified_and_a_forged_entry_is_found(
    ledger: Ledger, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete(ledger, range(2, 5))
    entries = ledger.read("audit")
    code, signed = desk.sign()
    assert code == 0 and signed["findings"] == []
    assert sum(int(line.split(" ")[5]) for line in signed["signed"]) == len(entries) == 30
    state, witness = str(desk.folder / "state.json"), str(desk.folder / "witness.txt")
    assert desk("witness", witness, *desk.keys)[1] == {
        "added": len(signed["signed"]),
        "findings": [],
    }
    code, found = desk.verify("--state", state, "--witness", witness)
    assert (code, found["findings"], found["entries_read"]) == (0, [], 30)
    assert {one["state"] for one in found["partitions"] if one["chains"]} == {"agrees"}

    export = desk.folder / "export"
    assert desk("export", str(export), *desk.keys, *desk.store)[0] == 0
    assert desk("verify", "--export", str(export), "--witness", witness)[0] == 0
    code, said = check(export, witness)
    assert code == 0, said

    partition = entries[0].partition
    offset = forge(ledger, partition)
    monkeypatch.setattr(verifying, "AHEAD_S_MAX", 0.0)
    code, found = desk.verify("--state", state)
    (forged,) = found["findings"]
    place = f"{ledger.topic('audit')}[{partition}] offset {offset}"
    assert code == 1 and (forged["kind"], forged["place"]) == ("second_chain", place)
    assert "by the workers' state" in forged["expected"]
    code, refused = desk.sign()
    assert code == 1 and refused["signed"] == []

    complete(ledger, range(2))  # the worker goes on from its own state
    code, found = desk.verify()
    (forged,) = found["findings"]
    assert code == 1 and (forged["kind"], forged["place"]) == ("second_chain", place)
    assert re.fullmatch(r"sequences (\d+) to \1 beside it", forged["found"])


def test_it_says_what_is_missing(
    ledger: Ledger, desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = desk("verify")
    assert (code, found["findings"], found["entries_read"]) == (0, [], 0)
    assert desk.sign() == (0, {"signed": [], "completed": 0, "findings": []})
    monkeypatch.setenv("AWAWAY_TOPIC_PREFIX", "none.")
    code, refused = desk("verify")
    assert code == 1 and "none.audit" in refused["what"]
