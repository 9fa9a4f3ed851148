"""Producers that send completions all the while, with nearly everything that clients get wrong.

Owns: the stream of a ledger, the thread that sends its records at a rate.
Does not own: what is in the stream (pipeline/dev/workload/stream.py), and what must follow from it,
which the oracle says; the client (sender.py).
"""

import functools
import threading
import time
from typing import Final

from chaos.judge import policy
from chaos.ledger import Ledger
from chaos.sender import Sender
from pipeline.clock import now_ms
from pipeline.dev.workload.reports import Limits, limits_of
from pipeline.dev.workload.stream import Stream
from pipeline.dev.workload.wire import json_only

TICK_S: Final = 0.05


def new_stream(ledger: Ledger, seed: int, users: int) -> Stream:
    """Return a stream of JSON for a ledger's partitions, within the bounds of today's policy."""
    return Stream(seed, users, _limits(), json_only(ledger.partitions))


@functools.cache
def _limits() -> Limits:
    return limits_of(policy().at(now_ms()))


class Load:
    """Sends a stream at a rate until it is stopped, on a thread of its own.

    Args:
        ledger: whose inputs these are.
        seed, users: of the stream.
        events_per_s: completions or commands a second; duplicates and withdrawals come on top.
    """

    def __init__(self, ledger: Ledger, seed: int, users: int, events_per_s: int) -> None:
        self._sender = Sender(ledger)
        self._stream = new_stream(ledger, seed, users)
        self._rate = events_per_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    @property
    def replaced(self) -> int:
        """Clients that had gone silent, and were replaced."""
        return self._sender.replaced

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and return when what was sent is in the log, or its client has gone silent."""
        self._stop.set()
        self._thread.join()
        self._sender.flush()

    def _run(self) -> None:
        began = time.monotonic()
        asked = 0
        while not self._stop.wait(TICK_S):
            due = int((time.monotonic() - began) * self._rate)
            while asked < due:
                self._send()
                asked += 1
            self._sender.poll()

    def _send(self) -> None:
        for record in self._stream.next(now_ms()):
            self._sender.send(record)
