"""Survivors that are argued: why nobody has to notice.

Owns: the form of argued.yaml, and which mutants an entry speaks of.
Does not own: the arguments (argued.yaml).
Invariant: an entry that speaks of no mutant is told, so the file cannot rot.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from mutants.mutant import Mutant

FORM: Final = frozenset({"was", "why", "operator", "becomes", "after"})


class ArgumentError(Exception):
    """An entry of the file is not of the form.

    Operator action: give it a module, the line as it was, the operator or what the line becomes,
    and why nobody has to notice.
    """


@dataclass(frozen=True, slots=True)
class Argument:
    """Why nobody has to notice some mutants.

    Attributes:
        module: dotted name.
        was: the changed lines, with white space squeezed.
        operator: one of sowing.py; None for all.
        becomes: what they become; None for anything.
        after: the line before them, where `was` alone is ambiguous; None for any.
        why: the argument.
    """

    module: str
    was: str
    operator: str | None
    becomes: str | None
    after: str | None
    why: str

    def speaks_of(self, mutant: Mutant) -> bool:
        """Whether this is about the mutant."""
        return (
            self.module == mutant.module
            and self.was == mutant.was
            and self.operator in {None, mutant.operator}
            and self.becomes in {None, mutant.becomes}
            and self.after in {None, mutant.after}
        )


def read(file: Path) -> list[Argument]:
    """The entries of a file: by module, a list of them; none when there is no file.

    Raises:
        ArgumentError: one is not of the form.
    """
    if not file.exists():
        return []
    found = []
    for module, entries in (yaml.safe_load(file.read_text()) or {}).items():
        for entry in entries:
            text = {key: " ".join(str(value).split()) for key, value in entry.items()}
            if not {"was", "why"} <= text.keys() <= FORM:
                raise ArgumentError(f"{module}: {entry}")
            if not {"operator", "becomes"} & text.keys():
                raise ArgumentError(f"{module}: which mutants of {text['was']!r} are meant?")
            argument = Argument(
                module,
                text["was"],
                text.get("operator"),
                text.get("becomes"),
                text.get("after"),
                text["why"],
            )
            found.append(argument)
    return found


def unspoken(arguments: Iterable[Argument], mutants: Iterable[Mutant]) -> list[Argument]:
    """Entries that speak of none of the mutants of their modules."""
    sown = list(mutants)
    return [each for each in arguments if not any(each.speaks_of(mutant) for mutant in sown)]
