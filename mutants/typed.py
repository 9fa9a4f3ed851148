"""Which mutants the type checker refuses, asked of all of them at once.

Owns: one source with each mutant's function beside the original, and what mypy's errors on it say.
Does not own: mypy's settings (pyproject.toml).
Invariant: a mutant is refused only for an error that the original has not on the same line.

Most mutants that put None in a value's place never get as far as a test: `make test` runs mypy
first. To start it for each would take hours; so all the changed functions of all modules are
written into shadows of the modules, and it is run once.
"""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mutants.mutant import Mutant

ERROR: Final = re.compile(r"^(?P<path>[^:]+):(?P<line>\d+): error: (?P<said>.*)$")
_CHUNK: Final = re.compile(r"^(\s*(?:async )?def )(\w+)\(", re.MULTILINE)


@dataclass(slots=True)
class _Shadow:
    """A module with copies of its functions.

    Attributes:
        lines: of the shadow.
        copies: first and last line of each copy, and whose it is; None for the original's.
    """

    lines: list[str] = field(default_factory=list)
    copies: list[tuple[int, int, tuple[int, str | None]]] = field(default_factory=list)

    def add(self, text: Sequence[str], owner: tuple[int, str | None]) -> None:
        """Add one copy of a function."""
        self.copies.append((len(self.lines) + 1, len(self.lines) + len(text), owner))
        self.lines += text


def _functions(source: str) -> list[tuple[int, int, bool]]:
    """First and last line of each function and method, and whether it has decorators."""
    found = []
    owners: list[ast.AST] = [ast.parse(source)]
    while owners:
        for node in ast.iter_child_nodes(owners.pop()):
            if isinstance(node, ast.ClassDef):
                owners.append(node)
            elif isinstance(node, ast.FunctionDef):
                found.append((node.lineno, node.end_lineno or 0, bool(node.decorator_list)))
    return sorted(found)


def _renamed(text: str, number: int) -> list[str]:
    return _CHUNK.sub(rf"\1\2__{number}(", text, count=1).splitlines()


def _shadow(original: str, mutants: Sequence[Mutant]) -> _Shadow:
    shadow = _Shadow()
    lines = original.splitlines()
    at = number = 0
    for start, end, is_decorated in _functions(original):
        shadow.lines += lines[at:end]
        at = end
        if is_decorated:
            continue
        inside = [mutant for mutant in mutants if start <= mutant.line <= end]
        text = "\n".join(lines[start - 1 : end])
        for mutant, changed in [(None, text), *((m, _changed(m, start)) for m in inside)]:
            number += 1
            owner = (start, mutant.digest if mutant else None)
            shadow.add(_renamed(changed, number), owner)
    shadow.lines += lines[at:]
    return shadow


def _changed(mutant: Mutant, start: int) -> str:
    """The mutant's own text of the function that begins on a line."""
    end = next(last for first, last, _ in _functions(mutant.source) if first == start)
    return "\n".join(mutant.source.splitlines()[start - 1 : end])


def refused(root: Path, folder: Path, mutants: Iterable[Mutant]) -> Mapping[str, str]:
    """What the type checker says against mutants, by their digests.

    Args:
        root: of the project.
        folder: for shadows and the checker's cache; made when it is not there.
        mutants: of any modules below the root.
    """
    by_module: defaultdict[str, list[Mutant]] = defaultdict(list)
    for mutant in mutants:
        by_module[mutant.module].append(mutant)
    if not by_module:
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    shadows: dict[str, _Shadow] = {}
    options = []
    for module, of_module in by_module.items():
        path = f"{module.replace('.', '/')}.py"
        shadows[path] = shadow = _shadow((root / path).read_text(), of_module)
        file = folder / f"{module}.py"
        file.write_text("\n".join(shadow.lines) + "\n")
        options += ["--shadow-file", path, str(file)]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", str(folder / "mypy"), *options, *shadows],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    said: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for line in done.stdout.splitlines():
        if match := ERROR.match(line):
            said[match["path"]].append((int(match["line"]), match["said"]))
    against: dict[str, str] = {}
    for path, shadow in shadows.items():
        against.update(_against(shadow, said[path]))
    return against


def _against(shadow: _Shadow, errors: Sequence[tuple[int, str]]) -> dict[str, str]:
    """The first error of each mutant that the original's copy has not."""
    excused: set[tuple[int, str]] = set()
    against: dict[str, str] = {}
    by_line = {
        line: owner for first, last, owner in shadow.copies for line in range(first, last + 1)
    }
    for is_original in (True, False):
        for line, said in errors:
            if line not in by_line:
                continue
            start, digest = by_line[line]
            key = (start, re.sub(r"on line \d+|__\d+", "", said))
            if is_original and digest is None:
                excused.add(key)
            elif not is_original and digest is not None and key not in excused:
                against.setdefault(digest, said)
    return against
