"""Figures drawn by joining the fruit's centres: Metatron's cube and the merkaba.

Owns: figures 8 and 9, carrier lines, the star tetrahedron's facets.
Does not own: the thirteen centres (circles.py), the five solids (solids.py).
Invariant: each of the 78 pairs of centres lies on exactly one of the 39 carrier lines.
"""

from itertools import combinations
from typing import Final

from pipeline.core.geometry.circles import CENTRE, NODE, SIX_TURNS, fruit_centres
from pipeline.core.geometry.exact import Point, distance, polar
from pipeline.core.geometry.figure import Figure, Part, Role
from pipeline.core.geometry.shapes import Circle, polygon, segment

Carrier = tuple[int, ...]
"""Indices into `fruit_centres()` of the centres on one line, from one end to the other."""

_COLLINEAR: Final = 1e-9


def carrier_lines() -> tuple[Carrier, ...]:
    """Return the 39 lines through pairs of the thirteen centres, collinear pairs merged."""
    centres = fruit_centres()
    found: dict[Carrier, None] = {}
    for i, j in combinations(range(len(centres)), 2):
        on = [k for k in range(len(centres)) if _collinear(centres[i], centres[j], centres[k])]
        far = max(on, key=lambda k: (distance(centres[on[0]], centres[k]), k))
        on.sort(key=lambda k: distance(centres[far], centres[k]))
        found[tuple(on)] = None
    return tuple(found)


def _collinear(a: Point, b: Point, c: Point) -> bool:
    cross = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    return abs(cross) < _COLLINEAR


def _carrier_day(carrier: Carrier) -> int:
    """Return the day of a line: axes, hexagons, great star, small star, then the twelve chords."""
    ends = tuple(sorted((carrier[0], carrier[-1])))
    ranks = tuple(0 if k == 0 else 1 if k < 7 else 2 for k in ends)
    positions = tuple((k - 1) % 6 for k in ends)
    apart = min((positions[0] - positions[1]) % 6, (positions[1] - positions[0]) % 6)
    if len(carrier) == 5:
        return 1
    if ranks == (2, 2):
        return 2 if apart == 1 else 4 + positions[0] % 2
    if ranks == (1, 1):
        return 3 if apart == 1 else 6 + positions[0] % 2
    clockwise = (positions[1] - positions[0]) % 6 == 2
    return (8 if clockwise else 10) + positions[0] % 2


def metatrons_cube() -> Figure:
    """Draw every centre of the fruit of life joined with every other."""
    centres = fruit_centres()
    lines = tuple(
        Part(_carrier_day(carrier), Role.LINE, segment(centres[carrier[0]], centres[carrier[-1]]))
        for carrier in carrier_lines()
    )
    inner, outer = centres[1:7], centres[7:]
    return Figure(
        "metatrons-cube",
        "Metatron's Cube",
        "The thirteen centres of the fruit of life, each joined with every other.",
        11,
        5.0,
        SIX_TURNS,
        (
            *(Part(0, Role.SOFT, Circle(point, 1.0)) for point in centres),
            *(Part(0, Role.NODE, Circle(point, NODE * 4.0)) for point in centres),
            *lines,
            Part(11, Role.FILL, polygon(outer), 0.2),
            Part(11, Role.FILL, polygon(outer[::2]), 0.2),
            Part(11, Role.FILL, polygon(outer[1::2]), 0.2),
            Part(11, Role.FILL, polygon(inner), 0.3),
            Part(11, Role.SOFT, Circle(CENTRE, 5.0)),
        ),
    )


def _inward(point: Point, share: float) -> Point:
    return point[0] * share, point[1] * share


def star_facets(points: tuple[Point, ...]) -> tuple[tuple[tuple[Point, ...], float], ...]:
    """Return what is seen of the star tetrahedron from in front of one of its points.

    The near tetrahedron turns a corner to the viewer, which pierces the other one's front face in a
    triangle of half size; of its other corners the ridges are seen beyond that face.

    Args:
        points: the six points of the hexagram, from the top counter-clockwise, even ones near.

    Returns:
        Twelve triangles that tile the star, each with its share of light 0..1.
    """
    pierced = tuple(_inward(point, 0.5) for point in points)
    facets: list[tuple[tuple[Point, ...], float]] = []
    for k, lit in ((0, 0.95), (2, 0.5), (4, 0.72)):
        facets.append(((CENTRE, pierced[k], pierced[(k + 2) % 6]), lit))
    for k in (1, 3, 5):
        facets.append(((points[k], pierced[k - 1], pierced[(k + 1) % 6]), 0.34))
    for k, left, right in ((0, 0.8, 0.55), (2, 0.8, 0.3), (4, 0.3, 0.55)):
        ahead, behind = points[(k + 2) % 6], points[(k - 2) % 6]
        before = _third(points[k], ahead)
        after = _third(points[k], behind)
        facets.append(((points[k], before, pierced[k]), left))
        facets.append(((points[k], pierced[k], after), right))
    return tuple(facets)


def _third(a: Point, b: Point) -> Point:
    """Return the point where a hexagram's side first meets the other triangle: a third of it."""
    return a[0] + (b[0] - a[0]) / 3.0, a[1] + (b[1] - a[1]) / 3.0


def merkaba() -> Figure:
    """Draw a hexagram, and the star tetrahedron that looks like it from in front of a point."""
    points = tuple(polar(1.0, 3 + 2 * k, 12) for k in range(6))
    near, far = points[::2], points[1::2]
    sides = tuple(
        Part(first + k, Role.LINE, segment(corner[k], corner[(k + 1) % 3]))
        for first, corner in ((2, near), (5, far))
        for k in range(3)
    )
    return Figure(
        "merkaba",
        "Merkaba",
        "Two interlocking tetrahedra, seen as a star of six points.",
        11,
        1.0,
        (0, 6),
        (
            Part(0, Role.SOFT, Circle(CENTRE, 1.0)),
            *(Part(1, Role.NODE, Circle(point, NODE)) for point in points),
            *sides,
            Part(8, Role.FINE, polygon(points)),
            *(Part(8, Role.FINE, segment(CENTRE, point)) for point in far),
            *(Part(9, Role.LINE, segment(CENTRE, point)) for point in near),
            Part(9, Role.NODE, Circle(CENTRE, NODE)),
            Part(10, Role.LINE, polygon(tuple(_inward(point, 0.5) for point in near))),
            *(Part(11, Role.FILL, polygon(facet), tone) for facet, tone in star_facets(points)),
        ),
    )
