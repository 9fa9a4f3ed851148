"""Each figure is what its name says: counts and incidences."""

import math
from collections import Counter
from itertools import combinations, pairwise

import pytest

from pipeline.core.geometry import circles, metatron, solids, spiral, tree
from pipeline.core.geometry.cycle import SPANS
from pipeline.core.geometry.exact import PHI, SQRT3, Point, distance, hex_disc, hex_point
from pipeline.core.geometry.figure import Figure, Role
from pipeline.core.geometry.gallery import figures
from pipeline.core.geometry.shapes import Circle, Path, lens, reach

ALL = figures()
ORIGIN = (0.0, 0.0)


def circles_of(figure: Figure, *roles: Role) -> list[Circle]:
    return [
        part.shape for part in figure.parts if part.role in roles and isinstance(part.shape, Circle)
    ]


def paths_of(figure: Figure, *roles: Role) -> list[Path]:
    return [
        part.shape for part in figure.parts if part.role in roles and isinstance(part.shape, Path)
    ]


def ends(path: Path) -> list[Point]:
    return [step.points[-1] for step in path.steps if step.points]


def test_thirteen_figures_in_the_order_of_the_cycle() -> None:
    assert [(f.slug, f.days) for f in ALL.values()] == [
        (slug, last - before)
        for (slug, last), before in zip(SPANS, [0, *(last for _, last in SPANS)], strict=False)
    ]
    assert all(slug == figure.slug for slug, figure in ALL.items())


@pytest.mark.parametrize("figure", ALL.values(), ids=lambda f: f.slug)
def test_every_day_reveals_something(figure: Figure) -> None:
    days = {part.day for part in figure.parts}
    assert days - {0} == set(range(1, figure.days + 1))


@pytest.mark.parametrize("figure", ALL.values(), ids=lambda f: f.slug)
def test_a_complete_figure_fills_its_circle(figure: Figure) -> None:
    strokes = [p.shape for p in figure.parts if p.role is not Role.NODE]
    assert max(map(reach, strokes)) == pytest.approx(figure.extent, rel=1e-12)
    assert all(0.0 < p.tone <= 1.0 for p in figure.parts)


def far_side(circle: Circle) -> Point:
    x, y = circle.centre
    longer = 1.0 + circle.radius / math.hypot(x, y)
    return x * longer, y * longer


@pytest.mark.parametrize("figure", ALL.values(), ids=lambda f: f.slug)
def test_a_complete_figure_is_centred(figure: Figure) -> None:
    # The smallest circle around a figure is centred on the origin when the farthest points do not
    # fit into less than half a turn.
    strokes = [p.shape for p in figure.parts if p.role not in (Role.FILL, Role.NODE)]
    around = [s for s in strokes if not (isinstance(s, Circle) and s.centre == ORIGIN)]
    farthest = max(map(reach, around), default=0.0)
    corners = [
        corner
        for shape in around
        if reach(shape) > farthest - 1e-9
        for corner in ([far_side(shape)] if isinstance(shape, Circle) else ends(shape))
    ]
    outer = max((math.hypot(*corner) for corner in corners), default=0.0)
    angles = sorted(math.atan2(y, x) for x, y in corners if math.hypot(x, y) > outer - 1e-9)
    gaps = [b - a for a, b in pairwise([*angles, angles[0] + 2.0 * math.pi])] if angles else []
    assert max(gaps, default=0.0) <= math.pi + 1e-9
    assert bool(gaps) != (figure.slug == "bindu")


def test_bindu_is_a_point_in_a_circle() -> None:
    assert [c.centre for c in circles_of(ALL["bindu"], Role.LINE, Role.NODE)] == [ORIGIN] * 2


def test_the_vesica_is_root_three_high() -> None:
    first, second = circles_of(ALL["vesica-piscis"], Role.LINE)
    assert first.radius == second.radius == distance(first.centre, second.centre) == 1.0
    tips = ends(lens(first.centre, second.centre, 1.0))[:2]
    assert distance(*tips) == pytest.approx(SQRT3)
    for tip in tips:
        assert distance(tip, first.centre) == pytest.approx(1.0)
        assert distance(tip, second.centre) == pytest.approx(1.0)


