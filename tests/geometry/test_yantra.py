"""The Sri Yantra by its constraints, and by counting its triangles in the drawn arrangement."""

import math
from collections import Counter, defaultdict
from itertools import combinations, pairwise

import pytest

from pipeline.core.geometry import yantra
from pipeline.core.geometry.exact import Point, distance
from pipeline.core.geometry.figure import Role
from pipeline.core.geometry.shapes import Path

TRIANGLES = yantra.triangles()
SAME = 1e-7
Segment = tuple[Point, Point]


def line_x(triangle: tuple[Point, Point, Point], height: float) -> float:
    """Where the right side of a triangle crosses a height."""
    apex, _, right = triangle
    return right[0] * (height - apex[1]) / (right[1] - apex[1])


# (base; side, side), triangles numbered from 1: three lines through one point.
CONCURRENT = [
    (2, 1, 7), (3, 1, 8), (3, 2, 7), (4, 1, 6), (5, 1, 9), (5, 4, 6), (6, 4, 9), (7, 2, 9),
    (7, 3, 8), (8, 3, 9), (4, 4, 8), (5, 5, 6), (6, 2, 6),
]  # fmt: skip


@pytest.mark.parametrize(("base", "first", "second"), CONCURRENT)
def test_a_base_and_two_sides_meet(base: int, first: int, second: int) -> None:
    height = yantra.BASE_HEIGHTS[base - 1]
    assert line_x(TRIANGLES[first - 1], height) == pytest.approx(
        line_x(TRIANGLES[second - 1], height), abs=2e-11
    )


@pytest.mark.parametrize("base", [3, 7])
def test_two_bases_end_on_the_circle(base: int) -> None:
    _, left, right = TRIANGLES[base - 1]
    assert math.hypot(*left) == pytest.approx(1.0, abs=1e-11)
    assert math.hypot(*right) == pytest.approx(1.0, abs=1e-11)


def test_two_apexes_lie_on_the_circle_and_seven_on_bases() -> None:
    heights = [apex[1] for apex, _, _ in TRIANGLES]
    assert heights[2] == -1.0
    assert heights[6] == 1.0
    others = [heights[i] for i in (0, 1, 3, 4, 5, 7, 8)]
    assert others == [yantra.BASE_HEIGHTS[i] for i in (5, 8, 7, 6, 1, 0, 2)]


def test_five_point_down_and_four_up() -> None:
    assert [apex[1] < left[1] for apex, left, _ in TRIANGLES] == [True] * 5 + [False] * 4


def intersection(a: Segment, b: Segment) -> Point | None:
    (x1, y1), (x2, y2) = a
    (x3, y3), (x4, y4) = b
    cross = (x2 - x1) * (y4 - y3) - (y2 - y1) * (x4 - x3)
    if abs(cross) < 1e-12:
        return None
    t = ((x3 - x1) * (y4 - y3) - (y3 - y1) * (x4 - x3)) / cross
    u = ((x3 - x1) * (y2 - y1) - (y3 - y1) * (x2 - x1)) / cross
    if min(t, u) < -SAME or max(t, u) > 1.0 + SAME:
        return None
    return x1 + t * (x2 - x1), y1 + t * (y2 - y1)


def arrangement() -> dict[int, set[int]]:
    """The planar graph of all 27 sides; fills POINTS."""
    sides: list[Segment] = [pair for triangle in TRIANGLES for pair in combinations(triangle, 2)]
    on: list[set[int]] = [set() for _ in sides]

    def known(point: Point) -> int:
        for index, other in enumerate(POINTS):
            if distance(point, other) < SAME:
                return index
        POINTS.append(point)
        return len(POINTS) - 1

    for index, side in enumerate(sides):
        on[index] |= {known(side[0]), known(side[1])}
    for i, j in combinations(range(len(sides)), 2):
        point = intersection(sides[i], sides[j])
        if point is not None:
            meeting = known(point)
            on[i].add(meeting)
            on[j].add(meeting)
    links: dict[int, set[int]] = defaultdict(set)
    for side, indices in zip(sides, on, strict=True):
        ordered = sorted((distance(side[0], POINTS[k]), k) for k in indices)
        for (_, a), (_, b) in pairwise(ordered):
            links[a].add(b)
            links[b].add(a)
    return links


