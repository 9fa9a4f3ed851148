"""A guard, and how it is switched off to see who notices.

Owns: a guard's form, and the search for a seed that notices its lack.
Does not own: which guards there are (guards.py, guards_of_rebuilds.py), running seeds (run.py).
Invariant: switching off is undone, whatever happens meanwhile.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from simulator.run import Run, Verdict

Switch = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Guard:
    """One guard.

    Attributes:
        name: what it does.
        rule: of the engine's rules, the one that it keeps; 0 for a guard of rebuilds (ADR 0027).
        off: switches it off for as long as the context lasts.
        faults: that bring its lack to light.
        storm_s: as for a run.
    """

    name: str
    rule: int
    off: Switch
    faults: tuple[str, ...]
    storm_s: tuple[float, float] = (25.0, 150.0)

    def noticed(self, seeds: range) -> Verdict | None:
        """The first seed that complains without the guard, or None."""
        for seed in seeds:
            with self.off():
                verdict = Run(seed, chosen=self.faults, storm_s=self.storm_s).go()
            if any(not complaint.startswith("G:") for complaint in verdict.complaints):
                return verdict
        return None


def without(owner: Any, name: str, instead: Any) -> Switch:
    """Put something else in a name's place."""

    @contextmanager
    def switched() -> Iterator[None]:
        before = vars(owner)[name]
        setattr(owner, name, instead)
        try:
            yield
        finally:
            setattr(owner, name, before)

    return switched


def nothing(*_: object, **__: object) -> None:
    """What is left of a guard that is off."""
