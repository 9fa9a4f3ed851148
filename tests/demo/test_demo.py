"""Whole demonstrations on a real broker and a real registry."""

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.dev.demo.errors import WorkerEndedError
from pipeline.dev.demo.live import LiveView
from pipeline.dev.demo.run import run_demo
from pipeline.dev.demo.stage import Options, read_files
from pipeline.dev.demo.summary import Result
from pipeline.dev.demo.worker_process import WorkerProcess, environment
from pipeline.dev.local.stack import LocalStack
from pipeline.dev.workload import oddities
from pipeline.dev.workload.ground_truth import DUPLICATES
from pipeline.settings.worker import Settings
from tests.demo.month import ROOT

SETTINGS = Settings(
    topics_file=ROOT / "topics.yaml",
    policy_file=ROOT / "policy.yaml",
    schemas_dir=ROOT / "schemas",
)
KILLS = 2


def _run(stack: LocalStack, root: Path, *, users: int, seed: int, kills: int = 0) -> Result:
    options = Options(root, users=users, days=30, seed=seed, kills=kills)
    said: list[str] = []
    live = LiveView(Console(file=io.StringIO()))
    return run_demo(stack, options, read_files(SETTINGS), said.append, live)


@pytest.mark.verify
@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_exact_although_the_worker_is_killed(stack: LocalStack, tmp_path: Path, seed: int) -> None:
    result = _run(stack, tmp_path, users=80, seed=seed, kills=KILLS)
    assert result.differences.examples == []
    assert result.right
    assert result.kills > 0
    assert result.verdicts == result.ground_truth.verdicts
    assert all(result.verdicts[name] > 0 for name in ("accepted", "exact", "twin"))
    assert Path(result.page).is_file()


@pytest.mark.kafka
def test_the_command_prints_one_object_and_leaves_no_process(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pipeline.cli.main", "demo", "-o", "json"),
            *("--users", "40", "--days", "10", "--seed", "9", "--root", str(tmp_path / "demo")),
        ],
        cwd=ROOT,
        env=os.environ | {"AWAWAY_TOPIC_PREFIX": "not.for.the.demo."},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["oracle"] == {"portals_missing": 0, "portals_extra": 0, "users_wrong": 0}
    assert set(summary["duplicates"]) == set(DUPLICATES)
    assert summary["accepted"] > 200
    assert summary["alerts"] > sum(summary["duplicates"].values())  # a zone may be assumed as well
    assert summary["planted"]["odd"].keys() == oddities.KINDS.keys()
    assert summary["dead_letters"] == sum(summary["planted"]["garbage"].values())
    assert summary["portals"] > 40 and summary["assets"] > 5 and summary["seconds"] > 0
    assert LocalStack(tmp_path / "demo" / "stack").status().health == "down"


def test_outside_a_checkout_it_says_what_is_missing_before_it_starts_anything(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli.main", "demo", "-o", "json"],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if not k.startswith("AWAWAY_")}
        | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "topics.yaml" in json.loads(done.stdout)["what"]
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_cannot_start_ends_the_run_with_its_log(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, topics_file=tmp_path / "no-topics.yaml")
    with WorkerProcess(settings, tmp_path / "worker.log") as worker:
        worker.start()
        deadline = time.monotonic() + 60
        with pytest.raises(WorkerEndedError) as caught:
            while time.monotonic() < deadline:
                worker.check()
                time.sleep(0.1)
    assert "no-topics.yaml" in caught.value.why
    assert worker.kill() is False


def test_a_worker_sees_no_settings_but_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWAWAY_TOPIC_PREFIX", "another.")
    monkeypatch.setenv("AWAWAY_KAFKA", "{}")
    given = environment(Settings(topic_prefix="mine.", data_dir=tmp_path))
    assert given["AWAWAY_TOPIC_PREFIX"] == "mine."
    assert "AWAWAY_KAFKA" not in given
