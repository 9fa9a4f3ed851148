"""How many records a poll may take, from how long earlier ones took.

Owns: the bound on a poll's records, between a floor and the configured most.
Does not own: the clock, what a poll is (machine.py).
Invariant: the bound is never above the configured most.
"""

from typing import Final

RECORDS_FLOOR: Final = 1
"""So that even an agent that takes a second for one record gets on."""


class Pace:
    """Keeps polls near a target: halves the bound when one took too long, lets it grow slowly.

    Attributes:
        records_max: of the next poll.
    """

    __slots__ = ("_most", "_target_s", "records_max")

    def __init__(self, records_max: int, target_s: float) -> None:
        self._most = self.records_max = records_max
        self._target_s = target_s

    def took(self, seconds: float) -> None:
        """A poll took this long, from its records to its end."""
        if seconds > self._target_s:
            self.records_max = max(RECORDS_FLOOR, self.records_max // 2)
        elif self.records_max < self._most:
            self.records_max = min(self._most, max(self.records_max * 5 // 4, self.records_max + 1))
