"""The live tail of all events, as server-sent events.

Owns: the stream of rows to a browser, its filter, when it ends.
Does not own: the events (watch.py), the page (routes.py), a user's own stream (api/live/).
Invariants: a browser that resumes gets the events that are still in memory, and the number of those
that are not; what is sent at once is bounded, so no page is flooded. A stream ends with its token,
with the process, and after `api_stream_s_max`; the number of tails is bounded.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pipeline.api.console.dependencies import ConsoleDependencies
from pipeline.api.console.rendering import instant, link
from pipeline.api.console.watch import KINDS, Event, Watch
from pipeline.api.http.auth import Principal
from pipeline.api.http.paths import ID_FORM
from pipeline.api.http.problems import ProblemError
from pipeline.core.texts import is_id

TAILS_MAX: Final = 100
"""Max tails at the same time."""

ROWS_AT_ONCE: Final = 100
"""Max rows of one event."""

PAGE_ROWS: Final = 60
"""Rows that the page begins with."""

_EVERY_S: Final = 0.5
"""Seconds between two looks for new events."""

_SEND_S_MAX: Final = 10.0
"""Max seconds that one write to a browser may take."""

_RETRY: Final = b"retry: 2000\n\n"
_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
_encode: Final = msgspec.json.Encoder().encode


class Filter(msgspec.Struct, frozen=True):
    """Which events are shown; `user` is empty for all users."""

    kinds: frozenset[str]
    user: str

    @property
    def query(self) -> str:
        """Return the filter as a query, so that people can share the address of a page."""
        kinds = [kind for kind in KINDS if kind in self.kinds]
        given = [("kind", kind) for kind in kinds] if len(kinds) < len(KINDS) else []
        return urlencode([*given, *([("user", self.user)] if self.user else [])])


def filter_of(request: Request) -> Filter:
    """Read the filter of a query; without a kind, every kind is shown.

    Raises:
        ProblemError: 400, there is no such kind, or the id is invalid.
    """
    given = frozenset(request.query_params.getlist("kind"))
    user = request.query_params.get("user", "").strip()
    if not given <= set(KINDS) or (user and not is_id(user)):
        detail = f"kinds are {', '.join(KINDS)}; a user id has {ID_FORM}"
        raise ProblemError(400, "bad-query", "Bad query", detail)
    return Filter(given or frozenset(KINDS), user)


class Tail:
    """Streams to browsers."""

    def __init__(self, deps: ConsoleDependencies) -> None:
        self._deps = deps
        self._watch = deps.watch
        self._count = 0

    def rows(self, wanted: Filter) -> list[dict[str, Any]]:
        """Return the latest rows, the newest first."""
        events = self._watch.last(wanted.kinds, wanted.user, PAGE_ROWS)
        return list(reversed(_rows(self._watch, events)))

    async def events(self, request: Request, principal: Principal) -> Response:
        """Answer with the stream."""
        wanted = filter_of(request)
        if self._count >= TAILS_MAX or self._deps.stopping.is_set():
            raise ProblemError(503, "too-many-streams", "Too many streams", "try again later")
        settings = self._deps.settings
        left_s = principal.ends_at_s - self._deps.now_ms() / 1000
        given = request.headers.get("last-event-id") or request.query_params.get("after", "")
        since = self._watch.number_of(given)
        return _Answer(self, wanted, since, max(1.0, min(settings.api_stream_s_max, left_s)))

    async def send(self, wanted: Filter, since: int, send: Send) -> None:
        """Send rows until the task is cancelled."""
        self._count += 1
        try:
            await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS]})
            await _send(send, _RETRY)
            silent_s = 0.0
            while not self._deps.stopping.is_set():
                events, since, left_out = self._watch.since(
                    since, wanted.kinds, wanted.user, ROWS_AT_ONCE
                )
                if events or left_out:
                    data = _encode({"rows": _rows(self._watch, events), "left_out": left_out})
                    place = self._watch.place(since).encode()
                    await _send(send, b"id: %b\nevent: rows\ndata: %b\n\n" % (place, data))
                    silent_s = 0.0
                elif silent_s >= self._deps.settings.api_stream_heartbeat_s:
                    await _send(send, b": alive\n\n")
                    silent_s = 0.0
                await asyncio.sleep(_EVERY_S)
                silent_s += _EVERY_S
        finally:
            self._count -= 1


class _Answer(Response):
    def __init__(self, tail: Tail, wanted: Filter, since: int, until_s: float) -> None:
        super().__init__()
        self._tail = tail
        self._wanted = wanted
        self._since = since
        self._until_s = until_s

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the browser is gone or the time is over."""
        gone = asyncio.create_task(_until_gone(receive))
        sending = asyncio.create_task(self._tail.send(self._wanted, self._since, send))
        try:
            await asyncio.wait(
                {gone, sending}, timeout=self._until_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            is_gone = gone.done()
            for task in (sending, gone):
                task.cancel()
                with suppress(asyncio.CancelledError, TimeoutError):
                    await task
        if not is_gone:
            with suppress(TimeoutError):
                await _send(send, b"", more=False)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(send: Send, text: bytes, *, more: bool = True) -> None:
    async with asyncio.timeout(_SEND_S_MAX):
        await send({"type": "http.response.body", "body": text, "more_body": more})


def _rows(watch: Watch, events: list[Event]) -> list[dict[str, Any]]:
    return [
        {
            "number": one.number,
            "kind": one.kind,
            "user": one.user,
            "href": link("user", id=one.user) if one.user else "",
            "time": instant(one.time_ms),
            "word": one.word.replace("_", " "),
            "tone": one.tone,
            "text": one.text,
            "source": one.source.removeprefix(watch.prefix),
        }
        for one in map(watch.line_of, events)
    ]


def kinds_shown(wanted: Filter) -> Mapping[str, bool]:
    """Return for every kind whether it is shown."""
    return {kind: kind in wanted.kinds for kind in KINDS}
