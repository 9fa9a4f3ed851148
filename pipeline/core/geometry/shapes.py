"""Shapes in the plane and their similarity transforms.

Owns: circles and paths (lines, arcs, cubic curves), their placement, how far they reach.
Does not own: colours and widths (render.py), numbers as text (svg.py).
Invariant: shapes are immutable and live in mathematical axes, y up and angles counter-clockwise;
only `Placement` turns them over into SVG's axes.
"""

import math
from typing import Final, Literal

import msgspec

from pipeline.core.geometry.exact import Point, distance, turn

TURN_STEPS: Final = 12
"""Steps in a full turn: rotations are multiples of a twelfth of it."""


class Circle(msgspec.Struct, frozen=True, gc=False):
    """A circle by centre and radius."""

    centre: Point
    radius: float


class Step(msgspec.Struct, frozen=True, gc=False):
    """One step of a path.

    Attributes:
        kind: M moves, L draws a line, A a circular arc, C a cubic curve, Z closes.
        points: where it ends, last; before it a curve's two control points.
        radius: of an arc. ccw: whether an arc goes counter-clockwise. Arcs are under half a turn.
    """

    kind: Literal["M", "L", "A", "C", "Z"]
    points: tuple[Point, ...] = ()
    radius: float = 0.0
    ccw: bool = False


class Path(msgspec.Struct, frozen=True, gc=False):
    """An outline of one or more pieces, each starting with M."""

    steps: tuple[Step, ...]


Shape = Circle | Path


def segment(a: Point, b: Point) -> Path:
    """Return a straight line."""
    return Path((Step("M", (a,)), Step("L", (b,))))


def polygon(points: tuple[Point, ...]) -> Path:
    """Return a closed outline of straight sides."""
    sides = tuple(Step("L", (point,)) for point in points[1:])
    return Path((Step("M", (points[0],)), *sides, Step("Z")))


def joined(paths: tuple[Path, ...]) -> Path:
    """Join several outlines into one path, so that one fill rule sees them all."""
    return Path(tuple(step for path in paths for step in path.steps))


def arcs(points: tuple[Point, ...], radius: float, *, ccw: bool) -> Path:
    """Return a closed outline of minor arcs of one radius through the points in order."""
    ring = (*points[1:], points[0])
    sides = tuple(Step("A", (point,), radius, ccw) for point in ring)
    return Path((Step("M", (points[0],)), *sides, Step("Z")))


def lens(a: Point, b: Point, radius: float) -> Path:
    """Return what two circles of equal radius share; their centres are < 2 radii apart.

    Its tips lie on the perpendicular bisector, √(4r² − d²) from each other.
    """
    gap = distance(a, b)
    reach = math.sqrt(radius * radius - gap * gap / 4.0) / gap
    x, y = (a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0
    dx, dy = -(b[1] - a[1]) * reach, (b[0] - a[0]) * reach
    return arcs(((x + dx, y + dy), (x - dx, y - dy)), radius, ccw=False)


def reach(shape: Shape) -> float:
    """Return the largest distance from the origin of a circle, or of a path's end points."""
    if isinstance(shape, Circle):
        return distance((0.0, 0.0), shape.centre) + shape.radius
    ends = (step.points[-1] for step in shape.steps if step.points)
    return max(distance((0.0, 0.0), end) for end in ends)


class Placement(msgspec.Struct, frozen=True, gc=False):
    """A similarity into SVG's axes: scale, rotate counter-clockwise, turn y over.

    Attributes:
        scale: SVG units per unit of the figure. turn_step: 0..11, in twelfths of a turn.
    """

    scale: float
    turn_step: int = 0

    def point(self, point: Point) -> Point:
        """Return where a point of the figure lands."""
        cosine, sine = turn(self.turn_step, TURN_STEPS)
        x, y = point
        return self.scale * (cosine * x - sine * y), -self.scale * (sine * x + cosine * y)
