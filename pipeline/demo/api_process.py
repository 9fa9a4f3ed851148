"""The API, left running behind a demonstration that is kept.

Owns: its environment and log, waiting until it serves.
Does not own: what it serves (api/), the stack that it reads from.
Invariant: it asks for no token and listens on loopback only; it is for looking around.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

from pipeline.config import Settings
from pipeline.demo.errors import WorkerEndedError
from pipeline.demo.worker_process import environment

START_S_MAX: Final = 60.0
_POLL_S: Final = 0.1


class KeptApi(NamedTuple):
    """Where it serves, and the process to end it by."""

    address: str
    pid: int


def start_api(settings: Settings, folder: Path) -> KeptApi:
    """Start `awaway api` on the stage's topics, and leave it running.

    Args:
        settings: the stage's.
        folder: for its store and its log.

    Raises:
        WorkerEndedError: it ended, or did not serve in time; its log says why.
    """
    log_path = folder / "api.log"
    own = {
        "AWAWAY_API_PORT": "0",
        "AWAWAY_API_AUTH_OFF": "true",
        "AWAWAY_DATA_DIR": str(folder / "api"),
        "AWAWAY_LOG_FORMAT": "json",
    }
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli.main", "api"],
            env=environment(settings) | own,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_S_MAX
    while process.poll() is None and time.monotonic() < deadline:
        for line in log_path.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("{") and '"address"' in line:
                return KeptApi(str(json.loads(line)["address"]), process.pid)
        time.sleep(_POLL_S)
    process.kill()
    process.wait()
    raise WorkerEndedError("the API did not serve", fix="read its log", log_path=str(log_path))
