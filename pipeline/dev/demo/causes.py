"""From the cause in an output record to the coordinates of the input.

Owns: the conversion between full and short names of topics in it.
Does not own: the outputs (outputs.py).
"""

from typing import Any, cast

from pipeline.dev.oracle.events import Coordinates


def coordinates_of(cause: dict[str, Any], kinds: dict[str, str]) -> Coordinates:
    """Return the coordinates of the input that an output names as its cause or original.

    Args:
        kinds: short names of the input topics, by full name.
    """
    return cast(Coordinates, (kinds.get(cause["topic"], "?"), cause["partition"], cause["offset"]))
