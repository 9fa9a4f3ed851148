"""A worker that is asked for too much takes no more than it may."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chaos.ledger import ROOT

MORE_MIB_MAX = 512
"""Queues, write buffers and caches with the default settings, beyond what an idle worker takes."""

SCENES = ("flood", "poison", "hot_user")


@pytest.mark.verify
@pytest.mark.timeout(1800)
def test_memory_under_too_much(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "chaos.bounds", "--events", "60000", "--hot-events", "60000"]
    done = subprocess.run(
        [*command, "--only", ",".join(("idle", *SCENES))],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=1700,
    )
    assert done.returncode == 0, done.stderr
    rows: dict[str, dict[str, Any]] = {
        row["scene"]: row for row in json.loads(done.stdout.splitlines()[-1])
    }
    for scene in SCENES:
        assert rows[scene]["events"] == 60_000
        assert rows[scene]["peak_mib"] < rows["idle"]["peak_mib"] + MORE_MIB_MAX, rows
    hot, many = rows["hot_user"]["events_per_s"], rows["flood"]["events_per_s"]
    assert hot > many / 10, rows
