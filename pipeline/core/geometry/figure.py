"""What a figure is: parts in the order of the days that reveal them.

Owns: parts, their roles, the figure record.
Does not own: the thirteen figures (circles.py and its neighbours), their days of the cycle
(cycle.py).
Invariants: days run from 1 to `days` and each has at least one part; day 0 is there from the start;
the complete figure reaches exactly `extent` from the origin.
"""

from enum import Enum

import msgspec

from pipeline.core.geometry.shapes import Shape


class Role(Enum):
    """How a part is drawn."""

    LINE = "line"
    """A main stroke, luminous."""
    SOFT = "soft"
    """A secondary stroke."""
    FINE = "fine"
    """A hairline of construction."""
    FILL = "fill"
    """An area of accent colour, never stroked."""
    DISC = "disc"
    """A circle that hides the lines below it."""
    NODE = "node"
    """A point of light."""


class Part(msgspec.Struct, frozen=True, gc=False):
    """One primitive of a drawing: a shape, its role and its day.

    Attributes:
        day: 0..days of its figure, the day that reveals it.
        tone: 0..1, how strong a fill is.
    """

    day: int
    role: Role
    shape: Shape
    tone: float = 1.0


class Figure(msgspec.Struct, frozen=True, gc=False):
    """One of the thirteen figures.

    Attributes:
        slug: stable name in events. title, description: for people, also for those who cannot see
            it.
        days: how many days it takes, 1 and up.
        extent: distance from the origin to its farthest point, in its own units.
        turns: rotations that leave it what its name says, in twelfths of a turn.
    """

    slug: str
    title: str
    description: str
    days: int
    extent: float
    turns: tuple[int, ...]
    parts: tuple[Part, ...]
