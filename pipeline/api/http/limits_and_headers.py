"""The limits of every request and the headers of every answer.

Owns: bounds on headers, on a body's size and on the time a request may take; the security headers.
Does not own: how often somebody may ask (rate_limits.py), HTTP's own time-outs (server.py), bounds
that only one route has.
Invariants: memory holds at most the limit and one chunk of a body; an answer has each security
header unless its route gave another value; a read, which most requests are, costs one look at each
header and no task or timer: each route bounds its own waits.

The content security policy allows pages whose scripts and styles are files of ours: nothing inline,
nothing from elsewhere.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.api.http.problems import ProblemError

HEADERS_MAX: Final = 64
"""Max headers of a request."""

HEADER_BYTES_MAX: Final = 24_576
"""Max bytes of a request's header names and values together."""

TARGET_BYTES_MAX: Final = 8_192
"""Max bytes of a request's path and query together."""

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)

_ALWAYS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)
_UNLESS_GIVEN: Final = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
_BITS: Final = {name: 1 << place for place, (name, _) in enumerate(_UNLESS_GIVEN)}
_READS: Final = ("GET", "HEAD")


def headers_of(given: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers of every answer that sets its own `cache-control`.

    Args:
        given: further headers for every answer.
    """
    return [*_ALWAYS, *given, *_UNLESS_GIVEN[:-1]]


class LimitsAndHeaders:
    """ASGI middleware around the whole application.

    Args:
        app: the application.
        body_bytes_max: max bytes of a request's body.
        request_s_max: max seconds from the end of a request's headers to its answer; not for reads.
        headers: further headers for every answer.
    """

    def __init__(
        self,
        app: ASGIApp,
        body_bytes_max: int,
        request_s_max: float,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        self._app = app
        self._body_bytes_max = body_bytes_max
        self._request_s_max = request_s_max
        self._more = [
            (*_ALWAYS, *headers, *(one for one in _UNLESS_GIVEN if not given & _BITS[one[0]]))
            for given in range(1 << len(_UNLESS_GIVEN))
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other protocols pass unchanged."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        more = self._more
        begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers, given = message["headers"], 0
                for name, _ in headers:
                    if name in _BITS:
                        given |= _BITS[name]
                message["headers"] = [*headers, *more[given]]
            await send(message)

        try:
            _check_headers(scope)
            if scope["method"] in _READS:
                await self._app(scope, receive, send_with_headers)
            else:
                await self._write(scope, receive, send_with_headers)
        except ProblemError as error:
            if begun:
                raise
            await error.response()(scope, receive, send_with_headers)

    async def _write(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = self._body_bytes_max
        if _content_length(scope) > limit:
            raise _too_large(limit)
        taken = 0

        async def receive_bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > limit:
                raise _too_large(limit)
            return message

        try:
            async with asyncio.timeout(self._request_s_max):
                await self._app(scope, receive_bounded, send)
        except TimeoutError as error:
            raise ProblemError(
                503,
                "took-too-long",
                "Took too long",
                f"the request did not end within {self._request_s_max:g} s; whether it had an "
                "effect is not known: repeat it, that is safe",
                headers={"Retry-After": "1"},
            ) from error


def _check_headers(scope: Scope) -> None:
    headers = scope["headers"]
    size = 0
    for name, value in headers:
        size += len(name) + len(value)
    if len(headers) > HEADERS_MAX or size > HEADER_BYTES_MAX:
        raise ProblemError(
            431,
            "headers-too-large",
            "Request header fields too large",
            f"send at most {HEADERS_MAX} headers of {HEADER_BYTES_MAX} bytes in all",
        )
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > TARGET_BYTES_MAX:
        raise ProblemError(
            414, "target-too-long", "URI too long", f"send at most {TARGET_BYTES_MAX} bytes"
        )


def _content_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0


def _too_large(limit: int) -> ProblemError:
    return ProblemError(
        413,
        "body-too-large",
        "Content too large",
        f"a body may have {limit} bytes; send fewer records at once",
    )
