"""`awaway assets`: the catalogue of figures.

Owns: the commands, what they print and their exit codes.
Does not own: publishing and checking (ops/assets/catalogue.py), pictures (ops/assets/pictures.py).
Invariant: publishing twice leaves the store as publishing once.
"""

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.output import Output, OutputOption, ProgressLine, show
from pipeline.core.geometry.catalogue import GENERATOR_VERSION
from pipeline.core.geometry.cycle import FRAMES
from pipeline.core.geometry.palettes import VARIANTS
from pipeline.errors import UsageError

app = typer.Typer(no_args_is_help=True)

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        help="A folder or a URL (s3://, gs://, az://, file://); default: the setting assets_url.",
    ),
]
VariantOption = Annotated[int | None, typer.Option(min=0, max=VARIANTS - 1, help="The palette.")]


class Picture(StrEnum):
    """File formats of `render`."""

    SVG = "svg"
    PNG = "png"


def _store_url(given: str | None) -> str:
    if given is not None:
        return given
    from pipeline.settings.load import load_settings  # noqa: PLC0415 - slow to import

    return load_settings().assets_url


@app.command()
def publish(
    *,
    store: StoreOption = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Replace objects whose bytes are wrong.")
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Write the catalogue to the object store; if it is there already, verify it.

    Every object is named by the hash of its bytes, and is never overwritten. The manifest is
    written last.
    """
    from pipeline.ops.assets import catalogue as assets  # noqa: PLC0415 - loads the object store's client

    url = _store_url(store)
    started_s = time.perf_counter()
    with ProgressLine() as progress:
        report = assets.publish(
            assets.open_store(url, create=True),
            repair=repair,
            progress=lambda done, total: progress("publishing figures", done, total),
        )
    seconds = round(time.perf_counter() - started_s, 3)
    result = {
        "store": url,
        "generator_version": GENERATOR_VERSION,
        **report._asdict(),
        "seconds": seconds,
    }
    text = (
        f"{report.created} created, {report.present} there already, {report.repaired} repaired: "
        f"{report.size_bytes / 1e6:.1f} MB in {url}, {seconds} s"
    )
    show(result, output, lambda console: console.print(text, markup=False))


@app.command()
def check(
    *,
    store: StoreOption = None,
    deep: Annotated[bool, typer.Option("--deep", help="Read and hash every object.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Check that the whole catalogue is in the store, as a worker does before it starts."""
    from pipeline.ops.assets import catalogue as assets  # noqa: PLC0415 - loads the object store's client

    url = _store_url(store)
    count = assets.check(assets.open_store(url), deep=deep)
    result = {"store": url, "generator_version": GENERATOR_VERSION, "assets": count, "deep": deep}
    text = f"all {count} assets of generator {GENERATOR_VERSION} are in {url}"
    show(result, output, lambda console: console.print(text, markup=False))


@app.command()
def render(
    folder: Annotated[Path, typer.Argument(help="The folder to write into.", file_okay=False)],
    *,
    frames: Annotated[str, typer.Option(help="One frame, or first-last.")] = f"1-{FRAMES}",
    variant: VariantOption = None,
    picture: Annotated[Picture, typer.Option("--format", help="The file format.")] = Picture.PNG,
    size: Annotated[int, typer.Option(min=16, max=4096, help="Side of a PNG, in pixels.")] = 512,
    output: OutputOption = Output.TEXT,
) -> None:
    """Write frames as picture files, in one variant or in all."""
    from pipeline.ops.assets.pictures import write_frames  # noqa: PLC0415 - loads the rasteriser

    chosen = _frames(frames)
    variants = range(VARIANTS) if variant is None else (variant,)
    with ProgressLine() as progress:
        count = write_frames(
            folder,
            chosen,
            variants,
            size if picture is Picture.PNG else None,
            lambda done, total: progress("drawing frames", done, total),
        )
    text = f"{count} files in {folder}"
    result = {"folder": str(folder), "files": count}
    show(result, output, lambda console: console.print(text, markup=False))


@app.command()
def sheet(
    out: Annotated[Path, typer.Argument(help="The PNG file to write.", dir_okay=False)],
    *,
    variant: VariantOption = None,
    frame: Annotated[int | None, typer.Option(min=1, max=FRAMES, help="The frame.")] = None,
    size: Annotated[int, typer.Option(min=16, max=1024, help="Side of a cell, in pixels.")] = 198,
    plain: Annotated[bool, typer.Option("--plain", help="One background for the page.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Draw a contact sheet as PNG.

    It shows the thirteen completed figures; with --variant the whole cycle in that palette; with
    --frame that frame in all palettes. The README's picture is
    `awaway assets sheet docs/images/figures.png --plain`.
    """
    from pipeline.ops.assets import pictures  # noqa: PLC0415 - loads the rasteriser

    if variant is not None and frame is not None:
        raise UsageError("--variant and --frame together are one picture", fix="use `render`")
    if variant is not None:
        cells, columns = pictures.whole_cycle(variant), 12
    elif frame is not None:
        cells, columns = pictures.all_variants(frame), 4
    else:
        cells, columns = pictures.completed_figures(), 5
    png = pictures.sheet(cells, columns=columns, size_px=size, plain=plain)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(png)
    text = f"{len(cells)} pictures in {out}, {len(png) / 1e3:.0f} kB"
    result = {"file": str(out), "pictures": len(cells), "size_bytes": len(png)}
    show(result, output, lambda console: console.print(text, markup=False))


@app.command(hidden=True)
def freeze(
    out: Annotated[Path, typer.Argument(help="The golden list to write.", dir_okay=False)],
    *,
    output: OutputOption = Output.TEXT,
) -> None:
    """Write the golden list of this build, for a new generator version."""
    from pipeline.ops.assets.catalogue import freeze as frozen  # noqa: PLC0415 - as above

    data = frozen()
    out.write_bytes(data)
    result = {"file": str(out), "generator_version": GENERATOR_VERSION, "size_bytes": len(data)}
    text = f"golden list of generator {GENERATOR_VERSION} in {out}"
    show(result, output, lambda console: console.print(text, markup=False))


def _frames(text: str) -> range:
    """Parse `7` or `7-13`."""
    first, dash, last = text.partition("-")
    if first.isdecimal() and (last.isdecimal() if dash else True):
        found = range(int(first), int(last if dash else first) + 1)
        if found and found[0] >= 1 and found[-1] <= FRAMES:
            return found
    raise UsageError(
        f"{text!r} names no frames",
        fix=f"give one frame or first-last, within 1-{FRAMES}",
        frames=text,
    )
