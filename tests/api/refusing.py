"""Two routes on the real server: `/echo` reads a body, `/refuse` does not.

Run as a program with the body's limit and the bounds of what is let go; prints its port.
"""

import asyncio
import sys

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from pipeline.api.http import body_drain, problems
from pipeline.api.http.body_drain import BodyDrain
from pipeline.api.http.limits_and_headers import LimitsAndHeaders
from pipeline.api.http.problems import ProblemError
from pipeline.api.server import serve
from pipeline.hard_exit import exit_hard
from pipeline.settings.api import ApiSettings


async def echo(request: Request) -> Response:
    """Say how long the body was."""
    return PlainTextResponse(str(len(await request.body())))


async def refuse(_: Request) -> Response:
    """Say no without a look at the body."""
    raise ProblemError(401, "no", "No")


def main(limit: int, rest_bytes_max: int, rest_s_max: float) -> None:
    """Serve until told to stop."""
    body_drain.REST_BYTES_MAX = rest_bytes_max  # type: ignore[misc]
    body_drain.REST_S_MAX = rest_s_max  # type: ignore[misc]
    routes = [Route("/echo", echo, methods=["POST"]), Route("/refuse", refuse, methods=["POST"])]
    routed = Starlette(routes=routes, exception_handlers=dict(problems.HANDLERS))
    app = BodyDrain(LimitsAndHeaders(routed, limit, 10.0), limit)
    settings = ApiSettings(api_port=0)
    asyncio.run(serve(app, [], settings, asyncio.Event(), lambda at: print(at, flush=True)))
    exit_hard(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
