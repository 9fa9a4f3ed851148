"""HTTP as clients may speak it: methods, conditions, ways to send a body."""

import json
import socket
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.api.serving import Served, completion


@pytest.fixture
def uma(served: Served) -> httpx2.Client:
    """Somebody of whom there is something to read."""
    client = served.client("uma")
    answer = client.post("/v1/completions", json=completion("uma", "u1"))
    assert answer.status_code == 202, answer.text
    assert client.get("/v1/users/uma/progress?min_revision=1").status_code == 200
    return client


def test_head_on_a_stream_answers_at_once_and_holds_nothing(
    served: Served, uma: httpx2.Client
) -> None:
    before = served.streams()
    for _ in range(10):
        answer = uma.head("/v1/users/uma/events")
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"].startswith("text/event-stream")
    served.ledger.wait_for(lambda: served.streams() == before)
    assert uma.get("/v1/users/uma/progress").status_code == 200


def test_conditions_are_taken_in_every_form(uma: httpx2.Client) -> None:
    path = "/v1/users/uma/progress"
    etag = uma.get(path).headers["etag"]
    strong = etag.removeprefix("W/")
    for known in ("*", etag, strong, f'"x", {etag}', f'W/"x" ,{strong},"y"'):
        answer = uma.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b""), known
        assert answer.headers["etag"] == etag
    for other in ('"x"', 'W/"x"', strong.strip('"'), ""):
        assert uma.get(path, headers={"If-None-Match": other}).status_code == 200, other
    assert uma.get(path, headers={"Range": "bytes=0-9"}).status_code == 200
    head = uma.head(path)
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", etag)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "GET"])
def test_a_method_that_is_none_of_a_paths_is_405_with_those_that_are(
    uma: httpx2.Client, method: str
) -> None:
    answer = uma.request(method, "/v1/completions")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_body_may_come_in_parts_or_when_it_is_asked_for(
    served: Served, uma: httpx2.Client
) -> None:
    body = json.dumps(completion("uma", "u2")).encode()
    for kind in ("application/json; charset=utf-8", "Application/JSON", "application/json;x=y"):
        sent = uma.post(
            "/v1/completions", content=iter([body[:20], body[20:]]), headers={"Content-Type": kind}
        )
        assert sent.status_code == 202, sent.text
    for kind in ("text/plain", "application/jsonx", "application/x-ndjson", ""):
        refused = uma.post("/v1/completions", content=body, headers={"Content-Type": kind})
        assert (refused.status_code, refused.headers["accept-post"]) == (415, "application/json")
    at = urlsplit(served.base)
    head = (
        "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n"
        f"Authorization: {uma.headers['authorization']}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection((at.hostname, at.port), timeout=20) as phone:
        phone.sendall(head.encode())
        assert phone.recv(4_096).startswith(b"HTTP/1.1 100 ")
        phone.sendall(body)
        assert phone.makefile("rb").readline().startswith(b"HTTP/1.1 202 ")
