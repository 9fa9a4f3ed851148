"""How properties draw their examples.

Owns: the choice between the same examples each time and others each time.
Does not own: the properties, and how many examples each draws.
Invariant: a run that decides whether a change lands is not decided by chance.

`make test` draws the same examples each time; `make verify` draws others, and ten times as many
where a property asks `examples` for its number.
"""

import os
from typing import Final

AT_RANDOM: Final = os.environ.get("AWAWAY_PROPERTIES") == "random"


def examples(count: int) -> int:
    """Return how many examples a property draws that draws `count` in `make test`."""
    return 10 * count if AT_RANDOM else count
