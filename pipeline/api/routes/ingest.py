"""Completions over HTTP: recording them, and telling what became of them.

Owns: `POST /v1/completions` and `GET /v1/users/{user_id}/completions/{completion_id}`.
Does not own: sending (intake.py), what is refused before it is sent (receiving.py), decompression
(encodings.py), the status of a completion (status_lookup.py) and its form (statuses.py).

Invariants: 202 means that all in-sync replicas have every completion of the request. An item that
`failed`, and a request with 429 or 503, may be sent again with the same ids; what will never be
accepted is `refused`, or 413 or 422. A user's token sends only that user's completions. A refused
item never affects the others.
"""

import asyncio
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from pipeline.api.dependencies import Dependencies
from pipeline.api.http.access import records_max
from pipeline.api.http.auth import (
    COMPLETIONS_READ,
    COMPLETIONS_WRITE,
    INSUFFICIENT,
    Kind,
    Principal,
    check,
)
from pipeline.api.http.encodings import encodings_of, unpacked
from pipeline.api.http.openapi import Answer, ApiRoute, Body, Operation, Parameter
from pipeline.api.http.paths import USERS
from pipeline.api.http.problems import ProblemError
from pipeline.api.http.queries import query_of
from pipeline.api.ingest.intake import (
    FORBIDDEN,
    TOO_LARGE,
    Batch,
    CompletionIn,
    Intake,
    Item,
    RefusedProblem,
)
from pipeline.api.ingest.preview import DryRun, Preview
from pipeline.api.ingest.receiving import items_of
from pipeline.api.ingest.tracing import record_headers
from pipeline.api.outcomes.status_lookup import Asked, StatusLookup
from pipeline.api.outcomes.statuses import CompletionStatus
from pipeline.api.routes.users import USER_ID
from pipeline.core.outcome import World
from pipeline.core.texts import ID_CHARS_MAX, is_id

AT_ONCE_BYTES: Final = 65_536
"""Max bytes of a body that is parsed on the event loop; a larger one is parsed on a thread."""

_POSITION: Final = re.compile(r"([0-9]{1,6})-([0-9]{1,18})")
_POST_QUERY: Final = ("dry_run",)
_GET_QUERY: Final = ("position",)
_encode: Final = msgspec.json.Encoder().encode


def routes(deps: Dependencies) -> list[ApiRoute]:
    """Return the routes of this module."""
    intake = Intake(deps.completions, deps.outcomes, deps.policies, deps.now_ms)
    lookup = StatusLookup(
        deps.outcomes, deps.inputs, deps.completions.topic, deps.settings.api_history_days
    )
    world = World(deps.policies, deps.catalogue)
    preview = Preview(world, deps.source, deps.outcomes, deps.inputs, deps.now_ms)

    async def post(request: Request) -> Response:
        principal = deps.access.guard.principal(request.scope)
        own = principal.subject if principal.kind is Kind.USER else None
        check(principal, own, COMPLETIONS_WRITE)
        query = query_of(request.scope["query_string"], _POST_QUERY)
        values = await _values(deps, request, principal)
        if len(values) > 1:
            deps.access.limits.admit(principal, len(values) - 1)
        if flag(query, "dry_run"):
            judged = await preview.judge(values, principal)
            return Response(_encode(judged), media_type="application/json")
        return _answer(
            await intake.take(values, principal, record_headers(request.headers, principal.name))
        )

    async def status(request: Request) -> Response:
        user_id, completion_id = (
            request.path_params["user_id"],
            request.path_params["completion_id"],
        )
        deps.access.guard.authorize(request, user_id, COMPLETIONS_READ)
        if not is_id(completion_id):
            raise ProblemError(
                400,
                "bad-completion-id",
                "Not a completion id",
                f"a completion id has 1 to {ID_CHARS_MAX} printable characters",
            )
        query = query_of(request.scope["query_string"], _GET_QUERY)
        found = await lookup.find(Asked(user_id, completion_id, _position(query)))
        return Response(_encode(found), media_type="application/json")

    return [
        ApiRoute("/v1/completions", post, _POST, method="POST"),
        ApiRoute(f"{USERS}/completions/{{completion_id:completion}}", status, _GET),
    ]


def flag(query: dict[str, str], name: str) -> bool:
    """Read a flag; False without it.

    Raises:
        ProblemError: 400, it is neither true nor false.
    """
    text = query.get(name, "false")
    if text not in ("true", "false"):
        raise ProblemError(400, "bad-query", "Bad query", f"{name} must be true or false")
    return text == "true"


def _position(query: dict[str, str]) -> tuple[int, int] | None:
    text = query.get("position")
    if text is None:
        return None
    found = _POSITION.fullmatch(text)
    if found is None:
        raise ProblemError(
            400, "bad-query", "Bad query", "position must be partition and offset, such as 3-42"
        )
    return int(found[1]), int(found[2])


