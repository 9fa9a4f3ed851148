"""The ASGI application, from its parts.

Owns: which modules have routes, in which order they are matched, what every request passes.
Does not own: the routes, the parts (wiring.py), the server (server.py).
Invariant: routes are matched in order, so what is called most comes first.
"""

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from pipeline.api import problems
from pipeline.api.parts import Parts


def routes(parts: Parts) -> list[BaseRoute]:
    """Every route there is, the one that is called most first."""
    del parts
    return []


def create_app(parts: Parts) -> Starlette:
    """The application; nothing is connected yet."""
    return Starlette(routes=routes(parts), exception_handlers=dict(problems.HANDLERS))
