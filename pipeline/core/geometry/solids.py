"""The five Platonic solids, in orthographic view.

Owns: figure 10; vertices, edges and faces of the solids.
Does not own: styling.
Invariant: all edges of a solid are equal; every vertex lies on the unit sphere.
"""

import math
from itertools import combinations, product
from typing import Final

import msgspec

from pipeline.core.geometry.circles import CENTRE, NODE
from pipeline.core.geometry.exact import PHI, Point, polar, turn
from pipeline.core.geometry.figure import Figure, Part, Role
from pipeline.core.geometry.shapes import Circle, polygon, segment

Vector = tuple[float, float, float]
_CLOSE: Final = 1e-9


class Solid(msgspec.Struct, frozen=True, gc=False):
    """A regular polyhedron.

    Attributes:
        vertices: on the unit sphere. edges: index pairs. faces: index cycles along edges, each with
        its outward normal in `normals`.
    """

    name: str
    vertices: tuple[Vector, ...]
    edges: tuple[tuple[int, int], ...]
    faces: tuple[tuple[int, ...], ...]
    normals: tuple[Vector, ...]


def dot(a: Vector, b: Vector) -> float:
    """Return the scalar product of two vectors."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _unit(v: Vector) -> Vector:
    length = math.sqrt(dot(v, v))
    return v[0] / length, v[1] / length, v[2] / length


def _cross(a: Vector, b: Vector) -> Vector:
    return (
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    )


def _corners() -> dict[str, tuple[Vector, ...]]:
    """Return vertices on the unit sphere, by φ where five-fold symmetry asks for it."""
    signs = (-1.0, 1.0)
    cube = tuple((x, y, z) for x, y, z in product(signs, repeat=3))
    short = tuple((0.0, a, b * PHI) for a, b in product(signs, repeat=2))
    tall = tuple((0.0, a * PHI, b / PHI) for a, b in product(signs, repeat=2))
    corners: dict[str, tuple[Vector, ...]] = {
        "tetrahedron": tuple(v for v in cube if v[0] * v[1] * v[2] > 0.0),
        "cube": cube,
        "octahedron": tuple(
            (s, 0.0, 0.0) if k == 0 else (0.0, s, 0.0) if k == 1 else (0.0, 0.0, s)
            for k, s in product(range(3), signs)
        ),
        "dodecahedron": (*cube, *(w for v in tall for w in _cyclic(v))),
        "icosahedron": tuple(w for v in short for w in _cyclic(v)),
    }
    return {name: tuple(_unit(v) for v in found) for name, found in corners.items()}


def _cyclic(v: Vector) -> tuple[Vector, Vector, Vector]:
    return v, (v[1], v[2], v[0]), (v[2], v[0], v[1])


def solids() -> tuple[Solid, ...]:
    """Return tetrahedron, cube, octahedron, dodecahedron and icosahedron."""
    corners = _corners()
    # The normals of a solid's faces are the corners of its dual.
    duals: dict[str, tuple[Vector, ...]] = {
        "tetrahedron": tuple((-x, -y, -z) for x, y, z in corners["tetrahedron"]),
        "cube": corners["octahedron"],
        "octahedron": corners["cube"],
        "dodecahedron": corners["icosahedron"],
        "icosahedron": corners["dodecahedron"],
    }
    return tuple(_solid(name, corners[name], duals[name]) for name in corners)


def _solid(name: str, vertices: tuple[Vector, ...], normals: tuple[Vector, ...]) -> Solid:
    pairs = list(combinations(range(len(vertices)), 2))
    nearest = max(dot(vertices[i], vertices[j]) for i, j in pairs)
    edges = tuple((i, j) for i, j in pairs if dot(vertices[i], vertices[j]) > nearest - _CLOSE)
    faces = tuple(_face(vertices, edges, normal) for normal in normals)
    return Solid(name, vertices, edges, faces, normals)


def _face(
    vertices: tuple[Vector, ...], edges: tuple[tuple[int, int], ...], normal: Vector
) -> tuple[int, ...]:
    """Return the vertices farthest along the normal, in a walk along the edges between them."""
    farthest = max(dot(v, normal) for v in vertices)
    left = [i for i, v in enumerate(vertices) if dot(v, normal) > farthest - _CLOSE]
    linked = set(edges)
    walk = [left.pop(0)]
    while left:
        here = walk[-1]
        after = next(i for i in left if (here, i) in linked or (i, here) in linked)
        left.remove(after)
        walk.append(after)
    return tuple(walk)


def _view() -> tuple[Vector, Vector, Vector]:
    """Return right, up and towards a viewer who stands above, to the right; nothing is edge-on."""
    toward = _unit((0.34, 0.27, 1.0))
    right = _unit(_cross((0.0, 1.0, 0.0), toward))
    return right, _cross(toward, right), toward


def _solid_parts(solid: Solid, centre: Point, radius: float, day: int) -> tuple[Part, ...]:
    """Draw the far side and the sphere on `day`, the near side on the day after."""
    right, up, toward = _view()
    light = _unit((-0.35, 0.75, 0.6))
    seen = tuple(
        (centre[0] + radius * dot(v, right), centre[1] + radius * dot(v, up))
        for v in solid.vertices
    )
    near = tuple(dot(normal, toward) > 0.0 for normal in solid.normals)
    parts = [Part(day, Role.FINE, Circle(centre, radius))]
    for i, j in solid.edges:
        front = any(near[k] for k, face in enumerate(solid.faces) if i in face and j in face)
        role, when = (Role.LINE, day + 1) if front else (Role.FINE, day)
        parts.append(Part(when, role, segment(seen[i], seen[j])))
    for k, face in enumerate(solid.faces):
        if near[k]:
            lit = dot(solid.normals[k], light)
            tone = min(max(0.45 + 0.6 * lit, 0.1), 1.0)
            parts.append(Part(day + 1, Role.FILL, polygon(tuple(seen[i] for i in face)), tone))
    return tuple(parts)


def platonic_solids() -> Figure:
    """Draw five solids in five touching spheres, on the corners of a pentagon."""
    sine = turn(1, 10)[1]
    radius = sine / (1.0 + sine)
    orbit = 1.0 - radius
    # Clockwise from the top.
    spots = tuple(polar(orbit, 5 - 4 * k, 20) for k in range(5))
    parts = tuple(
        part
        for k, solid in enumerate(solids())
        for part in _solid_parts(solid, spots[k], radius, 2 * k + 1)
    )
    star = tuple(spots[(2 * k) % 5] for k in range(5))
    return Figure(
        "platonic-solids",
        "Platonic Solids",
        "The five regular solids, on the corners of a pentagon.",
        11,
        1.0,
        (0,),
        (
            *parts,
            Part(11, Role.FINE, polygon(star)),
            Part(11, Role.SOFT, Circle(CENTRE, 1.0)),
            Part(11, Role.NODE, Circle(CENTRE, NODE)),
        ),
    )
