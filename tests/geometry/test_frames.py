"""All 108 × 12 drawings: canonical, distinct, whole, and the ones that were frozen."""

import hashlib
import math
import re
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest

from pipeline.core.geometry import render, svg
from pipeline.core.geometry.catalogue import decode_golden, encode_golden, golden_bytes
from pipeline.core.geometry.cycle import FIGURE_OF_FRAME, FRAMES, LAST_FRAMES, step_of_frame
from pipeline.core.geometry.errors import FrameError
from pipeline.core.geometry.gallery import figures
from pipeline.core.geometry.palettes import FRESH, PALETTES, VARIANTS, Palette
from pipeline.core.geometry.render import FIGURE_RADIUS, VIEW, Renderer

SIZE_BYTES_MAX = 16_000
SVG = "{http://www.w3.org/2000/svg}"
EVERY = [(frame, variant) for frame in range(1, FRAMES + 1) for variant in range(VARIANTS)]


@pytest.fixture(scope="module")
def drawn() -> dict[tuple[int, int], bytes]:
    renderer = Renderer()
    return {cell: renderer.svg(*cell) for cell in EVERY}


def test_everything_is_drawn_as_it_was_frozen(drawn: dict[tuple[int, int], bytes]) -> None:
    golden = decode_golden(golden_bytes())
    for (frame, variant), data in drawn.items():
        asset = golden.frames[frame - 1][variant]
        assert asset.id == hashlib.sha256(data).hexdigest(), (frame, variant)
        assert asset.size_bytes == len(data)


def test_every_drawing_is_distinct_and_small(drawn: dict[tuple[int, int], bytes]) -> None:
    assert len(set(drawn.values())) == 1296
    assert max(map(len, drawn.values())) <= SIZE_BYTES_MAX


def test_drawing_alone_or_in_any_order_gives_the_same(
    drawn: dict[tuple[int, int], bytes],
) -> None:
    assert Renderer().svg(90, 7) == drawn[90, 7]
    backwards = Renderer()
    for cell in reversed(EVERY[::37]):
        assert backwards.svg(*cell) == drawn[cell]


def layers(data: bytes) -> list[str]:
    """What is drawn of the figure itself: neither beads nor texts nor gradients."""
    root = ElementTree.fromstring(data)
    return [
        re.sub(r"f\d+v", "", ElementTree.tostring(group).decode()) for group in root.iter(f"{SVG}g")
    ]


@pytest.mark.parametrize("frame", range(2, FRAMES + 1))
def test_the_figure_itself_changes_every_day(
    frame: int, drawn: dict[tuple[int, int], bytes]
) -> None:
    assert layers(drawn[frame, 0]) != layers(drawn[frame - 1, 0])


def test_a_figure_only_grows(drawn: dict[tuple[int, int], bytes]) -> None:
    for frame in range(2, FRAMES + 1):
        if frame - 1 in LAST_FRAMES:
            continue
        before, after = (shown(drawn[f, 0]) for f in (frame - 1, frame))
        assert before < after, frame


def shown(data: bytes) -> set[str]:
    """The primitives of the figure that are drawn in full, not as a guide."""
    found = set()
    for group in ElementTree.fromstring(data).iter(f"{SVG}g"):
        if group.get("stroke-opacity") == "0.17":
            continue
        for child in group:
            found.add(child.get("d") or f"{child.get('cx')} {child.get('cy')} {child.get('r')}")
    return found


def test_a_complete_figure_has_no_guides_and_nothing_fresh(
    drawn: dict[tuple[int, int], bytes],
) -> None:
    for frame in range(1, FRAMES + 1):
        groups = list(ElementTree.fromstring(drawn[frame, 3]).iter(f"{SVG}g"))
        guides = [g for g in groups if g.get("stroke-opacity") == "0.17"]
        fresh = [g for g in groups if g.get("stroke") == FRESH]
        assert (not guides and not fresh) == (frame in LAST_FRAMES), frame


def test_the_document_is_for_everyone(drawn: dict[tuple[int, int], bytes]) -> None:
    for (frame, _), data in drawn.items():
        root = ElementTree.fromstring(data)
        assert root.tag == f"{SVG}svg"
        assert root.get("role") == "img"
        assert root.get("viewBox") == "-500 -500 1000 1000"
        title, desc = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
        assert title is not None
        assert desc is not None
        assert root.get("aria-label") == title.text
        assert f"day {frame} of 108" in (title.text or "")
        step, days = step_of_frame(frame)
        assert (desc.text or "").endswith("Complete." if step == days else f"Day {step} of {days}.")
        allowed = {"svg", "title", "desc", "defs", "radialGradient", "stop"}
        allowed |= {"rect", "circle", "path", "g"}
        assert {e.tag.removeprefix(SVG) for e in root.iter()} <= allowed


def test_the_text_is_canonical(drawn: dict[tuple[int, int], bytes]) -> None:
    for data in drawn.values():
        text = data.decode()
        for tag in re.findall(r"<\w+((?: [\w-]+=\"[^\"]*\")+)/?>", text):
            names = re.findall(r" ([\w-]+)=", tag)
            assert names == sorted(names)
        assert not re.search(
            r"-0[\"ALCMZh ,-]|\de[-+]?\d|nan|inf|\.\d{3}", re.sub("#[0-9a-f]{6}", "", text)
        )


