"""A mutation run: every mutant of some modules, and what became of it.

Owns: which mutants are tried, what is taken from earlier runs, how an outcome counts.
Does not own: mutants (sowing.py), what is marked in the source (markers.py), trials (field.py).
Invariants: each mutant counts once, as killed, argued or survived; what is argued is not tried, as
it would cost the most; a guard is killed by a test or a seed, never by the type checker.
"""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Final

import pytest

from mutants.field import Field, Outcome, with_tests
from mutants.markers import Marker, MarkerError, about_nothing, markers_of
from mutants.memory import Memory
from mutants.mutant import Mutant
from mutants.sowing import sown
from mutants.targets import Target, all_judges
from mutants.typed import refused

KEPT: Final = Path(".local/mutants/kept.jsonl")
EVERY_S: Final = 30.0

Work = list[tuple[Mutant, Target]]


def say(what: str) -> None:
    """Tell a person."""
    print(what, file=sys.stderr, flush=True)


class Harvest:
    """A run: what is tried, what came of it.

    Args:
        root: of the project.
        targets: to mutate.
        every: the targets to survey, so that the survey serves other runs too; None for these.

    Raises:
        MarkerError: the source's markers are not of the form, or are about no mutant.
    """

    def __init__(
        self, root: Path, targets: Sequence[Target], every: Sequence[Target] | None = None
    ) -> None:
        self._root = root
        self._targets = targets
        self._every = every or targets
        self._memory = Memory(root, root / KEPT)
        self._markers: list[Marker] = []
        self.work: Work = []
        wrong: list[str] = []
        for target in targets:
            source = (root / f"{target.module.replace('.', '/')}.py").read_text()
            mutants, markers = sown(target.module, source), markers_of(target.module, source)
            wrong += about_nothing(markers, mutants)
            self._markers += markers
            self.work += [
                (each, target) for each in mutants if target.is_whole or self._is_guard(each)
            ]
        if wrong:
            raise MarkerError("\n".join(wrong))
        self.killed: Counter[str] = Counter()
        self.argued: list[Mutant] = []
        self.survivors: list[Mutant] = []

    @property
    def guards(self) -> list[Marker]:
        """The guards among what is tried."""
        return self._about("guard", [mutant for mutant, _ in self.work])

    @property
    def unnoticed(self) -> list[Marker]:
        """The guards that can be switched off without anybody noticing."""
        return self._about("guard", self.survivors)

    def _about(self, kind: str, mutants: Sequence[Mutant]) -> list[Marker]:
        return [
            marker
            for marker in self._markers
            if marker.kind == kind and any(marker.speaks_of(mutant) for mutant in mutants)
        ]

    def _is_guard(self, mutant: Mutant) -> bool:
        return bool(self._about("guard", [mutant]))

    def sample(self, count: int, seed: int) -> None:
        """Go on with so many at most."""
        if count < len(self.work):
            picked = Random(seed).sample(range(len(self.work)), count)
            self.work = [self.work[i] for i in sorted(picked)]

    def forget(self) -> None:
        """Forget what earlier runs found."""
        self._memory.forget()

    def run(self, jobs: int, *, with_types: bool = True) -> str | None:
        """Hold the trials; returns what is wrong with the source as it is, or None.

        Args:
            jobs: trials at once.
            with_types: ask the type checker first.
        """
        unknown: Work = []
        for mutant, target in self.work:
            is_known, by = self._memory.recall(mutant, target)
            if self._about("equivalent", [mutant]):
                self.argued.append(mutant)
            elif is_known:
                self._take(mutant, by)
            else:
                unknown.append((mutant, target))
        say(f"{len(self.work)} mutants, {len(unknown)} to be tried")
        unknown = self._past_types(unknown) if with_types else unknown
        if not unknown:
            return None
        wrong: list[str] = []

        def act(session: pytest.Session) -> None:
            field = Field(session, self._every, jobs)
            wrong.extend(self._wrong(field))
            if not wrong:
                self._try(field, unknown)

        code = with_tests(self._root, self._targets, act)
        return next(iter(wrong), None if code == 0 else f"the tests: pytest ended with {code}")

    def _past_types(self, unknown: Work) -> Work:
        """Those that the type checker lets pass."""
        folder = self._root / KEPT.parent / "types"
        asked = [mutant for mutant, _ in unknown if not self._is_guard(mutant)]
        against = refused(self._root, folder, asked)
        passed: Work = []
        for mutant, target in unknown:
            said = against.get(mutant.digest)
            if said is None:
                passed.append((mutant, target))
            else:
                self._memory.keep(mutant, target, f"types: {said}")
                self._take(mutant, f"types: {said}")
        if against:
            say(f"the type checker refuses {len(against)} of them")
        return passed

    def _wrong(self, field: Field) -> Iterator[str]:
        """What is wrong with the source as it is."""
        if field.failed is not None:
            yield field.failed
        for outcome in field.trials([(None, all_judges(self._targets))]):
            if outcome.by is not None:
                yield outcome.by
            say(f"the source as it is passes, in {outcome.took_s:.0f} s")

    def _try(self, field: Field, unknown: Work) -> None:
        target_of = {mutant.digest: target for mutant, target in unknown}
        said_at = time.monotonic()
        for done, outcome in enumerate(_real(field.trials(iter(unknown))), 1):
            mutant, by, took_s = outcome
            self._memory.keep(mutant, target_of[mutant.digest], by)
            self._take(mutant, by)
            if by is None:
                say(f"SURVIVED after {took_s:.0f} s: {mutant.described()}")
            if time.monotonic() - said_at > EVERY_S:
                said_at = time.monotonic()
                say(f"  {done} of {len(unknown)} tried, {len(self.survivors)} survivors")

    def _take(self, mutant: Mutant, by: str | None) -> None:
        if by is not None:
            self.killed[
                by.split("::")[0] if by.startswith("tests") else by.split()[0].strip(":")
            ] += 1
        else:
            self.survivors.append(mutant)


def _real(outcomes: Iterator[Outcome]) -> Iterator[tuple[Mutant, str | None, float]]:
    for outcome in outcomes:
        if outcome.mutant is not None:
            yield outcome.mutant, outcome.by, outcome.took_s
