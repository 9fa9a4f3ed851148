"""The golden spiral in a torus of circles.

Owns: figure 12.
Does not own: styling.
Invariant: the spiral's radius grows by φ in each quarter turn, ρ = a·φ^(2θ/π), to 1 at its end.
"""

from typing import Final

from pipeline.core.geometry.circles import CENTRE
from pipeline.core.geometry.exact import LN_PHI, PI, Point, phi_power, polar
from pipeline.core.geometry.figure import Figure, Part, Role
from pipeline.core.geometry.shapes import Circle, Path, Step

DAYS: Final = 12
"""A quarter turn of the spiral each."""

TORUS_CIRCLES: Final = 24
_PIECES: Final = 4
"""Curves in a quarter turn."""


def spiral_point(piece: int) -> Point:
    """The spiral at `piece` sixteenths of a turn before (negative) or after its end on the rim."""
    return polar(phi_power(piece), 4 + piece, 4 * _PIECES)


def _slope(piece: int) -> Point:
    """Derivative by the angle: (2 ln φ/π)·p plus p turned by a right angle."""
    x, y = spiral_point(piece)
    growth = 2.0 * LN_PHI / PI
    return growth * x - y, growth * y + x


def spiral_arc(first: int, last: int) -> Path:
    """The spiral between two sixteenths, as one cubic curve each, exact in ends and tangents."""
    third = 2.0 * PI / (4 * _PIECES) / 3.0
    steps = [Step("M", (spiral_point(first),))]
    for piece in range(first, last):
        (x0, y0), (x1, y1) = spiral_point(piece), spiral_point(piece + 1)
        (u0, v0), (u1, v1) = _slope(piece), _slope(piece + 1)
        near = (x0 + u0 * third, y0 + v0 * third)
        far = (x1 - u1 * third, y1 - v1 * third)
        steps.append(Step("C", (near, far, (x1, y1))))
    return Path(tuple(steps))


def golden_spiral() -> Figure:
    """Each day a quarter turn outwards, and two more circles of the torus."""
    arcs = tuple(
        Part(day, Role.LINE, spiral_arc((day - 1 - DAYS) * _PIECES, (day - DAYS) * _PIECES))
        for day in range(1, DAYS + 1)
    )
    half = TORUS_CIRCLES // 2
    torus = tuple(
        Part(1 + k % half, Role.SOFT, Circle(polar(0.5, k, TORUS_CIRCLES), 0.5))
        for k in range(TORUS_CIRCLES)
    )
    return Figure(
        "golden-spiral",
        "Golden Spiral and Torus",
        "A spiral that grows by the golden ratio in every quarter turn, within a torus of circles.",
        DAYS,
        1.0,
        (0, 3, 6, 9),
        (
            *torus,
            *arcs,
            *(
                Part(day, Role.NODE, Circle(spiral_point((day - DAYS) * _PIECES), 0.012))
                for day in range(6, DAYS + 1)
            ),
            Part(DAYS, Role.SOFT, Circle(CENTRE, 1.0)),
        ),
    )
