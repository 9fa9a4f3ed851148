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

TORUS_CIRCLES: Final = 24
_PIECES: Final = 4
"""Number of curves in a quarter turn."""
_COIL: Final = -48
"""The piece at which the drawn spiral starts: twelve quarter turns before its end."""
_BAND: Final = 0.3
_TAPER: Final = 10.0


def spiral_point(piece: int) -> Point:
    """Return the point `piece` sixteenths of a turn after the end on the rim; negative: before."""
    return polar(phi_power(piece), 4 + piece, 4 * _PIECES)


def _slope(piece: int) -> Point:
    """Return the derivative by the angle: (2 ln φ/π)·p plus p turned by a right angle."""
    x, y = spiral_point(piece)
    growth = 2.0 * LN_PHI / PI
    return growth * x - y, growth * y + x


def spiral_arc(first: int, last: int) -> Path:
    """Return the spiral between two pieces, one cubic curve each, exact in ends and tangents."""
    third = 2.0 * PI / (4 * _PIECES) / 3.0
    steps = [Step("M", (spiral_point(first),))]
    for piece in range(first, last):
        (x0, y0), (x1, y1) = spiral_point(piece), spiral_point(piece + 1)
        (u0, v0), (u1, v1) = _slope(piece), _slope(piece + 1)
        near = (x0 + u0 * third, y0 + v0 * third)
        far = (x1 - u1 * third, y1 - v1 * third)
        steps.append(Step("C", (near, far, (x1, y1))))
    return Path(tuple(steps))


def _inner_point(piece: int) -> Point:
    """Return a point of the shell's inner edge, a share inside the spiral that ends at the rim."""
    left = min(1.0, -piece / _TAPER)
    share = 1.0 - _BAND * left * (2.0 - left)
    x, y = spiral_point(piece)
    return x * share, y * share


def _inner_slope(piece: int) -> Point:
    (x0, y0), (x1, y1) = _inner_point(piece - 1), _inner_point(min(piece + 1, 0))
    width = 2.0 if piece < 0 else 1.0
    return (x1 - x0) / width, (y1 - y0) / width


def shell(first: int, last: int) -> Path:
    """Return the area between the spiral and its inner edge, from one piece to another."""
    steps = [*spiral_arc(first, last).steps, Step("L", (_inner_point(last),))]
    for piece in range(last, first, -1):
        (x1, y1), (x0, y0) = _inner_point(piece), _inner_point(piece - 1)
        (u1, v1), (u0, v0) = _inner_slope(piece), _inner_slope(piece - 1)
        near, far = (x1 - u1 / 3.0, y1 - v1 / 3.0), (x0 + u0 / 3.0, y0 + v0 / 3.0)
        steps.append(Step("C", (near, far, (x0, y0))))
    return Path((*steps, Step("Z")))


def golden_spiral() -> Figure:
    """Draw six days of the torus, a cross of circles each; then the spiral from its coil on."""
    quarters = tuple(((day - 1 - DAYS) * _PIECES, (day - DAYS) * _PIECES) for day in range(7, 13))
    pieces = ((6, _COIL, quarters[0][0]), *((7 + k, *ends) for k, ends in enumerate(quarters)))
    crosses = TORUS_CIRCLES // 4
    torus = tuple(
        Part(1 + k % crosses, Role.SOFT, Circle(polar(0.5, k, TORUS_CIRCLES), 0.5))
        for k in range(TORUS_CIRCLES)
    )
    return Figure(
        "golden-spiral",
        "Golden Spiral and Torus",
        "A spiral that grows by the golden ratio each quarter turn, within a torus of circles.",
        DAYS,
        1.0,
        (0, 3, 6, 9),
        (
            *torus,
            *(Part(day, Role.FILL, shell(first, last)) for day, first, last in pieces),
            *(Part(day, Role.LINE, spiral_arc(first, last)) for day, first, last in pieces),
            *(Part(day, Role.NODE, Circle(spiral_point(last), 0.012)) for day, _, last in pieces),
            Part(DAYS, Role.SOFT, Circle(CENTRE, 1.0)),
        ),
    )