def test_the_tripod_stands_on_an_equilateral_triangle() -> None:
    centres = [c.centre for c in circles_of(ALL["tripod-of-life"], Role.LINE)]
    assert len(centres) == 3
    assert [distance(a, b) for a, b in combinations(centres, 2)] == pytest.approx([1.0] * 3)
    assert sum(x for x, _ in centres) == pytest.approx(0.0, abs=1e-15)
    assert sum(y for _, y in centres) == pytest.approx(0.0, abs=1e-15)


def test_the_seed_is_one_circle_and_six_on_it() -> None:
    found = circles_of(ALL["seed-of-life"], Role.LINE)
    assert [c.radius for c in found] == [1.0] * 7
    middle, *ring = [c.centre for c in found]
    assert middle == ORIGIN
    assert [distance(middle, c) for c in ring] == pytest.approx([1.0] * 6)
    around = zip(ring, [*ring[1:], ring[0]], strict=True)
    assert [distance(a, b) for a, b in around] == pytest.approx([1.0] * 6)
    assert len(paths_of(ALL["seed-of-life"], Role.FILL)) == 6, "petals"


def test_the_eggs_circles_touch() -> None:
    centres = [c.centre for c in circles_of(ALL["egg-of-life"], Role.LINE)]
    assert len(centres) == 7
    gaps = sorted(distance(a, b) for a, b in combinations(centres, 2))
    assert gaps[:12] == pytest.approx([2.0] * 12)
    assert gaps[12] > 2.1


def test_the_eggs_gaps_touch_three_circles_each() -> None:
    centres = [c.centre for c in circles_of(ALL["egg-of-life"], Role.LINE)]
    gaps = paths_of(ALL["egg-of-life"], Role.FILL)
    assert len(gaps) == 6
    for gap in gaps:
        for corner in ends(gap):
            touching = [c for c in centres if distance(c, corner) == pytest.approx(1.0)]
            assert len(touching) == 2


def test_the_flower_is_nineteen_circles_within_three_radii() -> None:
    found = circles_of(ALL["flower-of-life"], Role.LINE)
    unit = [c for c in found if c.radius == 1.0]
    assert len(unit) == 19 == len({c.centre for c in unit})
    assert [c.radius for c in found if c.radius != 1.0] == [3.0]
    assert max(distance(ORIGIN, c.centre) + 1.0 for c in unit) == pytest.approx(3.0)
    neighbours = [
        sum(distance(a.centre, b.centre) == pytest.approx(1.0) for b in unit) for a in unit
    ]
    assert Counter(neighbours) == {6: 7, 4: 6, 3: 6}
    petals = paths_of(ALL["flower-of-life"], Role.FILL)
    assert len(petals) == 30
    assert all(distance(*ends(petal)[:2]) == pytest.approx(1.0) for petal in petals)


def test_the_fruit_has_thirteen_centres_of_the_grown_flower() -> None:
    centres = circles.fruit_centres()
    assert sorted(round(distance(ORIGIN, c)) for c in centres) == [0] + [2] * 6 + [4] * 6
    assert len(circles_of(ALL["fruit-of-life"], Role.LINE)) == 13
    lattice = {(-hex_point(q, s)[1], hex_point(q, s)[0]) for q, s in hex_disc(4)}
    for centre in centres:
        assert min(distance(centre, point) for point in lattice) < 1e-12


def test_metatrons_cube_joins_78_pairs_by_39_lines() -> None:
    lines = metatron.carrier_lines()
    assert len(lines) == 39 == len(paths_of(ALL["metatrons-cube"], Role.LINE))
    pairs = [frozenset(pair) for line in lines for pair in combinations(line, 2)]
    assert len(pairs) == len(set(pairs)) == 78
    assert Counter(map(len, lines)) == {5: 3, 3: 6, 2: 30}


