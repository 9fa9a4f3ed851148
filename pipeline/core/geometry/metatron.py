"""Figures drawn by joining the fruit's centres: Metatron's cube and the merkaba.

Owns: figures 8 and 9, carrier lines, the star tetrahedron's facets.
Does not own: the thirteen centres (circles.py), the five solids (solids.py).
Invariant: each of the 78 pairs of centres lies on exactly one of the 39 carrier lines.
"""

from itertools import combinations, product
from typing import Final

from pipeline.core.geometry.circles import CENTRE, NODE, SIX_TURNS, fruit_centres
from pipeline.core.geometry.exact import SQRT3, Point, distance, polar
from pipeline.core.geometry.figure import Figure, Part, Role
from pipeline.core.geometry.shapes import Circle, polygon, segment

Carrier = tuple[int, ...]
"""Indices into `fruit_centres()` of the centres on one line, from one end to the other."""

_COLLINEAR: Final = 1e-9


def carrier_lines() -> tuple[Carrier, ...]:
    """The 39 lines through pairs of the thirteen centres, collinear pairs merged."""
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
    """The day of a line: axes, hexagons, great star, small star, then the twelve chords."""
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
    """Every centre of the fruit of life joined with every other."""
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
            Part(11, Role.FILL, polygon(outer), 0.25),
            Part(11, Role.FILL, polygon(outer[::2]), 0.3),
            Part(11, Role.FILL, polygon(outer[1::2]), 0.3),
            Part(11, Role.FILL, polygon(inner), 0.5),
            Part(11, Role.SOFT, Circle(CENTRE, 5.0)),
        ),
    )


Vector = tuple[float, float, float]


def _along_diagonal(v: Vector) -> Point:
    """Orthographic view of the cube ±1 along its diagonal (1, 1, 1), scaled to a unit hexagon."""
    x, y, z = v
    return (y - x) * SQRT3 / 4.0, (2.0 * z - x - y) / 4.0


def star_facets() -> tuple[tuple[tuple[Point, Point, Point], float], ...]:
    """The facets of the star tetrahedron that face the viewer, each with its share of light 0..1.

    A cube's eight corners are the star's points; each carries three facets that end on the centres
    of the cube's sides, the corners of the octahedron that the two tetrahedra share.
    """
    light = (0.15, 0.42, 0.9)
    out = []
    for corner in product((-1.0, 1.0), repeat=3):
        for axis in range(3):
            first, second = (axis + 1) % 3, (axis + 2) % 3
            a = tuple(corner[i] if i == first else 0.0 for i in range(3))
            b = tuple(corner[i] if i == second else 0.0 for i in range(3))
            # The facet's tetrahedron face is opposite the corner's mirror along `axis`.
            normal = tuple(corner[i] if i != axis else -corner[i] for i in range(3))
            if sum(normal) <= 0.0:
                continue
            shade = sum(n * s for n, s in zip(normal, light, strict=True)) / SQRT3
            points = tuple(_along_diagonal((v[0], v[1], v[2])) for v in (corner, a, b))
            out.append(((points[0], points[1], points[2]), min(max(0.25 + 0.6 * shade, 0.1), 1.0)))
    return tuple(out)


def merkaba() -> Figure:
    """A hexagram, and the star tetrahedron whose view along a diagonal it is."""
    points = tuple(polar(1.0, 3 + 2 * k, 12) for k in range(6))
    up, down = points[::2], points[1::2]
    halves = tuple((x / 2.0, y / 2.0) for x, y in points)
    sides = tuple(
        Part(first + k, Role.LINE, segment(corner[k], corner[(k + 1) % 3]))
        for first, corner in ((2, up), (5, down))
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
            *(Part(9, Role.LINE, segment(CENTRE, point)) for point in up),
            *(Part(10, Role.LINE, segment(CENTRE, point)) for point in down),
            *(Part(10, Role.FINE, segment(halves[k], halves[(k + 2) % 6])) for k in range(6)),
            *(Part(11, Role.FILL, polygon(facet), tone) for facet, tone in star_facets()),
            Part(11, Role.NODE, Circle(CENTRE, NODE)),
        ),
    )
