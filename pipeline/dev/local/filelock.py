"""One process at a time, by a lock on a file.

Owns: the lock and waiting for it.
Does not own: what is guarded.
Invariant: the system drops the lock when its holder ends, however it ends; nothing goes stale.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold a lock for as long as the block runs, waiting for whoever has it.

    Args:
        path: the lock file; made when absent, never removed.
        on_wait: called once when another process holds the lock.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def hold(path: Path) -> int | None:
    """Take a lock for the life of the calling process.

    Args:
        path: the lock file; made when absent.

    Returns:
        The open file that carries the lock, or None when another process has it.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle
