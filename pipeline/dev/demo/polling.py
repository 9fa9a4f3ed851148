"""Somebody who reads users' progress over the API all the while.

Owns: an API over the run, the thread that asks it, what went wrong for a reader.
Does not own: the API (api/), a console that stays (console.py).
Invariant: the API does not outlive the demonstration.
"""

import subprocess
import sys
import threading
from collections.abc import Sequence
from itertools import count
from typing import Final

import httpx2

from pipeline.api.http.paths import user_path
from pipeline.dev.demo.console import await_address
from pipeline.dev.demo.stage import Stage
from pipeline.dev.demo.worker_process import environment
from pipeline.dev.local.ports import LOOPBACK
from pipeline.dev.local.process import dying_with_parent
from pipeline.settings.worker import ENV_PREFIX

READ_EVERY_S: Final = 0.05
_READ_S_MAX: Final = 5.0
_STOP_S_MAX: Final = 20.0


class Polling:
    """Reads users in turn; a context manager.

    Args:
        users: who have progress, at least one.

    Attributes:
        users: may be changed for others.
        reads: answered and not. errors: those that were not answered with the user's progress.
        steps_back: those whose revision was below one that was read before.
    """

    def __init__(self, stage: Stage, users: Sequence[str]) -> None:
        self._stage = stage
        self.users = users
        self._is_over = threading.Event()
        self.reads = self.errors = self.steps_back = 0
        self._thread = threading.Thread(target=self._run, name="polling", daemon=True)

    def __enter__(self) -> "Polling":
        given = {
            "api_auth_off": "true",
            "api_host": LOOPBACK,
            "api_port": "0",
            "data_dir": str(self._stage.run_dir / "polled"),
            "log_format": "json",
        }
        named = {ENV_PREFIX + name.upper(): value for name, value in given.items()}
        log_path = self._stage.run_dir / "polled.log"
        with log_path.open("ab") as log:
            self._api = subprocess.Popen(
                [sys.executable, "-m", "pipeline.cli.main", "api"],
                env=environment(self._stage.settings) | named,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=dying_with_parent(),  # noqa: PLW1509 - it makes one system call
            )
        try:
            self._address = await_address(self._api, log_path)
        except BaseException:
            self._end()
            raise
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._end()

    def _end(self) -> None:
        self._api.terminate()
        try:
            self._api.wait(_STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self._api.kill()
            self._api.wait()

    def _run(self) -> None:
        last: dict[str, int] = {}
        with httpx2.Client(base_url=self._address, timeout=_READ_S_MAX) as client:
            for number in count():
                if self._is_over.wait(READ_EVERY_S):
                    return
                users = self.users
                user_id = users[number % len(users)]
                self.reads += 1
                try:
                    answer = client.get(f"{user_path(user_id)}/progress").raise_for_status()
                    revision = int(answer.json()["revision"])
                except (httpx2.HTTPError, ValueError, KeyError):
                    self.errors += 1
                    continue
                self.steps_back += revision < last.get(user_id, 0)
                last[user_id] = max(revision, last.get(user_id, 0))
