"""The API's process, which serves until it is told to stop.

Owns: the HTTP server and its settings, the order of start and stop, signals.
Does not own: the application (app.py), what it is made of (wiring.py).
Invariants: the process listens before anything is connected, so probes are answered; at a stop it
accepts no new request, the current requests end first, then the services stop in reverse order;
after a signal it ends within `api_stop_timeout_s` and a little.

granian serves in this process, on this event loop, so that the store is open once. Its embedded
server is that of its own workers, without their supervisor. It is called experimental; the tests of
this project cover what we use of it: start, stop and ASGI.
"""

import asyncio
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import structlog
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server
from starlette.types import ASGIApp

from pipeline.api.dependencies import Service
from pipeline.errors import AwawayError
from pipeline.settings.api import ApiSettings

HEADERS_MS_MAX: Final = 10_000
"""Max ms in which a client must send the headers of a request."""

_BACKLOG: Final = 1_024
_HEAD_BYTES_MAX: Final = 65_536
"""Max bytes of a request's line and headers."""

_log = structlog.get_logger("awaway.api")


class ApiServerError(AwawayError):
    """The API cannot listen on its address.

    **Operator action**: free the port, or set `AWAWAY_API_HOST` and `AWAWAY_API_PORT` to others.
    """


def find_port(host: str, port: int) -> int:
    """Return the port, or a free one for 0.

    Raises:
        ApiServerError: the port is taken, or the host is not an address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ApiServerError(
                f"cannot listen on {host}:{port}",
                why=error.strerror or str(error),
                fix="free the port, or set AWAWAY_API_HOST and AWAWAY_API_PORT",
                host=host,
                port=port,
            ) from error
        found: int = probe.getsockname()[1]
        return found


async def serve(
    app: ASGIApp,
    services: Sequence[Service],
    settings: ApiSettings,
    stopping: asyncio.Event,
    listening: Callable[[str], None],
) -> None:
    """Serve until SIGTERM or SIGINT; a second signal ends at once.

    Args:
        services: in the order in which they start.
        stopping: is set when the first signal comes.
        listening: is called with the address once the server listens.

    Raises:
        ApiServerError: it cannot listen.
    """
    host, port = settings.api_host, settings.api_port
    port = find_port(host, port)
    server = _server(app, settings, port)

    def asked() -> None:
        if stopping.is_set():
            signal.raise_signal(signal.SIGKILL)
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)
    serving = asyncio.ensure_future(server.serve())
    started = []
    try:
        for service in services:
            await service.start()
            started.append(service)
        listening(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        asked_to_stop = asyncio.ensure_future(stopping.wait())
        await asyncio.wait({serving, asked_to_stop}, return_when=asyncio.FIRST_COMPLETED)
        asked_to_stop.cancel()
    finally:
        stopping.set()
        server.stop()  # type: ignore[no-untyped-call]
        # Requests that do not end in time are cut off.
        with suppress(TimeoutError):
            await serving
        for service in reversed(started):
            await service.stop()


def _server(app: ASGIApp, settings: ApiSettings, port: int) -> Server:
    server = Server(
        app,
        address=settings.api_host,
        port=port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        websockets=False,
        backlog=_BACKLOG,
        backpressure=settings.api_connections_max,
        http1_settings=HTTP1Settings(
            header_read_timeout=HEADERS_MS_MAX, max_buffer_size=_HEAD_BYTES_MAX
        ),
        log_enabled=False,
    )
    server.workers_kill_timeout = settings.api_stop_timeout_s
    return server
