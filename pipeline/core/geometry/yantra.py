"""The Sri Yantra.

Owns: figure 13; the nine triangles and the lotus petals around them.
Does not own: styling.
Source of the numbers: the one solution of sixteen unknowns under thirteen concurrency constraints
with the innermost triangle equilateral and centred; residual 6e-13.
Invariant: under the even-odd fill rule there are 43 triangles: the faces that an odd number of the
nine cover.
"""

from typing import Final

from pipeline.core.geometry.circles import CENTRE, NODE
from pipeline.core.geometry.exact import Point, turn
from pipeline.core.geometry.figure import Figure, Part, Role
from pipeline.core.geometry.shapes import Circle, Path, Step, joined, polygon

BASE_HEIGHTS: Final = (
    0.751908835054, 0.513940645507, 0.292150574852, 0.184006100958, 0.056755550667,
    -0.113511101334, -0.285784802222, -0.533910053927, -0.773144487418,
)  # fmt: skip
"""The y of the nine bases, from top to bottom, in radii of the circle."""

HALF_WIDTHS: Final = (
    0.499650433236, 0.637394986347, 0.956372334195, 0.289299559461, 0.238021248073,
    0.326666047460, 0.958293820714, 0.655018572363, 0.444878691518,
)  # fmt: skip
"""Half the length of each base, in radii of the circle."""

APEX_LINES: Final = (5, 8, None, 7, 6, 1, None, 0, 2)
"""The base on which each triangle's apex lies, from 0; None is the circle on the far side."""

_DAY_OF_TRIANGLE: Final = (5, 3, 1, 7, 9, 8, 2, 4, 6)
"""The day of each triangle, from the circle inwards: the dissolving order ends in the bindu."""

_INNER: Final = 0.68
"""Radius of the triangles' circle, as a share; the petals fill the rest to 1."""
_MIDDLE: Final = 0.83


def triangles() -> tuple[tuple[Point, Point, Point], ...]:
    """Return the nine in a circle of radius 1, from the top: apex, left and right of the base."""
    out = []
    for height, half, line in zip(BASE_HEIGHTS, HALF_WIDTHS, APEX_LINES, strict=True):
        far = -1.0 if height > 0.0 else 1.0
        apex = far if line is None else BASE_HEIGHTS[line]
        out.append(((0.0, apex), (-half, height), (half, height)))
    return tuple(out)


def _scaled(points: tuple[Point, ...]) -> tuple[Point, ...]:
    return tuple((x * _INNER, y * _INNER) for x, y in points)


def petals(count: int, inner: float, outer: float) -> Path:
    """Return a ring of pointed petals between two radii, the first pointing up."""
    cosine, sine = turn(1, 2 * count)
    rise = outer - inner
    side = inner * sine
    outline = (
        (inner * cosine, -side),
        (inner + 0.55 * rise, -1.15 * side),
        (inner + 0.78 * rise, -0.28 * side),
        (outer, 0.0),
        (inner + 0.78 * rise, 0.28 * side),
        (inner + 0.55 * rise, 1.15 * side),
        (inner * cosine, side),
    )
    steps = []
    for k in range(count):
        c, s = turn(4 * k + count, 4 * count)
        points = tuple((c * x - s * y, s * x + c * y) for x, y in outline)
        steps += [Step("M", points[:1]), Step("C", points[1:4]), Step("C", points[4:])]
        steps += [Step("A", points[:1], inner), Step("Z")]
    return Path(tuple(steps))


def sri_yantra() -> Figure:
    """Draw the triangles from the circle inwards, two lotuses, and last the bindu and the fill."""
    scaled = tuple(_scaled(points) for points in triangles())
    return Figure(
        "sri-yantra",
        "Sri Yantra",
        "Nine interlocking triangles that form forty-three, in two lotuses.",
        12,
        1.0,
        (0,),
        (
            Part(0, Role.SOFT, Circle(CENTRE, _INNER)),
            *(
                Part(day, Role.LINE, polygon(points))
                for day, points in zip(_DAY_OF_TRIANGLE, scaled, strict=True)
            ),
            Part(10, Role.SOFT, petals(8, _INNER, _MIDDLE)),
            Part(10, Role.FILL, petals(8, _INNER, _MIDDLE), 0.4),
            Part(11, Role.SOFT, petals(16, _MIDDLE, 1.0)),
            Part(11, Role.FILL, petals(16, _MIDDLE, 1.0), 0.25),
            Part(12, Role.FILL, joined(tuple(polygon(points) for points in scaled)), 1.0),
            Part(12, Role.NODE, Circle(CENTRE, NODE)),
            Part(12, Role.SOFT, Circle(CENTRE, 1.0)),
        ),
    )
