"""Corrections over HTTP, on a real broker with a worker: previewed, sent, read back, refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2

from tests.api.serving import Served, completion

PRACTISED = datetime.now(UTC).replace(hour=12, minute=0) - timedelta(days=1)
"""Noon of a day that is over, whatever the time is now and whenever a day begins."""

THE_DAY_BEFORE = (PRACTISED.date() - timedelta(days=1)).isoformat()


def correction(kind: str, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "reason": "the outage of May", "ticket": "T-1"} | fields


def post(client: httpx2.Client, user_id: str, body: object, query: str = "") -> httpx2.Response:
    return client.post(f"/v1/users/{user_id}/adjustments{query}", json=body)


def commands_of(served: Served, user_id: str) -> list[Any]:
    return [r for r in served.ledger.raw("commands") if r.key() == user_id.encode()]


def test_a_correction_is_previewed_applied_and_repeated(served: Served) -> None:
    olga = served.client("olga", "operator")
    sent = served.client("petra").post(
        "/v1/completions", json=completion("petra", "p1", at=PRACTISED)
    )
    served.status(served.client("petra"), sent.headers["location"])
    asked = correction("credit_day", local_date=THE_DAY_BEFORE, request_id="petra-1")

    preview = post(olga, "petra", asked, "?dry_run=true")
    assert preview.status_code == 200, preview.text
    told = preview.json()
    assert (told["verdict"], told["actor"]) == ("applied", "operator/olga")
    assert told["dates_added"] == [THE_DAY_BEFORE]
    assert (told["before"]["streak_days"], told["after"]["streak_days"]) == (1, 2)
    assert commands_of(served, "petra") == []

    answer = post(olga, "petra", asked)
    assert answer.status_code == 200, answer.text
    done = answer.json()
    assert (done["status"], done["verdict"], done["kind"]) == ("applied", "applied", "credit")
    assert done["revision"] == told["revision"] + 1
    # Readers see it now, without waiting.
    shown = olga.get("/v1/users/petra/progress").json()
    assert (shown["revision"], shown["streak_days"]) == (done["revision"], 2)
    (record,) = commands_of(served, "petra")
    position = done["position"]
    assert (record.partition(), record.offset()) == (position["partition"], position["offset"])
    assert ("awaway-sent-by", b"operator/olga") in record.headers()

    again = post(olga, "petra", asked).json()
    assert (again["status"], again["revision"]) == ("repeated", done["revision"])
    assert olga.get(done["url"]).json() == done
    audit = [e.value for e in served.ledger.read("audit") if e.value["user_id"] == "petra"]
    applied = next(entry for entry in audit if entry["verdict"] == "applied")
    assert (applied["actor"], applied["reason"], applied["ticket"]) == (
        "operator/olga",
        "the outage of May",
        "T-1",
    )


def test_what_would_be_rejected_is_not_sent(served: Served) -> None:
    olga = served.client("olga", "operator")
    far = (PRACTISED.date() + timedelta(days=10)).isoformat()
    answer = post(olga, "quin", correction("credit_day", local_date=far))
    assert answer.status_code == 422, answer.text
    told = answer.json()
    assert told["type"] == "urn:awaway:problem:adjustment-rejected"
    assert told["rejection"]["reason"] == "date_too_far_ahead"
    assert told["position"] is None
    unknown = post(olga, "quin", correction("claim_key", key_id="ff" * 16), "?dry_run=true")
    assert unknown.status_code == 200
    assert unknown.json()["verdict"] == "dead_letter"
    assert unknown.json()["rejection"]["reason"] == "unknown_key"
    taken = correction("revoke_day", local_date=THE_DAY_BEFORE, request_id="quin-1")
    assert post(olga, "quin", taken).status_code == 200
    reused = post(
        olga, "quin", correction("credit_day", local_date=THE_DAY_BEFORE, request_id="quin-1")
    )
    assert reused.status_code == 422, reused.text
    assert reused.json()["rejection"]["reason"] == "request_id_reused"
    assert len(commands_of(served, "quin")) == 1


def test_a_key_is_claimed_returned_and_a_request_withdrawn(served: Served) -> None:
    olga = served.client("olga", "operator")
    sent = served.client("rosa").post(
        "/v1/completions", json=completion("rosa", "r1", at=PRACTISED)
    )
    served.status(served.client("rosa"), sent.headers["location"])
    key_id = olga.get("/v1/users/rosa/keys").json()["granted"][0]["key_id"]
    nothing = post(olga, "rosa", correction("return_key", key_id=key_id))
    assert nothing.status_code == 422, nothing.text
    assert "no request of this user claimed it" in nothing.json()["detail"]
    claim = post(olga, "rosa", correction("claim_key", key_id=key_id)).json()
    assert claim["status"] == "applied"
    seen = post(olga, "rosa", correction("return_key", key_id=key_id), "?dry_run=true").json()
    assert seen["keys_returned"] == [key_id]
    assert post(olga, "rosa", correction("return_key", key_id=key_id)).json()["kind"] == "withdraw"
    assert not olga.get("/v1/users/rosa/keys").json()["granted"][0]["claimed"]
    credit = post(olga, "rosa", correction("credit_day", local_date=THE_DAY_BEFORE)).json()
    assert olga.get("/v1/users/rosa/progress").json()["streak_days"] == 2
    undone = correction("withdraw", withdraws=credit["request_id"])
    preview = post(olga, "rosa", undone, "?dry_run=true").json()
    assert (preview["dates_removed"], preview["notes"]) == ([THE_DAY_BEFORE], [])
    assert post(olga, "rosa", undone).status_code == 200
    assert olga.get("/v1/users/rosa/progress").json()["streak_days"] == 1
    unheard = post(olga, "rosa", correction("withdraw", withdraws="unheard"), "?dry_run=true")
    assert any("awaway adjust reads the whole log" in one for one in unheard.json()["notes"])


def test_only_operators_may_and_nobody_says_who_they_are(served: Served) -> None:
    asked = correction("credit_day", local_date=THE_DAY_BEFORE)
    for client in (
        served.client("sven"),
        served.client("sue", "support"),
        served.client("rewards", "service", scope="progress:read completions:write"),
    ):
        refused = post(client, "sven", asked)
        assert refused.status_code == 403, refused.text
        assert refused.headers["www-authenticate"].endswith('error="insufficient_scope"')
        assert post(client, "sven", asked, "?dry_run=true").status_code == 403
        assert client.get("/v1/users/sven/adjustments?request_id=x").status_code == 403
    olga = served.client("olga", "operator")
    posed = post(olga, "sven", asked | {"actor": "somebody else"})
    assert posed.status_code == 422
    assert posed.json()["type"] == "urn:awaway:problem:actor-not-taken"
    assert "operator/olga" in posed.json()["detail"]
    blind = served.client("bot", "service", scope="operate")
    assert post(blind, "sven", asked, "?dry_run=true").status_code == 403
    long = served.client("o" * 250, "operator")
    assert post(long, "sven", asked).json()["type"] == "urn:awaway:problem:no-actor"
    assert commands_of(served, "sven") == []
    assert post(blind, "sven", asked).json()["actor"] == "service/bot"


def test_what_says_too_little_or_too_much_is_refused(served: Served) -> None:
    olga = served.client("olga", "operator")
    for body in (
        {},
        correction("credit_day"),
        correction("erase", local_date=THE_DAY_BEFORE),
        correction("credit_day", local_date="yesterday"),
        correction("credit_day", local_date=THE_DAY_BEFORE, key_id="k"),
        correction("credit_day", local_date=THE_DAY_BEFORE, reason=" "),
        correction("credit_day", local_date=THE_DAY_BEFORE, ticket=""),
        correction("withdraw", withdraws="r", tz="UTC"),
        correction("return_key", key_id="k", withdraws="r"),
        correction("claim_key", key_id="k", extra=1),
    ):
        answer = post(olga, "tom", body)
        assert answer.status_code == 422, body
        assert answer.json()["type"] == "urn:awaway:problem:invalid-adjustment"
    path, json_type = "/v1/users/tom/adjustments", {"Content-Type": "application/json"}
    for content in (b"", b"{", b"[]", b"\xff", b"[" * 3000):
        assert olga.post(path, content=content, headers=json_type).status_code == 400
    assert olga.post(path, content=b"{}").status_code == 415
    assert olga.get(path).status_code == 400
    assert olga.get(f"{path}?request_id=never").status_code == 404
    assert commands_of(served, "tom") == []
