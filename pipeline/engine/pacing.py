"""How much a poll may take, and when, from how earlier ones went.

Owns: the bound on a poll's records, between a floor and the configured most; how long to rest after
transactions that failed.
Does not own: the clock, what a poll is (machine.py).
Invariants: the bound is never above the configured most; a rest is never longer than `REST_S_MAX`.
"""

from typing import Final

FOLD_FLOOR: Final = 1
"""So that even an agent that takes a second for one record gets on."""

COMMIT_FLOOR: Final = 100
"""A commit's requests take their time whatever they carry: fewer records would not make it shorter,
and with one record a transaction a slow broker would be fed one record a second."""


class Pace:
    """Keeps polls near a target: halves the bound when one took too long, lets it grow slowly.

    Attributes:
        records_max: of the next poll.
    """

    __slots__ = ("_most", "_target_s", "records_max")

    def __init__(self, records_max: int, target_s: float) -> None:
        self._most = self.records_max = records_max
        self._target_s = target_s

    def took(self, fold_s: float, commit_s: float) -> None:
        """A poll's records were folded in `fold_s`, then committed and applied in `commit_s`."""
        # equivalent (>=): a batch that takes exactly the target is neither too long nor quick
        if fold_s > self._target_s:
            self._shrink(FOLD_FLOOR)
        # equivalent (>=): a batch that takes exactly the target is neither too long nor quick
        elif fold_s + commit_s > self._target_s:
            self._shrink(COMMIT_FLOOR)
        # equivalent (True, <=): a short cut; the line below never grows beyond the most
        elif self.records_max < self._most:
            self.records_max = min(self._most, max(self.records_max * 5 // 4, self.records_max + 1))

    def _shrink(self, floor: int) -> None:
        self.records_max = min(self.records_max, max(floor, self.records_max // 2))


FAILURES_AT_ONCE: Final = 2
"""So many transactions may fail one after the other without a rest."""

REST_S_MIN: Final = 0.2

REST_S_MAX: Final = 3.0
"""Shorter than a silence that makes the consumer seem stalled (stall.py)."""


class Rest:
    """Waits longer and longer while one transaction after the other fails.

    There is no end to it: a worker that stopped could do no more than the same after its next
    start, and what refuses them all (rights, a topic that is gone, a broker that drops every
    answer) may pass at any time. The worker is not ready meanwhile (observability/health.py).

    Attributes:
        until: in monotonic seconds; 0 when there is no rest.
    """

    __slots__ = ("_failed", "until")

    def __init__(self) -> None:
        self._failed = 0
        self.until = 0.0

    def committed(self) -> None:
        """A transaction succeeded."""
        self._failed = 0

    def failed(self, now: float) -> None:
        """Another one did not, at `now`."""
        self._failed += 1
        if self._failed > FAILURES_AT_ONCE:
            # equivalent (11): the bound keeps the power a small number; the rest is longest after
            # four doublings
            doublings = min(10, self._failed - FAILURES_AT_ONCE - 1)
            self.until = now + min(REST_S_MAX, REST_S_MIN * 2**doublings)
