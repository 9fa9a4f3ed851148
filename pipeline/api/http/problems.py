"""Errors over HTTP, in the form of RFC 9457.

Owns: the form of a problem, the error that carries one, the answer to unforeseen errors.
Does not own: which problems there are (each route raises its own).
Invariants: every answer with a status from 400 on is `application/problem+json`; a problem shows no
secret, no stack trace and no internals; `type` is stable, so a client may switch on it.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

import msgspec
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Send

from pipeline.errors import AwawayError

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:awaway:problem:"
_log = structlog.get_logger("awaway.api")


class Problem(msgspec.Struct, frozen=True):
    """What went wrong with a request.

    Attributes:
        type: `urn:awaway:problem:` and a stable slug.
        title: the same for every problem of the type. status: the HTTP status.
        detail: of this one, for a person, with the fix where there is one.
    """

    type: str
    title: str
    status: int
    detail: str


class ProblemError(AwawayError):
    """A request is answered with a problem.

    Args:
        status: 400 to 599.
        slug: lower-case words joined by hyphens; stable.
        title: the title of every problem with this slug.
        detail: the cause this time, and the fix; the title when it is empty.
        headers: headers of the answer, such as `Retry-After`.
        body: further members, as JSON values.

    **Operator action**: none, as the client has to fix it; from status 500 on the log and `/readyz`
    say more.
    """

    def __init__(
        self,
        status: int,
        slug: str,
        title: str,
        detail: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(title, why=detail, status=status, slug=slug)
        self.status = status
        self.headers = dict(headers or {})
        self.problem = Problem(TYPE_PREFIX + slug, title, status, detail or title)
        self.body = dict(body or {})

    def response(self) -> Response:
        """Make the answer."""
        content = msgspec.to_builtins(self.problem) | self.body
        headers = {"Cache-Control": "no-store"} | self.headers
        return Response(msgspec.json.encode(content), self.status, headers, MEDIA_TYPE)


async def answer_outside(
    error: ProblemError,
    headers: Sequence[tuple[bytes, bytes]],
    receive: Receive,
    send: Send,
) -> None:
    """Answer with a problem outside of the middleware that adds headers to every answer.

    Args:
        headers: the headers of every answer.
    """

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *headers]
        await send(message)

    await error.response()({"type": "http"}, receive, send_with_headers)


async def on_problem(request: Request, error: Exception) -> Response:
    """Handle ProblemError for Starlette."""
    del request
    if not isinstance(error, ProblemError):
        raise error
    return error.response()


async def on_http_error(request: Request, error: Exception) -> Response:
    """Handle Starlette's own errors: no such path, no such method."""
    del request
    if not isinstance(error, HTTPException):
        raise error
    status = HTTPStatus(error.status_code)
    slug = status.phrase.lower().replace(" ", "-").replace("'", "")
    detail = "" if error.detail == status.phrase else error.detail
    return ProblemError(status.value, slug, status.phrase, detail, headers=error.headers).response()


def unforeseen(error: Exception, route: str) -> ProblemError:
    """Log an unforeseen error, and make the problem that the client gets.

    Args:
        route: the template of the request's path; it names no user.
    """
    _log.error("a request failed", route=route, error=type(error).__name__, exc_info=error)
    return ProblemError(
        500, "internal-error", "Internal error", "this is a fault in awaway; its log says more"
    )


HANDLERS: Final = {ProblemError: on_problem, HTTPException: on_http_error}
"""For Starlette's `exception_handlers`."""