def test_metatrons_lines_reach_from_end_to_end() -> None:
    centres = circles.fruit_centres()
    for line in metatron.carrier_lines():
        first, *_, last = line
        longest = max(distance(centres[a], centres[b]) for a, b in combinations(line, 2))
        assert distance(centres[first], centres[last]) == pytest.approx(longest)


def test_metatrons_days_keep_the_threefold_symmetry() -> None:
    days = Counter(p.day for p in ALL["metatrons-cube"].parts if p.role is Role.LINE)
    assert days == {1: 3, 2: 6, 3: 6, 4: 3, 5: 3, 6: 3, 7: 3, 8: 3, 9: 3, 10: 3, 11: 3}


def test_the_merkaba_is_a_hexagram_tiled_by_facets() -> None:
    figure = ALL["merkaba"]
    corners = Counter(
        (round(x, 9), round(y, 9))
        for path in paths_of(figure, Role.LINE)
        if len(path.steps) == 2 and ORIGIN not in ends(path)
        for x, y in ends(path)
    )
    assert sorted(corners.values()) == [2] * 6, "two triangles"
    areas = [abs(area(ends(path))) for path in paths_of(figure, Role.FILL)]
    assert len(areas) == 12
    # A hexagram of circumradius 1: one triangle and three thirds of thirds of the other.
    assert sum(areas) == pytest.approx(SQRT3)


def area(corners: list[Point]) -> float:
    pairs = zip(corners, [*corners[1:], corners[0]], strict=True)
    return sum(a[0] * b[1] - a[1] * b[0] for a, b in pairs) / 2.0


@pytest.mark.parametrize(
    ("index", "vertices", "edges", "faces", "corners", "edge"),
    [
        (0, 4, 6, 4, 3, math.sqrt(8.0 / 3.0)),
        (1, 8, 12, 6, 4, 2.0 / SQRT3),
        (2, 6, 12, 8, 3, math.sqrt(2.0)),
        (3, 20, 30, 12, 5, 2.0 / (PHI * SQRT3)),
        (4, 12, 30, 20, 3, 2.0 / math.sqrt(1.0 + PHI**2)),
    ],
)
def test_platonic_counts_and_edges(
    index: int, vertices: int, edges: int, faces: int, corners: int, edge: float
) -> None:
    solid = solids.solids()[index]
    assert (len(solid.vertices), len(solid.edges), len(solid.faces)) == (vertices, edges, faces)
    assert vertices - edges + faces == 2
    assert all(len(face) == corners == len(set(face)) for face in solid.faces)
    assert [math.dist(solid.vertices[i], solid.vertices[j]) for i, j in solid.edges] == (
        pytest.approx([edge] * edges)
    )
    assert [math.hypot(*v) for v in solid.vertices] == pytest.approx([1.0] * vertices)
    walked = Counter(
        frozenset(side)
        for face in solid.faces
        for side in zip(face, (*face[1:], face[0]), strict=True)
    )
    assert set(walked) == {frozenset(pair) for pair in solid.edges}
    assert set(walked.values()) == {2}, "every edge between two faces"


def test_the_spheres_of_the_solids_touch_each_other_and_the_circle() -> None:
    spheres = circles_of(ALL["platonic-solids"], Role.FINE)
    assert len(spheres) == 5
    radius = spheres[0].radius
    around = zip(spheres, [*spheres[1:], spheres[0]], strict=True)
    assert [distance(a.centre, b.centre) for a, b in around] == pytest.approx([2 * radius] * 5)
    assert [distance(ORIGIN, s.centre) + radius for s in spheres] == pytest.approx([1.0] * 5)


def test_all_edges_of_the_solids_are_drawn_and_none_is_a_point() -> None:
    sides = [p for p in paths_of(ALL["platonic-solids"], Role.LINE, Role.FINE) if len(p.steps) == 2]
    assert len(sides) == 6 + 12 + 12 + 30 + 30
    assert min(distance(*ends(side)) for side in sides) > 0.01


