"""Which input a record is about.

Owns: naming an input by where it lies, from what an output says of it.
Does not own: the outputs (outputs.py).
"""

from typing import Any, cast

from pipeline.dev.oracle.events import Place


def place_of(cause: dict[str, Any], kinds: dict[str, str]) -> Place:
    """Return the input that a record names as its cause or original.

    Args:
        kinds: short names of the input topics, by full name.
    """
    return cast(Place, (kinds.get(cause["topic"], "?"), cause["partition"], cause["offset"]))
