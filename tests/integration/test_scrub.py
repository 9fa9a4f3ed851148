"""A scrub on the real broker: it finds what was damaged, of whom, and nothing else."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import confluent_kafka as ck
import msgspec
import pytest

from pipeline.codec.avro import AvroEncoder
from pipeline.codec.published import PublishedReader, schema_id_of
from pipeline.codec.schemas import load_schemas
from pipeline.core.records import ProgressUpdated
from tests.integration.ledger import ROOT, Ledger
from tests.integration.load import send_load
from tests.integration.test_rebuild import WHY, Console, damage


def scrub(ledger: Ledger, folder: Path, *words: str, code: int) -> Any:
    """What a scrub finds; it has to end with that exit code, and to leave nothing on the disk."""
    ran = subprocess.run(
        [sys.executable, "-m", "pipeline.cli.main", "scrub", *words, "-o", "json"],
        env=ledger.environment(DATA_DIR=str(folder)),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == code, ran.stderr[-3_000:] + ran.stdout
    assert list(folder.rglob("scrub-*")) == []
    return json.loads(ran.stdout)


def forge_progress(ledger: Ledger, user_id: str) -> None:
    """Publish a user's last progress again, with the first run of dates a day longer."""
    last = {output.key: output for output in ledger.read("progress", decode=False)}
    output = last[user_id.encode()]
    schema = load_schemas(ROOT / "schemas")["ProgressUpdated"]
    tree = json.loads(ledger.registry.get_schema(schema_id_of(output.raw)).schema_str or "")
    record = PublishedReader(ProgressUpdated, schema, lambda _: tree).read(output.raw)
    first, *others = record.dates.practised
    longer = msgspec.structs.replace(first, length=first.length + 1)
    dates = msgspec.structs.replace(record.dates, practised=(longer, *others))
    forged = msgspec.structs.replace(record, dates=dates)
    value = AvroEncoder(schema, schema_id_of(output.raw)).encode(forged)
    produce_progress(ledger, user_id, value, output.partition)


def produce_progress(ledger: Ledger, user_id: str, value: bytes | None, partition: int) -> None:
    producer = ck.Producer({"bootstrap.servers": ledger.bootstrap})
    producer.produce(ledger.topic("progress"), value, user_id, partition=partition)
    assert producer.flush(10) == 0


@pytest.mark.verify
def test_what_was_damaged_is_found_and_nothing_else(ledger: Ledger, tmp_path: Path) -> None:
    folder, metrics = tmp_path / "operator", tmp_path / "awaway.prom"
    send_load(ledger, seed=71, events=800)
    with ledger.worker() as worker:
        ledger.drain(worker)
    users = ledger.progress()
    sound = scrub(ledger, folder, "--metrics-file", str(metrics), code=0)
    assert sound["findings"] == []
    assert sound["users_checked"] == len(users)
    assert "\nawaway_scrub_users_differing 0\n" in metrics.read_text()

    damaged = damage(ledger, 3)
    whole = [name for name, row in users.items() if row["dates"]["practised"]]
    forged, lost, *_ = sorted(set(whole) - set(damaged))
    forge_progress(ledger, forged)
    (of_lost,) = {out.partition for out in ledger.read("progress") if out.key == lost.encode()}
    produce_progress(ledger, lost, None, of_lost)
    found = scrub(ledger, folder, "--metrics-file", str(metrics), code=1)
    assert {(one["user_id"], one["what"]) for one in found["findings"]} == {
        *((name, "state") for name in damaged),
        (forged, "progress"),
        (lost, "progress"),
    }
    fields = {
        one["user_id"]: [deviation["field"] for deviation in one["deviations"]]
        for one in found["findings"]
    }
    assert fields[forged] == ["dates"]
    assert fields[lost] == ["record"]
    assert all("dates" in fields[name] for name in damaged)
    assert {one["partition"] for one in found["findings"] if one["user_id"] == lost} == {of_lost}
    assert "\nawaway_scrub_users_differing 5\n" in metrics.read_text()
    assert scrub(ledger, folder, "--user", forged, code=1)["users_checked"] == 1


@pytest.mark.verify
def test_progress_alone_is_published_anew_while_traffic_goes_on(
    ledger: Ledger, tmp_path: Path
) -> None:
    folder = tmp_path / "operator"
    send_load(ledger, seed=72, events=600)
    with ledger.worker() as worker:
        ledger.drain(worker)
        users = ledger.progress()
        forged = min(name for name, row in users.items() if row["dates"]["practised"])
        forge_progress(ledger, forged)
        console = Console(ledger, folder)
        send_load(ledger, seed=73, events=300)
        (one,) = scrub(ledger, folder, "--user", forged, code=1)["findings"]
        assert one["fix"] == f"awaway rebuild start --user={forged}"
        started = console.run("start", f"--user={forged}")
        (difference,) = started["diff"]["users"]
        assert difference["why"] == "published"
        name, digest = started["rebuild"]["id"], started["diff"]["digest"]
        approved = console.run("approve", name, "--digest", digest, *WHY)
        assert [one["repaired"] for one in approved["results"]] == [[forged]]
        ledger.drain(worker)
        assert scrub(ledger, folder, code=0)["findings"] == []
    before, after = users[forged], ledger.progress()[forged]
    assert after["revision"] == before["revision"] + 1
    assert [after[name] for name in ("dates", "portals", "keys")] == [
        before[name] for name in ("dates", "portals", "keys")
    ]


@pytest.mark.verify
def test_a_sample_is_a_part_of_the_users_and_another_each_time(
    ledger: Ledger, tmp_path: Path
) -> None:
    send_load(ledger, seed=74, events=800)
    with ledger.worker() as worker:
        ledger.drain(worker)
    users = ledger.progress()
    damaged = damage(ledger, len(users))
    assert len(damaged) > 20
    runs = [
        scrub(ledger, tmp_path / "operator", "--sample", str(len(users) // 2), code=1)
        for _ in range(2)
    ]
    for run in runs:
        assert len(users) // 8 < run["users_checked"] < len(users) * 7 // 8
        assert all(one["what"] == "state" for one in run["findings"])
    first, second = ({one["user_id"] for one in run["findings"]} for run in runs)
    assert first != second
