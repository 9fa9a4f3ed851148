"""Comments in the source that say what its mutants mean.

Owns: the form of these comments, and which mutants each is about.
Does not own: mutants (sowing.py), how a mutant's outcome counts (harvest.py).
Invariant: a comment each of whose selectors has no mutant is an error, so that none rots.

A marker stands directly above a statement, or above a line inside of one:

    # equivalent (False): a short cut; without it the two look-ups find nothing
    # guard (condition): a record in the wrong partition is a dead letter

The mutants of that line by these selectors need not be noticed (*equivalent*), or have to be there
and have to be noticed (*guard*, whether the module is mutated whole or not). A selector is the name
of an operator of sowing.py, or a token that the mutation puts in, such as `>=` or `None`. Further
lines of the comment continue the reason, and several markers may stack.
"""

import ast
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from io import StringIO
from tokenize import COMMENT, generate_tokens
from typing import Final

from mutants.mutant import Mutant

_BEGINS: Final = re.compile(r"# *(?:equivalent|guard) *[(:]")
_FORM: Final = re.compile(r"# (?P<kind>equivalent|guard) \((?P<selectors>[^()]+)\): (?P<why>\S.*)")


class MarkerError(Exception):
    """Markers that are not of the form, or are about no mutant.

    Operator action: put the comment directly above the line that it is about, or take it away.
    """


@dataclass(frozen=True, slots=True)
class Marker:
    """One comment.

    Attributes:
        module: dotted name.
        kind: equivalent or guard.
        selectors: which mutants of the lines are meant.
        why: the reason, or what the guard does.
        first, last: numbers of the lines that it is about.
    """

    module: str
    kind: str
    selectors: frozenset[str]
    why: str
    first: int
    last: int

    def speaks_of(self, mutant: Mutant) -> bool:
        """Whether this is about the mutant."""
        return (
            self.module == mutant.module
            and self.first <= mutant.line <= self.last
            and not self.selectors.isdisjoint({mutant.operator, *mutant.put})
        )

    def described(self) -> str:
        """Where it stands and what it says."""
        selectors = ", ".join(sorted(self.selectors))
        return f"{self.module}, line {self.first}: {self.kind} ({selectors}): {self.why}"


def markers_of(module: str, source: str) -> list[Marker]:
    """The markers of a module, in the order of its lines.

    Raises:
        MarkerError: a comment begins like a marker and is not of the form, or stands above no code.
    """
    if not _BEGINS.search(source):
        return []
    lines = source.splitlines()
    ends = _ends(source)
    found: list[Marker] = []
    for token in generate_tokens(StringIO(source).readline):
        if token.type != COMMENT or not _BEGINS.match(token.string):
            continue
        at = token.start[0]
        form = _FORM.fullmatch(token.string)
        if form is None or lines[at - 1].strip() != token.string:
            raise MarkerError(f"{module}, line {at}: not of the form: {token.string}")
        why = [form["why"]]
        first = at + 1
        while lines[first - 1 : first] and lines[first - 1].strip().startswith("#"):
            if _BEGINS.match(lines[first - 1].strip()):
                break
            why.append(lines[first - 1].strip("# "))
            first += 1
        while lines[first - 1 : first] and lines[first - 1].strip().startswith("#"):
            first += 1
        if not "".join(lines[first - 1 : first]).strip():
            raise MarkerError(f"{module}, line {at}: stands above no code: {token.string}")
        selectors = frozenset(form["selectors"].replace(",", " ").split())
        last = ends.get(first, first)
        found.append(Marker(module, form["kind"], selectors, " ".join(why), first, last))
    return found


def _ends(source: str) -> dict[int, int]:
    """The last line of each statement by its first; of a compound one, before its body."""
    ends: dict[int, int] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt):
            cases = [case.pattern for case in getattr(node, "cases", ())]
            inner = getattr(node, "body", None) or cases
            end = inner[0].lineno - 1 if inner else node.end_lineno
            ends[node.lineno] = max(node.lineno, end or 0)
    return ends


def about_nothing(markers: Collection[Marker], mutants: Collection[Mutant]) -> Iterator[str]:
    """What is wrong with the markers of a module whose mutants are given."""
    for marker in markers:
        there = [mutant for mutant in mutants if marker.first <= mutant.line <= marker.last]
        chosen = {name for mutant in there for name in (mutant.operator, *mutant.put)}
        for selector in sorted(marker.selectors - chosen):
            known = ", ".join(sorted(chosen)) or "none"
            wrong = f"no mutant of this line by {selector!r}; there are: {known}"
            yield f"{marker.described()}: {wrong}"
    for mutant in mutants:
        about = [marker for marker in markers if marker.speaks_of(mutant)]
        if len({marker.kind for marker in about}) > 1:
            yield f"{about[0].described()}: a guard that nobody has to notice: {mutant.described()}"
