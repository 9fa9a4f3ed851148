"""What became of mutants in earlier runs.

Owns: which of it still holds, and the file that keeps it.
Does not own: trials (trial.py).
Invariants: a kill holds as long as the mutant and whoever noticed are the same; a survival as long
as the mutant and all its judges are. The file is only added to, so a run that was cut off goes on.

The other modules are not looked at: after a large change begin afresh (`--afresh`).
"""

import json
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final

from mutants.mutant import Mutant
from mutants.targets import Target, Tests

SIMULATOR: Final = "simulator"


class Memory:
    """Outcomes by mutant and judge.

    Args:
        root: of the project.
        file: made with its folders when it is not there.
    """

    def __init__(self, root: Path, file: Path) -> None:
        self._root = root
        self._file = file
        self._states: dict[str, str] = {}
        self._known: dict[tuple[str, str], str | None] = {}
        if file.exists():
            for line in file.read_text().splitlines():
                digest, state, by = json.loads(line)
                self._known[digest, state] = by

    def forget(self) -> None:
        """Begin afresh."""
        self._known.clear()
        self._file.unlink(missing_ok=True)

    def recall(self, mutant: Mutant, target: Target) -> tuple[bool, str | None]:
        """Whether the outcome is known, and who noticed."""
        for judge in self._judges(target):
            by = self._known.get((mutant.digest, self._state([judge])))
            if by is not None:
                return True, by
        key = mutant.digest, self._state(self._judges(target))
        return key in self._known, None

    def keep(self, mutant: Mutant, target: Target, by: str | None) -> None:
        """Remember an outcome."""
        judges = list(self._judges(target))
        noticed = [judge for judge in judges if by is not None and by.startswith(judge)]
        if by is not None and not noticed:
            noticed = [SIMULATOR] if SIMULATOR in judges else judges[:1]
        state = self._state(noticed[:1] if noticed else judges)
        self._known[mutant.digest, state] = by
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a") as out:
            out.write(json.dumps([mutant.digest, state, by]) + "\n")

    def _judges(self, target: Target) -> Iterator[str]:
        """Files of tests, and the simulator."""
        seen: set[str] = set()
        for judge in target.judges:
            if not isinstance(judge, Tests):
                seen.add(SIMULATOR)
                continue
            for path in judge.paths:
                whole = self._root / path
                files = sorted(whole.glob("test_*.py")) if whole.is_dir() else [whole]
                seen.update(file.relative_to(self._root).as_posix() for file in files)
        yield from sorted(seen)

    def _state(self, judges: Iterable[str]) -> str:
        """Digest of what the judges are now."""
        digest = sha256()
        for judge in judges:
            if judge not in self._states:
                whole = self._root / judge
                files = sorted(whole.glob("*.py")) if whole.is_dir() else [whole]
                texts = b"".join(file.read_bytes() for file in files)
                self._states[judge] = sha256(judge.encode() + texts).hexdigest()
            digest.update(self._states[judge].encode())
        return digest.hexdigest()[:24]
