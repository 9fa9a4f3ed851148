"""A rebuild on the real broker, by its command line: it mends what was damaged, and just that."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import confluent_kafka as ck
import msgspec
import pytest

from pipeline.codec.state import decode_state, encode_state
from pipeline.core.sets import digest_of
from tests.integration.exactness import check_exact
from tests.integration.ledger import Ledger
from tests.integration.load import send_load

WHY = ("--reason", "the disk lied", "--ticket", "OPS-7", "--yes")


class Console:
    """The command line of an operator, whose data folder is their own."""

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        self.folder = folder
        self._environment = ledger.environment(DATA_DIR=str(folder))

    def start(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli.main", "rebuild", *words, "-o", "json"],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str) -> Any:
        return json.loads(self.refusal(*words, code=0))

    def refusal(self, *words: str, code: int) -> str:
        one = ("--processes", "1") if words[0] == "start" else ()  # each takes seconds to start
        running = self.start(*words, *one)
        output, errors = running.communicate(timeout=240)
        assert running.returncode == code, errors[-3_000:] + output
        return output

    def kill_after(self, seconds: float, *words: str) -> None:
        """Start a command and, once there is a rebuild, kill it with all its processes."""
        running = self.start(*words)
        deadline = time.monotonic() + 60
        while not list(self.folder.glob("rebuilds/*/*/rebuild.json")):
            assert time.monotonic() < deadline, "it never began"
            time.sleep(0.05)
        time.sleep(seconds)
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
        running.communicate(timeout=30)


def damage(ledger: Ledger, count: int) -> list[str]:
    """Take the last date from some users' states, in the changelog alone; return whose."""
    topic = ledger.topic("blue.streaks-changelog")
    last: dict[bytes, tuple[int, bytes]] = {}
    for record in ledger.raw("blue.streaks-changelog"):
        key, value = record.key(), record.value()
        if key and value and not key.startswith(b"\x00"):
            last[key] = (record.partition() or 0, value)
    producer = ck.Producer({"bootstrap.servers": ledger.bootstrap})
    damaged: list[str] = []
    for key, (partition, value) in sorted(last.items()):
        state = decode_state(value)
        if not state.sets.practised or len(damaged) == count:
            continue
        start, length = state.sets.practised[-1]
        kept = ((start, length - 1),) if length > 1 else ()
        sets = msgspec.structs.replace(state.sets, practised=(*state.sets.practised[:-1], *kept))
        changed = msgspec.structs.replace(state, sets=sets, digest=digest_of(sets))
        producer.produce(topic, encode_state(changed), key, partition=partition)
        damaged.append(key.decode())
    assert producer.flush(10) == 0
    return damaged


def steps_audited(ledger: Ledger, name: str) -> list[list[str]]:
    """Each partition's steps of a rebuild, in the order of its chain; repeats are left out.

    A step that was killed before it could note where it lies is sent again under its request id.
    """
    found: list[list[str]] = [[] for _ in range(ledger.partitions)]
    seen: set[str] = set()
    for one in ledger.read("audit"):
        entry = one.value
        if entry["action"] == "repair":
            found[one.partition].append("repair")
        elif (entry["subject"] or "").startswith(name) and entry["cause"]["id"] not in seen:
            seen.add(entry["cause"]["id"])
            assert entry["verdict"] == "applied" and entry["user_id"] is None
            assert entry["actor"].startswith("local:")
            found[one.partition].append(entry["operation"].removeprefix("rebuild."))
    return found


