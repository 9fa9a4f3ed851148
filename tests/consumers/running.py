"""A consumer's process, and the lines that it prints.

Owns: starting it, waiting for its lines, ending it.
Does not own: how it was built (toolchains.py), what it should print.
Invariant: it is ended before anything is returned or raised.
"""

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.consumers.toolchains import Program

DEADLINE_S = 120.0
SURPLUS_S = 4.0
"""How long to wait for lines that nobody expects."""


@contextmanager
def running(program: Program) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A program for as long as a block runs, and the file with its errors."""
    errors = program.folder / "errors.log"
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            program.command, cwd=program.folder, stdout=subprocess.PIPE, stderr=stderr, text=True
        )
    try:
        yield process, errors
    finally:
        process.kill()
        process.wait(10)


def printed(program: Program, count: int) -> list[str]:
    """What a consumer that never ends prints.

    Args:
        program: to start.
        count: how many lines are expected.

    Returns:
        Those, and what came within `SURPLUS_S` after them. Fewer, when no more came in time or it
        ended. Without kafkajs's log, which is JSON among them.
    """
    lines: list[str] = []
    with running(program) as (process, errors):
        reader = threading.Thread(target=_collect, args=(process, lines))
        reader.start()
        deadline = time.monotonic() + DEADLINE_S
        while len(lines) < count and reader.is_alive() and time.monotonic() < deadline:
            time.sleep(0.1)
        reader.join(SURPLUS_S)
    reader.join()
    assert len(lines) >= count, f"{lines}\n{errors.read_text()[-4000:]}"
    return sorted(lines)


def _collect(process: subprocess.Popen[str], lines: list[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if not line.startswith("{"):
            # Java leaves out a fraction of zero.
            lines.append(line.rstrip("\n").replace(".000Z", "Z"))
