"""Health over HTTP: codes, content types, and answers that follow the worker's state."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from pipeline.observability.health import (
    FAILED_IN_A_ROW_MAX,
    Health,
    HealthServer,
    HealthServerError,
)
from pipeline.observability.metrics import WorkerState
from pipeline.observability.prometheus import WorkerMetrics


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics(clock: Clock) -> WorkerMetrics:
    return WorkerMetrics(lambda: 0, clock)


@pytest.fixture
def server(metrics: WorkerMetrics) -> Iterator[HealthServer]:
    with HealthServer("127.0.0.1", 0, Health(metrics, 30.0), metrics.registry) as server:
        yield server


def ask(
    server: HealthServer, path: str, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(*server.address, timeout=5)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def codes(server: HealthServer) -> tuple[int, int, int]:
    return (
        ask(server, "/livez")[0],
        ask(server, "/startupz")[0],
        ask(server, "/readyz")[0],
    )


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (WorkerState.STARTING, (200, 503, 503)),
        (WorkerState.CHECKING, (200, 503, 503)),
        (WorkerState.JOINING, (200, 200, 503)),
        (WorkerState.RESTORING, (200, 200, 503)),
        (WorkerState.RUNNING, (200, 200, 200)),
        (WorkerState.STOPPING, (200, 200, 503)),
        (WorkerState.FAILED, (503, 200, 503)),
    ],
)
def test_each_state_answers_its_probes(
    server: HealthServer,
    metrics: WorkerMetrics,
    state: WorkerState,
    expected: tuple[int, int, int],
) -> None:
    metrics.state_changed(state)
    assert codes(server) == expected


def test_an_engine_that_makes_no_step_is_neither_live_nor_ready(
    server: HealthServer, metrics: WorkerMetrics, clock: Clock
) -> None:
    metrics.state_changed(WorkerState.RUNNING)
    clock.s = 29.9
    assert codes(server) == (200, 200, 200)
    clock.s = 30.0
    assert codes(server) == (503, 200, 503)
    _, headers, body = ask(server, "/livez")
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {
        "ok": False,
        "reasons": ["the engine's thread made no step for 30 s"],
    }
    metrics.stepped()
    assert codes(server) == (200, 200, 200)


def test_a_worker_whose_brokers_are_away_is_live_and_not_ready(
    server: HealthServer, metrics: WorkerMetrics
) -> None:
    metrics.state_changed(WorkerState.RUNNING)
    metrics.lag_unknown()
    assert codes(server) == (200, 200, 503)
    assert json.loads(ask(server, "/readyz")[2])["reasons"] == ["the brokers do not answer"]
    metrics.lag_known()
    assert codes(server) == (200, 200, 200)


def test_while_it_starts_or_stops_the_engine_need_not_step(
    server: HealthServer, metrics: WorkerMetrics, clock: Clock
) -> None:
    clock.s = 1000.0
    for state in (WorkerState.STARTING, WorkerState.CHECKING, WorkerState.STOPPING):
        metrics.state_changed(state)
        assert ask(server, "/livez")[0] == 200


def test_metrics_in_the_format_that_is_asked_for(server: HealthServer) -> None:
    status, headers, body = ask(server, "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=")
    assert b"# TYPE awaway_events_total counter" in body
    accept = "application/openmetrics-text; version=1.0.0"
    _, headers, body = ask(server, "/metrics", Accept=accept)
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_a_query_is_ignored_and_head_has_no_body(server: HealthServer) -> None:
    assert ask(server, "/livez?verbose=1")[0] == 200
    status, headers, body = ask(server, "/livez", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 0
    assert headers["Cache-Control"] == "no-store"


def test_other_paths_and_methods_are_refused(server: HealthServer) -> None:
    status, headers, body = ask(server, "/")
    assert status == 404
    assert headers["Content-Type"] == "application/problem+json"
    assert json.loads(body)["paths"] == ["/livez", "/startupz", "/readyz", "/metrics"]
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        status, headers, _ = ask(server, "/livez", method)
        assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_silent_clients_do_not_keep_others_waiting(server: HealthServer) -> None:
    silent = [socket.create_connection(server.address) for _ in range(10)]
    try:
        assert ask(server, "/livez")[0] == 200
    finally:
        for client in silent:
            client.close()


def test_a_port_that_is_taken_is_told_with_the_fix(
    server: HealthServer, metrics: WorkerMetrics
) -> None:
    host, port = server.address
    with pytest.raises(HealthServerError) as caught:
        HealthServer(host, port, Health(metrics, 30.0), metrics.registry)
    assert str(port) in str(caught.value)
    assert "AWAWAY_HTTP_PORT" in caught.value.fix


def test_closing_frees_the_port_and_ends_the_thread(metrics: WorkerMetrics) -> None:
    server = HealthServer("127.0.0.1", 0, Health(metrics, 30.0), metrics.registry)
    address = server.address
    server.close()
    with pytest.raises(OSError):
        socket.create_connection(address, timeout=1).close()
    assert "health" not in {thread.name for thread in threading.enumerate()}


def test_a_worker_whose_transactions_all_fail_is_not_ready(
    server: HealthServer, metrics: WorkerMetrics
) -> None:
    metrics.state_changed(WorkerState.RUNNING)
    for _ in range(FAILED_IN_A_ROW_MAX - 1):
        metrics.transaction_aborted(0.1)
    assert codes(server) == (200, 200, 200)
    metrics.transaction_aborted(0.1)
    assert codes(server) == (200, 200, 503)
    assert b"the last 3 transactions failed" in ask(server, "/readyz")[2]
    metrics.transaction_committed(1, 0.1, 0.1)
    assert codes(server) == (200, 200, 200)
