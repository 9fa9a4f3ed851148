"""Draws the frames as bytes: SVG, and PNG from it.

Owns: the processes that rasterise, the cache of pictures, the limit (`IN_WORK_MAX`) of pictures
that are drawn at once or wait for it.
Does not own: drawing (core/geometry/), ids (the golden list), HTTP (routes/assets.py).
Invariants: an SVG is served only if its SHA-256 is its id; the bytes in the cache and the number of
pictures that are drawn or wait are bounded; a picture is drawn once, however many requests wait for
it.

SVGs are drawn here by the rules of the golden list, without an object store. The processes start
with the first PNG; they are spawned, so they inherit no thread of this process.
"""

import asyncio
import hashlib
from collections import OrderedDict
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Final, Literal

from pipeline.api.http.problems import ProblemError
from pipeline.core.geometry.catalogue import GoldenCatalogue
from pipeline.core.geometry.palettes import VARIANTS
from pipeline.core.geometry.render import Renderer
from pipeline.observability import api_metrics as m
from pipeline.observability.api_prometheus import ApiMetrics

PNG_SIZE_PX: Final = 1_024
"""Side of a PNG, pixels."""

IN_WORK_MAX: Final = 32
"""Max pictures that are drawn or wait for it; further requests are told to come again."""

_PNG_S_MAX: Final = 20.0
"""Max seconds that a PNG may take."""

PictureResult = Literal["reused", "refused", "drawn"]


def png_of(svg: str, size_px: int) -> bytes:
    """Rasterise an SVG; it runs in a process of the pool."""
    import resvg_py  # noqa: PLC0415 - only there

    png: bytes = resvg_py.svg_to_bytes(svg_string=svg, width=size_px, skip_system_fonts=True)
    return bytes(png)


class Pictures:
    """A service that draws the frames.

    Args:
        processes: number of processes that rasterise, 1 and up.
        cache_bytes: max bytes of pictures in the cache.
    """

    def __init__(
        self, catalogue: GoldenCatalogue, processes: int, cache_bytes: int, metrics: ApiMetrics
    ) -> None:
        rows = enumerate(catalogue.golden.frames, start=1)
        self._frames = {
            asset.id: (frame, variant) for frame, row in rows for variant, asset in enumerate(row)
        }
        if len(self._frames) % VARIANTS:
            raise ValueError("the golden list has a row that is not full")
        self._processes = processes
        self._cache_bytes = cache_bytes
        self._metrics = metrics
        self._renderer: Renderer | None = None
        self._pool: ProcessPoolExecutor | None = None
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._in_work: dict[str, asyncio.Future[bytes]] = {}

    async def start(self) -> None:
        """Do nothing: the first PNG starts the pool."""

    async def stop(self) -> None:
        """End the pool."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def knows(self, asset_id: str) -> bool:
        """Tell whether there is such a frame."""
        return asset_id in self._frames

    async def svg(self, asset_id: str) -> bytes:
        """Return the SVG of a frame that `knows` confirms.

        Raises:
            ProblemError: 503, too many pictures are in work.
        """
        return await self._have(f"{asset_id}.svg", asset_id)

    async def png(self, asset_id: str) -> bytes:
        """Return the PNG of a frame that `knows` confirms, `PNG_SIZE_PX` wide.

        Raises:
            ProblemError: 503, too many pictures are in work, or the pool died.
        """
        return await self._have(f"{asset_id}.png", asset_id)

    async def _have(self, name: str, asset_id: str) -> bytes:
        kept = self._kept.get(name)
        if kept is not None:
            self._kept.move_to_end(name)
            self._count("reused")
            return kept
        later = self._in_work.get(name)
        if later is None:
            if len(self._in_work) >= IN_WORK_MAX:
                self._count("refused")
                raise _busy("too many pictures are being drawn")
            draw = self._draw_png if name.endswith("png") else self._draw_svg
            later = asyncio.ensure_future(draw(asset_id))
            self._in_work[name] = later
            later.add_done_callback(lambda done: self._drawn(name, done))
        # A client that goes away must not cancel the picture for the others that wait for it.
        return await asyncio.shield(later)

    def _count(self, result: PictureResult) -> None:
        self._metrics.add(m.PICTURES, 1, result)

    def _drawn(self, name: str, done: "asyncio.Future[bytes]") -> None:
        del self._in_work[name]
        if done.cancelled() or done.exception() is not None:
            return
        picture = done.result()
        self._count("drawn")
        self._kept[name] = picture
        self._kept_bytes += len(picture)
        while self._kept_bytes > self._cache_bytes and self._kept:
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= len(dropped)

    async def _draw_svg(self, asset_id: str) -> bytes:
        return await asyncio.to_thread(self._svg, asset_id)

    def _svg(self, asset_id: str) -> bytes:
        renderer = self._renderer = self._renderer or Renderer()
        data = renderer.svg(*self._frames[asset_id])
        if hashlib.sha256(data).hexdigest() != asset_id:
            raise ValueError(f"{asset_id} is drawn differently from the golden list")
        return data

    async def _draw_png(self, asset_id: str) -> bytes:
        svg = await self.svg(asset_id)
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self._processes, mp_context=get_context("spawn"))
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._pool, png_of, svg.decode(), PNG_SIZE_PX)
        try:
            return await asyncio.wait_for(work, _PNG_S_MAX)
        except BrokenProcessPool as error:
            self._pool = None
            raise _busy("the process that draws died; it is started again") from error
        except TimeoutError as error:
            raise _busy(f"the picture took longer than {_PNG_S_MAX:g} s") from error


def _busy(detail: str) -> ProblemError:
    return ProblemError(
        503, "pictures-busy", "Pictures are busy", detail, headers={"Retry-After": "2"}
    )
