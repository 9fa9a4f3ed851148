"""The engine's thread: drives the step machine and hands each poll to whoever folds it.

Owns: the loop, its back-off while the broker is away, its end.
Does not own: the order of steps (machine.py), where batches are folded (transport.py).
Invariants: the engine is used by this thread only; a poll is folded completely before the next
step; `stop` returns once the transaction in hand is committed or aborted, or after its time limit.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final

from pipeline.engine.batch import Poll
from pipeline.engine.errors import BrokerError
from pipeline.engine.faust.cycle_collector import PausedGarbageCollection
from pipeline.engine.machine import Engine

logger = logging.getLogger(__name__)

BACKOFF_S_MIN: Final = 0.2
BACKOFF_S_MAX: Final = 5.0


class EngineThread:
    """Runs an engine until it is stopped or fails.

    Args:
        engine: not yet started; this object starts and closes it.
        hand_over: starts the folding of a poll's batches elsewhere, without waiting for it.
        on_failure: told of the error that ended the thread, on the thread.
    """

    def __init__(
        self,
        engine: Engine,
        hand_over: Callable[[Poll], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self.engine = engine
        self._hand_over = hand_over
        self._on_failure = on_failure
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._records = 0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Ask the thread to end and wait for it; returns whether it did."""
        self._stop.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        garbage = PausedGarbageCollection()
        try:
            self._retrying(self.engine.start)
            while not self._stop.is_set():
                self._retrying(self._step)
                garbage.after_transaction(self._records)
        except BaseException as error:  # noqa: BLE001 — the thread's end is told, whatever it was
            self._on_failure(error)
        finally:
            garbage.close()
            self._close()

    def _step(self) -> None:
        poll = self.engine.poll()
        self._records = 0 if poll is None else poll.records
        if poll is not None:
            if poll.batches:
                self._fold(poll)
            self.engine.commit(poll)

    def _fold(self, poll: Poll) -> None:
        left = len(poll.batches)
        lock, finished = threading.Lock(), threading.Event()

        def one() -> None:
            nonlocal left
            with lock:
                left -= 1
                if left == 0:
                    finished.set()

        for batch in poll.batches:
            batch.when_finished(one)
        self._hand_over(poll)
        finished.wait()

    def _retrying(self, step: Callable[[], None]) -> None:
        """Take a step; while the broker is away, wait longer and longer and try again."""
        backoff_s = BACKOFF_S_MIN
        while not self._stop.is_set():
            try:
                step()
            except BrokerError as error:
                logger.warning("broker trouble, trying again in %.1f s: %s", backoff_s, error)
                self._stop.wait(backoff_s)
                backoff_s = min(BACKOFF_S_MAX, backoff_s * 2)
            else:
                return

    def _close(self) -> None:
        try:
            self.engine.close()
        except BrokerError as error:
            logger.warning("while closing: %s", error)
