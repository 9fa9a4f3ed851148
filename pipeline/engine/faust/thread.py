"""The engine's thread: it drives the step machine and hands each poll to the agents.

Owns: the loop, its back-off while the broker does not answer, its end.
Does not own: the order of steps (machine.py), where agents fold batches (transport.py).
Invariants: only this thread uses the engine; a poll is folded completely before the next step;
`stop` returns once the current transaction is committed or aborted, or after its time limit.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final

from pipeline.engine.batch import Poll
from pipeline.engine.errors import BrokerError
from pipeline.engine.faust.cycle_collector import CycleCollector
from pipeline.engine.machine import Engine

logger = logging.getLogger(__name__)

BACKOFF_S_MIN: Final = 0.2
"""Seconds of the first back-off; each that follows is twice as long."""

BACKOFF_S_MAX: Final = 5.0
"""Seconds of the longest back-off."""


class EngineThread:
    """Runs an engine until it is stopped or fails.

    Args:
        engine: not yet started; this object starts and closes it.
        hand_over: gives a poll's batches to the agents, without waiting until they are folded.
        on_failure: called on the thread, with the error that ends it.
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
        """Ask the thread to end and wait for it; return whether it ended in time."""
        self._stop.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        cycle_collector = CycleCollector()
        try:
            self._retrying(self.engine.start)
            while not self._stop.is_set():
                self._retrying(self._step)
                cycle_collector.after_transaction(self._records)
        except BaseException as error:  # noqa: BLE001 — any error has to be reported
            self._on_failure(error)
        finally:
            cycle_collector.close()
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
        """Take a step; while the broker does not answer, back off and try again."""
        backoff_s = BACKOFF_S_MIN
        while not self._stop.is_set():
            try:
                step()
            except BrokerError as error:
                logger.warning(
                    "broker trouble, trying again in %.1f s: %s",
                    backoff_s,
                    error,
                )
                self._stop.wait(backoff_s)
                backoff_s = min(BACKOFF_S_MAX, backoff_s * 2)
            else:
                return

    def _close(self) -> None:
        try:
            self.engine.close()
        except BrokerError as error:
            logger.warning("closing the engine failed: %s", error)
