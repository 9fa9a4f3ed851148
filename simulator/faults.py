"""The faults: their names, how often they strike, and what counts as having struck.

Owns: the catalogue, and the dice.
Does not own: what a fault does (process.py, wire.py, disk.py, fleet.py).
Invariants: a fault is counted where its effect is seen, not where it is thrown; with no fault
chosen, nothing is ever thrown.
"""

from collections.abc import Sequence
from random import Random
from typing import Final

RATES: Final = {
    "killed": 0.004,
    "frozen briefly": 0.0015,
    "frozen past the session": 0.0015,
    "answer lost": 0.02,
    "request lost": 0.02,
    "asked again later": 0.02,
    "late copy of a request": 0.04,
    "done too late": 0.012,
    "no answer": 0.012,
    "slow agent": 0.05,
    "agent slower than polls may be": 0.02,
    "agent fails": 0.02,
    "agent forgets to say done": 0.02,
    "batch postponed": 0.03,
    "queue does not drain": 0.003,
    "write failed": 0.02,
    "killed during a write": 0.02,
    "store breaks in use": 0.01,
    "rebuild killed": 0.01,
}
"""Probability of each fault per step, request, fold, write or produced record."""

OPERATED: Final = "damage and rebuild"
"""Not a fault of the workers: an operator is at work, as operating.py has it."""

EVENTS: Final = (
    "old snapshot put back",
    "disk lost",
    "store corrupt",
    "broker restarted",
    "broker killed",
    "worker cut off",
    "rebalance storm",
    "slot taken twice",
    "two workers on one folder",
    "changelog compacted",
    "changelog expired",
    "group's offsets expired",
    "group's offsets went back",
    "changelog recreated",
    "changelog recreated in use",
    "rolling restart",
    "input aborted",
    OPERATED,
)
"""Faults that the storm causes now and then."""

CATALOGUE: Final = (*RATES, *EVENTS)


class Dice:
    """What strikes, by the faults that were chosen.

    Attributes:
        chosen: names from the catalogue.
        is_thrown: off while the run heals.
    """

    def __init__(self, random: Random, chosen: Sequence[str]) -> None:
        self._random = random
        self.chosen = tuple(chosen)
        self.is_thrown = True
        self._steps = self._table("killed", "frozen briefly", "frozen past the session")
        self._requests = self._table(
            "answer lost",
            "request lost",
            "asked again later",
            "late copy of a request",
            "done too late",
            "no answer",
        )
        self._folds = self._table(
            "slow agent",
            "agent slower than polls may be",
            "agent fails",
            "agent forgets to say done",
            "batch postponed",
        )
        self._writes = self._table("write failed", "killed during a write", "store breaks in use")
        self._produces = self._table("queue does not drain")
        self._rebuilds = self._table("rebuild killed")

    def _table(self, *names: str) -> list[tuple[float, str]]:
        """The chosen ones of these faults, with cumulated probabilities."""
        table, total = [], 0.0
        for name in names:
            if name in self.chosen:
                total += RATES[name]
                table.append((total, name))
        return table

    def _throw(self, table: list[tuple[float, str]]) -> str:
        if not table or not self.is_thrown:
            return ""
        roll = self._random.random()
        for bound, name in table:
            if roll < bound:
                return name
        return ""

    def at_step(self) -> str:
        """What strikes at a step of the engine, or at a call."""
        return self._throw(self._steps)

    def at_rebuild(self) -> str:
        """What strikes at a step of a rebuild."""
        return self._throw(self._rebuilds)

    def at_request(self) -> str:
        """What becomes of a request to the broker."""
        return self._throw(self._requests)

    def at_fold(self) -> str:
        """What becomes of a batch."""
        return self._throw(self._folds)

    def at_write(self) -> str:
        """What becomes of a write to the disk."""
        return self._throw(self._writes)

    def at_produce(self) -> str:
        """What becomes of a produced record."""
        return self._throw(self._produces)
