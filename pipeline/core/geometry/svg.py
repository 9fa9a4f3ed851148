"""Canonical SVG text: one way to write a number, an element, a shape.

Owns: quantisation, number format, attribute order, path data.
Does not own: what is drawn (figures), how it looks (render.py).
Invariant: equal input gives equal bytes on every platform, and an error of a few units in the last
place of a coordinate changes none of them, because the rounding boundary is moved off the places
where exact constructions land (`BOUNDARY_SHIFT`); tests/geometry measures the distance that is
left.
"""

import math
from typing import Final

from pipeline.core.geometry.shapes import Path, Placement, Shape

UNITS: Final = 100
"""Number of steps in an SVG unit: two decimals."""

BOUNDARY_SHIFT: Final = 0.0078125
"""Shift before rounding, in steps: halves and their near neighbours all round up."""


def number(value: float) -> str:
    """Write a finite value to two decimals, without trailing zeros, exponent or −0."""
    steps = math.floor(value * UNITS + 0.5 + BOUNDARY_SHIFT)
    whole, rest = divmod(abs(steps), UNITS)
    text = f"{whole}.{rest:02d}".rstrip("0").rstrip(".")
    return f"-{text}" if steps < 0 else text


def pair(x: float, y: float) -> str:
    """Write two numbers for path data, without a separator that a minus sign makes needless."""
    first, second = number(x), number(y)
    return f"{first}{second}" if second.startswith("-") else f"{first} {second}"


def element(name: str, attributes: dict[str, str], *children: str) -> str:
    """Write an element, its attributes sorted by name; values may need to escape & < and " only."""
    inside = "".join(f' {key}="{_escaped(value)}"' for key, value in sorted(attributes.items()))
    if not children:
        return f"<{name}{inside}/>"
    return f"<{name}{inside}>{''.join(children)}</{name}>"


def _escaped(value: str) -> str:
    return value.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


def shape_element(shape: Shape, placement: Placement, attributes: dict[str, str]) -> str:
    """Write a shape with attributes of its own; the rest of its style is inherited."""
    if isinstance(shape, Path):
        return element("path", {"d": path_data(shape, placement)} | attributes)
    x, y = placement.point(shape.centre)
    radius = number(shape.radius * placement.scale)
    return element("circle", {"cx": number(x), "cy": number(y), "r": radius} | attributes)


def path_data(path: Path, placement: Placement) -> str:
    """Write the `d` attribute of a path, absolute commands only."""
    out: list[str] = []
    for step in path.steps:
        points = [placement.point(point) for point in step.points]
        if step.kind == "A":
            radius = number(step.radius * placement.scale)
            # SVG's y axis points down, so its positive sweep is clockwise.
            sweep = 0 if step.ccw else 1
            out.append(f"A{radius} {radius} 0 0 {sweep} {pair(*points[0])}")
        else:
            text = " ".join(pair(*point) for point in points)
            out.append(step.kind + text.replace(" -", "-"))
    return "".join(out)
