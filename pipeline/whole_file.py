"""Files that are whole or not there, whoever is killed while one is written.

Owns: replacing a file at once.
Does not own: what is in it.
Invariant: the part that is written first lies beside the file, under a name of this process.
"""

import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file so that no reader sees half of it.

    Args:
        path: its folder exists.

    Raises:
        OSError: it cannot be written; what was there is there still.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_bytes(content)
    part.replace(path)
