"""One input that ends every worker is put aside by its offset; the rest goes on, and it is told."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.codec.partitioner import partition_of
from pipeline.kafka.principal import principal_of
from tests.integration.ledger import ROOT, Ledger

NOW = datetime.now(UTC)
BECAUSE = ("--reason", "it ends the decoder", "--ticket", "O-12")
PLAN = {"deadly": "deadly"}


def skip(ledger: Ledger, *words: str) -> tuple[int, dict[str, Any]]:
    """Exit code and result of `awaway skip`, as a program sees it."""
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli.main", "skip", *words, "-o", "json"],
        cwd=ROOT,
        env=os.environ | ledger.environment() | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


@pytest.mark.verify
def test_an_input_that_ends_every_worker_is_put_aside(ledger: Ledger) -> None:
    ledger.complete("ada", "c1", NOW - timedelta(days=1))
    ledger.complete("ada", "deadly", NOW - timedelta(hours=5))
    ledger.complete("ada", "c2", NOW)
    ledger.flush()
    for _ in range(2):
        assert ledger.start_worker(plan=PLAN).wait(120) == -9
    place = ("completions", str(partition_of(b"ada", ledger.partitions)), "1")

    code, refused = skip(ledger, "add", *place, *BECAUSE)
    assert code == 2 and "confirmation" in refused["what"]
    code, refused = skip(ledger, "add", *place[:2], "99", *BECAUSE, "--yes")
    assert code == 1 and "there is no input" in refused["what"]
    code, added = skip(ledger, "add", *place, *BECAUSE, "--yes")
    assert code == 0 and added["input"]["key"] == "b'ada'"
    code, listed = skip(ledger, "list")
    assert [one["offset"] for one in listed["skips"]] == [1]

    with ledger.worker(plan=PLAN) as worker:
        ledger.drain(worker)
    (letter,) = ledger.read("deadletters")
    assert (letter.value["stage"], letter.value["reason"]) == ("operator", "skipped")
    sent = next(r for r in ledger.raw("completions") if r.offset() == 1 and r.key() == b"ada")
    assert (letter.value["key"], letter.value["value"]) == (sent.key(), sent.value())
    (entry,) = [o.value for o in ledger.read("audit") if o.value["verdict"] == "dead_letter"]
    assert (entry["actor"], entry["reason"], entry["ticket"], entry["rejection"]) == (
        *(principal_of({}), "it ends the decoder", "O-12", "skipped"),
    )
    assert ledger.progress()["ada"]["lifetime_days"] == 2
    assert ledger.audited_offsets() == ledger.input_offsets()

    code, refused = skip(ledger, "withdraw", *place)
    assert code == 1 and "was processed already" in refused["what"]


@pytest.mark.verify
def test_a_skip_is_withdrawn_before_a_worker_passes_it(ledger: Ledger) -> None:
    ledger.complete("ada", "deadly", NOW)
    ledger.flush()
    place = ("completions", str(partition_of(b"ada", ledger.partitions)), "0")
    assert skip(ledger, "add", *place, *BECAUSE, "--yes")[0] == 0
    assert skip(ledger, "withdraw", *place)[0] == 0
    assert skip(ledger, "list") == (0, {"skips": []})
    code, refused = skip(ledger, "withdraw", *place)
    assert code == 1 and "is not put aside" in refused["what"]
    with ledger.worker(plan={}) as worker:
        ledger.drain(worker)
    assert ledger.progress()["ada"]["lifetime_days"] == 1
