"""Health and metrics over HTTP, on a thread of their own.

Owns: `/livez`, `/startupz`, `/readyz`, `/metrics`: paths, codes, content types.
Does not own: the metrics (prometheus.py), what changes the worker's state (worker/telemetry.py).
Invariants: it also answers while the event loop and the engine's thread are stuck, as that is when
it is needed; a slow or silent client holds only its own connection, for `_CLIENT_TIMEOUT_S`.

There is no authentication: it listens on loopback unless it is set otherwise, and shows nothing
about users.
"""

import logging
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Self
from urllib.parse import urlsplit

import msgspec
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from pipeline.errors import AwawayError
from pipeline.observability.metrics import WorkerState
from pipeline.observability.prometheus import WorkerMetrics

_CLIENT_TIMEOUT_S: Final = 5.0
"""Seconds without a byte from a client, after which its connection is closed."""

_CLIENTS_MAX: Final = 16
"""Connections that are served at once; further ones are closed."""

_SHUTDOWN_POLL_S: Final = 0.2
"""How often the listening thread looks whether it should end."""

FAILED_IN_A_ROW_MAX: Final = 3
"""A worker is not ready after this many failed transactions without a committed one. Fewer may be a
rebalance, or a broker that restarted."""

_log = structlog.get_logger("awaway.health")

Reasons = list[str]
"""Why a probe fails, one sentence for each reason; empty when it succeeds."""


class HealthServerError(AwawayError):
    """The health endpoint cannot listen on the address that is set.

    Operator action: free the port, or set `AWAWAY_HTTP_HOST` and `AWAWAY_HTTP_PORT` to others.
    """


class Health:
    """What a worker's probes answer, derived from the state that its metrics hold.

    Args:
        metrics: of the worker.
        stall_timeout_s: the engine's thread counts as stuck after this long without a step.
    """

    def __init__(self, metrics: WorkerMetrics, stall_timeout_s: float) -> None:
        self._metrics = metrics
        self._stall_timeout_s = stall_timeout_s

    def not_live(self) -> Reasons:
        """Reasons to kill the process: it cannot recover by itself."""
        state = self._metrics.state
        if state is WorkerState.FAILED:
            return ["the worker failed; its log says why"]
        if state in (WorkerState.STARTING, WorkerState.CHECKING, WorkerState.STOPPING):
            return []  # these have time-outs of their own, and the engine's thread need not run
        age_s = self._metrics.step_age_s()
        if age_s >= self._stall_timeout_s:
            return [f"the engine's thread made no step for {age_s:.0f} s"]
        return []

    def not_started(self) -> Reasons:
        """Reasons to wait with the other probes."""
        if self._metrics.state in (WorkerState.STARTING, WorkerState.CHECKING):
            return [f"the worker is {self._metrics.state.value}"]
        return []

    def not_ready(self) -> Reasons:
        """Reasons why this worker is not folding what it owns."""
        if self._metrics.state is not WorkerState.RUNNING:
            return [f"the worker is {self._metrics.state.value}"]
        if not self._metrics.brokers_answer:
            return ["the brokers do not answer", *self.not_live()]
        failed = self._metrics.failed_in_a_row
        if failed >= FAILED_IN_A_ROW_MAX:
            return [f"the last {failed} transactions failed; the log says why", *self.not_live()]
        return self.not_live()


class HealthServer:
    """Serves probes and metrics until it is closed. A context manager.

    Args:
        host: address to bind. port: 0 takes a free one.
        health: answers the probes.
        registry: what `/metrics` exposes.
    """

    def __init__(self, host: str, port: int, health: Health, registry: CollectorRegistry) -> None:
        self._probes: dict[str, Callable[[], Reasons]] = {
            "/livez": health.not_live,
            "/startupz": health.not_started,
            "/readyz": health.not_ready,
        }
        try:
            self._server = _Server((host, port), _handler(self._probes, registry))
        except OSError as error:
            raise HealthServerError(
                f"cannot serve health on {host}:{port}",
                why=error.strerror or str(error),
                fix="free the port, or set AWAWAY_HTTP_HOST and AWAWAY_HTTP_PORT",
                host=host,
                port=port,
            ) from None
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            name="health",
            daemon=True,
            args=(_SHUTDOWN_POLL_S,),
        )
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port it listens on."""
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    def close(self) -> None:
        """Stop listening; repeated calls do nothing."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=_CLIENT_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = _CLIENTS_MAX

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._free = threading.BoundedSemaphore(_CLIENTS_MAX)
        super().__init__(address, handler)

    def process_request(self, request: object, client_address: object) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)  # type: ignore[arg-type]
            return
        super().process_request(request, client_address)  # type: ignore[arg-type]

    def process_request_thread(self, request: object, client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
            self._free.release()

    def handle_error(self, request: object, client_address: object) -> None:
        del request
        _log.warning("health request failed", client=str(client_address), exc_info=True)


def _handler(
    probes: dict[str, Callable[[], Reasons]], registry: CollectorRegistry
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version = "awaway"
        sys_version = ""
        timeout = _CLIENT_TIMEOUT_S

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path == "/metrics":
                encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                self._send(HTTPStatus.OK, content_type, encode(registry))
            elif (probe := probes.get(path)) is not None:
                reasons = probe()
                status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
                body = {"ok": not reasons, "reasons": reasons}
                self._send(status, "application/json", msgspec.json.encode(body))
            else:
                body_404 = {"title": "Not Found", "status": 404, "paths": [*probes, "/metrics"]}
                self._send(
                    HTTPStatus.NOT_FOUND, "application/problem+json", msgspec.json.encode(body_404)
                )

        do_HEAD = do_GET

        def _refuse(self) -> None:
            body = {"title": "Method Not Allowed", "status": 405}
            self._send(
                HTTPStatus.METHOD_NOT_ALLOWED,
                "application/problem+json",
                msgspec.json.encode(body),
            )

        do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _refuse

        def _send(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            if status is HTTPStatus.METHOD_NOT_ALLOWED:
                self.send_header("Allow", "GET, HEAD")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            logging.getLogger("awaway.health").debug(format, *args)

    return Handler
