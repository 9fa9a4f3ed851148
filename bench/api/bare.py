"""A bare Starlette route on the same server: what can be had at most.

Owns: one route that returns a constant. Does not own: the server and its settings, which are the
API's own.
Invariant: nothing is done for a request but what Starlette and the server do.

`python -m bench.api.bare SIZE` serves on a free port and prints its address.
"""

import asyncio
import sys

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipeline.api.server import serve
from pipeline.settings.api import ApiSettings


def bare_app(size: int) -> Starlette:
    """Answers `/v1/users/{user_id}/progress` with `size` bytes of JSON."""
    body = b'{"filler":"' + b"x" * (size - 13) + b'"}'

    async def constant(request: Request) -> Response:
        del request
        return Response(body, media_type="application/json")

    return Starlette(routes=[Route("/v1/users/{user_id}/progress", constant)])


def _say(address: str) -> None:
    print(address, flush=True)


if __name__ == "__main__":
    settings = ApiSettings(api_port=0)
    app = bare_app(int(sys.argv[1]))
    asyncio.run(
        serve(app, [], settings, asyncio.Event(), lambda address: print(address, flush=True))
    )
