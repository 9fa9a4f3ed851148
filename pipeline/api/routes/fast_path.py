"""A short way to the answer that is given most.

Owns: recognising `GET /v1/users/{user_id}/progress` without an `Origin`, and with no query or with
`tz` alone; the error answers and the measurement of these requests.
Does not own: the answer (users.py); every other request, which goes on to the application.
Invariant: authorisation, body, headers and measurements are those of the long way. The bounds on a
request's headers are the server's own here.

The router, the exception handlers and the middleware around them cost more than this answer does.
Without the short way the API reaches half the requests per second of a bare route.
"""

import time
from collections.abc import Sequence
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.api.dependencies import Dependencies
from pipeline.api.http.paths import COMPLETIONS, ENCODED
from pipeline.api.http.problems import ProblemError, answer_outside, unforeseen
from pipeline.api.routes.users import ProgressRead

_HEAD: Final = "/v1/users/"
_TAIL: Final = "/progress"
_HEAD_CHARS: Final = len(_HEAD)
_TAIL_CHARS: Final = len(_TAIL)
_TEMPLATE: Final = "/v1/users/{user_id}/progress"
_ZONE: Final = b"tz="
_QUERY_BYTES_MAX: Final = 200
"""Max bytes of a query that is read here; a zone's name is shorter, even percent-encoded."""


class FastPath:
    """ASGI middleware outside of everything else.

    Args:
        app: the whole application.
        headers: are added to every answer.
    """

    def __init__(
        self, app: ASGIApp, deps: Dependencies, headers: Sequence[tuple[bytes, bytes]]
    ) -> None:
        self._app = app
        self._answer = ProgressRead(deps, headers).answer
        self._answered = deps.metrics.answered
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        user_id = _user_of(scope)
        if user_id is None:
            await self._app(scope, receive, send)
            return
        started_s = time.perf_counter()
        status: int
        try:
            status = await self._answer(scope, send, user_id)
        except ProblemError as error:
            status = error.status // 100
            await answer_outside(error, self._headers, receive, send)
        except Exception as error:  # noqa: BLE001 - the last resort, as in timing.py
            status = 5
            problem = unforeseen(error, _TEMPLATE)
            await answer_outside(problem, self._headers, receive, send)
        self._answered(_TEMPLATE, "GET", status, time.perf_counter() - started_s)


def _user_of(scope: Scope) -> str | None:
    """The user whose progress a request asks for; None where it has to go the long way."""
    if scope["type"] != "http" or scope["method"] != "GET":
        return None
    path: str = scope["path"]
    if path[-_TAIL_CHARS:] != _TAIL or path[:_HEAD_CHARS] != _HEAD:
        return None
    query: bytes = scope["query_string"]
    if query and (query[:3] != _ZONE or b"&" in query or len(query) > _QUERY_BYTES_MAX):
        return None
    user_id = path[_HEAD_CHARS:-_TAIL_CHARS]
    # An encoded id is decoded by the router; nor is this a user's path where a completion's begins.
    if not user_id or user_id[0] == ENCODED or path.find(COMPLETIONS, _HEAD_CHARS) >= 0:
        return None
    for name, _ in scope["headers"]:
        if name == b"origin":
            return None
    return user_id
