"""The live stream of a user, as server-sent events.

Owns: `GET /v1/users/{user_id}/events`: who may listen, how many, when a stream ends.
Does not own: what a stream sends (stream.py), which client gets which record (hub.py).

Invariants: all checks come before the first byte, so an error is answered as a problem. A stream
may end at any time, as its client resumes; it ends at a stop of the process, when its client is
slow, when its token ends, and after `api_stream_s_max`. It is never silent for longer than the
heartbeat, whatever is read for it meanwhile.
"""

import asyncio
from contextlib import suppress
from typing import Final

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pipeline.api.dependencies import Dependencies
from pipeline.api.http.auth import PROGRESS_READ, Principal
from pipeline.api.http.openapi import Answer, ApiRoute, Operation, Parameter
from pipeline.api.http.paths import USERS
from pipeline.api.http.problems import ProblemError
from pipeline.api.http.queries import tz_of_query
from pipeline.api.live.events import event, heartbeat_of
from pipeline.api.live.hub import Client, End, Hub
from pipeline.api.live.stream import Stream
from pipeline.api.routes.users import TZ, USER_ID
from pipeline.codec.errors import CodecError

REPLAYS_AT_ONCE: Final = 4
"""Max replays that run at the same time."""

_SEND_S_MAX: Final = 10.0
"""Max seconds that one write to a client may take."""

_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
_log = structlog.get_logger("awaway.api.live")
_encode: Final = msgspec.json.Encoder().encode


class HubService:
    """Runs the hub on the event loop as a service of the process."""

    def __init__(self, hub: Hub, stopping: asyncio.Event) -> None:
        self._hub = hub
        self._stopping = stopping
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Bind the hub to this loop, and end its streams when the process is about to end."""
        self._hub.bind()
        self._task = asyncio.create_task(self._end())

    async def stop(self) -> None:
        """End every stream."""
        self._hub.end(End.SHUTDOWN)
        if self._task is not None:
            self._task.cancel()

    async def _end(self) -> None:
        await self._stopping.wait()
        self._hub.end(End.SHUTDOWN)


class EventStream(Response):
    """The answer, which runs until one side ends it.

    Args:
        opening: the first bytes.
        until_s: max seconds that it may last.
        heartbeat_s: max seconds without a byte.
    """

    def __init__(
        self, stream: Stream, hub: Hub, opening: bytes, until_s: float, heartbeat_s: float
    ) -> None:
        super().__init__()
        self._stream = stream
        self._hub = hub
        self._opening = opening
        self._until_s = until_s
        self._heartbeat_s = heartbeat_s

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the client is gone or the stream has ended."""
        client = self._stream.client
        watch = asyncio.create_task(_until_gone(receive, client))
        loop = asyncio.get_running_loop()
        expiry = loop.call_later(self._until_s, client.end, End.LONG)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS]})
            await _send(send, self._opening)
            while client.ended is None:
                if client.is_behind:
                    await self._catch_up(send)
                    continue
                records = await client.next(self._heartbeat_s)
                if records:
                    await _send(send, b"".join(self._stream.texts(records)))
                elif client.ended is None:
                    await _send(send, self._stream.heartbeat())
            if client.ended is not End.GONE:
                data = _encode({"reason": client.ended})
                await _send(send, event("end", data, None), more=False)
        except TimeoutError:
            _log.info("a slow stream was cut off")
        except CodecError as error:
            _log.warning("a stream was cut off", reason=str(error))
            await _send(send, b"", more=False)
        finally:
            expiry.cancel()
            self._hub.leave(client)
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch

    async def _catch_up(self, send: Send) -> None:
        """Send a part of what the client missed, with heartbeats while it is read."""
        client = self._stream.client
        reading = asyncio.create_task(self._stream.catch_up())
        over = asyncio.create_task(client.over.wait())
        try:
            while not reading.done() and not over.done():
                waited, _ = await asyncio.wait(
                    {reading, over},
                    timeout=self._heartbeat_s,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if not waited:
                    await _send(send, heartbeat_of(client.position))
            if reading.done() and (text := reading.result()):
                await _send(send, text)
        finally:
            for task in (reading, over):
                task.cancel()
            await asyncio.gather(reading, over, return_exceptions=True)


async def _until_gone(receive: Receive, client: Client) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    client.end(End.GONE)


async def _send(send: Send, text: bytes, *, more: bool = True) -> None:
    async with asyncio.timeout(_SEND_S_MAX):
        await send({"type": "http.response.body", "body": text, "more_body": more})


def routes(deps: Dependencies) -> list[ApiRoute]:
    """Return the route of this module."""
    hub, settings = deps.live.hub, deps.settings

    async def events(request: Request) -> Response:
        user_id = request.path_params["user_id"]
        principal = deps.authorize(request, user_id, PROGRESS_READ)
        tz = tz_of_query(dict(request.query_params))
        _check_room(deps, principal)
        client = hub.join(user_id.encode(), principal.name)
        stream = Stream(deps.live, client, tz)
        given = request.headers.get("last-event-id") or request.query_params.get("last_event_id")
        try:
            opening = stream.opening(given)
        except BaseException:
            hub.leave(client)
            raise
        until_s = min(settings.api_stream_s_max, principal.ends_at_s - deps.now_ms() / 1000)
        return EventStream(stream, hub, opening, max(1.0, until_s), settings.api_stream_heartbeat_s)

    return [ApiRoute(f"{USERS}/events", events, _EVENTS)]


def _check_room(deps: Dependencies, principal: Principal) -> None:
    hub, settings = deps.live.hub, deps.settings
    if not hub.is_ready or not deps.source.is_loaded:
        raise _not_now("still-loading", "Still loading", "nothing can be streamed yet; try again")
    if deps.stopping.is_set():
        raise _not_now("stopping", "Stopping", "this server is about to end; try again")
    if hub.count >= settings.api_stream_clients_max:
        raise _not_now("too-many-streams", "Too many streams", "try again later")
    if hub.streams_of(principal.name) >= settings.api_stream_clients_each:
        raise ProblemError(
            429,
            "too-many-own-streams",
            "Too many streams of your own",
            f"{settings.api_stream_clients_each} streams are open already; close one",
            headers={"Retry-After": "5"},
        )


def _not_now(slug: str, title: str, detail: str) -> ProblemError:
    return ProblemError(503, slug, title, detail, headers={"Retry-After": "2"})


_EVENTS: Final = Operation(
    "streamEvents",
    "Follow a user live",
    "users",
    {
        200: Answer(
            "Events until one side ends: `progress` (as from the read), `portal`, `geometry`, "
            "`erased`; `snapshot` first, unless it resumes without loss; `end` last, with a "
            "reason.",
            media="text/event-stream",
        ),
        400: Answer("The user id cannot be one, or nobody knows the zone."),
        401: Answer("There is no valid token."),
        403: Answer("The token is not for this user."),
        429: Answer("Too many requests, or too many streams of one principal."),
        503: Answer("Not loaded yet, or too many streams."),
    },
    (
        USER_ID,
        Parameter(
            "Last-Event-ID",
            "header",
            {"type": "string", "maxLength": 100},
            "Resume after this event: nothing is lost while the topics have it.",
        ),
        Parameter(
            "last_event_id",
            "query",
            {"type": "string", "maxLength": 100},
            "The same, for clients that cannot set a header.",
        ),
        TZ,
    ),
    scope=PROGRESS_READ,
    description="Server-sent events. Every event's id can be resumed from, on any server.",
)
