"""The reads of a user, over HTTP.

Owns: the routes below `/v1/users/{user_id}/`, their parameters and headers.
Does not own: what a query may hold (queries.py), finding the record (user_read.py), what is shown
(views.py), the live stream (live.py).
Invariants: who asks is known before anything is looked up, and an id that cannot be one goes no
further; HEAD answers as GET, without the body.

These are plain ASGI applications: most requests end here, and a Request and a Response object each
cost more than the answer.
"""

from abc import ABC, abstractmethod
from typing import Any, Final, NoReturn

from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from pipeline.api.dependencies import Parts
from pipeline.api.http.openapi import Answer, ApiRoute, Operation, Parameter
from pipeline.api.http.paths import USERS
from pipeline.api.http.problems import Problem, ProblemError
from pipeline.api.http.queries import (
    TZ_CHARS_MAX,
    date_of_query,
    number_of,
    query_of,
    tz_of_query,
)
from pipeline.api.reads.user_read import (
    REVISION_MAX,
    Reads,
    body_head,
    body_of,
    etag_of,
    matches,
    partition_of,
)
from pipeline.api.reads.views import Calendar, Geometry, Keys, Portals, Progress, UserNow, UserView
from pipeline.core.texts import ID_CHARS_MAX, is_id

SCOPE: Final = "progress:read"
CALENDAR_DAYS_MAX: Final = 1_100
CALENDAR_DAYS: Final = 366
PAGE: Final = 108
PAGE_MAX: Final = 366
JSON_TYPE: Final = (b"content-type", b"application/json")
PRIVATE: Final = (b"cache-control", b"private, no-cache")
_FAR: Final = 10_000
_NO_QUERY: Final[dict[str, str]] = {}

ID_FORM: Final = (
    f"1 to {ID_CHARS_MAX} characters, not all of them blank, and none that is a control, a line "
    "separator or a change of direction"
)
USER_ID: Final = Parameter(
    "user_id",
    "path",
    {"type": "string", "minLength": 1, "maxLength": ID_CHARS_MAX},
    f"{ID_FORM}; encode what a path cannot hold.",
)
MIN_REVISION: Final = Parameter(
    "min_revision",
    "query",
    {"type": "integer", "minimum": 0, "maximum": REVISION_MAX},
    "Wait until the user's revision is this or higher, up to a bound; then 503 with what there is.",
)
TZ: Final = Parameter(
    "tz",
    "query",
    {"type": "string", "minLength": 1, "maxLength": TZ_CHARS_MAX},
    "Where the user is now: the zone that `today` is of, and so whether the streak still goes on. "
    "A name of the time zone database, or an offset such as `+02:00`. Without it: the zone of the "
    "user's own inputs; while none has one, the place where a date ends last.",
)
IF_NONE_MATCH: Final = Parameter(
    "If-None-Match", "header", {"type": "string"}, "ETags that the client has."
)
_LIMIT: Final = Parameter(
    "limit",
    "query",
    {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE},
    "Most dates of the page.",
)


def _date(name: str, description: str) -> Parameter:
    return Parameter(name, "query", {"type": "string", "format": "date"}, description)


class NotYet(Problem, frozen=True, kw_only=True):
    """The revision did not come in time; or nothing is loaded yet, and the members are missing."""

    min_revision: int = 0
    revision: int = 0
    have: Progress | None = None
    as_of: str | None = None


_HEADERS: Final = {
    "ETag": "Weak: generation, revision, today's date, its zone and the policy.",
    "Awaway-As-Of": "Everything that was published before this instant is in here.",
    "Awaway-Lag-Ms": "How long ago that was, ms.",
}


def _operation(
    name: str, summary: str, body: Any, *parameters: Parameter, description: str = ""
) -> Operation:
    return Operation(
        id=name,
        summary=summary,
        tag="users",
        scope=SCOPE,
        description=description,
        parameters=(USER_ID, *parameters, TZ, MIN_REVISION, IF_NONE_MATCH),
        answers={
            200: Answer("As of now.", body, headers=_HEADERS),
            304: Answer("The client has it.", media="", headers=_HEADERS),
            400: Answer("The user id or the query is not one."),
            401: Answer("There is no valid token."),
            403: Answer("The token is not for this user."),
            404: Answer("Nothing was published about this user."),
            429: Answer("Too many requests."),
            503: Answer("Not loaded yet, or the revision did not come in time.", NotYet),
        },
    )


