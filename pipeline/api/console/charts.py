"""Charts as inline SVG.

Owns: their shapes: columns, a line, a bar.
Does not own: what they show (health.py), colours (static/console.css).
Invariants: a chart has only shapes and stretches to any width; its words are text beside it, so
that people can read them at any size, or without seeing the chart.
"""

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

WIDTH: Final = 600
HEIGHT: Final = 120
"""Size of a chart's drawing, in units of its own."""

_GAP: Final = 0.18
"""Share of a column's width that stays empty."""


def columns(
    stacks: Sequence[Sequence[float]], tones: Sequence[str], label: str, mark: float | None = None
) -> Markup:
    """Draw columns side by side, each a stack from the bottom up.

    Args:
        stacks: for each column one value for each tone.
        tones: class names.
        label: the chart in words.
        mark: columns from the left to a vertical line; None: no line.
    """
    highest = max((sum(stack) for stack in stacks), default=0) or 1
    wide = WIDTH / max(1, len(stacks))
    shapes = []
    for number, stack in enumerate(stacks):
        y = float(HEIGHT)
        for tone, value in zip(tones, stack, strict=True):
            tall = value / highest * (HEIGHT - 2)
            if value <= 0:
                continue
            y -= tall
            x = (number + _GAP / 2) * wide
            shapes.append(_rect(x, y, wide * (1 - _GAP), tall, tone))
    if mark is not None:
        x = mark * wide
        shapes.append(f'<line class="mark" x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{HEIGHT}"/>')
    return _svg(shapes, label, HEIGHT)


def line(values: Sequence[float | None], label: str, highest: float = 0.0) -> Markup:
    """Draw a line with the area below it; there is a gap where a value is missing.

    Args:
        highest: top of the axis; 0: the highest value.
    """
    top = highest or max((value for value in values if value is not None), default=0) or 1
    step = WIDTH / max(1, len(values) - 1)
    shapes = []
    for stretch in _stretches(values):
        points = [
            f"{number * step:.1f},{HEIGHT - 2 - value / top * (HEIGHT - 6):.1f}"
            for number, value in stretch
        ]
        if len(points) == 1:  # a point alone would not be seen
            points.append(f"{(stretch[0][0] + 0.5) * step:.1f},{points[0].partition(',')[2]}")
        first, last = stretch[0][0] * step, stretch[-1][0] * step
        area = f"{first:.1f},{HEIGHT} {' '.join(points)} {last:.1f},{HEIGHT}"
        shapes.append(f'<polygon class="area" points="{area}"/>')
        shapes.append(f'<polyline class="line" points="{" ".join(points)}"/>')
    return _svg(shapes, label, HEIGHT)


def bar(share: float, tone: str, label: str) -> Markup:
    """Draw one horizontal bar.

    Args:
        share: 0 to 1 of the width.
    """
    wide = min(1.0, max(0.0, share)) * WIDTH
    shapes = [_rect(0, 0, WIDTH, 10, "ground"), _rect(0, 0, max(wide, 2 if share else 0), 10, tone)]
    return _svg(shapes, label, 10)


def _stretches(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    found: list[list[tuple[int, float]]] = [[]]
    for number, value in enumerate(values):
        if value is None:
            found.append([])
        else:
            found[-1].append((number, value))
    return [stretch for stretch in found if stretch]


def _rect(x: float, y: float, wide: float, tall: float, tone: str) -> str:
    return f'<rect class="{tone}" x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{tall:.1f}"/>'


def _svg(shapes: Sequence[str], label: str, height: int) -> Markup:
    head = Markup('<svg class="chart" role="img" preserveAspectRatio="none" ')
    box = Markup('viewBox="0 0 {} {}" aria-label="{}">').format(WIDTH, height, label)
    return head + box + Markup("".join(shapes)) + Markup("</svg>")
