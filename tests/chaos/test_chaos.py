"""The chaos run as a person meets it: a short one always, all faults under `make verify`."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from chaos.acts import ACTS
from chaos.ledger import ROOT
from chaos.run import Result
from chaos.schedule import CATALOGUE

ZEROS = ("lost", "duplicated", "wrong_state", "hung")
KEYS = ["seed", "minutes", "events", "faults", "acts", *ZEROS]
SHORT = "crash_before_commit,aborted_inputs,oversize_and_poison,end_txn_reordered"


def chaos(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Start a run whose folder lies below `folder`."""
    return subprocess.Popen(
        [sys.executable, "-m", "chaos", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def check(run: "subprocess.Popen[str]", faults: set[str], timeout_s: float) -> dict[str, Any]:
    """Wait for a run, which must have found nothing and seen these faults strike."""
    out, log = run.communicate(timeout=timeout_s)
    assert run.returncode == 0, f"{out}\n{log}"
    result: dict[str, Any] = json.loads(out.splitlines()[-1])
    assert list(result) == KEYS
    assert result["faults"].keys() == faults
    assert all(result["faults"].values())
    assert result["acts"].keys() == set(ACTS)
    assert all(result["acts"].values())
    assert [result[key] for key in ZEROS] == [0, 0, 0, 0]
    assert result["events"] > 500
    for fault in faults:
        assert fault in log
    return result


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs: one that ended, and that nobody waited for yet, does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.verify
@pytest.mark.timeout(1200)
def test_a_short_run(tmp_path: Path) -> None:
    run = chaos(tmp_path, "--seed", "108", "--all", "--workers", "2", "--faults", SHORT)
    assert check(run, set(SHORT.split(",")), 1100)["seed"] == 108
    assert list((tmp_path / ".local").iterdir()) == []


@pytest.mark.verify
@pytest.mark.timeout(2700)
def test_every_fault(tmp_path: Path) -> None:
    possible = {name for name, fault in CATALOGUE.items() if not fault.impossible()}
    check(chaos(tmp_path, "--seed", "1", "--all"), possible, 2600)


def test_an_act_without_effect_is_as_bad_as_a_fault_that_never_struck() -> None:
    result = Result(1, faults=Counter(freeze_short=1), acts=Counter(approve=1, killed=2))
    assert result.is_good
    result.acts["rollback"] += 0
    assert result.in_vain == ["rollback"]
    assert not result.is_good
    assert result.as_dict()["acts"] == {"approve": 1, "killed": 2, "rollback": 0}


def test_who_ended_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    seen = psutil.Process(child.pid)
    assert child.stdout is not None
    child.stdout.read()  # its end comes when the child ends, a moment before it is a zombie
    deadline = time.monotonic() + 20
    while is_alive(seen):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert seen.is_running()
    child.wait()
    assert not is_alive(seen)


@pytest.mark.verify
def test_an_interrupt_ends_everything(tmp_path: Path) -> None:
    run = chaos(tmp_path, "--minutes", "5", "--faults", "kill_at_random")
    assert run.stderr is not None
    for line in run.stderr:
        if "the workers are starting" in line:
            break
    family = psutil.Process(run.pid).children(recursive=True)
    assert len(family) >= 5  # a supervisor, its two servers, the workers
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=60)
    assert run.returncode == 130
    deadline = time.monotonic() + 20
    while any(is_alive(member) for member in family):
        assert time.monotonic() < deadline, family
        time.sleep(0.1)
    assert list((tmp_path / ".local").iterdir()) == []


def test_the_command_teaches(tmp_path: Path) -> None:
    out, _ = chaos(tmp_path, "--help").communicate(timeout=60)
    for word in ("--seed", "--minutes", "--workers", "make chaos", "wrong_state"):
        assert word in out
    out, _ = chaos(tmp_path, "--list").communicate(timeout=60)
    assert [line.split()[0] for line in out.splitlines()] == list(CATALOGUE)
    wrong = chaos(tmp_path, "--faults", "gremlins")
    _, log = wrong.communicate(timeout=60)
    assert wrong.returncode == 2
    assert "no such fault: gremlins" in log