def test_the_tree_has_ten_nodes_and_22_paths() -> None:
    figure = ALL["tree-of-life"]
    assert len(tree.NODES) == 10 == len(circles_of(figure, Role.DISC))
    assert len(set(tree.PATHS)) == 22 == len(paths_of(figure, Role.LINE))
    assert all(a < b for a, b in tree.PATHS)
    degree = Counter(node for path in tree.PATHS for node in path)
    assert [degree[n] for n in range(10)] == [3, 4, 4, 4, 4, 8, 5, 5, 4, 3]
    assert Counter(round(x, 9) for x, _ in tree.NODES) == {
        0.0: 4,
        round(SQRT3 / 2, 9): 3,
        round(-SQRT3 / 2, 9): 3,
    }
    assert all((-x, y) in tree.NODES for x, y in tree.NODES)


def test_the_trees_paths_run_from_rim_to_rim() -> None:
    for (a, b), path in zip(tree.PATHS, paths_of(ALL["tree-of-life"], Role.LINE), strict=True):
        start, end = ends(path)
        assert distance(start, tree.NODES[a]) == pytest.approx(tree.NODE_RADIUS)
        assert distance(end, tree.NODES[b]) == pytest.approx(tree.NODE_RADIUS)


def test_a_node_comes_with_all_paths_to_earlier_ones() -> None:
    figure = ALL["tree-of-life"]
    per_day = Counter(p.day for p in figure.parts if p.role is Role.LINE)
    assert [per_day[day] for day in range(1, 11)] == [0, 1, 2, 1, 2, 5, 2, 3, 3, 3]


def test_the_spiral_grows_by_phi_each_quarter_turn() -> None:
    for piece in range(-40, 1):
        here, after = spiral.spiral_point(piece), spiral.spiral_point(piece + 4)
        assert distance(ORIGIN, after) / distance(ORIGIN, here) == pytest.approx(PHI)
        cross = here[0] * after[1] - here[1] * after[0]
        dot = here[0] * after[0] + here[1] * after[1]
        assert cross > 0.0, "counter-clockwise"
        assert dot == pytest.approx(0.0, abs=1e-12), "a right angle"
    assert spiral.spiral_point(0) == (0.0, 1.0)


def test_the_spirals_curves_stay_on_it_between_their_ends() -> None:
    steps = spiral.spiral_arc(-4, 0).steps
    for piece, (before, step) in enumerate(pairwise(steps), start=-4):
        near, far, end = step.points
        start = before.points[-1]
        middle = tuple((start[k] + 3.0 * near[k] + 3.0 * far[k] + end[k]) / 8.0 for k in (0, 1))
        expected = PHI ** ((piece + 0.5) / 4.0)
        assert math.hypot(*middle) == pytest.approx(expected, rel=3e-5)


def test_the_spiral_is_drawn_without_a_gap() -> None:
    pieces = paths_of(ALL["golden-spiral"], Role.LINE)
    assert [ends(p)[-1] for p in pieces[:-1]] == [ends(p)[0] for p in pieces[1:]]
    assert ends(pieces[-1])[-1] == (0.0, 1.0)


def test_the_shell_lies_inside_the_spiral() -> None:
    for piece in range(-24, 0):
        corners = ends(spiral.shell(piece, piece + 1))
        outer, _, inner, back = corners
        assert distance(ORIGIN, inner) <= distance(ORIGIN, corners[1])
        assert distance(ORIGIN, back) < distance(ORIGIN, outer)


def test_the_torus_is_24_circles_through_its_centre() -> None:
    found = [c for c in circles_of(ALL["golden-spiral"], Role.SOFT) if c.radius == 0.5]
    assert len({c.centre for c in found}) == spiral.TORUS_CIRCLES == 24
    assert [distance(ORIGIN, c.centre) for c in found] == pytest.approx([0.5] * 24)
