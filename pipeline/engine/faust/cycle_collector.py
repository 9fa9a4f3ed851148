"""Python's cycle collector, run between transactions and never within one.

Owns: when the cycle collector runs in a worker.
Does not own: memory bounds (queues and batches have their own).
Why: a batch makes hundreds of thousands of objects that reference counting frees; the automatic
collector traverses them again and again, which took a quarter of the fold's time. The objects in
reference cycles (exceptions with their tracebacks, event loop internals) are few and can wait.
Invariant: a transaction is followed by a full collection when there were `FULL_EVERY_RECORDS`
inputs, or `FULL_EVERY_S` seconds, since the last one.
"""

import gc
import time
from typing import Final

FULL_EVERY_RECORDS: Final = 1_000_000
"""Inputs after which a full collection is due."""

FULL_EVERY_S: Final = 60.0
"""Seconds after which a full collection is due."""


class CycleCollector:
    """Runs the cycle collector in place of the interpreter; made once, when the worker starts.

    Objects that exist by then are exempt for good. They are not collected first: that would take a
    quarter of a second, while partitions wait.
    """

    def __init__(self) -> None:
        gc.freeze()
        gc.disable()
        self._records = 0
        self._collected_at = time.monotonic()

    def after_transaction(self, records: int) -> None:
        """Collect if a full collection is due."""
        self._records += records
        now = time.monotonic()
        if self._records < FULL_EVERY_RECORDS and now - self._collected_at < FULL_EVERY_S:
            return
        gc.collect()
        self._records, self._collected_at = 0, now

    def close(self) -> None:
        """Leave the cycle collector to the interpreter again."""
        gc.unfreeze()
        gc.enable()
