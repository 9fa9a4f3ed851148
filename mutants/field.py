"""Trials side by side, each in a fork of a process that has loaded and collected everything.

Owns: the tests' collection, how many trials run at once, what a trial's end means.
Does not own: what happens in a trial (trial.py), what is remembered (memory.py).
Invariant: this process runs no test and no seed itself, so each fork finds it as it began.
"""

import gc
import importlib
import json
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest

from mutants.mutant import Mutant
from mutants.targets import Target, Tests
from mutants.trial import Plan, draw_the_same, in_fork, survey

KEPT: Final = ".local/mutants/survey.json"
CLOCK_S_MAX: Final = 300.0
"""Of a trial that does not even use its processor time."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a mutant.

    Attributes:
        mutant: None for the source as it is.
        by: who noticed; None when it survived.
        took_s: seconds.
    """

    mutant: Mutant | None
    by: str | None
    took_s: float


@dataclass(frozen=True, slots=True)
class _Running:
    pid: int
    mutant: Mutant | None
    started: float


class Surveyed:
    """What each test takes and calls, as far as an earlier run knows it.

    Args:
        session: whose tests are collected.
        targets: that the survey is about.
    """

    def __init__(self, session: pytest.Session, targets: Sequence[Target]) -> None:
        self.modules = sorted(target.module for target in targets)
        self._items = session.items
        self._file = Path(KEPT)
        sources = [Path(f"{module.replace('.', '/')}.py") for module in self.modules]
        common = sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
        self._keys = {
            path: sha256(common.encode() + path.read_bytes()).hexdigest()[:24]
            for path in {item.path for item in session.items}
        }
        self._known: dict[str, list[Any]] = {}
        if self._file.exists():
            self._known = json.loads(self._file.read_text())
        self.unknown = [
            item
            for item in session.items
            if self._known.get(item.nodeid, [None])[0] != self._keys[item.path]
        ]

    def plan(self, raw: bytes) -> tuple[str | None, Plan]:
        """The first test that fails on the source as it is, and the plan of the trials.

        Args:
            raw: what the survey of the unknown tests said.
        """
        said = json.loads(raw or b'{"failed": "the tests", "tests": {}}')
        for item in self.unknown:
            if item.nodeid in said["tests"]:
                self._known[item.nodeid] = [self._keys[item.path], *said["tests"][item.nodeid]]
        if said["failed"] is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(json.dumps(self._known))
        known = {item.nodeid: self._known.get(item.nodeid, ["", 0.0, []]) for item in self._items}
        return said["failed"], Plan(
            self._items,
            {node: seconds for node, (_, seconds, _) in known.items()},
            {node: frozenset(names) for node, (_, _, names) in known.items()},
        )


class Field:
    """Where trials are held.

    Args:
        session: whose tests are collected.
        targets: loaded and surveyed, with all that their judges need.
        jobs: trials at once, at most.
    """

    def __init__(self, session: pytest.Session, targets: Sequence[Target], jobs: int) -> None:
        self._jobs = jobs
        self._waiting = selectors.DefaultSelector()
        surveyed = Surveyed(session, targets)
        for module in surveyed.modules:
            importlib.import_module(module)
        if any(not isinstance(judge, Tests) for target in targets for judge in target.judges):
            importlib.import_module("simulator.guards")
        for item in session.items:
            draw_the_same(getattr(item, "obj", None))
        gc.collect()
        gc.freeze()
        gc.disable()
        unknown = surveyed.unknown
        raw = _asked(lambda report: survey(unknown, surveyed.modules, report))
        self.failed, self._plan = surveyed.plan(raw)

    def trials(self, work: Iterable[tuple[Mutant | None, Target]]) -> Iterator[Outcome]:
        """Hold a trial for each, and say as each ends, in any order, how it ended."""
        running = 0
        try:
            for mutant, target in work:
                while running >= self._jobs:
                    for outcome in self._ended():
                        running -= 1
                        yield outcome
                self._begin(mutant, target)
                running += 1
            while running:
                for outcome in self._ended():
                    running -= 1
                    yield outcome
        finally:
            for key in list(self._waiting.get_map().values()):
                self._end(key.data.pid)
                self._waiting.unregister(key.fileobj)

    def _begin(self, mutant: Mutant | None, target: Target) -> None:
        pid, reading = _forked(lambda report: in_fork(mutant, target, self._plan, report))
        data = _Running(pid, mutant, time.monotonic())
        self._waiting.register(reading, selectors.EVENT_READ, data)

    def _ended(self) -> Iterator[Outcome]:
        """Those that have ended by now, or after a moment."""
        for key, _ in self._waiting.select(1.0):
            yield self._outcome(key, None)
        now = time.monotonic()
        for key in list(self._waiting.get_map().values()):
            if now - key.data.started > CLOCK_S_MAX:
                self._end(key.data.pid)
                yield self._outcome(key, "time: it did not end")

    def _outcome(self, key: selectors.SelectorKey, given: str | None) -> Outcome:
        raw = _read(key.fd)
        _, status = os.waitpid(key.data.pid, 0)
        self._waiting.unregister(key.fd)
        os.close(key.fd)
        took_s = time.monotonic() - key.data.started
        by = given
        if by is None and raw:
            by = json.loads(raw)["by"]
        elif by is None and os.WIFSIGNALED(status):
            by = f"time: {signal.Signals(os.WTERMSIG(status)).name}"
        elif by is None:
            by = f"crash: it ended with exit code {os.WEXITSTATUS(status)}"
        return Outcome(key.data.mutant, by, took_s)

    def _end(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def _forked(act: Callable[[int], None]) -> tuple[int, int]:
    """A process of its own group that does something and ends; returns it, and where to listen."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        with suppress(PermissionError, ProcessLookupError):
            os.setpgid(pid, pid)
        return pid, reading
    try:
        os.setpgid(0, 0)
        os.close(reading)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        act(writing)
    except BaseException:  # noqa: BLE001 — a fork must not go on as if it were its parent
        os._exit(70)
    os._exit(0)


def _asked(act: Callable[[int], None]) -> bytes:
    """What a fork writes until it ends."""
    pid, reading = _forked(act)
    raw = _read(reading)
    os.close(reading)
    os.waitpid(pid, 0)
    return raw


def _read(descriptor: int) -> bytes:
    pieces = []
    while piece := os.read(descriptor, 1 << 16):
        pieces.append(piece)
    return b"".join(pieces)


class _Host:
    """Takes the place of running the tests, once they are collected."""

    def __init__(self, act: Callable[[pytest.Session], None]) -> None:
        self._act = act

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Hold trials instead of running the tests."""
        self._act(session)
        return True


def with_tests(root: Path, targets: Sequence[Target], act: Callable[[pytest.Session], None]) -> int:
    """Collect the tests of the targets' judges, and do something with them; returns pytest's exit
    code."""
    os.chdir(root)
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    judges = [judge for target in targets for judge in target.judges]
    paths = {path for judge in judges if isinstance(judge, Tests) for path in judge.paths}
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    plain = [
        "-o",
        "addopts=",
        "-s",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:logging",
        "-p",
        "no:terminal",
    ]
    options = ["--import-mode=importlib", "-W", "ignore", "-m", "not kafka and not verify"]
    return int(pytest.main([*plain, *options, *sorted(paths)], plugins=[_Host(act)]))