def test_references_resolve_and_names_are_the_documents_own(
    drawn: dict[tuple[int, int], bytes],
) -> None:
    owners: dict[str, tuple[int, int]] = {}
    for cell, data in drawn.items():
        text = data.decode()
        names = re.findall(r' id="(\w+)"', text)
        assert len(names) == len(set(names))
        assert set(re.findall(r"url\(#(\w+)\)", text)) == set(names)
        for name in names:
            assert owners.setdefault(name, cell) == cell


def coordinates(data: bytes) -> Iterator[tuple[float, float]]:
    """The farthest point of each circle, strokes included, and the points of each path."""
    root = ElementTree.fromstring(data)
    for group in root.iter(f"{SVG}g"):
        margin = float(group.get("stroke-width") or 0.0) / 2.0
        for child in group:
            if child.tag == f"{SVG}circle":
                x, y, r = (float(child.get(k) or 0.0) for k in ("cx", "cy", "r"))
                scale = (math.hypot(x, y) + r + margin) / (math.hypot(x, y) or 1.0)
                yield (x * scale, y * scale) if (x, y) != (0.0, 0.0) else (r + margin, 0.0)
            else:
                data_text = re.sub(r"A\S+ \S+ 0 0 [01] ", "L", child.get("d") or "")
                numbers = [float(n) for n in re.findall(r"-?[\d.]+", data_text)]
                yield from zip(numbers[::2], numbers[1::2], strict=True)


@pytest.mark.parametrize("frame", LAST_FRAMES)
def test_nothing_is_clipped_and_every_figure_has_the_same_size(
    frame: int, drawn: dict[tuple[int, int], bytes]
) -> None:
    for variant in range(VARIANTS):
        farthest = max(math.hypot(x, y) for x, y in coordinates(drawn[frame, variant]))
        assert FIGURE_RADIUS - 0.01 <= farthest < VIEW / 2
        assert farthest < render.BEAD_RADIUS - 15.0, "clear of the beads"
    assert render.BEAD_RADIUS + 12.0 < VIEW / 2


def test_beads_are_lit_up_to_the_day(drawn: dict[tuple[int, int], bytes]) -> None:
    for frame in (1, 2, 13, 50, 107, 108):
        paths = ElementTree.fromstring(drawn[frame, 0]).findall(f"{SVG}path")
        count = {p.get("stroke-width"): (p.get("d") or "").count("M") for p in paths}
        portals = sum(last <= frame for last in LAST_FRAMES)
        expected = {
            "4.4": 108 - frame - (13 - portals),
            "9": 1,
            "6": frame - portals,
            "11": portals,
            "24": 1,
        }
        assert {k: n for k, n in count.items() if k != "9"} == {
            k: n for k, n in expected.items() if n and k != "9"
        }


def test_a_few_units_in_the_last_place_change_no_byte(
    drawn: dict[tuple[int, int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    exact_number = svg.number
    seen: set[float] = set()

    def nudged(direction: float, value: float) -> str:
        seen.add(value)
        for _ in range(2):
            value = math.nextafter(value, direction)
        return exact_number(value)

    for direction in (-math.inf, math.inf):
        monkeypatch.setattr(svg, "number", lambda v, d=direction: nudged(d, v))
        monkeypatch.setattr(render, "number", lambda v, d=direction: nudged(d, v))
        renderer = Renderer()
        assert all(renderer.svg(*cell) == data for cell, data in drawn.items())
    assert len(seen) > 1_000

    def to_boundary(value: float) -> float:
        steps = value * svg.UNITS + 0.5 + svg.BOUNDARY_SHIFT
        return abs(steps - round(steps)) / svg.UNITS

    # Ten thousand times what the last places of a few hundred operations can add up to.
    assert min(map(to_boundary, seen)) > 1e-7


@pytest.mark.parametrize(("frame", "variant"), [(0, 0), (109, 0), (1, -1), (1, 12), (-1, 0)])
def test_what_is_not_drawn_is_refused(frame: int, variant: int) -> None:
    with pytest.raises(FrameError, match=f"no frame {frame} in variant {variant}:"):
        Renderer().svg(frame, variant)


def test_a_ground_can_be_left_out() -> None:
    whole, bare = Renderer().svg(5, 5), Renderer().svg(5, 5, ground=False)
    assert b"<rect" in whole
    assert b"<rect" not in bare
    assert len(bare) < len(whole)


def test_spans_partition_the_cycle() -> None:
    assert LAST_FRAMES == (1, 3, 7, 13, 21, 30, 40, 51, 62, 73, 84, 96, 108)
    assert len(FIGURE_OF_FRAME) == FRAMES == 108
    built = figures()
    for frame in range(1, FRAMES + 1):
        step, days = step_of_frame(frame)
        assert days == built[FIGURE_OF_FRAME[frame - 1]].days
        assert (step == days) == (frame in LAST_FRAMES)
        assert 1 <= step <= days
    assert step_of_frame(1) == (1, 1)
    assert step_of_frame(2) == (1, 2)
    assert step_of_frame(108) == (12, 12)


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    channels = [int(colour[k : k + 2], 16) / 255.0 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("palette", PALETTES, ids=lambda p: p.name)
def test_strokes_stand_out_from_the_ground(palette: Palette) -> None:
    ground = max(luminance(palette.ground), luminance(palette.edge))
    for stroke in (palette.core, palette.rim, FRESH):
        assert (luminance(stroke) + 0.05) / (ground + 0.05) >= 7.0


def test_palettes_differ() -> None:
    assert len({p.name for p in PALETTES}) == len({p.rim for p in PALETTES}) == VARIANTS == 12


def test_the_golden_list_is_canonical() -> None:
    data = golden_bytes()
    assert encode_golden(decode_golden(data)) == data
