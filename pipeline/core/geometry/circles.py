"""The seven figures made of equal circles, from the bindu to the fruit of life.

Owns: figures 1–7.
Does not own: how they are styled or placed.
Invariant: unit radius throughout; each figure is centred on the origin.
"""

from typing import Final

from pipeline.core.geometry.exact import (
    PHI,
    SQRT3,
    Point,
    distance,
    hex_disc,
    hex_point,
    midpoint,
    polar,
)
from pipeline.core.geometry.figure import Figure, Part, Role
from pipeline.core.geometry.shapes import Circle, arcs, lens, polygon, segment

CENTRE: Final[Point] = (0.0, 0.0)
SIX_TURNS: Final = (0, 1)
NODE: Final = 0.022
"""Radius of a point of light, as a share of the figure's extent."""


def bindu() -> Figure:
    """Draw a point and its circle; the ripples between them shrink by φ."""
    ripples = tuple(Part(1, Role.FINE, Circle(CENTRE, 1.0 / PHI**k)) for k in (1, 2, 3, 4))
    return Figure(
        "bindu",
        "Bindu",
        "A single point of light within its circle.",
        1,
        1.0,
        (0,),
        (
            *ripples,
            Part(1, Role.FILL, Circle(CENTRE, 1.0 / PHI**3), 0.5),
            Part(1, Role.FILL, Circle(CENTRE, 1.0 / PHI**4), 0.8),
            Part(1, Role.LINE, Circle(CENTRE, 1.0)),
            Part(1, Role.NODE, Circle(CENTRE, 0.05)),
        ),
    )


def vesica_piscis() -> Figure:
    """Draw two circles through each other's centres; their lens is √3 high."""
    left, right = (-0.5, 0.0), (0.5, 0.0)
    top, bottom = (0.0, SQRT3 / 2.0), (0.0, -SQRT3 / 2.0)
    node = NODE * 1.5
    return Figure(
        "vesica-piscis",
        "Vesica Piscis",
        "Two circles, each through the centre of the other, and the lens that they share.",
        2,
        1.5,
        (0, 3),
        (
            Part(1, Role.LINE, Circle(left, 1.0)),
            Part(1, Role.NODE, Circle(left, node)),
            Part(2, Role.LINE, Circle(right, 1.0)),
            Part(2, Role.FILL, lens(left, right, 1.0)),
            Part(2, Role.FINE, segment(top, bottom)),
            Part(2, Role.FINE, segment((-1.5, 0.0), (1.5, 0.0))),
            Part(2, Role.FINE, polygon((top, left, bottom, right))),
            *(Part(2, Role.NODE, Circle(point, node)) for point in (right, top, bottom)),
            Part(2, Role.SOFT, Circle(CENTRE, 1.5)),
        ),
    )


def tripod_of_life() -> Figure:
    """Draw three circles on the corners of an equilateral triangle of side 1."""
    radius = 1.0 / SQRT3
    apex, left, right = (polar(radius, k, 12) for k in (3, 7, 11))
    extent = 1.0 + radius
    node = NODE * extent
    return Figure(
        "tripod-of-life",
        "Tripod of Life",
        "Three circles, each through the centres of the other two.",
        4,
        extent,
        (0, 6),
        (
            Part(0, Role.LINE, Circle(left, 1.0)),
            Part(1, Role.LINE, Circle(right, 1.0)),
            Part(1, Role.FILL, lens(left, right, 1.0), 0.45),
            *(Part(1, Role.NODE, Circle(point, node)) for point in (left, right)),
            Part(2, Role.FINE, polygon((apex, left, right))),
            Part(2, Role.NODE, Circle(apex, node)),
            Part(3, Role.LINE, Circle(apex, 1.0)),
            Part(3, Role.FILL, lens(apex, left, 1.0), 0.45),
            Part(3, Role.FILL, lens(right, apex, 1.0), 0.45),
            Part(4, Role.FILL, arcs((apex, left, right), 1.0, ccw=True), 1.0),
            Part(4, Role.SOFT, Circle(CENTRE, extent)),
        ),
    )


def _petals(centres: tuple[Point, ...], day_of: dict[Point, int], tone: float) -> tuple[Part, ...]:
    """Return the lens of each pair of centres √3 apart, on the day of the later of the two."""
    found = []
    for index, a in enumerate(centres):
        for b in centres[index + 1 :]:
            if abs(distance(a, b) - SQRT3) < 1e-9:
                day = max(day_of[a], day_of[b])
                found.append(Part(day, Role.FILL, lens(a, b, 1.0), tone))
    return tuple(found)


