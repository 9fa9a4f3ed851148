"""Places for tests on this machine: as many tests run at once as one run has processes.

Owns: that runs at the same time, from several checkouts, wait for each other test by test. Without
it their servers make the machine so busy that sessions time out which no test wants to.
Does not own: how one run deals its tests out (pytest-xdist).
Invariants: a place is a lock on a file, so whatever ends a process gives its place back; a test
that runs tests is in the place of the outer one; time spent waiting is not the test's time.
"""

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

PLACES: Final = 3
"""As `.ci/check` starts processes: on two processors, much of a test is waiting for a broker."""

HELD: Final = "TESTS_IN_A_PLACE"
"""Set in the environment of what a test starts."""

LOOK_S: Final = 0.05


class Places:
    """The machine's places.

    Args:
        folder: of the lock files; the same for all runs of a user.
    """

    def __init__(self, folder: Path | None = None, count: int = PLACES) -> None:
        folder = folder or Path(tempfile.gettempdir()) / f"awaway-test-places-{os.getuid()}"
        folder.mkdir(exist_ok=True)
        self._files: list[IO[bytes]] = [
            (folder / str(number)).open("ab") for number in range(count)
        ]

    @contextmanager
    def taken(self, *, alone: bool = False) -> Iterator[None]:
        """Wait for a place, or for all of them, and hold it for as long as the context lasts."""
        if os.environ.get(HELD):
            yield
            return
        places = self._wait_for_all() if alone else [self._wait()]
        os.environ[HELD] = "1"
        try:
            yield
        finally:
            del os.environ[HELD]
            for place in places:
                fcntl.flock(place, fcntl.LOCK_UN)

    def _wait_for_all(self) -> list[IO[bytes]]:
        # All who want every place take them in one order, so none of them waits for another's.
        for place in self._files:
            fcntl.flock(place, fcntl.LOCK_EX)
        return self._files

    def _wait(self) -> IO[bytes]:
        while True:
            for place in self._files:
                try:
                    fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                return place
            time.sleep(LOOK_S)
