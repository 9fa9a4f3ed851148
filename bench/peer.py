"""Starting a peer, watching it through the whole input, stopping it.

Owns: a peer's processes and their logs.
Does not own: what it is measured by (measure.py), what its results should be (outcome.py).
Invariant: no process of ours outlives `run_peer`, whatever happens in it.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.errors import PeerDiedError
from bench.measure import POLL_S, CommitWatch, ProcessWatch, Rate, rate_of

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 30.0
LOG_TAIL_CHARACTERS: Final = 2_000


@dataclass(frozen=True)
class Peer:
    """One program that is to eat the input.

    Attributes:
        name: for people and file names.
        argv, env: how to start it; `env` is added to ours.
        group: its consumer group. topic: its input.
        events: how many records there are in it.
        events_per_s_min: slower than this, start-up aside, and it is given up.
        more: a further process of the program for each of these, with it added to `env`.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    group: str
    topic: str
    events: int
    events_per_s_min: float = 1_000.0
    more: Sequence[Mapping[str, str]] = ()

    def processes(self, folder: Path) -> list["PeerProcess"]:
        """Its processes, not yet started, each with a log of its own in the folder."""
        names = [self.name, *(f"{self.name}-{n}" for n in range(2, len(self.more) + 2))]
        return [
            PeerProcess(name, self.argv, {**self.env, **extra}, folder / f"{name}.log")
            for name, extra in zip(names, ({}, *self.more), strict=True)
        ]


@dataclass(frozen=True)
class Measured:
    """What a peer's run showed. `whole_s`: from its start to its last commit."""

    rate: Rate
    peak_bytes: int
    whole_s: float
    steps: int


@dataclass
class PeerProcess:
    """A started peer; leaving the context ends it."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log_path: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __enter__(self) -> "PeerProcess":
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                list(self.argv),
                env={**os.environ, **self.env},
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id of the started peer."""
        return self._started().pid

    def check_alive(self) -> None:
        """Raise PeerDiedError when it has ended."""
        code = self._started().poll()
        if code is not None:
            raise self.died(f"ended by itself with code {code}")

    def died(self, what: str) -> PeerDiedError:
        """The error for this peer, with the tail of its log."""
        tail = self.log_path.read_text("utf-8", "replace")[-LOG_TAIL_CHARACTERS:]
        return PeerDiedError(f"{self.name} {what}", why=tail, log_path=str(self.log_path))

    def stop(self) -> None:
        """End it: politely, then at once. Does nothing when it has ended."""
        process = self._started()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):  # the kill below is for that
                process.wait(STOP_TIMEOUT_S)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what it started goes with it
        process.wait()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the peer was not started")
        return self._process


def run_peer(
    peer: Peer,
    bootstrap: str,
    folder: Path,
    while_running: Callable[[int], None] | None = None,
) -> Measured:
    """Run a peer until it has committed the whole input.

    Args:
        folder: for its logs, `<name>.log`.
        while_running: called once with its (first) process's id when the first commit was seen.

    Raises:
        PeerDiedError: it ended by itself or did not finish in time.
    """
    watch = CommitWatch(bootstrap, peer.group, peer.topic)
    try:
        watch.look(lambda: 0.0)  # connects, so that the next look is as quick as any
        watch.started()
        with ExitStack() as ended:
            running = [ended.enter_context(process) for process in peer.processes(folder)]
            taken = ProcessWatch([process.pid for process in running])
            try:
                _follow(peer, running, taken, watch, while_running)
            finally:
                peak_bytes = taken.close()
    finally:
        watch.close()
    return Measured(
        rate_of(watch.steps, peer.events), peak_bytes, watch.steps[-1].at_s, len(watch.steps)
    )


def _follow(
    peer: Peer,
    running: Sequence[PeerProcess],
    taken: ProcessWatch,
    watch: CommitWatch,
    while_running: Callable[[int], None] | None,
) -> None:
    timeout_s = START_TIMEOUT_S + peer.events / peer.events_per_s_min
    deadline = time.monotonic() + timeout_s
    committed = 0
    while committed < peer.events:
        for process in running:
            process.check_alive()
        if time.monotonic() > deadline:
            raise running[0].died(f"committed {committed} of {peer.events} in {timeout_s:.0f} s")
        before, committed = committed, watch.look(taken.cpu_s)
        if while_running is not None and committed and not before:
            while_running(running[0].pid)
        time.sleep(POLL_S)
