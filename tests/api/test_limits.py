"""How often, how large, how long; and what every answer carries."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from pipeline.api.http import problems
from pipeline.api.http import rate_limits as limiting
from pipeline.api.http.auth import ALL_SCOPES, Kind, Principal
from pipeline.api.http.limits_and_headers import (
    CONTENT_SECURITY_POLICY,
    HEADERS_MAX,
    LimitsAndHeaders,
)
from pipeline.api.http.problems import ProblemError
from pipeline.api.http.rate_limits import Allowance, Limits


class Clock:
    def __init__(self) -> None:
        self.s = 1_000.0

    def __call__(self) -> float:
        return self.s


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    clock = Clock()
    bucket = Allowance(per_s=10, burst=5, now_s=clock)
    assert [bucket.take("a") for _ in range(5)] == [0.0] * 5
    assert bucket.take("a") == pytest.approx(0.1)
    assert bucket.take("b") == 0.0
    clock.s += 0.1
    assert bucket.take("a") == 0.0
    assert bucket.take("a") > 0
    clock.s += 60
    assert bucket.take("a", cost=5) == 0.0
    assert bucket.take("a", cost=6) == pytest.approx(0.6)


def test_no_rate_is_no_limit() -> None:
    bucket = Allowance(per_s=0, burst=1)
    assert all(bucket.take("a", cost=1_000) == 0.0 for _ in range(1_000))


def test_what_is_remembered_is_bounded_and_who_is_busy_is_not_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limiting, "KEYS_MAX", 10)
    bucket = Allowance(per_s=0.001, burst=3, now_s=Clock())
    for number in range(100):
        bucket.take(f"somebody-{number}")
        if number % 5 == 0:
            bucket.take("busy")
    assert bucket.take("busy") > 0
    assert len(bucket._young) + len(bucket._old) <= 21


def test_people_services_and_strangers_have_their_own_allowances() -> None:
    clock = Clock()
    people, services = Allowance(1, 1, clock), Allowance(1, 100, clock)
    limits = Limits(people, services, Allowance(1, 2, clock))
    ana, app = (
        Principal(name, kind, ALL_SCOPES)
        for name, kind in (("ana", Kind.USER), ("app", Kind.SERVICE))
    )
    limits.admit(ana)
    limits.admit(Principal("ana", Kind.SUPPORT, ALL_SCOPES))
    limits.admit(app, 100)
    limits.suspect("10.0.0.1")
    limits.suspect("10.0.0.1")
    beyond: list[Callable[[], None]] = [
        lambda: limits.admit(ana),
        lambda: limits.admit(app),
        lambda: limits.suspect("10.0.0.1"),
    ]
    for refused in beyond:
        with pytest.raises(ProblemError) as caught:
            refused()
        assert caught.value.status == 429
        assert caught.value.headers["Retry-After"] == "1"
    limits.suspect("10.0.0.2")


async def echo(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def slow(_: Request) -> Response:
    await asyncio.sleep(30)
    return PlainTextResponse("late")


async def page(_: Request) -> Response:
    own = {"Cache-Control": "private", "Content-Security-Policy": "sandbox"}
    return PlainTextResponse("page", headers=own)


@pytest.fixture
def client() -> TestClient:
    routes = [
        Route("/echo", echo, methods=["GET", "POST"]),
        Route("/slow", slow, methods=["POST"]),
        Route("/page", page),
    ]
    app = Starlette(routes=routes, exception_handlers=dict(problems.HANDLERS))
    return TestClient(LimitsAndHeaders(app, 1_000, 0.2, [(b"x-more", b"1")]))


def test_a_body_may_be_as_large_as_it_may(client: TestClient) -> None:
    assert client.post("/echo", content=b"x" * 1_000).text == "1000"
    said = client.post("/echo", content=b"x" * 1_001)
    assert said.status_code == 413
    assert said.headers["content-type"] == problems.MEDIA_TYPE
    unsaid = client.post("/echo", content=iter([b"x" * 600, b"x" * 600]))
    assert unsaid.status_code == 413


def test_headers_and_targets_are_bounded(client: TestClient) -> None:
    many = {f"x-{number}": "1" for number in range(HEADERS_MAX)}
    assert client.get("/echo", headers=many).status_code == 431
    assert client.get("/echo", headers={"x-long": "x" * 30_000}).status_code == 431
    assert client.get("/echo?" + "x" * 9_000).status_code == 414


def test_a_request_that_is_no_read_ends_in_time(client: TestClient) -> None:
    answer = client.post("/slow")
    assert answer.status_code == 503
    assert answer.headers["retry-after"]


def test_every_answer_carries_the_security_headers_and_routes_may_choose(
    client: TestClient,
) -> None:
    expected: dict[str, Any] = {
        "content-security-policy": CONTENT_SECURITY_POLICY,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
        "x-more": "1",
    }
    for path in ("/echo", "/none"):
        headers = client.get(path).headers
        assert {name: headers.get(name) for name in expected} == expected
        assert "access-control-allow-origin" not in headers
    own = client.get("/page").headers
    assert (own["cache-control"], own["content-security-policy"]) == ("private", "sandbox")
    assert own["x-content-type-options"] == "nosniff"
    assert "'unsafe-inline'" not in CONTENT_SECURITY_POLICY
    assert "frame-ancestors 'none'" in CONTENT_SECURITY_POLICY