class _Read(ABC):
    """One kind of read, an ASGI application."""

    parameters: tuple[str, ...] = ("tz", "min_revision")

    def __init__(self, parts: Parts) -> None:
        self._authorize = parts.authorize
        self._reads: Reads = parts.reads
        self._now_ms = parts.now_ms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        del receive
        user_id: str = scope["path_params"]["user_id"]
        self._authorize(HTTPConnection(scope), user_id, SCOPE)
        if not is_id(user_id):
            _refuse_id()
        query, min_revision, tz = _NO_QUERY, 0, None
        if scope["query_string"]:
            query = query_of(scope["query_string"], self.parameters)
            min_revision = number_of(query, "min_revision", 0, 0, REVISION_MAX)
            tz = tz_of_query(query)
        partition, etag, head = await self.render(user_id, min_revision, tz, query)
        as_of = self._reads.as_of_partition(partition)
        now_ms = self._now_ms()
        headers = [(b"etag", etag), PRIVATE]
        if as_of is not None:
            headers.append((b"awaway-as-of", as_of.bytes))
            headers.append((b"awaway-lag-ms", b"%d" % max(0, now_ms - as_of.ms)))
        for name, value in scope["headers"]:
            if name == b"if-none-match" and matches(value, etag):
                await send({"type": "http.response.start", "status": 304, "headers": headers})
                await send({"type": "http.response.body", "body": b""})
                return
        body = body_of(head, as_of, now_ms)
        headers.append(JSON_TYPE)
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        shown = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": shown})

    async def render(
        self, user_id: str, min_revision: int, tz: str | None, query: dict[str, str]
    ) -> tuple[int, bytes, bytes]:
        """The user's partition, the ETag and the JSON's head."""
        raw = await self._reads.find(user_id.encode(), min_revision, tz)
        now = self._reads.user_now(raw, tz)
        return partition_of(raw), etag_of(now), body_head(self.view(now, query))

    @abstractmethod
    def view(self, user: UserNow, query: dict[str, str]) -> UserView:
        """What is shown."""


class _Progress(_Read):
    async def render(
        self, user_id: str, min_revision: int, tz: str | None, query: dict[str, str]
    ) -> tuple[int, bytes, bytes]:
        del query
        now_ms = self._now_ms()
        found = self._reads.remembered(user_id, min_revision, now_ms, tz)
        if found is not None:
            self._reads.serve(found, now_ms)
        else:
            found = await self._reads.progress(user_id, min_revision, tz)
        return found.partition, found.etag, found.head

    def view(self, user: UserNow, query: dict[str, str]) -> UserView:
        del query
        return self._reads.views.progress(user)


class _Portals(_Read):
    def view(self, user: UserNow, query: dict[str, str]) -> UserView:
        del query
        return self._reads.views.portals(user)


class _Keys(_Read):
    def view(self, user: UserNow, query: dict[str, str]) -> UserView:
        del query
        return self._reads.views.keys(user)


class _Geometry(_Read):
    parameters = ("before", "limit", "tz", "min_revision")

    def view(self, user: UserNow, query: dict[str, str]) -> UserView:
        before = date_of_query(query, "before", user.now.date + _FAR)
        limit = number_of(query, "limit", PAGE, 1, PAGE_MAX)
        return self._reads.views.geometry(user, before, limit)


class _Calendar(_Read):
    parameters = ("from", "to", "tz", "min_revision")

    def view(self, user: UserNow, query: dict[str, str]) -> UserView:
        last = date_of_query(query, "to", user.now.date)
        first = date_of_query(query, "from", max(last - CALENDAR_DAYS + 1, _FIRST_DATE))
        if not first <= last < first + CALENDAR_DAYS_MAX:
            raise ProblemError(
                400,
                "bad-query",
                "Bad query",
                f"from must not be after to, and at most {CALENDAR_DAYS_MAX} dates are given",
            )
        return self._reads.views.calendar(user, first, last)


_FIRST_DATE: Final = date_of_query({"first": "0001-01-01"}, "first", 0)


def _refuse_id() -> NoReturn:
    raise ProblemError(
        400,
        "bad-user-id",
        "Not a user id",
        f"a user id has {ID_FORM}",
    )


def routes(parts: Parts) -> list[BaseRoute]:
    """The reads of users; `progress`, which is called most, first."""
    at = USERS
    return [
        ApiRoute(
            f"{at}/progress",
            _Progress(parts),
            _operation("getProgress", "The streak as it is now", Progress),
        ),
        ApiRoute(
            f"{at}/portals",
            _Portals(parts),
            _operation("getPortals", "The portals that were reached, and the next", Portals),
        ),
        ApiRoute(f"{at}/keys", _Keys(parts), _operation("getKeys", "Field Keys granted", Keys)),
        ApiRoute(
            f"{at}/geometry",
            _Geometry(parts),
            _operation(
                "getGeometry",
                "The current figure and that of each date",
                Geometry,
                _date("before", "Only dates before this one; `next_before` of the last page."),
                _LIMIT,
            ),
        ),
        ApiRoute(
            f"{at}/calendar",
            _Calendar(parts),
            _operation(
                "getCalendar",
                "What each local date is",
                Calendar,
                _date("from", f"The first date; by default {CALENDAR_DAYS} dates in all."),
                _date("to", "The last date; by default today, in `tz`."),
                description=f"At most {CALENDAR_DAYS_MAX} dates.",
            ),
        ),
    ]
