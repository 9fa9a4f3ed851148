"""The tree of life.

Owns: figure 11; its ten nodes and twenty-two paths.
Does not own: styling.
Invariant: nodes lie on the lattice of unit circles, so that the tree stands in a seed of life.
"""

from typing import Final

from pipeline.core.geometry.circles import CENTRE
from pipeline.core.geometry.exact import SQRT3, Point, distance, polar
from pipeline.core.geometry.figure import Figure, Part, Role
from pipeline.core.geometry.shapes import Circle, segment

_SIDE: Final = SQRT3 / 2.0

NODES: Final[tuple[Point, ...]] = (
    (0.0, 2.0),
    (_SIDE, 1.5),
    (-_SIDE, 1.5),
    (_SIDE, 0.5),
    (-_SIDE, 0.5),
    (0.0, 0.0),
    (_SIDE, -0.5),
    (-_SIDE, -0.5),
    (0.0, -1.0),
    (0.0, -2.0),
)
"""The ten nodes in the order of the lightning flash, from the crown to the kingdom."""

PATHS: Final[tuple[tuple[int, int], ...]] = (
    (0, 1), (0, 2), (0, 5), (1, 2), (1, 5), (1, 3), (2, 5), (2, 4), (3, 4), (3, 5), (3, 6),
    (4, 5), (4, 7), (5, 6), (5, 7), (5, 8), (6, 7), (6, 8), (7, 8), (6, 9), (7, 9), (8, 9),
)  # fmt: skip
"""The twenty-two paths as pairs of indices into NODES, the lower first."""

NODE_RADIUS: Final = 0.2


def _path_between(a: Point, b: Point) -> tuple[Point, Point]:
    """Return the line between two nodes, from rim to rim."""
    share = NODE_RADIUS / distance(a, b)
    dx, dy = (b[0] - a[0]) * share, (b[1] - a[1]) * share
    return (a[0] + dx, a[1] + dy), (b[0] - dx, b[1] - dy)


def tree_of_life() -> Figure:
    """Draw the tree: each day brings the next node with the paths that lead to it."""
    paths = tuple(
        Part(later + 1, Role.LINE, segment(*_path_between(NODES[earlier], NODES[later])))
        for earlier, later in PATHS
    )
    circles = (CENTRE, *(polar(1.0, 3 - 2 * k, 12) for k in range(6)))
    extent = 2.0 + NODE_RADIUS
    return Figure(
        "tree-of-life",
        "Tree of Life",
        "Ten nodes in three pillars, joined by twenty-two paths, standing in a seed of life.",
        11,
        extent,
        (0,),
        (
            *(Part(0, Role.FINE, Circle(centre, 1.0)) for centre in circles),
            *paths,
            *(Part(day, Role.DISC, Circle(node, NODE_RADIUS)) for day, node in enumerate(NODES, 1)),
            *(Part(11, Role.NODE, Circle(node, NODE_RADIUS / 4.0)) for node in NODES),
            Part(11, Role.SOFT, Circle(CENTRE, extent)),
        ),
    )
