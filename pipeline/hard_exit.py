"""The end of a process that does not wait for what may hang in it.

Owns: leaving at once. Does not own: when (cli/worker.py, cli/api.py), what is stopped before it.
Invariant: what was written to the standard streams is out; nothing else is waited for.
"""

import os
import sys
from contextlib import suppress
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """End the process here and now; what it has written is kept, what is not committed comes again.

    Not by the interpreter's own way out: threads of other runtimes know no end of theirs, and one
    that asks for the interpreter while it goes aborts the process: a clean stop would look like a
    crash.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, RuntimeError, ValueError):  # gone, or in the middle of a write
            stream.flush()
    os._exit(code)
