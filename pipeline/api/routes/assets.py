"""The drawn frames over HTTP.

Owns: the routes below `/v1/assets/`.
Does not own: the bytes (figures.py).
Invariants: an address always shows the same picture, so it may be cached for ever; no token is
needed, as a picture says nothing about a user.
"""

import re
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from pipeline.api.dependencies import Dependencies
from pipeline.api.figures import PNG_SIZE_PX
from pipeline.api.http.openapi import Answer, ApiRoute, Operation, Parameter
from pipeline.api.http.problems import ProblemError
from pipeline.api.reads.user_read import matches

_ID: Final = re.compile(r"[0-9a-f]{64}")
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_ASSET_ID: Final = Parameter(
    "asset_id",
    "path",
    {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "SHA-256 of the SVG, 64 hexadecimal digits.",
)
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
_HEADERS: Final = {"ETag": "The id.", "Cache-Control": "It may be kept for ever."}


def _operation(name: str, summary: str, media: str) -> Operation:
    return Operation(
        id=name,
        summary=summary,
        tag="assets",
        parameters=(_ASSET_ID,),
        answers={
            200: Answer("The picture.", media=media, headers=_HEADERS),
            304: Answer("The client has it.", media="", headers=_HEADERS),
            400: Answer("The id is not one."),
            404: Answer("There is no such frame."),
            503: Answer("Too many pictures are being drawn."),
        },
    )


def routes(deps: Dependencies) -> list[BaseRoute]:
    """Return the routes to the SVG and the PNG of a frame."""
    pictures = deps.pictures

    def known(request: Request) -> str:
        asset_id: str = request.path_params["asset_id"]
        if _ID.fullmatch(asset_id) is None:
            raise ProblemError(
                400, "bad-asset-id", "Not an asset id", "an asset id is 64 hexadecimal digits"
            )
        if not pictures.knows(asset_id):
            raise ProblemError(
                404, "no-such-asset", "No such asset", "this release draws no such frame"
            )
        return asset_id

    async def svg(request: Request) -> Response:
        asset_id = known(request)
        headers = _headers(asset_id, "svg")
        if _has(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        return Response(await pictures.svg(asset_id), 200, headers, "image/svg+xml")

    async def png(request: Request) -> Response:
        asset_id = known(request)
        headers = _headers(asset_id, "png")
        if _has(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        return Response(await pictures.png(asset_id), 200, headers, "image/png")

    return [
        ApiRoute(
            "/v1/assets/{asset_id}.svg",
            svg,
            _operation("getAssetSvg", "A drawn frame", "image/svg+xml"),
        ),
        ApiRoute(
            "/v1/assets/{asset_id}.png",
            png,
            _operation("getAssetPng", f"A drawn frame, {PNG_SIZE_PX} pixels wide", "image/png"),
        ),
    ]


def _headers(asset_id: str, suffix: str) -> dict[str, str]:
    # The id is that of the SVG; the PNG of it may change with a release of the rasteriser.
    etag = f'"{asset_id}"' if suffix == "svg" else f'W/"{asset_id}"'
    return {
        "ETag": etag,
        "Cache-Control": _FOR_EVER,
        "Content-Security-Policy": _POLICY,
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Access-Control-Allow-Origin": "*",
    }


def _has(request: Request, etag: str) -> bool:
    return matches(request.headers.get("if-none-match", "").encode("latin-1"), etag.encode())
