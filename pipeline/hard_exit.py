"""A hard exit: the end of a process that does not wait for anything that may hang in it.

Owns: ending the process at once.
Does not own: when that is right (cli/worker.py, cli/api.py), what is stopped before it.
Invariant: what was written to the standard streams is flushed; nothing else is waited for.
"""

import os
import sys
import threading
from contextlib import suppress
from typing import NoReturn


def exit_hard(code: int) -> NoReturn:
    """End the process at once. What it wrote is kept; what it did not commit is processed again.

    The interpreter's own exit is not used: threads of other runtimes are still running then, and
    one that asks for the interpreter while it shuts down aborts the process, so that a clean stop
    would look like a crash.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, RuntimeError, ValueError):  # closed, or in the middle of a write
            stream.flush()
    os._exit(code)


def exit_hard_after(seconds: float, code: int) -> None:
    """Return at once, and end the process after `seconds` unless it has ended by then."""
    timer = threading.Timer(seconds, exit_hard, (code,))
    timer.daemon = True
    timer.start()
