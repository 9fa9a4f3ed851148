"""An operator's shell: the product's commands as processes, given until they are done.

Owns: starting a command against a ledger, its bounds, killing it on the way, what it printed.
Does not own: which commands are given (acts.py).
Invariant: one command at a time, and none outlives its caller or its time.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final

from chaos.errors import OverdueError
from chaos.ledger import LOG_TAIL_CHARS, ROOT, Ledger
from pipeline.errors import EXIT_OK

COMMAND_S_MAX: Final = 240.0
"""Of one process; it takes seconds to start, and waits for workers that a fault has hurt."""

ACT_S_MAX: Final = 600.0
"""Of asking again and again: no fault lasts so long."""

AGAIN_S: Final = 1.0
TICK_S: Final = 0.1


class Shell:
    """Runs commands of `awaway`, for one thread.

    Args:
        ledger: whose brokers and topics they are about.
        folder: the operator's data folder; it is made.
        meanwhile: called several times a second while a command runs.
    """

    def __init__(self, ledger: Ledger, folder: Path, meanwhile: Callable[[], None]) -> None:
        folder.mkdir()
        self.folder = folder
        self._ledger = ledger
        self._meanwhile = meanwhile
        self._output = folder / "output"
        self._errors = folder / "errors.log"

    def run(self, *words: str, codes: Collection[int] = (EXIT_OK,)) -> Any:
        """Give a command until it ends as it should; returns what it printed.

        Args:
            codes: with which it should end.

        Raises:
            OverdueError: it did not for `ACT_S_MAX` seconds.
        """
        answer: Any = {}

        def is_done() -> bool:
            nonlocal answer
            code = self.give(*words)
            try:
                answer = json.loads(self._output.read_text())
            except ValueError:
                return False
            return code in codes and "what" not in answer  # an error may end with 1 as a finding

        self.until(is_done, words)
        return answer

    def until(self, is_done: Callable[[], bool], words: Collection[str]) -> None:
        """Do something again and again until it is done.

        Args:
            words: of the command that it is about.

        Raises:
            OverdueError: it was not for `ACT_S_MAX` seconds.
        """
        deadline_s = time.monotonic() + ACT_S_MAX
        while not is_done():
            if time.monotonic() > deadline_s:
                shown = self._output.read_text() + self._errors.read_text()
                what = f"`awaway {' '.join(words)}`: not within {ACT_S_MAX:.0f} s"
                raise OverdueError(what, why=shown[-LOG_TAIL_CHARS:])
            time.sleep(AGAIN_S)

    def give(self, *words: str) -> int:
        """Give a command once; returns its exit code."""
        return self._wait(words, lambda: False)

    def kill(self, *words: str, begun: Callable[[], bool], after_s: float) -> bool:
        """Give a command, and kill it with signal 9 some time after it has begun.

        Returns:
            Whether that ended it.
        """

        def is_enough() -> bool:
            if not begun():
                return False
            time.sleep(after_s)
            return True

        return self._wait(words, is_enough) == -signal.SIGKILL and begun()

    def _wait(self, words: Collection[str], is_enough: Callable[[], bool]) -> int:
        with self._output.open("wb") as output, self._errors.open("ab") as errors:
            process = subprocess.Popen(
                [
                    *self._ledger.launcher,
                    *(sys.executable, "-m", "pipeline.cli.main", *words, "-o", "json"),
                ],
                cwd=ROOT,
                env=self._ledger.environment(DATA_DIR=str(self.folder)) | {"PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            )
        deadline_s = time.monotonic() + COMMAND_S_MAX
        try:
            while process.poll() is None and time.monotonic() < deadline_s and not is_enough():
                self._meanwhile()
                time.sleep(TICK_S)
        finally:
            process.kill()
        return process.wait()
