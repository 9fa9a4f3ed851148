"""A frame in a variant, as the bytes of a canonical SVG.

Owns: layers, widths, opacities, the ring of 108 beads, the text for screen readers.
Does not own: geometry (figures), number format (svg.py), ids (catalogue.py).
Invariant: `Renderer.svg` depends on nothing but frame and variant.
"""

from collections.abc import Iterable
from typing import Final

from pipeline.core.geometry.cycle import FIGURE_OF_FRAME, FRAMES, LAST_FRAMES, step_of_frame
from pipeline.core.geometry.errors import FrameError
from pipeline.core.geometry.exact import polar
from pipeline.core.geometry.figure import Figure, Part, Role
from pipeline.core.geometry.gallery import figures
from pipeline.core.geometry.palettes import FRESH, PALETTES, VARIANTS, Palette
from pipeline.core.geometry.shapes import Placement
from pipeline.core.geometry.svg import element, number, pair, shape_element

VIEW: Final = 1000.0
"""Side of the square view box, which is centred on 0, in SVG units."""
FIGURE_RADIUS: Final = 408.0
"""Distance from the centre that every complete figure reaches exactly, in SVG units."""
BEAD_RADIUS: Final = 462.0
RING_RADIUS: Final = 436.0
GROUND_RADIUS: Final = 700.0
FILL_OPACITY: Final = 0.62
"""Opacity of a fill with full tone, 0..1."""


class Renderer:
    """Draws frames; keeps what frames and variants share, at most a few hundred kilobytes.

    Not safe for use by several threads at once.
    """

    def __init__(self) -> None:
        self._figures = figures()
        self._fragments: dict[tuple[str, int, int], str] = {}

    def svg(self, frame: int, variant: int, *, ground: bool = True) -> bytes:
        """Draw one asset.

        Args:
            frame: 1..108. variant: 0..11.
            ground: False leaves the background out, for a sheet that has its own; not an asset.

        Returns:
            UTF-8, 4 to 16 kB, the same bytes everywhere.

        Raises:
            FrameError: frame or variant out of range.
        """
        if not (1 <= frame <= FRAMES and 0 <= variant < VARIANTS):
            raise FrameError(frame, variant)
        palette = PALETTES[variant]
        figure = self._figures[FIGURE_OF_FRAME[frame - 1]]
        step, days = step_of_frame(frame)
        scope = f"f{frame}v{variant}"
        title = f"{figure.title}, day {frame} of {FRAMES}"
        state = "complete" if step == days else f"day {step} of {days}"
        root = {
            "aria-label": title,
            "role": "img",
            "viewBox": f"{number(-VIEW / 2)} {number(-VIEW / 2)} {number(VIEW)} {number(VIEW)}",
            "xmlns": "http://www.w3.org/2000/svg",
        }
        turn_step = figure.turns[variant % len(figure.turns)]
        drawn = (_ground(scope) if ground else "") + _beads(frame, palette)
        drawn += "".join(self._layers(figure, turn_step, step, scope, palette))
        text = element(
            "svg",
            root,
            element("title", {}, title),
            element("desc", {}, f"{figure.description} {state.capitalize()}."),
            element("defs", {}, *_gradients(scope, palette, step / days, drawn)),
            drawn,
        )
        return text.encode()

    def _layers(
        self, figure: Figure, turn_step: int, step: int, scope: str, palette: Palette
    ) -> Iterable[str]:
        """Yield the layers from back to front: guides, fills, hairlines, strokes, discs, points."""
        light = f"url(#{scope}s)"
        complete = step == figure.days
        settled = step if complete else step - 1

        def group(role: Role, first: int, last: int, style: dict[str, str]) -> str:
            inside = "".join(
                self._fragment(figure, index, turn_step)
                for index, part in enumerate(figure.parts)
                if part.role is role and first <= part.day <= last
            )
            return element("g", style, inside) if inside else ""

        for role in (Role.SOFT, Role.DISC, Role.LINE):
            yield group(role, step + 1, figure.days, _stroke(palette.rim, "1.4", "0.17"))
        fills = {"fill": f"url(#{scope}f)", "fill-rule": "evenodd"}
        yield group(Role.FILL, 0, step, fills)
        yield group(Role.FINE, 0, settled, _stroke(palette.rim, "1.5", "0.5"))
        yield group(Role.FINE, settled + 1, step, _stroke(FRESH, "1.7", "0.8"))
        yield group(Role.SOFT, 0, settled, _stroke(light, "2.2", "0.75"))
        yield group(Role.SOFT, settled + 1, step, _stroke(FRESH, "2.4", "0.9"))
        yield group(Role.LINE, 0, step, _stroke(palette.rim, "12", "0.14"))
        yield group(Role.LINE, 0, settled, _stroke(light, "3.4", "1"))
        yield group(Role.LINE, settled + 1, step, _stroke(FRESH, "4", "1"))
        yield group(Role.DISC, 0, step, {"fill": palette.edge})
        glass = {"fill": f"url(#{scope}f)", "fill-opacity": "0.85" if complete else "0.4"}
        yield group(Role.DISC, 0, settled, _stroke(light, "3.4", "1") | glass)
        yield group(Role.DISC, settled + 1, step, _stroke(FRESH, "4", "1") | glass)
        yield group(Role.NODE, 0, step, _stroke(palette.rim, "12", "0.3") | {"fill": FRESH})

    def _fragment(self, figure: Figure, index: int, turn_step: int) -> str:
        key = (figure.slug, index, turn_step)
        found = self._fragments.get(key)
        if found is None:
            placement = Placement(FIGURE_RADIUS / figure.extent, turn_step)
            found = self._fragments[key] = _drawn(figure.parts[index], placement)
        return found