def test_what_was_damaged_is_found_and_put_right(ledger: Ledger, tmp_path: Path) -> None:
    console = Console(ledger, tmp_path / "operator")
    send_load(ledger, seed=61, events=1_200)
    with ledger.worker() as worker:
        ledger.drain(worker)
    inputs = len(ledger.input_offsets())
    sound = console.run("start")  # the step lies in the log, and no worker runs
    assert sound["diff"]["users"] == []
    assert sound["rebuild"]["inputs"] == inputs

    damaged = damage(ledger, 7)
    with ledger.worker(DATA_DIR=str(tmp_path / "new disk")) as worker:
        send_load(ledger, seed=62, events=300)
        ledger.drain(worker)
        name = sound["rebuild"]["id"]
        found = console.run("start", "--id", name)
        assert [one["user_id"] for one in found["diff"]["users"]] == damaged
        assert all(one["dates_added"] for one in found["diff"]["users"])
        digest = found["diff"]["digest"]
        console.refusal("approve", name, "--digest", "0" * 16, *WHY, code=2)
        approved = console.run("approve", name, "--digest", digest, *WHY)
        repaired = [one for result in approved["results"] for one in result["repaired"]]
        assert sorted(repaired) == damaged
        ledger.drain(worker)
        assert console.run("start", "--id", name)["diff"]["users"] == []
        ledger.drain(worker)
    chains = steps_audited(ledger, name)
    assert sum(chain.count("repair") for chain in chains) >= len(damaged)
    for chain in chains:
        repairs = [step for step in chain if step == "repair"]
        approved = ["approve", *repairs] if repairs else []
        assert chain == ["start", "start", *approved, "start"]
    check_exact(ledger)


@pytest.mark.verify
def test_whoever_is_killed_goes_on_with_the_same_command(ledger: Ledger, tmp_path: Path) -> None:
    console = Console(ledger, tmp_path / "operator")
    send_load(ledger, seed=63, events=1_200)
    with ledger.worker() as worker:
        ledger.drain(worker)
    damaged = damage(ledger, 5)
    with ledger.worker(DATA_DIR=str(tmp_path / "new disk")) as worker:
        ledger.drain(worker)
        for seconds in (0.2, 4.0):
            console.kill_after(seconds, "start")
        (*_, first) = console.run("list")["rebuilds"]
        found = console.run("start", "--id", first["id"])
        assert [one["user_id"] for one in found["diff"]["users"]] == damaged
        approve = ("approve", first["id"], "--digest", found["diff"]["digest"], *WHY)
        for seconds in (4.0, 7.0):
            console.kill_after(seconds, *approve)
        if console.run("status", first["id"])["rebuild"]["state"] != "approved":
            console.run(*approve)
        ledger.drain(worker)
        assert console.run("start", "--user", damaged[0])["diff"]["users"] == []
        assert console.run("start")["diff"]["users"] == []
        ledger.drain(worker)
    for chain in steps_audited(ledger, first["id"]):  # however often each was given
        repairs = [step for step in chain if step == "repair"]
        assert chain == ["start", *(["approve", *repairs] if repairs else [])]
    check_exact(ledger)


@pytest.mark.verify
def test_a_rollback_puts_back_what_was_and_keeps_what_came_since(
    ledger: Ledger, tmp_path: Path
) -> None:
    console = Console(ledger, tmp_path / "operator")
    send_load(ledger, seed=64, events=600)
    with ledger.worker() as worker:
        ledger.drain(worker)
    damaged = damage(ledger, 5)
    with ledger.worker(DATA_DIR=str(tmp_path / "new disk")) as worker:
        found = console.run("start")
        name = found["rebuild"]["id"]
        console.run("approve", name, "--digest", found["diff"]["digest"], *WHY)
        send_load(ledger, seed=65, events=300)
        ledger.drain(worker)
        assert console.run("start", "--id", name)["diff"]["users"] == []

        console.run("rollback", name, *WHY)
        again = console.run("start")
        assert [one["user_id"] for one in again["diff"]["users"]] == damaged
        console.refusal("rollback", name, *WHY, code=2)
        console.run("abort", name)
        ledger.drain(worker)
        for chain in steps_audited(ledger, name):
            asked = [step for step in chain if step != "repair"]
            changed = "repair" in chain
            wanted = ["start", "approve", "start", "rollback", "abort"]
            assert asked == (wanted if changed else ["start", "start", "abort"])
        digest = again["diff"]["digest"]
        console.run("approve", again["rebuild"]["id"], "--digest", digest, *WHY)
        ledger.drain(worker)
    check_exact(ledger)