POINTS: list[Point] = []


def faces() -> list[list[int]]:
    """All bounded faces, each as its corners in counter-clockwise order."""
    links = arrangement()

    def angle(a: int, b: int) -> float:
        (x0, y0), (x1, y1) = POINTS[a], POINTS[b]
        return math.atan2(y1 - y0, x1 - x0)

    around = {a: [b for _, b in sorted((angle(a, b), b) for b in bs)] for a, bs in links.items()}
    seen: set[tuple[int, int]] = set()
    found = []
    for start in [(a, b) for a, bs in links.items() for b in bs]:
        walk, step = [], start
        while step not in seen:
            seen.add(step)
            a, b = step
            walk.append(a)
            ring = around[b]
            step = (b, ring[ring.index(a) - 1])
        if walk and signed_area(walk) > 1e-9:
            found.append(walk)
    return found


def signed_area(walk: list[int]) -> float:
    corners = [POINTS[k] for k in walk]
    pairs = zip(corners, [*corners[1:], corners[0]], strict=True)
    return sum(a[0] * b[1] - a[1] * b[0] for a, b in pairs) / 2.0


def turning_corners(walk: list[int]) -> list[int]:
    """The corners at which a face's outline turns."""
    out = []
    for before, here, after in zip([walk[-1], *walk], walk, [*walk[1:], walk[0]], strict=False):
        (x0, y0), (x1, y1), (x2, y2) = POINTS[before], POINTS[here], POINTS[after]
        if abs((x1 - x0) * (y2 - y1) - (y1 - y0) * (x2 - x1)) > 1e-9:
            out.append(here)
    return out


def cover(walk: list[int]) -> int:
    """How many triangles cover a face; its corners' mean lies inside, as it is convex."""
    corners = [POINTS[k] for k in walk]
    x = sum(p[0] for p in corners) / len(corners)
    y = sum(p[1] for p in corners) / len(corners)
    count = 0
    for triangle in TRIANGLES:
        signs = [
            (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0]) > 0.0
            for a, b in zip(triangle, (*triangle[1:], triangle[0]), strict=True)
        ]
        count += len(set(signs)) == 1
    return count


def test_43_triangles_are_covered_an_odd_number_of_times() -> None:
    odd = [walk for walk in faces() if cover(walk) % 2 == 1]
    assert len(odd) == 43
    assert {len(turning_corners(walk)) for walk in odd} == {3}
    assert Counter(map(cover, odd)) == {1: 14, 3: 10, 5: 10, 7: 8, 9: 1}


def test_the_innermost_triangle_is_equilateral_and_centred() -> None:
    (inner,) = [walk for walk in faces() if cover(walk) == 9]
    corners = [POINTS[k] for k in turning_corners(inner)]
    sides = [distance(a, b) for a, b in combinations(corners, 2)]
    assert sides == pytest.approx([sides[0]] * 3, abs=1e-10)
    assert sum(x for x, _ in corners) == pytest.approx(0.0, abs=1e-10)
    assert sum(y for _, y in corners) == pytest.approx(0.0, abs=1e-10)


def test_one_path_of_nine_triangles_paints_the_faces() -> None:
    painted = [
        part.shape
        for part in yantra.sri_yantra().parts
        if part.role is Role.FILL
        and isinstance(part.shape, Path)
        and [step.kind for step in part.shape.steps].count("M") == 9
    ]
    assert len(painted) == 1
    assert [step.kind for step in painted[0].steps] == ["M", "L", "L", "Z"] * 9


@pytest.mark.parametrize("count", [8, 16])
def test_petals_close_a_ring(count: int) -> None:
    steps = yantra.petals(count, 0.5, 1.0).steps
    starts = [step.points[0] for step in steps if step.kind == "M"]
    tips = [step.points[-1] for step in steps if step.kind == "C"][::2]
    closes = [step.points[-1] for step in steps if step.kind == "C"][1::2]
    assert len(starts) == len(tips) == count
    assert tips[0] == (0.0, 1.0)
    assert [math.hypot(*tip) for tip in tips] == pytest.approx([1.0] * count)
    for end, start in zip(closes, [*starts[1:], starts[0]], strict=True):
        assert distance(end, start) < 1e-12
