"""Completions over HTTP: taken in, told about, and kept from harm."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2

from tests.api.serving import Served, completion, token


def post(client: httpx2.Client, body: object) -> httpx2.Response:
    return client.post("/v1/completions", json=body)


def test_a_completion_is_recorded_and_told_as_accepted(served: Served) -> None:
    ana = served.client("ana")
    answer = post(ana, completion("ana", "a1"))
    assert answer.status_code == 202, answer.text
    item = answer.json()["items"][0]
    assert item["status"] == "recorded"
    assert answer.headers["location"] == item["url"]
    status = served.status(ana, item["url"])
    assert status["status"] == status["verdict"] == "accepted"
    assert status["position"] == item["position"]
    assert status["revision"] == 1
    assert [portal["portal"] for portal in status["portals"]] == ["bindu"]
    raw = next(r for r in served.ledger.raw("completions") if r.key() == b"ana")
    assert (raw.partition(), raw.offset()) == (
        item["position"]["partition"],
        item["position"]["offset"],
    )
    assert ("awaway-sent-by", b"user/ana") in raw.headers()


def test_a_repeat_is_answered_as_the_first_time_and_not_sent_again(served: Served) -> None:
    bea = served.client("bea")
    sent = completion("bea", "b1")
    first = post(bea, sent)
    again = post(bea, sent | {"sent_at": sent["completed_at"], "app_version": "2"})
    both = post(bea, [sent, sent])
    assert first.json() == again.json()
    positions = [item["position"] for item in both.json()["items"]]
    assert positions == [first.json()["items"][0]["position"]] * 2
    served.status(bea, first.headers["location"])
    records = [r for r in served.ledger.raw("completions") if r.key() == b"bea"]
    assert len(records) == 1


def test_duplicates_and_rejections_are_told_with_their_reason(served: Served) -> None:
    cleo = served.client("cleo")
    first = completion("cleo", "c1")
    long_ago = datetime.now(UTC) - timedelta(days=40)
    sent = [
        first,
        completion("cleo", "c2", **{k: first[k] for k in ("session_id", "started_at")}),
        first | {"practice": "other"},
        completion("cleo", "c4", at=long_ago),
    ]
    answer = post(cleo, sent)
    assert answer.status_code == 202
    urls = [item["url"] for item in answer.json()["items"]]
    positions = [item["position"] for item in answer.json()["items"]]
    assert answer.json()["items"][3]["warning"]["reason"] == "too_late"

    twin = served.status(cleo, urls[1])
    assert (twin["status"], twin["verdict"]) == ("duplicate", "twin")
    assert twin["original"] == {"completion_id": "c1", "position": positions[0]}
    rejected = served.status(cleo, urls[3])
    assert rejected["status"] == "rejected"
    assert rejected["refusal"]["stage"] == "validate"
    assert rejected["refusal"]["reason"] == "too_late"
    counted = served.status(cleo, urls[0])
    assert counted["status"] == "accepted"
    assert counted["repeats"] == [{"verdict": "collision", "position": positions[2]}]


def test_what_cannot_count_is_refused_with_its_field(served: Served) -> None:
    dan = served.client("dan")
    cases: dict[str, tuple[dict[str, Any], str]] = {
        "missing_field": ({"session_id": None}, "session_id"),
        "invalid_instant": ({"started_at": "yesterday"}, "started_at"),
        "wrong_type": ({"practice": 3}, "practice"),
        "bad_completion_id": ({"completion_id": " "}, "completion_id"),
        "too_short": ({"started_at": completion("dan", "d")["completed_at"]}, "completed_at"),
    }
    batch = []
    for fields, _ in cases.values():
        one = completion("dan", "d") | fields
        batch.append({name: value for name, value in one.items() if value is not None})
    for body, (reason, (_, name)) in zip(batch, cases.items(), strict=True):
        answer = post(dan, body)
        assert answer.status_code == 422, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        error = answer.json()["items"][0]["error"]
        assert (error["reason"], error["field"]) == (reason, name)
    mixed = post(dan, [*batch, completion("dan", "good")])
    assert mixed.status_code == 207
    assert (mixed.json()["recorded"], mixed.json()["refused"]) == (1, len(batch))
    headers = {"Content-Type": "application/json"}
    for content in (b"{", b"", b"\xff\xfe", b"[" * 3000, b"[{}", b'{"tz":"\xff"}'):
        assert dan.post("/v1/completions", content=content, headers=headers).status_code == 400
    assert dan.post("/v1/completions", content=b"[]", headers=headers).status_code == 422
    assert dan.post("/v1/completions", content=b"{}").status_code == 415
    served.status(dan, mixed.json()["items"][-1]["url"])
    keys = [r.key() for r in served.ledger.raw("completions") if r.key() == b"dan"]
    assert len(keys) == 1


def test_only_who_may_can_post_and_look(served: Served) -> None:
    eve, support = served.client("eve"), served.client("sue", "support")
    gateway = served.client("gateway", "service", scope="completions:write openid")
    assert post(eve, completion("fay", "e1")).status_code == 403
    foreign = post(eve, [completion("fay", "e2"), completion("fay", "e3")])
    assert foreign.status_code == 403
    assert foreign.headers["www-authenticate"].endswith('error="insufficient_scope"')
    partly = post(eve, [completion("eve", "e6"), completion("fay", "e7"), {}])
    assert (partly.status_code, partly.json()["recorded"]) == (207, 1)
    assert partly.json()["items"][1]["error"]["reason"] == "forbidden"
    assert post(support, completion("eve", "e4")).status_code == 403
    sent = post(gateway, completion("eve", "e5"))
    assert sent.status_code == 202
    url = sent.headers["location"]
    assert served.status(eve, url)["status"] == "accepted"
    assert support.get(url).status_code == 200
    assert served.client("fay").get(url).status_code == 403
    assert gateway.get(url).status_code == 403
    nobody = httpx2.get(served.base + url)
    assert nobody.status_code == 401
    assert nobody.headers["www-authenticate"].startswith("Bearer")
    served.status(eve, partly.json()["items"][0]["url"])
    keys = [r.key() for r in served.ledger.raw("completions") if r.key() in (b"eve", b"fay")]
    assert keys == [b"eve"] * 2


def test_bounds_are_answered_with_413_and_429_and_nothing_is_sent(served: Served) -> None:
    gil = served.client("gil")
    many = [completion("gil", f"g{n}") for n in range(21)]
    assert post(gil, many).status_code == 413
    large = completion("gil", "g", context={"note": "x" * 70_000})
    refused = post(gil, large)
    assert (refused.status_code, refused.headers["connection"]) == (413, "close")
    chunked = gil.post(
        "/v1/completions",
        content=iter([b"[" + b" " * 40_000, b" " * 40_000]),
        headers={"Content-Type": "application/json"},
    )
    assert (chunked.status_code, chunked.headers["connection"]) == (413, "close")
    # 20 tokens each, of which none is a completion: gone at more than one request a second.
    nothing: list[dict[str, str]] = [{}] * 20
    deadline_s = time.monotonic() + 60
    while (refused := post(gil, nothing)).status_code == 422 and time.monotonic() < deadline_s:
        pass
    assert refused.status_code == 429, refused.text
    assert int(refused.headers["retry-after"]) >= 1
    assert not [r for r in served.ledger.raw("completions") if r.key() == b"gil"]


def test_a_completion_id_may_end_like_a_path_of_its_user(served: Served) -> None:
    jan = served.client("jan")
    for name in ("j/progress", "/completions/keys", "completions"):
        url = post(jan, completion("jan", name)).headers["location"]
        status = served.status(jan, url)
        assert (status["user_id"], status["completion_id"]) == ("jan", name)
        assert jan.get(url.partition("?")[0]).json()["completion_id"] == name


def test_no_token_reaches_the_log(served: Served) -> None:
    secret = token("ida")
    for value in (f"Bearer {secret}", f"Bearer {secret}x", f"Basic {secret}"):
        httpx2.get(f"{served.base}/v1/users/ida/progress", headers={"Authorization": value})
    assert secret.rsplit(".", 1)[1] not in served.log()
    assert secret.split(".")[1] not in served.log()
