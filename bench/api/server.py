"""The two servers of a run, each a process on one core.

Owns: starting, pinning, waiting until they serve, their memory.
Does not own: what is asked of them (load.py).
Invariant: both are on the same core, and nothing else of this benchmark is.
"""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

START_S_MAX: Final = 600.0
_POLL_S: Final = 0.05


@dataclass(frozen=True)
class Serving:
    """A server that answers. `started_s`: by the clock that never goes back."""

    process: subprocess.Popen[bytes]
    address: tuple[str, int]
    started_s: float

    def memory_mib(self, peak: bool) -> float:
        """Resident memory, now or at its most."""
        name = "VmHWM" if peak else "VmRSS"
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith(name))
        return int(line.split()[1]) / 1024


@contextmanager
def api(env: Mapping[str, str], log: Path, core: int | None) -> Iterator[Serving]:
    """`awaway api` with these settings, not necessarily ready; it is killed at the end."""
    argv = [sys.executable, "-m", "pipeline.cli.main", "api"]

    def address_of() -> str | None:
        for line in log.read_text(errors="replace").splitlines():
            if line.startswith("{") and '"address"' in line:
                return str(json.loads(line)["address"])
        return None

    with _process(argv, {**os.environ, **env}, log, core) as (process, started_s):
        yield Serving(process, _address(process, address_of, log), started_s)


@contextmanager
def bare(size: int, log: Path, core: int | None) -> Iterator[Serving]:
    """A bare Starlette route on the same server."""
    argv = [sys.executable, "-m", "bench.api.bare", str(size)]

    def address_of() -> str | None:
        return next((line for line in log.read_text().splitlines() if line[:4] == "http"), None)

    with _process(argv, dict(os.environ), log, core) as (process, started_s):
        yield Serving(process, _address(process, address_of, log), started_s)


def until_ready(serving: Serving, log: Path) -> float:
    """Wait until reads may come; returns the seconds since the process was started."""
    url = f"http://{serving.address[0]}:{serving.address[1]}/readyz"

    def is_ready() -> str | None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return "yes" if answer.status == 200 else None
        except (urllib.error.URLError, OSError):
            return None

    _until(serving.process, is_ready, log)
    return time.monotonic() - serving.started_s


@contextmanager
def _process(
    argv: list[str], env: Mapping[str, str], log: Path, core: int | None
) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    if core is not None:
        argv = ["taskset", "-c", str(core), *argv]
    started_s = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(argv, env=env, stdout=out, stderr=out)
    try:
        yield process, started_s
    finally:
        process.kill()
        process.wait(10)


def _address(
    process: subprocess.Popen[bytes], find: Callable[[], str | None], log: Path
) -> tuple[str, int]:
    host, _, port = _until(process, find, log).removeprefix("http://").rpartition(":")
    return host, int(port)


def _until(process: subprocess.Popen[bytes], find: Callable[[], str | None], log: Path) -> str:
    deadline_s = time.monotonic() + START_S_MAX
    while (found := find()) is None:
        if process.poll() is not None or time.monotonic() > deadline_s:
            raise RuntimeError(f"a server did not come up:\n{log.read_text()[-2000:]}")
        time.sleep(_POLL_S)
    return found
