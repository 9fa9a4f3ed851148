"""The ASGI application, from its parts.

Owns: which modules have routes, in which order they are matched, what every request passes.
Does not own: the routes, the parts (wiring.py), the server (server.py).
Invariant: routes are matched in order, so what is called most comes first.

Starlette's router and exception middleware are used without its application object, whose outermost
layer we would only replace: timing.py is ours.
"""

from collections.abc import Sequence

from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.api.console.routes import console_routes
from pipeline.api.dependencies import Parts
from pipeline.api.http import problems
from pipeline.api.http.body_drain import Leftover
from pipeline.api.http.timing import Measured
from pipeline.api.reads.fast_path import Swift
from pipeline.api.routes import assets, ingest, live, probes, users


def described_routes(parts: Parts) -> list[BaseRoute]:
    """What docs/openapi.json describes, the one that is called most first."""
    return [
        *users.routes(parts),
        *assets.routes(parts),
        *ingest.routes(parts),
        *live.routes(parts),
    ]


def routes(parts: Parts) -> list[BaseRoute]:
    """Every route there is."""
    described = described_routes(parts)
    return [*described, *probes.routes(parts, described), *console_routes(parts)]


class Application:
    """The ASGI application.

    Args:
        middleware: around the routes, outermost first.
        headers: that it adds to every answer.
    """

    def __init__(
        self,
        parts: Parts,
        middleware: Sequence[Middleware] = (),
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        found = routes(parts)
        app: ASGIApp = Router(found, redirect_slashes=False)
        app = ExceptionMiddleware(app, handlers=problems.HANDLERS)
        for each in reversed(middleware):
            app = each.cls(app, *each.args, **each.kwargs)
        app = Measured(app, found, parts.metrics, headers)
        app = Leftover(app, parts.settings.api_body_bytes_max)
        self._app: ASGIApp = Swift(app, parts, headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        scope["app"] = self
        await self._app(scope, receive, send)
