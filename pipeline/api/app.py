"""The ASGI application.

Owns: which modules have routes, the order in which they are matched, the middleware around them.
Does not own: the routes, what they are given (wiring.py), the server (server.py).
Invariant: routes are matched in order, so the one that is called most comes first.

Starlette's router and exception middleware are used without its application object, as we would
only replace its outermost layer by timing.py.
"""

from collections.abc import Sequence

from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.api.console.dependencies import ConsoleDependencies
from pipeline.api.console.routes import console_routes
from pipeline.api.dependencies import Dependencies
from pipeline.api.http import problems
from pipeline.api.http.body_drain import BodyDrain
from pipeline.api.http.timing import RequestMetrics
from pipeline.api.routes import adjustments, assets, ingest, live, probes, users
from pipeline.api.routes.fast_path import FastPath


def described_routes(deps: Dependencies) -> list[BaseRoute]:
    """Return the routes that docs/openapi.json describes."""
    return [
        *users.routes(deps),
        *assets.routes(deps),
        *ingest.routes(deps),
        *adjustments.routes(deps),
        *live.routes(deps),
    ]


def routes(deps: ConsoleDependencies) -> list[BaseRoute]:
    """Return all routes."""
    described = described_routes(deps)
    return [*described, *probes.routes(deps, described), *console_routes(deps)]


class Application:
    """The ASGI application.

    Args:
        middleware: goes around the routes, outermost first.
        headers: the headers that the middleware adds to every answer.
    """

    def __init__(
        self,
        deps: ConsoleDependencies,
        middleware: Sequence[Middleware] = (),
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        found = routes(deps)
        app: ASGIApp = Router(found, redirect_slashes=False)
        app = ExceptionMiddleware(app, handlers=problems.HANDLERS)
        for each in reversed(middleware):
            app = each.cls(app, *each.args, **each.kwargs)
        app = RequestMetrics(app, found, deps.metrics, headers)
        app = BodyDrain(app, deps.settings.api_body_bytes_max)
        self._app: ASGIApp = FastPath(app, deps, headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        scope["app"] = self
        await self._app(scope, receive, send)
