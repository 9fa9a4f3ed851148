"""Python's cycle collector, between transactions and never within one.

Owns: when cycles are collected in a worker.
Does not own: memory bounds (queues and batches have their own).
Why: a batch makes hundreds of thousands of objects that reference counting frees; the automatic
collector walks them again and again, which took a quarter of the fold's time. What is made in
cycles (exceptions with their tracebacks, event loop internals) is small and waits for the next
pause. Invariant: between two full collections there are at most `FULL_EVERY_RECORDS` inputs, or
`FULL_EVERY_S` seconds.
"""

import gc
import time
from typing import Final

FULL_EVERY_RECORDS: Final = 1_000_000
FULL_EVERY_S: Final = 60.0


class PausedGarbageCollection:
    """Takes the collector over from the interpreter; made once, when the worker starts to work.

    What is there then is kept, without looking at it for what nobody holds: that would take a
    quarter of a second, while partitions wait.
    """

    def __init__(self) -> None:
        gc.freeze()
        gc.disable()
        self._records = 0
        self._collected_at = time.monotonic()

    def after_transaction(self, records: int) -> None:
        """Collect, when enough was done since the last time."""
        self._records += records
        now = time.monotonic()
        if self._records < FULL_EVERY_RECORDS and now - self._collected_at < FULL_EVERY_S:
            return
        gc.collect()
        self._records, self._collected_at = 0, now

    def close(self) -> None:
        """Give the collector back."""
        gc.unfreeze()
        gc.enable()