async def _values(deps: Dependencies, request: Request, principal: Principal) -> list[bytes]:
    """Read the items of a request's body."""
    check_media(request)
    encodings = encodings_of(request.headers.getlist("content-encoding"))
    settings = deps.settings
    most = records_max(settings, principal)
    body = await request.body()

    def parsed() -> list[bytes]:
        return items_of(unpacked(body, encodings, settings.api_body_bytes_max), most)

    if encodings or len(body) > AT_ONCE_BYTES:
        return await asyncio.to_thread(parsed)
    return parsed()


def check_media(request: Request) -> None:
    """Check that a body is said to be JSON.

    Raises:
        ProblemError: 415, it is said to be something else.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        raise ProblemError(
            415,
            "unsupported-media-type",
            "Unsupported media type",
            "send JSON, with `Content-Type: application/json`",
            headers={"Accept-Post": "application/json"},
        )


def _answer(batch: Batch) -> Response:
    if not batch.recorded:
        raise _nothing_recorded(batch.items)
    headers = {}
    if len(batch.items) == 1:
        headers["Location"] = batch.items[0].url or ""
    status = HTTPStatus.ACCEPTED if batch.recorded == len(batch.items) else HTTPStatus.MULTI_STATUS
    return Response(_encode(batch), status.value, headers, "application/json")


def _nothing_recorded(items: Sequence[Item]) -> ProblemError:
    told: dict[str, Any] = {"items": msgspec.to_builtins(items)}
    failed = next((item for item in items if item.status == "failed"), None)
    if failed is not None and failed.error is not None:
        return ProblemError(
            503,
            "not-acknowledged",
            "Not acknowledged",
            failed.error.detail,
            headers={"Retry-After": "2"},
            body=told,
        )
    faults = [item.error for item in items if item.error is not None]
    kinds = {_KINDS.get(fault.reason, _INVALID) for fault in faults}
    status, slug, title = kinds.pop() if len(kinds) == 1 else _INVALID
    detail = "no completion was recorded" if len(items) > 1 else faults[0].detail
    headers = {"WWW-Authenticate": INSUFFICIENT} if status == HTTPStatus.FORBIDDEN else {}
    return ProblemError(status, slug, title, detail, headers=headers, body=told)


_INVALID: Final = 422, "invalid-completion", "Invalid completion"
_KINDS: Final = {
    "malformed_json": (400, "malformed-json", "Not JSON"),
    "invalid_utf8": (400, "malformed-json", "Not JSON"),
    FORBIDDEN: (403, "forbidden", "Forbidden"),
    TOO_LARGE: (413, "completion-too-large", "Completion too large"),
}
"""The answer to a request whose items were all refused for the same kind of reason."""

_RETRY: Final = {"Retry-After": "Seconds until the same may succeed."}
_AUTH: Final = {
    401: Answer("There is no valid token."),
    403: Answer("The token may not do this, or not for this user."),
    429: Answer("Too many requests, or too many completions on their way.", headers=_RETRY),
}
_POST: Final = Operation(
    "postCompletions",
    "Record completions",
    "completions",
    {
        200: Answer("A dry run: what would be said of each; nothing was sent.", DryRun),
        202: Answer(
            "Every completion is in the log, on all in-sync replicas.",
            Batch,
            headers={"Location": "Of one completion: what became of it."},
        ),
        207: Answer("Some are recorded; each item says what to do.", Batch),
        400: Answer("The body is not JSON, or not packed as it says.", RefusedProblem),
        413: Answer("The body, the batch or the completion is too large.", RefusedProblem),
        415: Answer(
            "The body is said to be something else than JSON, or packed in another way.",
            headers={
                "Accept-Post": "Media types that are taken.",
                "Accept-Encoding": "Encodings that are undone.",
            },
        ),
        422: Answer("No completion is valid; each item says why.", RefusedProblem),
        503: Answer("The brokers did not acknowledge; send again.", RefusedProblem, headers=_RETRY),
        **_AUTH,
    },
    (
        Parameter(
            "dry_run",
            "query",
            {"type": "boolean", "default": False},
            "Only say what the pipeline would say, from what is known of the users now.",
        ),
    ),
    body=Body(CompletionIn | list[CompletionIn]),
    scope=COMPLETIONS_WRITE,
    description="One completion or an array of them, as on the topic. The same id may be sent "
    "again at any time: it counts once, and is answered as the first time. The body may be "
    "packed with gzip or deflate, which `Content-Encoding` says.",
)
_GET: Final = Operation(
    "getCompletion",
    "What became of a completion",
    "completions",
    {
        200: Answer("What is known of it.", CompletionStatus),
        400: Answer("An id or the query cannot be one."),
        404: Answer("Nothing is known of it, or something else is at the position."),
        410: Answer("What is at the position is older than the history."),
        503: Answer("It cannot be told at the moment.", headers=_RETRY),
        **_AUTH,
    },
    (
        USER_ID,
        Parameter(
            "completion_id",
            "path",
            {"type": "string", "minLength": 1, "maxLength": ID_CHARS_MAX},
            "The completion.",
        ),
        Parameter(
            "position",
            "query",
            {"type": "string", "pattern": r"^[0-9]{1,6}-[0-9]{1,18}$"},
            "Partition and offset that the POST answered; a server that has not seen the "
            "completion yet then looks there.",
        ),
    ),
    scope=COMPLETIONS_READ,
)
