"""The answer that is given most, on the shortest way.

Owns: `GET /v1/users/{user_id}/progress` without a query or an origin.
Does not own: every other request, which goes on to the application.
Invariant: who asks is judged by the same guard, and the answer has the same body, headers and
measurements as on the long way.

Why: router, exception handlers and shield cost more than this answer does. Without this module the
API reaches half of a bare route's requests a second.
"""

import time
from collections.abc import Sequence
from typing import Final

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.api.dependencies import Parts
from pipeline.api.http.problems import ProblemError, answer_outside, unforeseen
from pipeline.api.reads.user_read import body_of, matches
from pipeline.api.routes.users import JSON_TYPE, PRIVATE, SCOPE

_HEAD: Final = "/v1/users/"
_TAIL: Final = "/progress"
_HEAD_CHARS: Final = len(_HEAD)
_TAIL_CHARS: Final = len(_TAIL)
_TEMPLATE: Final = "/v1/users/{user_id}/progress"
_NO_ID: Final = "/completions/"
"""Where a user id in a path ends, see paths.py."""
_ENCODED: Final = "~"
"""What an id begins with that is written in another way, see there; the long way reads it."""


class Swift:
    """ASGI middleware outside of everything else.

    Args:
        app: the whole application.
        headers: that it adds to every answer.
    """

    def __init__(self, app: ASGIApp, parts: Parts, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self._app = app
        self._reads = parts.reads
        self._authorize = parts.authorize
        self._now_ms = parts.now_ms
        self._answered = parts.metrics.answered
        self._headers = list(headers)
        self._own = [JSON_TYPE, PRIVATE, *headers]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["method"] == "GET" and not scope["query_string"]:
            path: str = scope["path"]
            if path[-_TAIL_CHARS:] == _TAIL and path[:_HEAD_CHARS] == _HEAD:
                user_id = path[_HEAD_CHARS:-_TAIL_CHARS]
                names = [name for name, _ in scope["headers"]]
                is_plain = user_id and user_id[0] != _ENCODED
                is_user = is_plain and path.find(_NO_ID, _HEAD_CHARS) < 0
                if is_user and b"origin" not in names:
                    started_s = time.perf_counter()
                    try:
                        status = await self._answer(scope, send, user_id)
                    except ProblemError as error:
                        status = error.status // 100
                        await answer_outside(error, self._headers, receive, send)
                    except Exception as error:  # noqa: BLE001 - the last resort, as in timing.py
                        status = 5
                        problem = unforeseen(error, _TEMPLATE)
                        await answer_outside(problem, self._headers, receive, send)
                    took_s = time.perf_counter() - started_s
                    self._answered(_TEMPLATE, "GET", status, took_s)
                    return
        await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, send: Send, user_id: str) -> int:
        """The class of the status."""
        self._authorize(HTTPConnection(scope), user_id, SCOPE)
        now_ms = self._now_ms()
        rendered = self._reads.remembered(user_id, 0, now_ms)
        if rendered is not None:
            as_of = self._reads.serve(rendered, now_ms)
        else:
            rendered = await self._reads.progress(user_id, 0)
            as_of = self._reads.as_of_partition(rendered.partition)
        headers = [(b"etag", rendered.etag), *self._own]
        if as_of is not None:
            headers.append((b"awaway-as-of", as_of.bytes))
            headers.append((b"awaway-lag-ms", b"%d" % max(0, now_ms - as_of.ms)))
        for name, value in scope["headers"]:
            if name == b"if-none-match" and matches(value, rendered.etag):
                headers.remove(JSON_TYPE)
                await send({"type": "http.response.start", "status": 304, "headers": headers})
                await send({"type": "http.response.body", "body": b""})
                return 3
        body = body_of(rendered.head, as_of, now_ms)
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        return 2
