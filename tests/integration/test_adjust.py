"""Support corrects users on a real broker: shown before, read back after, and nothing twice."""

import csv
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import main as cli
from pipeline.codec.registry import SchemaResolver
from pipeline.codec.schemas import load_schemas
from pipeline.core.calendar import DAY_MS
from pipeline.dev.workload.wire import plain_completion
from pipeline.kafka.principal import principal_of
from pipeline.ops.adjust.request import Asked, command_of
from pipeline.ops.adjust.send import Corrections
from tests.integration.ledger import ROOT, Ledger

NOON = datetime.now(UTC).replace(hour=11, minute=0)
BECAUSE = ("--reason", "the app was down", "--ticket", "T-7", "-o", "json")


def date_of(days_ago: int) -> date:
    return (NOON - timedelta(days=days_ago)).date()


class Support:
    """Somebody who types `awaway adjust` for a ledger."""

    def __init__(
        self, ledger: Ledger, environ: pytest.MonkeyPatch, told: pytest.CaptureFixture[str]
    ) -> None:
        ledger.be_set_in(environ)
        self._told = told

    def __call__(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Exit code and result."""
        self._told.readouterr()
        patient = () if "--wait" in words else ("--wait", "60")
        code = cli.run(["adjust", *words, *BECAUSE, *patient])
        return code, json.loads(self._told.readouterr().out)


@pytest.fixture
def adjust(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Support:
    """`awaway adjust` in this process."""
    return Support(ledger, monkeypatch, capsys)


def sent(ledger: Ledger) -> list[str]:
    """The request ids in the topic of commands, in any order."""
    return [json.loads(record.value())["request_id"] for record in ledger.raw("commands")]


def practise(ledger: Ledger, *days_ago: int) -> None:
    for each in days_ago:
        ledger.complete("ada", f"c{each}", NOON - timedelta(days=each), tz="UTC")
    ledger.flush()


def test_a_correction_does_what_was_shown_and_once(ledger: Ledger, adjust: Support) -> None:
    day = str(date_of(2))
    practise(ledger, 3, 1)
    with ledger.worker(plan={}) as worker:
        ledger.drain(worker)
        code, shown = adjust("credit-day", "ada", day, "--dry-run")
        assert (code, shown["sent"], sent(ledger)) == (0, False, [])
        preview = shown["preview"]
        assert (preview["verdict"], preview["dates_added"]) == ("applied", [day])
        assert (preview["before"]["streak_days"], preview["after"]["streak_days"]) == (1, 3)

        code, refused = adjust("credit-day", "ada", day)
        assert code == 2 and "confirmation" in refused["what"] and sent(ledger) == []

        code, done = adjust("credit-day", "ada", day, "--request-id", "r1", "--yes")
        effect = done["effect"]
        assert (code, effect["verdict"], effect["seconds"] < 5) == (0, "applied", True)
        progress = ledger.progress()["ada"]
        assert progress["revision"] == effect["revision"] == 3
        for figure in ("streak_days", "longest_days", "lifetime_days", "lap", "cycle_day"):
            assert progress[figure] == done["preview"]["after"][figure]
        (portal,) = done["preview"]["portals"]
        told = next(one.value for one in ledger.read("portals") if one.value["portal"] != "bindu")
        assert (portal["slug"], portal["keys"]) == (told["portal"], told["field_keys"])
        (entry,) = [one.value for one in ledger.read("audit") if one.value["action"] == "credit"]
        assert (entry["actor"], entry["ticket"]) == (principal_of({}), "T-7")
        assert entry["unlock_ids"] == effect["unlock_ids"] == [told["unlock_id"]]

        code, again = adjust("credit-day", "ada", day, "--request-id", "r1", "--yes")
        assert (code, again["preview"]["verdict"]) == (0, "repeated")
        assert (again["effect"]["verdict"], again["effect"]["revision"]) == ("repeated", 3)

        before = sent(ledger)
        code, refused = adjust("credit-day", "ada", "2009-12-31", "--yes")
        assert (code, refused["sent"], sent(ledger)) == (1, False, before)
        assert refused["preview"]["rejection"]["reason"] == "date_too_early"
        code, refused = adjust("credit-day", "ada", day[:-2] + "01", "--request-id", "r1")
        assert (code, refused["preview"]["rejection"]["reason"]) == (1, "request_id_reused")

        (key,) = portal["keys"]
        assert adjust("return-key", "ada", key, "--yes")[0] == 1  # nobody claimed it
        code, claimed = adjust("claim-key", "ada", key, "--yes")
        assert (code, claimed["preview"]["keys_claimed"]) == (0, [key])
        back = ("return-key", "ada", key, "--request-id", "r9", "--yes")
        code, returned = adjust(*back)
        assert (code, returned["preview"]["keys_returned"]) == (0, [key])
        assert ledger.progress()["ada"]["keys"]["claimed"] == []
        assert adjust(*back)[1]["effect"]["verdict"] == "repeated"

        code, undone = adjust("withdraw", "ada", "r1", "--yes")
        assert (code, undone["preview"]["dates_removed"]) == (0, [day])
        assert ledger.progress()["ada"]["lifetime_days"] == 2


def test_without_workers_the_request_stays_in_the_log_and_can_be_asked_again(
    ledger: Ledger, adjust: Support
) -> None:
    words = ("credit-day", "ada", str(date_of(2)), "--request-id", "r1", "--yes")
    # Topics that were just made may not be readable yet, and no worker has waited for them here.
    ledger.wait_for(lambda: adjust(*words[:-1], "--dry-run")[0] == 0)
    code, late = adjust(*words, "--wait", "0.5")
    assert (code, late["error"], sent(ledger)) == (1, "NotReadBackError", ["r1"]), late
    assert "no worker has processed it" in late["why"] and "--request-id r1" in late["fix"]
    with ledger.worker(plan={}) as worker:
        ledger.drain(worker)
        code, again = adjust(*words)
        assert (code, again["effect"]["verdict"]) == (0, "repeated")
    assert ledger.progress()["ada"]["revision"] == 1


@pytest.mark.verify
def test_an_amnesty_that_was_killed_goes_on_and_sends_nothing_twice(
    ledger: Ledger, adjust: Support, tmp_path: Path
) -> None:
    users = [f"user-{n}" for n in range(40)]
    file = tmp_path / "outage.csv"
    lines = ["user_id,local_date", *users, f"user-0,{date_of(1)}", "user-1,2009-12-31"]
    file.write_text("\n".join(lines))
    words = ("amnesty", str(file), "--date", str(date_of(1)), "--yes")
    with ledger.worker(plan={}) as worker:
        ledger.drain(worker)
        killed = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli.main", "adjust", *words, *BECAUSE, "--rate", "15"],
            cwd=ROOT,
            env=ledger.environment() | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        ledger.wait_for(lambda: len(sent(ledger)) >= 5)
        killed.kill()
        killed.wait(10)
        before = len(sent(ledger))
        assert 5 <= before < len(users)

        code, done = adjust(*words, "--rate", "200")
        numbers = done["numbers"]
        assert (code, numbers["rejected"]) == (1, {"date_too_early": 1})
        assert (numbers["to_send"], numbers["repeated"]) == (40 - before, before + 1)
        assert done["verdicts"] == {"repeated": before + 1, "applied": 40 - before, "rejected": 1}
        assert len(sent(ledger)) == len(set(sent(ledger))) == 40
        with Path(done["report"]).open(newline="") as report:
            rows = list(csv.DictReader(report))
        assert [row["user_id"] for row in rows] == [*users, "user-0", "user-1"]
        assert rows[-1]["why"].startswith("date_too_early")
        assert {row["revision"] for row in rows if row["verdict"] == "applied"} == {"1"}

        assert adjust(*words)[1]["verdicts"] == {"repeated": 41, "rejected": 1}
    assert len(sent(ledger)) == 40
    assert {one["lifetime_days"] for one in ledger.progress().values()} == {1}
    assert ledger.progress().keys() == set(users)


@pytest.mark.verify
@pytest.mark.alone
def test_effects_are_read_back_within_5_s_under_load(ledger: Ledger) -> None:
    with ledger.worker(plan={}) as worker:
        practise(ledger, 1)
        ledger.drain(worker)  # so its first transaction is over
        with practising(ledger, users_per_s=300) as practised:
            seconds = read_backs(ledger, 60, every_s=0.1)
        assert len(practised) > 60 * 0.1 * 300 * 0.8
        ledger.drain(worker)
    assert len(seconds) == 60 and max(seconds) < 5, sorted(seconds)[-5:]
    assert ledger.progress().keys() >= set(practised)


@contextmanager
def practising(ledger: Ledger, users_per_s: int) -> Iterator[list[str]]:
    """People complete a practice all the while, each one once; gives those who did."""
    practised: list[str] = []
    stop = threading.Event()
    producer = ledger.new_producer()

    def run() -> None:
        began_s = time.monotonic()
        while not stop.wait(0.02):
            while len(practised) < (time.monotonic() - began_s) * users_per_s:
                user = f"person-{len(practised)}"
                value = plain_completion(user, f"{user}-1", int(NOON.timestamp() * 1000) - DAY_MS)
                producer.produce(ledger.topic("completions"), value, user.encode())
                practised.append(user)
            producer.poll(0)

    thread = threading.Thread(target=run, name="people", daemon=True)
    thread.start()
    try:
        yield practised
    finally:
        stop.set()
        thread.join()
        producer.flush(30)


def read_backs(ledger: Ledger, count: int, every_s: float) -> list[float]:
    """Seconds until each of some credits was read back, one after the other."""
    resolver = SchemaResolver(ledger.registry)
    schemas = load_schemas(ROOT / "schemas")
    client = {"bootstrap.servers": ledger.bootstrap}
    seconds = []
    with Corrections(client, ledger.prefix, schemas, resolver.writer_schema) as corrections:
        for n in range(count):
            asked = Asked("credit-day", f"support-{n % 20}", date_of(2 + n), "an outage", "T-7")
            corrections.send(command_of(asked, "test", f"request-{n}"))
            effect = corrections.wait(f"request-{n}", 5.0)
            assert effect.verdict == "applied"
            seconds.append(effect.seconds)
            end_s = time.monotonic() + every_s
            while (left_s := end_s - time.monotonic()) > 0:
                corrections.poll(left_s)
    return seconds
