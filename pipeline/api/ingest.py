"""Completions over HTTP: taking them in, and telling what became of them.

Owns: `POST /v1/completions` and `GET /v1/users/{user_id}/completions/{completion_id}`.
Does not own: sending (intake.py), what is refused at the door (receiving.py), the index
(outcomes.py), the answer of a status (statuses.py).

Invariants: 202 means that all in-sync replicas have every completion of the request; anything else
may be sent again, with the same ids. A user's token takes only that user's completions.
"""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response

from pipeline.api.auth import COMPLETIONS_READ, COMPLETIONS_WRITE, Kind, Principal, check
from pipeline.api.intake import Batch, CompletionIn, Intake, Item, RefusedProblem
from pipeline.api.openapi import Answer, ApiRoute, Body, Operation, Parameter
from pipeline.api.parts import Parts
from pipeline.api.problems import ProblemError
from pipeline.api.producing import Headers
from pipeline.api.receiving import items_of
from pipeline.api.statuses import CompletionStatus, Position, status_of
from pipeline.api.user_path import USERS
from pipeline.api.users import USER_ID
from pipeline.clock import rfc3339
from pipeline.core.rejection import is_id

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_POSITION: Final = re.compile(r"(\d{1,6})-(\d{1,18})")
_log = structlog.get_logger("awaway.api.ingest")
_encode: Final = msgspec.json.Encoder().encode


def routes(parts: Parts) -> list[ApiRoute]:
    """The routes of this module."""
    intake = Intake(parts)

    async def post(request: Request) -> Response:
        guard = parts.access.guard
        principal = guard.principal(request.scope)
        own = principal.subject if principal.kind is Kind.USER else None
        check(principal, own, COMPLETIONS_WRITE)
        _check_media(request)
        values = items_of(await request.body(), parts.settings.api_batch_records_max)
        if len(values) > 1:
            parts.access.limits.admit(principal, len(values) - 1)
        taken = await intake.take(values, principal, _headers(request, principal))
        return _answer(taken)

    async def status(request: Request) -> Response:
        user_id, completion_id = (
            request.path_params["user_id"],
            request.path_params["completion_id"],
        )
        parts.access.guard.authorize(request, user_id, COMPLETIONS_READ)
        if not is_id(completion_id):
            raise ProblemError(
                400,
                "bad-completion-id",
                "Not a completion id",
                "a completion id has 1 to 128 printable characters",
            )
        found = _status(parts, user_id, completion_id, request.query_params.get("position"))
        return Response(_encode(found), media_type="application/json")

    return [
        ApiRoute("/v1/completions", post, _POST, method="POST"),
        ApiRoute(f"{USERS}/completions/{{completion_id:path}}", status, _GET),
    ]


def _status(
    parts: Parts, user_id: str, completion_id: str, position: str | None
) -> CompletionStatus:
    outcomes = parts.outcomes
    as_of_ms = outcomes.complete_at_ms
    entries = outcomes.of_completion(user_id, completion_id)
    found = status_of(user_id, completion_id, entries, as_of_ms)
    if found is not None:
        return found
    receipt = outcomes.receipt(user_id, completion_id)
    given = _POSITION.fullmatch(position or "")
    if receipt is not None:
        at: tuple[int, int] | None = (receipt.partition, receipt.offset)
    else:
        at = (int(given[1]), int(given[2])) if given else None
    if at is None and not entries:
        raise ProblemError(
            404,
            "unknown-completion",
            "Unknown completion",
            "nothing is known of this id within the history; if it was sent another way it may not "
            "be processed yet",
            body={"as_of": None if as_of_ms is None else rfc3339(as_of_ms)},
        )
    return CompletionStatus(
        user_id=user_id,
        completion_id=completion_id,
        status="pending",
        position=None if at is None else Position(parts.completions.topic, *at),
        as_of=None if as_of_ms is None else rfc3339(as_of_ms),
    )


def _check_media(request: Request) -> None:
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        raise ProblemError(
            415,
            "unsupported-media-type",
            "Unsupported media type",
            "send JSON, with `Content-Type: application/json`",
            headers={"Accept-Post": "application/json"},
        )


def _headers(request: Request, principal: Principal) -> Headers:
    headers: Headers = [("awaway-sent-by", principal.name.encode())]
    trace = request.headers.get("traceparent", "")
    if _TRACEPARENT.fullmatch(trace):
        headers.append(("traceparent", trace.encode()))
    return headers


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
    error = items[0].error
    detail = "no completion was recorded" if len(items) > 1 or error is None else error.detail
    status = 400 if error is not None and error.reason == "malformed_json" else 422
    return ProblemError(status, "invalid-completion", "Invalid completion", detail, body=told)


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
        202: Answer(
            "Every completion is in the log, on all in-sync replicas.",
            Batch,
            headers={"Location": "Of one completion: what became of it."},
        ),
        207: Answer("Some are recorded; each item says what to do.", Batch),
        400: Answer("The body is not JSON.", RefusedProblem),
        413: Answer("The body or the batch is too large."),
        415: Answer("The body is said to be something else than JSON."),
        422: Answer("No completion is valid; each item says why.", RefusedProblem),
        503: Answer("The brokers did not acknowledge; send again.", RefusedProblem, headers=_RETRY),
        **_AUTH,
    },
    body=Body(CompletionIn | list[CompletionIn]),
    scope=COMPLETIONS_WRITE,
    description="One completion or an array of them, as on the topic. The same id may be sent "
    "again at any time: it counts once, and is answered as the first time.",
)
_GET: Final = Operation(
    "getCompletion",
    "What became of a completion",
    "completions",
    {
        200: Answer("What is known of it.", CompletionStatus),
        400: Answer("An id cannot be one."),
        404: Answer("Nothing is known of it."),
        503: Answer("Tokens cannot be verified at the moment.", headers=_RETRY),
        **_AUTH,
    },
    (
        USER_ID,
        Parameter("completion_id", "path", {"type": "string", "maxLength": 128}, "The completion."),
        Parameter(
            "position",
            "query",
            {"type": "string", "pattern": r"^\d{1,6}-\d{1,18}$"},
            "Partition and offset that the POST answered; a server that has not seen the "
            "completion yet then knows that it was sent.",
        ),
    ),
    scope=COMPLETIONS_READ,
)
