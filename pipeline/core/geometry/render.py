"""A frame in a variant, as the bytes of a canonical SVG.

Owns: layers, widths, opacities, the ring of 108 beads, the text for screen readers.
Does not own: geometry (figures), number format (svg.py), ids (catalogue.py).
Invariant: `Renderer.svg` depends on nothing but frame and variant.
"""

from collections.abc import Iterable
from typing import Final

from pipeline.core.geometry.cycle import FIGURE_OF_FRAME, FRAMES, LAST_FRAMES, step_of_frame
from pipeline.core.geometry.exact import polar
from pipeline.core.geometry.figure import Figure, Part, Role
from pipeline.core.geometry.gallery import figures
from pipeline.core.geometry.palettes import PALETTES, Palette
from pipeline.core.geometry.shapes import Circle, Placement
from pipeline.core.geometry.svg import circle_element, element, number, pair, path_data

VIEW: Final = 1000.0
"""Side of the square view box, which is centred on 0."""
FIGURE_RADIUS: Final = 408.0
"""Every complete figure reaches exactly this far."""
BEAD_RADIUS: Final = 462.0
RING_RADIUS: Final = 436.0


class Renderer:
    """Draws frames; keeps what frames and variants share, at most a few hundred kilobytes.

    Not safe for use by several threads at once.
    """

    def __init__(self) -> None:
        self._figures = figures()
        self._fragments: dict[tuple[str, int, int], str] = {}

    def svg(self, frame: int, variant: int) -> bytes:
        """One asset.

        Args:
            frame: 1..108. variant: 0..11.

        Returns:
            UTF-8, 2 to 60 kB, the same bytes everywhere.
        """
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
        text = element(
            "svg",
            root,
            element("title", {}, title),
            element("desc", {}, f"{figure.description} {state.capitalize()}."),
            _gradients(scope, palette, step / days),
            _ground(scope),
            _beads(frame, palette),
            *self._layers(figure, figure.turns[variant % len(figure.turns)], step, scope, palette),
        )
        return text.encode()

    def _layers(
        self, figure: Figure, turn_step: int, step: int, scope: str, palette: Palette
    ) -> Iterable[str]:
        """From the back to the front: guides, fills, hairlines, strokes, discs, points."""
        stroke = f"url(#{scope}s)"
        complete = step == figure.days

        def pick(roles: tuple[Role, ...], first: int, last: int) -> str:
            return "".join(
                self._fragment(figure, index, turn_step)
                for index, part in enumerate(figure.parts)
                if part.role in roles and first <= part.day <= last
            )

        yield _group(
            pick((Role.LINE, Role.SOFT, Role.DISC), step + 1, figure.days),
            {"stroke": palette.rim, "stroke-opacity": "0.13", "stroke-width": "1.3"},
        )
        yield _group(pick((Role.FILL,), 0, step), {"fill": palette.accent, "fill-rule": "evenodd"})
        yield _group(
            pick((Role.FINE,), 0, step),
            {"stroke": palette.rim, "stroke-opacity": "0.42", "stroke-width": "1.2"},
        )
        yield _group(
            pick((Role.SOFT,), 0, step),
            {"stroke": stroke, "stroke-opacity": "0.62", "stroke-width": "1.8"},
        )
        yield _group(
            pick((Role.LINE,), 0, step),
            {"stroke": palette.accent, "stroke-opacity": "0.16", "stroke-width": "10"},
        )
        settled = step if complete else step - 1
        yield _group(pick((Role.LINE,), 0, settled), {"stroke": stroke, "stroke-width": "3"})
        if not complete:
            yield _group(
                pick((Role.LINE,), step, step), {"stroke": palette.fresh, "stroke-width": "3.6"}
            )
        yield _group(
            pick((Role.DISC,), 0, step),
            {"fill": palette.edge, "stroke": stroke, "stroke-width": "3"},
        )
        yield _group(pick((Role.NODE,), 0, step), {"fill": palette.fresh})

    def _fragment(self, figure: Figure, index: int, turn_step: int) -> str:
        key = (figure.slug, index, turn_step)
        found = self._fragments.get(key)
        if found is None:
            placement = Placement(FIGURE_RADIUS / figure.extent, turn_step)
            found = self._fragments[key] = _drawn(figure.parts[index], placement)
        return found


def _drawn(part: Part, placement: Placement) -> str:
    """One part as an element that inherits all but its own tone."""
    tone = ""
    if part.role is Role.FILL:
        tone = f' fill-opacity="{number(0.34 * part.tone)}"'
    elif part.role is Role.FINE and part.tone < 1.0:
        tone = f' opacity="{number(part.tone)}"'
    if isinstance(part.shape, Circle):
        return circle_element(part.shape, placement).replace("/>", f"{tone}/>")
    return f'<path d="{path_data(part.shape, placement)}"{tone}/>'


def _group(inside: str, style: dict[str, str]) -> str:
    if not inside:
        return ""
    style = {"fill": "none", "stroke-linecap": "round", "stroke-linejoin": "round"} | style
    return element("g", style, inside)


def _gradients(scope: str, palette: Palette, progress: float) -> str:
    """Background, halo (which brightens with the figure) and stroke."""
    middle = {"cx": "0", "cy": "0", "gradientUnits": "userSpaceOnUse"}

    def gradient(name: str, radius: float, stops: tuple[tuple[str, str, str], ...]) -> str:
        return element(
            "radialGradient",
            middle | {"id": scope + name, "r": number(radius)},
            *(
                element("stop", {"offset": at, "stop-color": colour, "stop-opacity": opacity})
                for at, colour, opacity in stops
            ),
        )

    glow = number(0.06 + 0.16 * progress)
    return element(
        "defs",
        {},
        gradient("b", 700.0, (("0", palette.ground, "1"), ("1", palette.edge, "1"))),
        gradient("h", RING_RADIUS, (("0", palette.accent, glow), ("1", palette.accent, "0"))),
        gradient("s", FIGURE_RADIUS, (("0", palette.core, "1"), ("1", palette.rim, "1"))),
    )


def _ground(scope: str) -> str:
    corner, side = number(-VIEW / 2), number(VIEW)
    square = {"height": side, "width": side, "x": corner, "y": corner}
    return element("rect", square | {"fill": f"url(#{scope}b)"}) + element(
        "circle", {"cx": "0", "cy": "0", "fill": f"url(#{scope}h)", "r": number(RING_RADIUS)}
    )


def _beads(frame: int, palette: Palette) -> str:
    """The mala: a bead a day from the top clockwise, lit up to today; portal days are larger."""

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
            layer([frame], "24", palette.accent, "0.45"),
            layer([frame], "9", palette.fresh, "1"),
        )
    )
