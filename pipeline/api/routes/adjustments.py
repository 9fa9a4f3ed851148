"""Corrections over HTTP: previewing them, sending them, telling what became of them.

Owns: `POST` and `GET /v1/users/{user_id}/adjustments`, their bodies and their answers' statuses.
Does not own: what is asked for and sent (ingest/adjusting.py), the preview (ops/adjust/preview.py),
the same in the console (console/adjusting.py).
Invariants: who asks is the principal of the token, and a body that says otherwise is refused; 200
means that readers see the effect; a request that was not answered may be sent again with the same
`request_id`, and is carried out once.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from pipeline.api.dependencies import Dependencies
from pipeline.api.http.auth import OPERATE, PROGRESS_READ, Principal, check
from pipeline.api.http.openapi import Answer, ApiRoute, Body, Operation, Parameter
from pipeline.api.http.paths import USERS
from pipeline.api.http.problems import ProblemError
from pipeline.api.http.queries import query_of
from pipeline.api.ingest.adjusting import AdjustmentIn, AdjustmentRefused, invalid
from pipeline.api.ingest.read_back import AdjustmentStatus
from pipeline.api.ingest.tracing import record_headers
from pipeline.api.routes.ingest import check_media, flag
from pipeline.api.routes.users import USER_ID
from pipeline.core.texts import ID_CHARS_MAX, is_id
from pipeline.ops.adjust.preview import AdjustmentPreview

_POST_QUERY: Final = ("dry_run",)
_GET_QUERY: Final = ("request_id",)
_encode: Final = msgspec.json.Encoder().encode
_fields: Final = msgspec.json.Decoder(dict[str, Any]).decode


def routes(deps: Dependencies) -> list[ApiRoute]:
    """Return the routes of this module."""
    adjuster = deps.adjuster

    async def post(request: Request) -> Response:
        user_id = request.path_params["user_id"]
        principal = deps.authorize(request, user_id, OPERATE)
        query = query_of(request.scope["query_string"], _POST_QUERY)
        is_dry = flag(query, "dry_run")
        if is_dry:
            check(principal, user_id, PROGRESS_READ)
        check_media(request)
        given = _given(await request.body(), principal)
        prepared = await adjuster.prepare(user_id, given, principal)
        if is_dry:
            return _json(prepared.preview)
        headers = record_headers(request.headers, principal.name)
        found = await adjuster.send(prepared, headers)
        if found.status == "pending":
            return _json(found, 202, {"Location": found.url})
        return _json(found)

    async def status(request: Request) -> Response:
        user_id = request.path_params["user_id"]
        deps.authorize(request, user_id, OPERATE)
        request_id = query_of(request.scope["query_string"], _GET_QUERY).get("request_id", "")
        if not is_id(request_id):
            raise ProblemError(
                400,
                "bad-query",
                "Bad query",
                f"request_id names a correction; it has 1 to {ID_CHARS_MAX} printable characters",
            )
        found = await adjuster.known(user_id, request_id)
        if found is None:
            raise ProblemError(
                404,
                "unknown-request",
                "Unknown request",
                "nothing is known of this request within the history; it may still be on its way: "
                "to send it again with the same request_id is safe",
            )
        return _json(found)

    at = f"{USERS}/adjustments"
    return [ApiRoute(at, post, _POST, method="POST"), ApiRoute(at, status, _GET)]


def _given(body: bytes, principal: Principal) -> AdjustmentIn:
    """Read a body.

    Raises:
        ProblemError: 400, it is no JSON object; 422, it is no correction.
    """
    try:
        fields: Mapping[str, Any] = _fields(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemError(
            400, "malformed-json", "Not JSON", f"{str(error)[:200]}; send one JSON object"
        ) from error
    if "actor" in fields:
        raise ProblemError(
            422,
            "actor-not-taken",
            "Actor not taken",
            f"who asks is recorded from the token, and that is {principal.name}; leave actor out",
        )
    try:
        return msgspec.convert(fields, AdjustmentIn)
    except (msgspec.ValidationError, RecursionError) as error:
        raise invalid(str(error)[:200]) from error


def _json(found: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(_encode(found), status, headers, "application/json")


_RETRY: Final = {"Retry-After": "Seconds until the same may succeed."}
_AUTH: Final = {
    401: Answer("There is no valid token."),
    403: Answer("The token does not have the scope."),
    429: Answer("Too many requests, or too many corrections on their way.", headers=_RETRY),
}
_POST: Final = Operation(
    "postAdjustment",
    "Correct a user",
    "corrections",
    {
        200: Answer(
            "Readers see the effect; or, of a dry run, what would change.",
            (AdjustmentStatus, AdjustmentPreview),
        ),
        202: Answer(
            "It is in the log, on all in-sync replicas, and its effect is not readable yet.",
            AdjustmentStatus,
            headers={"Location": "What became of it."},
        ),
        400: Answer("The user id or the query is not one, or the body is not a JSON object."),
        413: Answer("The body is too large."),
        415: Answer(
            "The body is said to be something else than JSON.",
            headers={"Accept-Post": "Media types that are taken."},
        ),
        422: Answer(
            "It is no correction, or would be rejected, and nothing was sent; unless the answer "
            "has a `position`: then something came in between.",
            AdjustmentRefused,
        ),
        503: Answer(
            "The user is not known at the moment, or the brokers did not acknowledge; send again.",
            AdjustmentRefused,
            headers=_RETRY,
        ),
        **_AUTH,
    },
    (
        USER_ID,
        Parameter(
            "dry_run",
            "query",
            {"type": "boolean", "default": False},
            "Only say what would change; needs `progress:read`, too. A correction that would be "
            "rejected is told as such with 200.",
        ),
    ),
    body=Body(AdjustmentIn),
    scope="operate",
    description="The actor is the token's principal: a body with `actor` is refused. The same "
    "`request_id` may be sent again at any time: it is carried out once, and then `repeated`.",
)
_GET: Final = Operation(
    "getAdjustment",
    "What became of a correction",
    "corrections",
    {
        200: Answer("What is known of it.", AdjustmentStatus),
        400: Answer("The user id or the query is not one."),
        404: Answer("Nothing is known of it."),
        **_AUTH,
    },
    (
        USER_ID,
        Parameter(
            "request_id",
            "query",
            {"type": "string", "minLength": 1, "maxLength": ID_CHARS_MAX},
            "The correction.",
            required=True,
        ),
    ),
    scope="operate",
)
