"""The reads of a user over HTTP.

Owns: the routes below `/v1/users/{user_id}/` that read, their parameters and headers.
Does not own: the values of a query (queries.py), finding the record (user_read.py), what is shown
(views.py), the live stream (live.py).
Invariants: the caller is authorised and the id is checked before anything is looked up; HEAD is
answered as GET, without the body. Both ways to `progress`, this one and fast_path.py, end in
`ProgressRead.answer`, so they cannot differ.

These are plain ASGI applications: most requests come here, and a Request or a Response object costs
more than the whole answer.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from pipeline.api.dependencies import Dependencies
from pipeline.api.http.auth import PROGRESS_READ
from pipeline.api.http.openapi import Answer, ApiRoute, Operation, Parameter
from pipeline.api.http.paths import ID_FORM, USERS
from pipeline.api.http.problems import Problem, ProblemError
from pipeline.api.http.queries import (
    TZ_CHARS_MAX,
    date_of_query,
    number_of,
    query_of,
    tz_of_query,
)
from pipeline.api.reads.freshness import AsOf
from pipeline.api.reads.user_read import (
    REVISION_MAX,
    Reads,
    Rendered,
    body_head,
    body_of,
    matches,
    partition_of,
)
from pipeline.api.reads.views import Calendar, Geometry, Keys, Portals, Progress, UserNow, UserView
from pipeline.core.texts import ID_CHARS_MAX

CALENDAR_DAYS_MAX: Final = 1_100
"""Max dates of a calendar."""

CALENDAR_DAYS: Final = 366
"""Dates of a calendar whose query does not say."""

PAGE: Final = 108
"""Dates of a page of geometry whose query does not say."""

PAGE_MAX: Final = 366
"""Max dates of a page of geometry."""

_JSON_TYPE: Final = (b"content-type", b"application/json")
_PRIVATE: Final = (b"cache-control", b"private, no-cache")
_FAR_DAYS: Final = 10_000
"""Days beyond today that are after every date of a user."""

_NO_QUERY: Final[Mapping[str, str]] = {}
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
        scope=PROGRESS_READ,
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


Shown = tuple[Rendered, AsOf | None, int]
"""What is shown, until when it is complete, and the time of day, ms since the epoch."""


class UserRead(ABC):
    """One kind of read of a user, an ASGI application.

    Args:
        headers: are added to each answer; empty where a middleware adds them.
    """

    parameters: tuple[str, ...] = ("tz", "min_revision")

    def __init__(self, deps: Dependencies, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self._authorize = deps.authorize
        self._reads: Reads = deps.reads
        self._now_ms = deps.now_ms
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        del receive
        await self.answer(scope, send, scope["path_params"]["user_id"])

    async def answer(self, scope: Scope, send: Send, user_id: str) -> Literal[2, 3]:
        """Answer a request about a user, on the short and on the long way.

        Returns:
            The class of the status: 2 with a body, 3 where the client has it.

        Raises:
            ProblemError: the answer is another.
        """
        self._authorize(HTTPConnection(scope), user_id, PROGRESS_READ)
        query, min_revision, tz = _NO_QUERY, 0, None
        if scope["query_string"]:
            query = query_of(scope["query_string"], self.parameters)
            min_revision = number_of(query, "min_revision", 0, 0, REVISION_MAX)
            tz = tz_of_query(query)
        shown = self.remembered(user_id, min_revision, tz)
        if shown is None:
            shown = await self.make(user_id, min_revision, tz, query)
        found, as_of, now_ms = shown
        headers = [(b"etag", found.etag), _PRIVATE]
        if as_of is not None:
            headers.append((b"awaway-as-of", as_of.bytes))
            headers.append((b"awaway-lag-ms", b"%d" % max(0, now_ms - as_of.ms)))
        headers += self._headers
        for name, value in scope["headers"]:
            if name == b"if-none-match" and matches(value, found.etag):
                await send({"type": "http.response.start", "status": 304, "headers": headers})
                await send({"type": "http.response.body", "body": b""})
                return 3
        body = body_of(found.head, as_of, now_ms)
        headers.append(_JSON_TYPE)
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        content = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": content})
        return 2

    def remembered(self, user_id: str, min_revision: int, tz: str | None) -> Shown | None:
        """Find an answer in memory; only progress has any."""
        del user_id, min_revision, tz
        return None

    async def make(
        self, user_id: str, min_revision: int, tz: str | None, query: Mapping[str, str]
    ) -> Shown:
        """Make the answer from the user's record."""
        raw = await self._reads.find(user_id.encode(), min_revision, tz)
        now = self._reads.user_now(raw, tz)
        found = Rendered(now, partition_of(raw), body_head(self.view(now, query)))
        return found, self._reads.as_of_partition(found.partition), self._now_ms()

    @abstractmethod
    def view(self, user: UserNow, query: Mapping[str, str]) -> UserView:
        """Make what is shown."""


class ProgressRead(UserRead):
    """The read of progress, whose answers are remembered."""

    def remembered(self, user_id: str, min_revision: int, tz: str | None) -> Shown | None:
        """Find the answer in memory, and count it as a read."""
        now_ms = self._now_ms()
        known = self._reads.remembered(user_id, min_revision, now_ms, tz)
        return None if known is None else (known, self._reads.serve(known, now_ms), now_ms)

    async def make(
        self, user_id: str, min_revision: int, tz: str | None, query: Mapping[str, str]
    ) -> Shown:
        """Make the answer, and remember it."""
        del query
        found = await self._reads.progress(user_id, min_revision, tz)
        return found, self._reads.as_of_partition(found.partition), self._now_ms()

    def view(self, user: UserNow, query: Mapping[str, str]) -> UserView:
        """Make the view of progress."""
        del query
        return self._reads.views.progress(user)


class _Portals(UserRead):
    def view(self, user: UserNow, query: Mapping[str, str]) -> UserView:
        del query
        return self._reads.views.portals(user)


class _Keys(UserRead):
    def view(self, user: UserNow, query: Mapping[str, str]) -> UserView:
        del query
        return self._reads.views.keys(user)


class _Geometry(UserRead):
    parameters = ("before", "limit", "tz", "min_revision")

    def view(self, user: UserNow, query: Mapping[str, str]) -> UserView:
        before = date_of_query(query, "before", user.now.date + _FAR_DAYS)
        limit = number_of(query, "limit", PAGE, 1, PAGE_MAX)
        return self._reads.views.geometry(user, before, limit)


class _Calendar(UserRead):
    parameters = ("from", "to", "tz", "min_revision")

    def view(self, user: UserNow, query: Mapping[str, str]) -> UserView:
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


def routes(deps: Dependencies) -> list[BaseRoute]:
    """Return the routes; `progress`, which is called most, is the first."""
    at = USERS
    return [
        ApiRoute(
            f"{at}/progress",
            ProgressRead(deps),
            _operation("getProgress", "The streak as it is now", Progress),
        ),
        ApiRoute(
            f"{at}/portals",
            _Portals(deps),
            _operation("getPortals", "The portals that were reached, and the next", Portals),
        ),
        ApiRoute(f"{at}/keys", _Keys(deps), _operation("getKeys", "Field Keys granted", Keys)),
        ApiRoute(
            f"{at}/geometry",
            _Geometry(deps),
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
            _Calendar(deps),
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
