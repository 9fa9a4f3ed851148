"""What is left of a request's body when it was answered without being read to its end.

Owns: taking the rest and letting it go, within bounds; saying `Connection: close` where the rest
may be more than that.
Does not own: how large a body may be (limits_and_headers.py), why a request was refused.
Invariants: nothing of the rest is kept; the answer never waits for it; a connection that is not
told to be over takes the next request.

Why: the server closes a connection whose request was not read to its end, and decides that after
the answer's headers were written. A client that was told nothing would send its next request into a
closed connection. And one that was still sending would be reset before it had read the answer:
that is what closing does to a connection with unread bytes (RFC 9112, section 9.6).
"""

import asyncio
from contextlib import suppress
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

REST_BYTES_MAX: Final = 16_777_216
REST_S_MAX: Final = 5.0

_READS: Final = ("GET", "HEAD")
_CLOSE: Final = (b"connection", b"close")


class BodyDrain:
    """ASGI middleware outside of whatever refuses requests.

    Args:
        app: what answers.
        body_bytes_max: a body that says of itself that it is no larger is taken after an early
            answer, and its connection stays.
    """

    def __init__(self, app: ASGIApp, body_bytes_max: int) -> None:
        self._app = app
        self._body_bytes_max = body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; reads have no body and pass untouched."""
        if scope["type"] != "http" or scope["method"] in _READS:
            await self._app(scope, receive, send)
            return
        size, is_awaited = _announced(scope)
        is_ended = size == 0

        async def receive_noting() -> Message:
            nonlocal is_ended, is_awaited
            is_awaited = False
            message = await receive()
            is_ended = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        async def send_closing(message: Message) -> None:
            if message["type"] == "http.response.start" and not is_ended:
                is_bounded = size is not None and size <= self._body_bytes_max
                if is_awaited or not is_bounded:
                    message["headers"] = [*message["headers"], _CLOSE]
            await send(message)

        await self._app(scope, receive_noting, send_closing)
        # A client that waits for `100 Continue` sends nothing more; to read on would ask it to.
        if not is_ended and not is_awaited:
            await _let_go(receive)


def _announced(scope: Scope) -> tuple[int | None, bool]:
    """The size of the body in bytes, None where only its end will tell; whether it waits for us."""
    size: int | None = 0
    is_awaited = False
    for name, value in scope["headers"]:
        if name == b"content-length":
            size = int(value) if value.isdigit() else None
        elif name == b"transfer-encoding":
            size = None
        elif name == b"expect":
            is_awaited = True
    return size, is_awaited


async def _let_go(receive: Receive) -> None:
    taken = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(REST_S_MAX):
            while taken < REST_BYTES_MAX:
                message = await receive()
                taken += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
