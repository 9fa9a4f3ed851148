"""One mutant: a module's source with one small fault in it.

Owns: what a mutant is, and how it is described.
Does not own: where mutants come from (sowing.py), what becomes of one (trial.py).
Invariant: two mutants with the same digest are the same source of the same module.
"""

import re
from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

_TOKEN: Final = re.compile(r"\d[\w.]*|\w+|(?:\*\*|//|<<|>>|[-+*/%@&|^<>=!:])=?|\S")


@dataclass(frozen=True, slots=True)
class Mutant:
    """A module's source with one small fault in it.

    Attributes:
        module: dotted name.
        scope: of the function that was changed, within the module.
        operator: kind of the change.
        line: number of the first line that was changed.
        was, becomes: the changed lines, before and after, without needless white space.
        source: of the whole module, changed.
    """

    module: str
    scope: str
    operator: str
    line: int
    was: str
    becomes: str
    source: str

    @property
    def digest(self) -> str:
        """Of module and source: the mutant's name in what is remembered."""
        return sha256(f"{self.module}\0{self.source}".encode()).hexdigest()[:24]

    @property
    def put(self) -> frozenset[str]:
        """The tokens that the change puts in."""
        was, becomes = (Counter(_TOKEN.findall(text)) for text in (self.was, self.becomes))
        return frozenset(becomes - was)

    @property
    def location(self) -> str:
        """Where it is, as a person looks for it."""
        return f"{self.module.replace('.', '/')}.py:{self.line} {self.scope} [{self.operator}]"

    def described(self) -> str:
        """Where it is and what it changes, on three lines."""
        return f"{self.location}\n    - {self.was}\n    + {self.becomes}"


def planted(module: str, original: str, source: str, scope: str, operator: str) -> Mutant:
    """The mutant whose source differs from the original in a range of lines."""
    old, new = original.splitlines(), source.splitlines()
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    same = 0
    while same < min(len(old), len(new)) - start and old[-1 - same] == new[-1 - same]:
        same += 1
    was, becomes = old[start : len(old) - same], new[start : len(new) - same]
    return Mutant(module, scope, operator, start + 1, _squeezed(was), _squeezed(becomes), source)


def _squeezed(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())
