"""Counts and times every request, and answers unforeseen errors.

Owns: the metrics of a request, by the template of its route; the answer to an error that no route
expected.
Does not own: the metrics' values (api_prometheus.py).
Invariant: no label comes from a request: a path without a route is `none`, a method that HTTP does
not define is `OTHER`.
"""

import time
from collections.abc import Sequence
from typing import Final

from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.api.http.openapi import ApiRoute
from pipeline.api.http.problems import answer_outside, unforeseen
from pipeline.observability import api_metrics as m
from pipeline.observability.api_prometheus import ApiMetrics

_METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
)
_STREAM: Final = "text/event-stream"


class RequestMetrics:
    """ASGI middleware that measures the requests.

    Args:
        app: the application.
        routes: their templates are the labels.
        headers: of every answer; no other middleware adds them to an answer made here.
    """

    def __init__(
        self,
        app: ASGIApp,
        routes: Sequence[BaseRoute],
        metrics: ApiMetrics,
        headers: Sequence[tuple[bytes, bytes]],
    ) -> None:
        self._app = app
        self._headers = headers
        self._metrics = metrics
        self._templates: dict[int, str] = {}
        self._streams: set[str] = set()
        self._in_flight = 0
        for route in routes:
            if not isinstance(route, ApiRoute):
                continue
            self._templates[id(route.endpoint)] = route.path_format
            if any(answer.media == _STREAM for answer in route.operation.answers.values()):
                self._streams.add(route.path_format)
        metrics.before_scrape.append(lambda: metrics.put(m.IN_FLIGHT, self._in_flight))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other protocols pass unchanged."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        started_s = time.perf_counter()
        self._in_flight += 1
        try:
            await self._app(scope, receive, send_noting)
        except Exception as error:  # the last resort; it is logged with its trace
            problem = unforeseen(error, self._template(scope))
            if status:
                raise  # the answer has begun; the connection must break
            await answer_outside(problem, self._headers, receive, send_noting)
        finally:
            self._in_flight -= 1
            template = self._template(scope)
            seconds = None if template in self._streams else time.perf_counter() - started_s
            method = scope["method"] if scope["method"] in _METHODS else "OTHER"
            self._metrics.answered(template, method, status // 100, seconds)

    def _template(self, scope: Scope) -> str:
        return self._templates.get(id(scope.get("endpoint")), "none")
