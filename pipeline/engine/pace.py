"""How many records a poll may take, from how long earlier ones took.

Owns: the bound on a poll's records, between a floor and the configured most.
Does not own: the clock, what a poll is (machine.py).
Invariant: the bound is never above the configured most.
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
        if fold_s > self._target_s:
            self._shrink(FOLD_FLOOR)
        elif fold_s + commit_s > self._target_s:
            self._shrink(COMMIT_FLOOR)
        elif self.records_max < self._most:
            self.records_max = min(self._most, max(self.records_max * 5 // 4, self.records_max + 1))

    def _shrink(self, floor: int) -> None:
        self.records_max = min(self.records_max, max(floor, self.records_max // 2))
