"""Completions over HTTP in every form that clients send them: packed, in part bad, with odd ids."""

import gzip
import json
import zlib
from typing import Any

import httpx2
import pytest

from pipeline.api.http.paths import user_path
from tests.api.odd_ids import ODD_IDS
from tests.api.serving import Served, completion
from tests.api.test_paths import as_browsers_do

JSON = "application/json"


def send(client: httpx2.Client, body: bytes, **headers: str) -> httpx2.Response:
    given = {"Content-Type": JSON} | {name.replace("_", "-"): v for name, v in headers.items()}
    return client.post("/v1/completions", content=body, headers=given)


def values(served: Served, user_id: str) -> list[bytes]:
    """The values of a user's records, in the log."""
    return [
        raw.value() for raw in served.ledger.raw("completions") if raw.key() == user_id.encode()
    ]


def test_a_packed_body_is_unpacked_and_recorded_as_it_was(served: Served) -> None:
    yara = served.client("yara")
    bodies = [json.dumps(completion("yara", f"k{n}")).encode() for n in range(3)]
    for body, packed, name in (
        (bodies[0], gzip.compress(bodies[0]), "gzip"),
        (bodies[1], zlib.compress(bodies[1]), "deflate"),
        (bodies[2], bodies[2], "identity"),
    ):
        answer = send(yara, packed, content_encoding=name)
        assert answer.status_code == 202, (body, answer.text)
        assert served.status(yara, answer.headers["location"])["status"] == "accepted"
    assert values(served, "yara") == bodies
    for packed, name, status in (
        (bodies[0], "br", 415),
        (gzip.compress(bodies[0])[:-9], "gzip", 400),
        (bodies[0], "gzip", 400),
        (gzip.compress(bodies[0][:-1] + b" " * 9_000_000 + b"}"), "gzip", 413),
    ):
        refused = send(yara, packed, content_encoding=name)
        assert refused.status_code == status, refused.text
        assert refused.headers["content-type"] == "application/problem+json"
        named = refused.headers.get("accept-encoding")
        assert named == ("gzip, deflate, identity" if status == 415 else None)
    assert values(served, "yara") == bodies


def test_one_item_that_is_no_json_is_refused_alone(served: Served) -> None:
    wanda = served.client("wanda")
    sound = [json.dumps(completion("wanda", f"l{n}")).encode() for n in range(3)]
    cut = json.dumps(completion("wanda", "l\ud83d")).encode()
    not_utf8 = json.dumps(completion("wanda", "l8", practice="xx")).encode().replace(b"xx", b"\xff")
    deep = b'{"completion_id":' + b"[" * 5_000 + b"]" * 5_000 + b"}"
    items = [sound[0], cut, not_utf8, sound[1], deep, b"", b"{'a':1}", sound[2]]
    answer = send(wanda, b"\xef\xbb\xbf [" + b" ,\n".join(items) + b"] ")
    assert answer.status_code == 207, answer.text
    states = [item["status"] for item in answer.json()["items"]]
    assert states == [("recorded" if item in sound else "refused") for item in items]
    reasons = [item["error"]["reason"] for item in answer.json()["items"] if "error" in item]
    assert reasons[1:] == ["invalid_utf8", *["malformed_json"] * 3]
    for item in answer.json()["items"]:
        if item["status"] == "recorded":
            assert served.status(wanda, item["url"])["status"] == "accepted"
    assert values(served, "wanda") == sound
    assert send(wanda, b"[" + sound[0] + b", {]").status_code == 400


def test_a_partly_bad_batch_is_told_item_by_item(served: Served) -> None:
    xenia = served.client("xenia")
    first = completion("xenia", "m1")
    same_session = completion("xenia", "m2", session_id=first["session_id"])
    cut = {name: value for name, value in completion("xenia", "m3").items() if name != "practice"}
    answer = xenia.post("/v1/completions", json=[first, cut, first, same_session, 5, None])
    assert answer.status_code == 207
    body = answer.json()
    assert (body["recorded"], body["refused"], body["failed"]) == (3, 3, 0)
    items = body["items"]
    assert items[0]["position"] == items[2]["position"] != items[3]["position"]
    reasons = [items[n]["error"]["reason"] for n in (1, 4, 5)]
    assert reasons == ["missing_field", "wrong_type", "wrong_type"]
    assert served.status(xenia, items[3]["url"])["verdict"] == "twin"


