"""The worker is a real Faust app: Faust's own commands know it."""

import random
import subprocess
import sys
from datetime import UTC, datetime

import psutil
import pytest

from pipeline.dev.local.ports import choose
from tests.integration.ledger import ROOT, Ledger

FAUST = [sys.executable, "-m", "faust", "-A", "pipeline.worker.app"]


def faust(ledger: Ledger, command: str) -> str:
    done = subprocess.run(
        [*FAUST, command],
        check=False,
        cwd=ROOT,
        env=ledger.environment(),
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.mark.verify
def test_agents_and_tables_are_listed(ledger: Ledger) -> None:
    agents = faust(ledger, "agents")
    assert "completions" in agents
    assert "commands" in agents
    tables = faust(ledger, "tables")
    assert "streaks" in tables
    assert "seen" in tables


def test_fausts_worker_processes_and_listens_to_this_machine_only(ledger: Ledger) -> None:
    ledger.complete("ada", "c1", datetime.now(UTC))
    ledger.flush()
    (port,) = choose(1, random.Random())
    with (ledger.folder / "worker-0.log").open("wb") as log:
        worker = subprocess.Popen(
            [*FAUST, "worker", "--web-port", str(port)],
            cwd=ROOT,
            env=ledger.environment(),
            stdout=log,
            stderr=log,
        )
    ledger.workers.append(worker)
    ledger.drain(worker)
    listening = [
        connection.laddr
        for connection in psutil.Process(worker.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert {ip for ip, _ in listening} == {"127.0.0.1"}
    assert ledger.stop_worker(worker) == 0
    assert ledger.progress()["ada"]["streak_days"] == 1
    assert ledger.audited_offsets() == ledger.input_offsets()
