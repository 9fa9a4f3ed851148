"""Drains the body of a request that was answered before the body was read.

Owns: reading and dropping the rest of a body, within bounds; `Connection: close` where the rest may
exceed them.
Does not own: how large a body may be (limits_and_headers.py), why a request was refused.
Invariants: nothing of the rest is kept; the answer never waits for it; a connection without
`Connection: close` takes the next request.

The server closes a connection whose request was not read to the end, and decides that after it has
written the answer's headers. Without the header the client would send its next request into a
closed connection. A client that is still sending would be reset before it has read the answer, as
closing a connection with unread bytes resets it (RFC 9112, section 9.6).
"""

import asyncio
from contextlib import suppress
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

REST_BYTES_MAX: Final = 16_777_216
"""Max bytes of a body that are read after the answer."""

REST_S_MAX: Final = 5.0
"""Max seconds for which a body is read after the answer."""

_READS: Final = ("GET", "HEAD")
_CLOSE: Final = (b"connection", b"close")


class BodyDrain:
    """ASGI middleware outside of everything that refuses requests.

    Args:
        app: answers the requests.
        body_bytes_max: a body up to this size, by its `Content-Length`, is drained after an early
            answer, and its connection stays open.
    """

    def __init__(self, app: ASGIApp, body_bytes_max: int) -> None:
        self._app = app
        self._body_bytes_max = body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; reads have no body and pass unchanged."""
        if scope["type"] != "http" or scope["method"] in _READS:
            await self._app(scope, receive, send)
            return
        size, is_expected = _announced(scope)
        is_ended = size == 0

        async def receive_noting() -> Message:
            nonlocal is_ended, is_expected
            is_expected = False
            message = await receive()
            is_ended = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        async def send_closing(message: Message) -> None:
            if message["type"] == "http.response.start" and not is_ended:
                is_bounded = size is not None and size <= self._body_bytes_max
                if is_expected or not is_bounded:
                    message["headers"] = [*message["headers"], _CLOSE]
            await send(message)

        await self._app(scope, receive_noting, send_closing)
        # A client that waits for `100 Continue` sends no body; reading would ask it to.
        if not is_ended and not is_expected:
            await _drain(receive)


def _announced(scope: Scope) -> tuple[int | None, bool]:
    """Return the body's size in bytes, None if unknown, and whether the client awaits 100."""
    size: int | None = 0
    is_expected = False
    for name, value in scope["headers"]:
        if name == b"content-length":
            size = int(value) if value.isdigit() else None
        elif name == b"transfer-encoding":
            size = None
        elif name == b"expect":
            is_expected = True
    return size, is_expected


async def _drain(receive: Receive) -> None:
    taken = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(REST_S_MAX):
            while taken < REST_BYTES_MAX:
                message = await receive()
                taken += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