def test_every_id_is_reached_under_the_location_that_is_named(served: Served) -> None:
    scope = "completions:write completions:read progress:read"
    gateway = served.client("gateway-of-ids", "service", scope=scope)
    urls = {}
    for number, id_ in enumerate(ODD_IDS):
        sent = completion(id_, id_, session_id=f"s{number}")
        answer = gateway.post("/v1/completions", json=sent)
        assert answer.status_code == 202, (id_, answer.text)
        urls[id_] = answer.headers["location"]
        path, _, query = urls[id_].partition("?")
        assert as_browsers_do(path) == path
        assert query.startswith("position=")
    for id_, url in urls.items():
        status = served.status(gateway, url)
        assert (status["user_id"], status["completion_id"]) == (id_, id_)
        assert status["status"] == "accepted"
        progress = gateway.get(f"{user_path(id_)}/progress?min_revision=1")
        assert (progress.status_code, progress.json()["user_id"]) == (200, id_)
        assert gateway.get(f"{user_path(id_)}/progress").json()["user_id"] == id_


def test_a_subject_as_long_as_openid_allows_posts_and_reads(served: Served) -> None:
    subject = "s" * 255
    client = served.client(subject)
    sent = completion(subject, "c" * 255, session_id="s")
    answer = client.post("/v1/completions", json=sent)
    assert answer.status_code == 202, answer.text
    assert served.status(client, answer.headers["location"])["status"] == "accepted"
    assert client.get(f"{user_path(subject)}/progress?min_revision=1").status_code == 200
    refused = client.post("/v1/completions", json=sent | {"completion_id": "c" * 256})
    assert refused.json()["items"][0]["error"]["reason"] == "bad_completion_id"


def test_the_two_unicode_forms_of_a_name_are_told_apart(served: Served) -> None:
    jose = served.client("jos\u00e9")
    refused = jose.post("/v1/completions", json=completion("jose\u0301", "j1"))
    read = jose.get("/v1/users/jose%CC%81/progress")
    for answer in (refused, read):
        assert answer.status_code == 403
        assert "differ only in their Unicode form" in answer.json()["detail"]
    assert jose.post("/v1/completions", json=completion("jos\u00e9", "j1")).status_code == 202


def produced(served: Served, key: str, value: bytes, **settings: Any) -> str:
    """Produce a record as another client does; its position as the API writes it."""
    messages: list[Any] = []

    def delivered(_: object, message: Any) -> None:
        messages.append(message)

    producer = served.ledger.new_producer(**settings)
    if settings:
        producer.init_transactions(30)
        producer.begin_transaction()
    topic = served.ledger.topic("completions")
    producer.produce(topic, value, key.encode(), on_delivery=delivered)
    assert producer.flush(30) == 0
    if settings:
        producer.commit_transaction(30)
    assert messages[0].error() is None
    return f"{messages[0].partition()}-{messages[0].offset()}"


@pytest.mark.timeout(120)
def test_what_is_at_a_position_is_told_once_it_was_processed(served: Served) -> None:
    nia, oda = served.client("nia"), served.client("oda")

    def ask(client: httpx2.Client, user_id: str, name: str, at: str) -> httpx2.Response:
        return client.get(f"/v1/users/{user_id}/completions/{name}", params={"position": at})

    bad = json.dumps(completion("nia", "n1") | {"tz": 7}).encode()
    at = produced(served, "nia", bad)
    status = served.status(nia, f"/v1/users/nia/completions/n1?position={at}")
    assert (status["status"], status["refusal"]["reason"]) == ("rejected", "wrong_type")
    assert status["refusal"]["stage"] == "decode"
    for client, user_id, name in ((oda, "oda", "n1"), (oda, "oda", "invented"), (nia, "nia", "n2")):
        answer = ask(client, user_id, name, at)
        assert (answer.status_code, answer.json()["type"][-18:]) == (404, "unknown-completion")
        assert "as_of" in answer.json()
    partition, offset = map(int, at.split("-"))
    for beyond in (f"{partition}-{offset + 1_000_000}", "999999-1", "4-0"):
        assert ask(nia, "nia", "never-sent", beyond).status_code == 404

    sound = json.dumps(completion("nia", "n3")).encode()
    at = produced(served, "nia", sound, **{"transactional.id": f"{served.ledger.prefix}one"})
    assert served.status(nia, f"/v1/users/nia/completions/n3?position={at}")["status"] == "accepted"
    marker = f"{partition}-{int(at.split('-')[1]) + 1}"
    assert ask(nia, "nia", "n4", marker).status_code == 404