def _drawn(part: Part, placement: Placement) -> str:
    """Return one part as an element that inherits all but its own tone."""
    own: dict[str, str] = {}
    if part.role is Role.FILL:
        own = {"fill-opacity": number(FILL_OPACITY * part.tone)}
    elif part.tone < 1.0:
        own = {"opacity": number(part.tone)}
    return shape_element(part.shape, placement, own)


def _stroke(colour: str, width: str, opacity: str) -> dict[str, str]:
    return {
        "fill": "none",
        "stroke": colour,
        "stroke-linecap": "round",
        "stroke-linejoin": "round",
        "stroke-opacity": opacity,
        "stroke-width": width,
    }


def _gradients(scope: str, palette: Palette, progress: float, drawn: str) -> Iterable[str]:
    """Yield those that are used of background, halo (brighter with the figure), fill and stroke."""
    glow = number(0.1 + 0.3 * progress)
    fill = (("0", palette.accent, "1"), ("0.45", palette.middle, "1"), ("1", palette.glass, "1"))
    gradients = (
        ("b", GROUND_RADIUS, (("0", palette.ground, "1"), ("1", palette.edge, "1"))),
        ("h", RING_RADIUS, (("0", palette.glass, glow), ("1", palette.glass, "0"))),
        ("f", FIGURE_RADIUS, fill),
        ("s", FIGURE_RADIUS, (("0", palette.core, "1"), ("1", palette.rim, "1"))),
    )
    for name, radius, stops in gradients:
        if f"url(#{scope}{name})" in drawn:
            middle = {"cx": "0", "cy": "0", "gradientUnits": "userSpaceOnUse"}
            yield element(
                "radialGradient",
                middle | {"id": scope + name, "r": number(radius)},
                *(
                    element("stop", {"offset": at, "stop-color": colour, "stop-opacity": opacity})
                    for at, colour, opacity in stops
                ),
            )


def _ground(scope: str) -> str:
    corner, side = number(-VIEW / 2), number(VIEW)
    square = {"height": side, "width": side, "x": corner, "y": corner}
    return element("rect", square | {"fill": f"url(#{scope}b)"}) + element(
        "circle", {"cx": "0", "cy": "0", "fill": f"url(#{scope}h)", "r": number(RING_RADIUS)}
    )


def _beads(frame: int, palette: Palette) -> str:
    """Draw the mala: a bead a day from the top clockwise, lit up to today, large on portal days."""

    def dots(days: Iterable[int]) -> str:
        spots = (polar(BEAD_RADIUS, 27 - day, FRAMES) for day in days)
        return "".join(f"M{pair(x, -y)}h.01" for x, y in spots)

    def layer(days: list[int], width: str, colour: str, opacity: str) -> str:
        if not days:
            return ""
        style = {
            "d": dots(days),
            "stroke": colour,
            "stroke-linecap": "round",
            "stroke-opacity": opacity,
            "stroke-width": width,
        }
        return element("path", style)

    small = [day for day in range(1, FRAMES + 1) if day not in LAST_FRAMES]
    return "".join(
        (
            layer([d for d in small if d > frame], "4.4", palette.rim, "0.25"),
            layer([d for d in LAST_FRAMES if d > frame], "9", palette.rim, "0.3"),
            layer([d for d in small if d <= frame], "6", palette.rim, "1"),
            layer([d for d in LAST_FRAMES if d <= frame], "11", palette.core, "1"),
            layer([frame], "24", palette.rim, "0.4"),
            layer([frame], "9", FRESH, "1"),
        )
    )
