"""`awaway explain` on a real broker: each way in which a day can come to count, or not to."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline import clock
from pipeline.cli import main
from pipeline.codec.registry import SchemaResolver
from pipeline.codec.schemas import load_schemas
from pipeline.core.policy import load_policy
from pipeline.core.records import RecordCoordinates
from pipeline.dev.local.stack import LocalStack
from pipeline.kafka.errors import UnreadableLogError
from pipeline.ops.assets.catalogue import open_store, publish
from pipeline.ops.explain.explanation import explain
from pipeline.ops.explain.indexed_log import IndexedEvidence
from pipeline.ops.explain.log import InputReader, LogEvidence
from pipeline.ops.explain.records import Findings
from tests.integration.ledger import ROOT, Ledger, iso

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
BECAUSE = {"reason": "lost phone", "ticket": "T-9"}


def before(days: int) -> datetime:
    return NOON - timedelta(days=days)


def day(days: int) -> date:
    return before(days).date()


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


@pytest.fixture(scope="module")
def ledger(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """A ledger with one user for each case, processed."""
    assets = tmp_path_factory.mktemp("assets")
    publish(open_store(str(assets), create=True))
    prefix = f"t{uuid.uuid4().hex[:8]}."
    ledger = Ledger(stack, prefix, tmp_path_factory.mktemp("explain"), assets)
    ledger.set_up()
    try:
        for days in (2, 1, 0):
            ledger.complete("ada", f"a{days}", before(days), tz="UTC")
        ledger.complete("ada", "a1", before(1), tz="UTC")
        ledger.complete("ada", "again", before(1), tz="UTC", session_id="session of a1")
        ledger.complete("ada", "a0", before(0), tz="UTC", practice="walking")
        ledger.complete("ada", "late", before(60), tz="UTC")
        ledger.send("completions", b"ada", b"{no json")
        ledger.complete("bob", "b0", before(0), tz="UTC")
        ledger.command("bob", "r1", "revoke", local_date=day(0).isoformat(), **BECAUSE)
        ledger.command("bob", "r2", "credit", local_date=day(3).isoformat(), **BECAUSE)
        ledger.command("bob", "r3", "credit", local_date=day(0).isoformat(), **BECAUSE)
        ledger.complete("dan", "d1", before(0), tz="Etc/Unknown")
        ledger.complete("cay", "c1", before(1) + timedelta(hours=18), tz="Pacific/Honolulu")
        ledger.complete("cay", "c2", before(0) + timedelta(hours=4), tz="Pacific/Kiritimati")
        overlapping = {"started_at": iso(ms(before(0)) - 600_000), "tz": "UTC"}
        ledger.complete("ada", "b-overlap", before(0) + timedelta(minutes=5), **overlapping)
        ledger.flush()
        with ledger.worker() as worker:
            ledger.drain(worker)
        yield ledger
    finally:
        ledger.close()


def run(ledger: Ledger, *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `awaway explain`."""
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli.main", "explain", *words],
        cwd=ROOT,
        env=os.environ | ledger.environment() | {"PYTHONPATH": str(ROOT), "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def explained(ledger: Ledger, user_id: str, wanted: date | None = None) -> dict[str, Any]:
    """As the command's JSON, without its process."""
    evidence = LogEvidence(
        {"bootstrap.servers": ledger.bootstrap},
        ledger.prefix,
        load_schemas(ROOT / "schemas"),
        SchemaResolver(ledger.registry).writer_schema,
    )
    policies = load_policy((ROOT / "policy.yaml").read_text())
    home = (evidence.partition(user_id), evidence.partitions)
    found = explain(evidence, policies, user_id, wanted, clock.now_ms(), home)
    made: dict[str, Any] = msgspec.to_builtins(found)
    return made


def by_verdict(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {story["verdict"]: story for story in found["stories"]}


def test_a_day_that_counts_with_its_retries(ledger: Ledger) -> None:
    found = explained(ledger, "ada", day(1))
    assert found["day"]["kind"] == "practised" and found["day"]["counts"]
    assert found["day"]["day"] == 2
    assert [story["verdict"] for story in found["stories"]] == ["accepted", "exact", "twin"]
    stories = by_verdict(found)
    accepted, twin = stories["accepted"], stories["twin"]
    assert accepted["sent"]["completion_id"] == "a1"
    assert "counts for that date" in accepted["reason"]
    assert accepted["counts_for"] == day(1).isoformat()
    assert accepted["policy_version"] == "2026-06"
    assert [one["kind"] for one in accepted["told"]] == ["audit"]
    assert twin["id"] == "again"
    assert twin["repeats"]["place"] == accepted["place"]
    assert twin["repeats"]["local_date"] == day(1).isoformat()
    assert [one["kind"] for one in twin["told"]] == ["audit", "alert"]


def test_a_collision_and_an_overlap_name_the_original(ledger: Ledger) -> None:
    stories = by_verdict(explained(ledger, "ada", day(0)))
    # What cannot be read names no date; it is told with those around its arrival.
    assert set(stories) - {"dead_letter"} == {"accepted", "collision", "overlap"}
    assert stories["collision"]["repeats"]["differing_fields"] == ("practice",)
    assert "overlaps" in stories["overlap"]["reason"]
    assert stories["overlap"]["repeats"]["place"] == stories["accepted"]["place"]
    (portal,) = [one for one in stories["accepted"]["told"] if one["kind"] == "portal"]
    assert "Vesica Piscis" in portal["text"]
    assert portal["place"]["topic"] == ledger.topic("portals")


def test_a_completion_that_was_too_late_is_found_by_the_date_it_claims(ledger: Ledger) -> None:
    found = explained(ledger, "ada", day(60))
    assert not found["day"]["counts"]
    (story,) = found["stories"]
    assert (story["verdict"], story["id"]) == ("dead_letter", "late")
    assert "too_late" in story["reason"] and "35" in story["reason"]
    assert story["sent"]["completed_at"].startswith(day(60).isoformat())


def test_a_credit_of_a_revoked_date_says_what_to_withdraw(ledger: Ledger) -> None:
    stories = {story["id"]: story for story in explained(ledger, "bob", day(0))["stories"]}
    assert stories["r3"]["verdict"] == "applied"
    assert "it is revoked by r1; withdraw that request" in stories["r3"]["reason"]
    assert "revoked by r1;" not in stories["r1"]["reason"]


def test_an_assumed_zone_is_told(ledger: Ledger) -> None:
    (story,) = explained(ledger, "dan", day(0))["stories"]
    assert (story["verdict"], story["counts_for"]) == ("accepted", day(0).isoformat())
    assert (
        "in UTC (assumed from the offset of completed_at: nobody knows the zone 'Etc/Unknown')"
        in (story["reason"])
    )
    assert {one["text"] for one in story["told"] if one["kind"] == "alert"} == {
        "assumed_zone, notice"
    }


def test_what_cannot_be_read_is_among_the_latest(ledger: Ledger) -> None:
    found = explained(ledger, "ada")
    broken = [story for story in found["stories"] if "refused" in story["sent"]]
    assert [story["verdict"] for story in broken] == ["dead_letter"]
    assert {one["kind"] for one in broken[0]["told"]} == {"audit", "dead letter"}
    assert found["standing"]["streak_days"] == 3


def test_a_revoked_and_a_credited_day(ledger: Ledger) -> None:
    revoked = explained(ledger, "bob", day(0))
    assert revoked["day"]["kind"] == "revoked" and not revoked["day"]["counts"]
    actions = {story["action"]: story for story in revoked["stories"]}
    assert set(actions) == {"completion", "revoke", "credit"}
    assert "To undo it, withdraw r1." in revoked["day"]["reason"]
    command = actions["revoke"]
    assert "lost phone" in command["reason"] and "T-9" in command["reason"]
    credited = explained(ledger, "bob", day(3))
    assert credited["day"]["kind"] == "credited" and credited["day"]["counts"]


def test_a_bridged_day_shows_the_days_beside_it(ledger: Ledger) -> None:
    found = explained(ledger, "cay", day(0))
    assert found["day"]["kind"] == "bridged", found["day"]
    assert found["day"]["counts"] and "23 h" in found["day"]["reason"]
    assert {(story["id"], story["role"]) for story in found["stories"]} == {
        ("c1", "beside"),
        ("c2", "beside"),
    }


def test_nothing_found_says_where_it_looked(ledger: Ledger) -> None:
    code, out, _ = run(ledger, "nobody", day(0).isoformat(), "--since", "30d")
    assert code == 1
    assert "Nothing at all was found" in out
    home = f"{ledger.topic('audit')}["
    assert home in out and ", since " in out
    assert all(f"{ledger.topic('deadletters')}[{n}]" in out for n in range(ledger.partitions))


def test_an_input_that_is_gone_is_not_an_input_that_nobody_tells_of(ledger: Ledger) -> None:
    codecs = load_schemas(ROOT / "schemas"), SchemaResolver(ledger.registry).writer_schema
    topic = f"{ledger.prefix}completions"
    gone = [RecordCoordinates(topic, 0, 10**9), RecordCoordinates(topic, 1, 10**9)]
    assert InputReader({"bootstrap.servers": ledger.bootstrap}, *codecs).read(gone) == {}
    away = InputReader({"bootstrap.servers": "127.0.0.1:1"}, *codecs)
    began_s = time.monotonic()
    with pytest.raises(UnreadableLogError, match="did not answer"):
        away.read([RecordCoordinates(topic, 0, offset * 1_000) for offset in range(10)])
    assert time.monotonic() - began_s < 30  # not five seconds for each


def test_text_fits_eighty_columns_and_names_all_coordinates(ledger: Ledger) -> None:
    code, out, err = run(ledger, "ada", day(1).isoformat())
    assert code == 0, err
    assert max(len(line) for line in out.splitlines()) <= 80
    for wanted in ("TWIN completion again", "original  a1", "partition ", "policy    2026-06"):
        assert wanted in out
    assert "indexing the log" in err


class Known:
    """What the whole log has about a user, read once."""

    def __init__(self, found: Findings, log: LogEvidence) -> None:
        self._found = found
        self.inputs = log.inputs

    def findings(self, _user_id: str, _day: date | None = None) -> Findings:
        return self._found


def test_an_index_answers_as_the_whole_log_does(ledger: Ledger, tmp_path: Path) -> None:
    client = {"bootstrap.servers": ledger.bootstrap}
    codecs = load_schemas(ROOT / "schemas"), SchemaResolver(ledger.registry).writer_schema
    policies = load_policy((ROOT / "policy.yaml").read_text())
    whole = LogEvidence(client, ledger.prefix, *codecs)
    asked = {
        "ada": (None, day(-1), day(0), day(1), day(60)),
        "bob": (None, day(0), day(3), day(4)),
        "cay": (day(0), day(2)),
        "dan": (day(0),),
        "nobody": (None, day(0)),
    }
    index = IndexedEvidence(client, ledger.prefix, codecs, tmp_path, policies)
    for user, days in asked.items():
        home = (whole.partition(user), whole.partitions)
        found = whole.findings(user)
        for wanted in days:
            told = [
                msgspec.structs.replace(
                    explain(evidence, policies, user, wanted, ms(NOON), home), looked=()
                )
                for evidence in (Known(found, whole), index)
            ]
            assert told[0] == told[1], (user, wanted)
    assert list(tmp_path.glob("*/*.rows"))


def test_an_index_that_cannot_be_kept_says_what_to_do(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    client = {"bootstrap.servers": ledger.bootstrap}
    codecs = load_schemas(ROOT / "schemas"), SchemaResolver(ledger.registry).writer_schema
    policies = load_policy((ROOT / "policy.yaml").read_text())
    index = IndexedEvidence(client, ledger.prefix, codecs, tmp_path / "file", policies)
    with pytest.raises(UnreadableLogError, match="cannot be kept") as refused:
        index.findings("ada", day(0))
    assert "--no-index" in (refused.value.fix or "")


def test_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["ada", "yesterday"], ["ada", "--since", "long ago"]):
        assert main.run(["explain", *words, "-o", "json"]) == 2
        assert "2026-03-01" in json.loads(capsys.readouterr().out)["fix"]
