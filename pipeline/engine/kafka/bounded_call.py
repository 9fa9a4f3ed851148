"""Calls into librdkafka with a time limit of our own.

Owns: the thread on which the calls are made, and giving a call up when its time is over.
Does not own: what is called, and what follows when a call is given up (producer.py).
Why: librdkafka's `rd_kafka_send_offsets_to_transaction` does not return, whatever time-out it is
given, once the group's coordinator has been away from the cluster's metadata for a moment, as a
broker is that restarts (its issues 5511 and 5456, open in 2.16).
Invariant: calls are made one at a time and in order; after one was given up, no other is made.
"""

import queue
import threading
from collections.abc import Callable

Call = Callable[[], object]


class GivenUpError(Exception):
    """A call did not return in time; its thread is abandoned.

    Operator action: none: the caller replaces the client that the call was made on.
    """


class BoundedCaller:
    """Makes calls on a thread of its own, which ends with `stop` or with the process.

    Attributes:
        is_given_up: whether a call did not return in time.
    """

    def __init__(self, name: str) -> None:
        self._asked: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self.is_given_up = False
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def call(self, function: Call, timeout_s: float) -> None:
        """Make a call and wait for it.

        Raises:
            GivenUpError: it did not return within `timeout_s`.
            Exception: whatever it raised.
        """
        self._asked.put(function)
        try:
            error = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            self.is_given_up = True
            self.stop()
            raise GivenUpError(f"a call did not return within {timeout_s:.0f} s") from None
        if error is not None:
            raise error

    def stop(self) -> None:
        """End the thread after its current call."""
        self._asked.put(None)

    def _run(self) -> None:
        while (function := self._asked.get()) is not None:
            try:
                function()
            except Exception as error:  # noqa: BLE001 — raised again where the call was asked for
                self._answers.put(error)
            else:
                self._answers.put(None)
