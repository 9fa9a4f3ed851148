"""Whatever a registry answers over HTTP is a value, "there is none", or "it cannot say"."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.codec.errors import RegistryUnavailableError
from pipeline.codec.registry_client import (
    BODY_BYTES_MAX,
    SUBJECT_NOT_FOUND,
    Version,
    ask,
    connect,
    level_of,
    version_numbers,
    version_of,
    was_answered,
)
from tests.codec.registry_scene import REFUSALS, SILENCES, raising

Answer = tuple[int, dict[str, str], bytes]


class Server:
    """A registry that answers everything with what it was given."""

    def __init__(self) -> None:
        self.answer: Answer = (200, {}, b"[]")
        self.paths: list[str] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                fake.paths.append(self.path)
                status, headers, body = fake.answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if "Transfer-Encoding" not in headers:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture(scope="module")
def client(server: Server) -> SchemaRegistryClient:
    return connect({"url": server.url, "max.retries": 0})


def refused(client: SchemaRegistryClient) -> RegistryUnavailableError:
    with pytest.raises(RegistryUnavailableError) as caught:
        version_numbers(client, "a-value")
    return caught.value


def test_a_subjects_versions(server: Server, client: SchemaRegistryClient) -> None:
    server.answer = (200, {}, b"[3,1,2,3]")
    assert version_numbers(client, "a-value", deleted=True) == [1, 2, 3]
    assert "deleted=true" in server.paths[-1]
    version = {"subject": "a-value", "version": 2, "id": 7, "schema": '"string"'}
    server.answer = (200, {}, json.dumps(version).encode())
    assert version_of(client, "a-value", deleted=True) == Version(2, 7, "AVRO", '"string"')
    assert "versions/latest?deleted=true" in server.paths[-1]
    version |= {
        "schemaType": "PROTOBUF",
        "references": [{"name": "X", "subject": "x", "version": 1}],
    }
    server.answer = (200, {}, json.dumps(version).encode())
    assert version_of(client, "a-value") == Version(2, 7, "PROTOBUF", '"string"', refers=True)


def test_what_there_is_not(server: Server, client: SchemaRegistryClient) -> None:
    server.answer = (404, {}, b'{"error_code":40401,"message":"no subject"}')
    assert version_numbers(client, "a-value") == []
    assert version_of(client, "a-value", 3) is None
    server.answer = (404, {}, b'{"error_code":40402,"message":"no version"}')
    assert version_of(client, "a-value", 3) is None
    assert refused(client).fields["http_status"] == 404


@pytest.mark.parametrize(
    ("status", "headers", "body", "answered"),
    [
        (200, {}, b"<html>log in</html>", True),
        (200, {}, b"[1,2", True),
        (200, {}, b"", True),
        (200, {}, b"{}", True),
        (200, {}, b'["1"]', True),
        (200, {}, b"[true]", True),
        (200, {}, b"[1.0]", True),
        (200, {}, b"null", True),
        (200, {}, b"\xff\xfe\xff", True),
        (200, {}, b"[" * 200_000, True),
        (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b", True),
        (200, {}, b"[" + b" " * BODY_BYTES_MAX + b"]", True),
        (302, {"Location": "/login"}, b"", True),
        (401, {}, b"who", True),
        (403, {}, b'{"error_code":40301,"message":"no"}', True),
        (404, {}, b"no such page", True),
        (410, {}, b"[]", True),
        (422, {}, b'"x"', True),
        (429, {}, b"", True),
        (408, {}, b"", False),
        (425, {}, b"", False),
        (500, {}, b"<html>", False),
        (502, {}, b'{"error_code":[],"message":{}}', False),
        (503, {"Retry-After": "7"}, b"", False),
        (504, {}, b"", False),
    ],
)
def test_answers_that_say_nothing(
    server: Server,
    client: SchemaRegistryClient,
    status: int,
    headers: dict[str, str],
    body: bytes,
    answered: bool,
) -> None:
    server.answer = (status, headers, body)
    error = refused(client)
    assert error.fields["http_status"] == status
    assert was_answered(error) is answered
    assert len(error.why) < 400
    with pytest.raises(RegistryUnavailableError):
        version_of(client, "a-value")


def test_a_connection_that_fails_is_no_answer() -> None:
    client = connect({"url": "http://127.0.0.1:1", "max.retries": 0})
    assert client._rest_client.timeout == 5
    with pytest.raises(RegistryUnavailableError, match="did not answer") as caught:
        ask("anything", client.get_compatibility)
    assert not was_answered(caught.value)


@pytest.mark.parametrize(
    ("later", "seconds"),
    [("17", 17.0), ("x", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("9" * 99, None)],
)
def test_a_registry_that_is_asked_too_often_says_when_to_come_again(
    server: Server, later: str, seconds: float | None
) -> None:
    client = connect({"url": server.url, "max.retries": 5})
    server.answer = (429, {"Retry-After": later}, b"")
    server.paths.clear()
    assert refused(client).fields["retry_after_s"] == seconds
    assert len(server.paths) == 1


def test_a_long_body_in_pieces_is_not_taken_whole(
    server: Server, client: SchemaRegistryClient
) -> None:
    piece = b"%x\r\n" % 2**16 + b" " * 2**16 + b"\r\n"
    body = piece * (BODY_BYTES_MAX // 2**16 + 1) + b"0\r\n\r\n"
    server.answer = (200, {"Transfer-Encoding": "chunked"}, body)
    assert f"more than {BODY_BYTES_MAX} bytes" in refused(client).why


def test_the_level_of_the_registry_where_the_subject_has_none(
    server: Server, client: SchemaRegistryClient
) -> None:
    server.answer = (200, {}, b'{"compatibilityLevel":"FULL"}')
    assert level_of(client, "a-value") == "FULL"
    server.answer = (200, {}, b'{"compatibilityLevel":""}')
    assert level_of(client, "a-value") in ("", "NONE")
    server.answer = (404, {}, b'{"error_code":40408}')
    with pytest.raises(RegistryUnavailableError):
        level_of(client, "a-value")


@pytest.mark.parametrize("failure", [*SILENCES, *REFUSALS])
def test_every_failure_is_one_error(failure: Exception) -> None:
    with pytest.raises(RegistryUnavailableError) as caught:
        ask("it", lambda: raising(failure)(""), SUBJECT_NOT_FOUND)
    assert was_answered(caught.value) is (failure in REFUSALS)


@settings(max_examples=60)
@given(
    st.integers(200, 599).filter(lambda status: status not in (204, 304)),
    st.binary(max_size=60)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ("error_code", "message", "schema", "id", "version", "references", "schemaType")
                ),
                inner,
            )
        ),
    ).map(lambda tree: json.dumps(tree).encode()),
)
def test_no_answer_is_a_surprise(
    server: Server, client: SchemaRegistryClient, status: int, body: bytes
) -> None:
    server.answer = (status, {}, body)
    for request in (version_numbers, version_of, level_of):
        try:
            request(client, "a-value")
        except RegistryUnavailableError as error:
            assert error.fields.get("http_status") == (200 if status < 300 else status)
        else:
            assert status < 300 or status == 404
