"""The worker, run as an operator runs it.

Owns: its environment, its log, stopping it, killing it.
Does not own: what it does.
Invariant: it never outlives the demonstration.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from pipeline.dev.demo.errors import WorkerEndedError
from pipeline.dev.local.process import dying_with_parent
from pipeline.settings.worker import ENV_PREFIX, Settings

STOP_TIMEOUT_S: Final = 30.0
_LOG_LINES_SHOWN: Final = 12


class WorkerProcess:
    """One worker on the stage's topics; a context manager, as which it kills what still runs."""

    def __init__(self, settings: Settings, log_path: Path) -> None:
        self.log_path = log_path
        self.starts = 0
        self._environment = environment(settings)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "WorkerProcess":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def start(self) -> None:
        """Start it, or start it again after a kill, on the same disk."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.cli.main", "worker"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=dying_with_parent(),  # noqa: PLW1509 - it makes one system call
            )
        self.starts += 1

    def move(self, data_dir: Path) -> None:
        """Let its next start have another disk."""
        self._environment[f"{ENV_PREFIX}DATA_DIR"] = str(data_dir)

    def check(self) -> None:
        """See that it runs.

        Raises:
            WorkerEndedError: it ended by itself.
        """
        code = None if self._process is None else self._process.poll()
        if code is not None:
            raise self._ended(f"the worker ended by itself with code {code}")

    def kill(self) -> bool:
        """Kill it with signal 9; return whether it still ran until then."""
        if self._process is None or self._process.poll() is not None:
            return False
        self._process.kill()
        return self._process.wait() == -signal.SIGKILL

    def stop(self) -> None:
        """Stop it gracefully.

        Raises:
            WorkerEndedError: it does not end in time, or with another code than 0.
        """
        if self._process is None:
            return
        self._process.terminate()
        try:
            code = self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise self._ended(f"the worker did not stop within {STOP_TIMEOUT_S:.0f} s") from error
        if code != 0:
            raise self._ended(f"the worker stopped with code {code}")

    def log_tail(self) -> str:
        """Return the last lines of its log."""
        lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(line[:400] for line in lines[-_LOG_LINES_SHOWN:])

    def _ended(self, what: str) -> WorkerEndedError:
        return WorkerEndedError(
            what,
            why=self.log_tail(),
            fix="read the worker's log",
            log_path=str(self.log_path),
        )


def environment(settings: Settings) -> dict[str, str]:
    """Return this process's environment with the worker's settings, and no others of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
    given = {
        "bootstrap_servers": settings.bootstrap_servers,
        "registry_url": settings.registry_url,
        "topic_prefix": settings.topic_prefix,
        "topics_file": str(settings.topics_file),
        "policy_file": str(settings.policy_file),
        "schemas_dir": str(settings.schemas_dir),
        "data_dir": str(settings.data_dir),
        "assets_url": settings.assets_url,
        "development": "true",
        "development_broker": "true",
        "http_port": str(settings.http_port),
        "log_format": settings.log_format,
        "batch_records_max": str(settings.batch_records_max),
    }
    return kept | {ENV_PREFIX + name.upper(): value for name, value in given.items()}