def seed_of_life() -> Figure:
    """Draw a circle and six around it, centres one radius away at every sixth of a turn."""
    # From the top and clockwise, as a day follows a day.
    ring = tuple(polar(1.0, 3 - 2 * k, 12) for k in range(6))
    day_of = {CENTRE: 0} | {point: day for day, point in enumerate(ring, start=1)}
    centres = (CENTRE, *ring)
    return Figure(
        "seed-of-life",
        "Seed of Life",
        "Seven circles of one size: one, and six whose centres lie on it.",
        6,
        2.0,
        SIX_TURNS,
        (
            *(Part(day_of[point], Role.LINE, Circle(point, 1.0)) for point in centres),
            *_petals(centres, day_of, 1.0),
            *(Part(day_of[point], Role.NODE, Circle(point, NODE * 2.0)) for point in centres),
            Part(6, Role.SOFT, Circle(CENTRE, 2.0)),
        ),
    )


def egg_of_life() -> Figure:
    """Draw seven tangent circles, centres two radii apart, in their shell."""
    ring = tuple(polar(2.0, 3 - 2 * k, 12) for k in range(6))
    centres = (CENTRE, *ring)
    gaps = tuple(
        arcs((midpoint(CENTRE, b), midpoint(a, b), midpoint(CENTRE, a)), 1.0, ccw=False)
        for a, b in zip(ring, (*ring[1:], ring[0]), strict=True)
    )
    return Figure(
        "egg-of-life",
        "Egg of Life",
        "Seven circles that touch, one among six: the first eight cells, seen from the front.",
        8,
        3.0,
        SIX_TURNS,
        (
            *(Part(day, Role.LINE, Circle(point, 1.0)) for day, point in enumerate(centres, 1)),
            *(
                Part(day, Role.NODE, Circle(point, NODE * 3.0))
                for day, point in enumerate(centres, 1)
            ),
            *(Part(8, Role.FILL, gap, 1.0) for gap in gaps),
            *(Part(8, Role.FILL, Circle(point, 1.0), 0.3) for point in centres),
            Part(8, Role.FINE, polygon(ring)),
            *(Part(8, Role.FINE, segment(ring[k], ring[k + 3])) for k in range(3)),
            Part(8, Role.SOFT, Circle(CENTRE, 3.0)),
        ),
    )


def flower_of_life() -> Figure:
    """Draw nineteen circles on the hexagonal lattice, within a circle of three radii."""
    cells = hex_disc(2)
    centres = tuple(hex_point(q, s) for q, s in cells)
    day_of = dict.fromkeys(centres[:7], 0)
    day_of |= {point: 1 + index // 2 for index, point in enumerate(centres[7:])}
    petals = _petals(centres, day_of, 1.0)
    inner = tuple(Part(7, p.role, p.shape, p.tone) for p in petals if p.day == 0)
    outer = tuple(Part(8, p.role, p.shape, p.tone) for p in petals if p.day > 0)
    return Figure(
        "flower-of-life",
        "Flower of Life",
        "Nineteen overlapping circles whose lenses are the petals of flowers.",
        9,
        3.12,
        SIX_TURNS,
        (
            *(Part(day_of[point], Role.LINE, Circle(point, 1.0)) for point in centres),
            *inner,
            *outer,
            Part(9, Role.LINE, Circle(CENTRE, 3.0)),
            Part(9, Role.SOFT, Circle(CENTRE, 3.12)),
        ),
    )


def fruit_centres() -> tuple[Point, ...]:
    """Return thirteen centres: the origin, six at 2 and six at 4, from the top clockwise."""
    inner = tuple(polar(2.0, 3 - 2 * k, 12) for k in range(6))
    outer = tuple(polar(4.0, 3 - 2 * k, 12) for k in range(6))
    return (CENTRE, *inner, *outer)


def fruit_of_life() -> Figure:
    """Draw thirteen circles picked from the flower that has grown to sixty-one."""
    centres = fruit_centres()
    days = (1, *(2 + k % 3 for k in range(6)), *(5 + k for k in range(6)))
    # The lattice has a point on the x axis, the fruit on the y axis: a twelfth of a turn apart.
    lattice = tuple((-y, x) for x, y in (hex_point(q, s) for q, s in hex_disc(4)))
    return Figure(
        "fruit-of-life",
        "Fruit of Life",
        "Thirteen circles along three axes, taken from the flower of life.",
        10,
        5.0,
        SIX_TURNS,
        (
            *(Part(0, Role.FINE, Circle(point, 1.0), 0.4) for point in lattice),
            *(Part(d, Role.FILL, Circle(p, 1.0), 0.6) for d, p in zip(days, centres, strict=True)),
            *(Part(d, Role.LINE, Circle(p, 1.0)) for d, p in zip(days, centres, strict=True)),
            *(
                Part(d, Role.NODE, Circle(p, NODE * 5.0))
                for d, p in zip(days, centres, strict=True)
            ),
            Part(10, Role.SOFT, Circle(CENTRE, 5.0)),
        ),
    )
