"""Pictures of the figures in files: SVG or PNG each, and contact sheets.

Owns: the layout of a sheet, rasterising, file names.
Does not own: the SVGs (core/geometry/), the object store (assets.py).
Invariant: pictures are for people's eyes; no id depends on a rasteriser.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import resvg_py

from pipeline.core.geometry.cycle import FIGURE_OF_FRAME, FRAMES, LAST_FRAMES
from pipeline.core.geometry.palettes import VARIANTS
from pipeline.core.geometry.render import Renderer

Cell = tuple[int, int]
"""Frame 1..108 and variant 0..11."""

Progress = Callable[[int, int], None]
"""Called with (done, total) frames."""

PAGE_COLOUR: Final = "#05060f"


def completed_figures() -> list[Cell]:
    """The thirteen portal frames, each in a variant of its own as far as they go."""
    return [(frame, index % VARIANTS) for index, frame in enumerate(LAST_FRAMES)]


def whole_cycle(variant: int) -> list[Cell]:
    """All frames of one variant."""
    return [(frame, variant) for frame in range(1, FRAMES + 1)]


def all_variants(frame: int) -> list[Cell]:
    """One frame in every variant."""
    return [(frame, variant) for variant in range(VARIANTS)]


def sheet(cells: Sequence[Cell], *, columns: int, size_px: int, plain: bool = False) -> bytes:
    """A contact sheet as PNG.

    Args:
        cells: at least one; a last row that is not full is centred.
        columns: 1 and up. size_px: side of a cell.
        plain: one colour for the whole page instead of each frame's own ground; a smaller file.
    """
    renderer = Renderer()
    rows = -(-len(cells) // columns)
    placed = []
    for index, (frame, variant) in enumerate(cells):
        row, column = divmod(index, columns)
        in_row = min(columns, len(cells) - row * columns)
        x = column * size_px + (columns - in_row) * size_px // 2
        where = f'<svg height="{size_px}" width="{size_px}" x="{x}" y="{row * size_px}" '
        svg = renderer.svg(frame, variant, ground=not plain).decode()
        placed.append(svg.replace("<svg ", where, 1))
    page = f'<svg xmlns="http://www.w3.org/2000/svg" width="{columns * size_px}"'
    page += f' height="{rows * size_px}">{"".join(placed)}</svg>'
    return _rasterised(page, None)


def _rasterised(svg: str, size_px: int | None) -> bytes:
    png: bytes = resvg_py.svg_to_bytes(
        svg_string=svg, width=size_px, background=PAGE_COLOUR, skip_system_fonts=True
    )
    return png


def file_name(frame: int, variant: int, suffix: str) -> str:
    """Sorted by frame, then variant, with the figure's name."""
    return f"{frame:03d}-{variant:02d}-{FIGURE_OF_FRAME[frame - 1]}.{suffix}"


def write_frame(folder: Path, frame: int, variants: Sequence[int], size_px: int | None) -> None:
    """Write one frame in some variants: SVG, or PNG of `size_px` where that is given."""
    renderer = Renderer()
    for variant in variants:
        svg = renderer.svg(frame, variant)
        if size_px is None:
            (folder / file_name(frame, variant, "svg")).write_bytes(svg)
        else:
            png = _rasterised(svg.decode(), size_px)
            (folder / file_name(frame, variant, "png")).write_bytes(png)


def write_frames(
    folder: Path,
    frames: Sequence[int],
    variants: Sequence[int],
    size_px: int | None,
    progress: Progress,
) -> int:
    """Write frames into a folder, on all processors.

    Args:
        size_px: side of the PNGs; None writes SVGs.

    Returns:
        How many files were written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    workers = max(1, min(len(frames), os.cpu_count() or 1))
    # Spawned, not forked: the caller may have threads.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        running = [pool.submit(write_frame, folder, frame, variants, size_px) for frame in frames]
        for done, future in enumerate(running, start=1):
            future.result()
            progress(done, len(running))
    return len(frames) * len(variants)
