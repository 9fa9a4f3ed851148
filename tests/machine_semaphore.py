"""The machine's semaphore: as many tests run at once as one run has processes.

Owns: that runs at the same time, from several checkouts, wait for each other test by test. Without
it their servers make the machine so busy that sessions time out which no test wants to.
Does not own: how one run deals its tests out (pytest-xdist).
Invariants: a permit is a lock on a file, so whatever ends a process releases its permit; a test
that runs tests uses the permit of the outer one; time spent waiting is not the test's time.
"""

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

PERMITS: Final = 3
"""As many as `.ci/check` starts processes: on two processors, a test mostly waits for a broker."""

HELD: Final = "TESTS_HOLD_A_PERMIT"
"""Environment variable of what a test starts: the permit of the test covers it."""

LOOK_S: Final = 0.05
"""Seconds between two attempts to get a permit."""


class MachineSemaphore:
    """A semaphore that all test runs of a user on this machine share.

    Args:
        folder: of the lock files; the same for all runs of a user.
    """

    def __init__(self, folder: Path | None = None, count: int = PERMITS) -> None:
        folder = folder or Path(tempfile.gettempdir()) / f"awaway-test-places-{os.getuid()}"
        folder.mkdir(exist_ok=True)
        self._files: list[IO[bytes]] = [
            (folder / str(number)).open("ab") for number in range(count)
        ]

    @contextmanager
    def held(self, *, alone: bool = False) -> Iterator[None]:
        """Wait for a permit, or for all of them, and hold it for as long as the context lasts."""
        if os.environ.get(HELD):
            yield
            return
        permits = self._wait_for_all() if alone else [self._wait()]
        os.environ[HELD] = "1"
        try:
            yield
        finally:
            del os.environ[HELD]
            for permit in permits:
                fcntl.flock(permit, fcntl.LOCK_UN)

    def _wait_for_all(self) -> list[IO[bytes]]:
        # All who want every permit take them in one order, so none of them waits for another's.
        for permit in self._files:
            fcntl.flock(permit, fcntl.LOCK_EX)
        return self._files

    def _wait(self) -> IO[bytes]:
        while True:
            for permit in self._files:
                try:
                    fcntl.flock(permit, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                return permit
            time.sleep(LOOK_S)
