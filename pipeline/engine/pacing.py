"""The adaptive batch size of polls, and the back-off after transactions that failed.

Owns: how many records the next poll may take, and how long the engine backs off.
Does not own: the clock, what a poll is (machine.py).
Invariants: the batch size is never above the configured maximum; a back-off is never longer than
`BACKOFF_S_MAX`.
"""

from typing import Final

SLOW_FOLD_RECORDS_MIN: Final = 1
"""Min records in a poll while agents are slow: even one that needs a second a record gets on."""

SLOW_COMMIT_RECORDS_MIN: Final = 100
"""Min records in a poll while commits are slow. A commit's requests take their time whatever they
carry, so fewer records would not make it shorter: a slow broker would get one record a second."""


class AdaptiveBatchSize:
    """Keeps a poll's duration near a target: it halves the batch size after a poll that took too
    long, and lets it grow by a quarter after each that did not.

    Attributes:
        records_max: of the next poll.
    """

    __slots__ = ("_configured_max", "_target_s", "records_max")

    def __init__(self, records_max: int, target_s: float) -> None:
        self._configured_max = self.records_max = records_max
        self._target_s = target_s

    def adapt(self, fold_s: float, commit_s: float) -> None:
        """Adapt to a poll that was folded in `fold_s`, then committed and applied in `commit_s`."""
        # equivalent (>=): a batch that takes exactly the target is neither too long nor quick
        if fold_s > self._target_s:
            self._halve(SLOW_FOLD_RECORDS_MIN)
        # equivalent (>=): a batch that takes exactly the target is neither too long nor quick
        elif fold_s + commit_s > self._target_s:
            self._halve(SLOW_COMMIT_RECORDS_MIN)
        # equivalent (True, <=): a short cut; the lines below never grow beyond the maximum
        elif self.records_max < self._configured_max:
            grown = max(self.records_max * 5 // 4, self.records_max + 1)
            self.records_max = min(self._configured_max, grown)

    def _halve(self, records_min: int) -> None:
        self.records_max = min(self.records_max, max(records_min, self.records_max // 2))


FAILURES_WITHOUT_BACKOFF: Final = 2
"""Max transactions that may fail in a row before the engine backs off."""

BACKOFF_S_MIN: Final = 0.2
"""Seconds of the first back-off; each that follows is twice as long."""

BACKOFF_S_MAX: Final = 3.0
"""Seconds of the longest back-off: shorter than the silence after which a consumer counts as
stalled (stall.py)."""


class Backoff:
    """Exponential back-off while one transaction after the other fails.

    There is no limit to the number of attempts: a worker that stopped could do no more than the
    same after its next start, and what refuses them all (rights, a topic that is gone, a broker
    that drops every answer) may pass at any time. The worker is not ready meanwhile
    (observability/health.py).

    Attributes:
        until: in monotonic seconds; 0 when the engine does not back off.
    """

    __slots__ = ("_failures", "until")

    def __init__(self) -> None:
        self._failures = 0
        self.until = 0.0

    def committed(self) -> None:
        """Note that a transaction succeeded."""
        self._failures = 0

    def failed(self, now: float) -> None:
        """Note that a transaction failed at `now`, and back off if too many did."""
        self._failures += 1
        if self._failures > FAILURES_WITHOUT_BACKOFF:
            # equivalent (11): the bound keeps the power a small number; the back-off is longest
            # after four doublings
            doublings = min(10, self._failures - FAILURES_WITHOUT_BACKOFF - 1)
            self.until = now + min(BACKOFF_S_MAX, BACKOFF_S_MIN * 2**doublings)
