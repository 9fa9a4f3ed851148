"""The witness file: every signed checkpoint, kept by somebody who does not run the pipeline.

Owns: reading and adding to the file.
Does not own: what a line says (signed.py), whether the lines agree with others (sightings.py).
Invariants: the file only grows; a line is there whole, or its run was killed and the next run drops
the part of it.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import AwawayError
from pipeline.ops.audit.sightings import Sighting
from pipeline.ops.audit.signed import SignedCheckpoint


class WitnessError(AwawayError):
    """The witness file cannot be read or written.

    Operator action: check path and permissions. Do not begin a new file: the old one is the proof.
    """


def read(path: Path) -> list[Sighting]:
    """Every whole line of a witness file.

    Raises:
        WitnessError: it cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _failed(path, error) from error
    lines = content.decode(errors="replace").split("\n")[:-1]
    return [Sighting(line, "witness", f"{path} line {n}") for n, line in enumerate(lines, 1)]


def add(path: Path, checkpoints: Sequence[SignedCheckpoint]) -> None:
    """Add lines at the end, and return when they are on the disk.

    Raises:
        WitnessError: it cannot be written.
    """
    try:
        with path.open("ab+") as file:
            file.seek(0)
            whole = file.read().rfind(b"\n") + 1
            file.truncate(whole)
            file.write(b"".join(f"{one.line}\n".encode() for one in checkpoints))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _failed(path, error) from error


def _failed(path: Path, error: OSError) -> WitnessError:
    return WitnessError(
        f"the witness file {path} cannot be used",
        why=str(error),
        fix="check path and permissions; keep the old file whatever happens",
    )
