"""`?dry_run=true`: what would be said, over what is known of the user; nothing is sent."""

from datetime import UTC, datetime, timedelta

from tests.api.serving import Served, completion

PATH = "/v1/completions?dry_run=true"


def test_a_dry_run_says_what_the_pipeline_would_say(served: Served) -> None:
    dora = served.client("dora")
    yesterday = datetime.now(UTC) - timedelta(days=1)
    first = completion("dora", "d1", at=yesterday)
    sent = dora.post("/v1/completions", json=first)
    served.status(dora, sent.headers["location"])
    second = completion("dora", "d2")
    items = [
        first,
        first | {"completion_id": "again"},
        first | {"practice": "other"},
        second,
        second | {"completion_id": "d3", "session_id": "s3"},
        second | {"completion_id": "d4", "tz": 5},
        {"completion_id": "cut"},
    ]
    answer = dora.post(PATH, json=items)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["dry_run"] is True
    assert [(one["verdict"], one["reason"]) for one in body["items"]] == [
        ("exact", None),
        ("twin", None),
        ("collision", None),
        ("accepted", None),
        ("overlap", None),
        ("dead_letter", "wrong_type"),
        ("dead_letter", "missing_field"),
    ]
    assert [one["streak_days"] for one in body["items"][:5]] == [1, 1, 1, 2, 2]
    assert body["items"][3]["local_date"] is not None
    # Nothing of it was sent, so it says the same again; and what is sent comes out as it was said.
    assert dora.post(PATH, json=items).json() == body
    assert sum(r.key() == b"dora" for r in served.ledger.raw("completions")) == 1
    sent = dora.post("/v1/completions", json=second)
    assert served.status(dora, sent.headers["location"])["verdict"] == "accepted"


def test_a_dry_run_of_an_unknown_user_unlocks_the_first_portal(served: Served) -> None:
    (one,) = served.client("novel").post(PATH, json=completion("novel", "n1")).json()["items"]
    assert (one["verdict"], one["portals"]) == ("accepted", ["bindu"])


def test_what_a_dry_run_refuses(served: Served) -> None:
    dora = served.client("dora")
    assert dora.post(PATH, json=completion("ana", "x")).status_code == 403
    assert dora.post("/v1/completions?dry_run=yes", json=completion("dora", "x")).status_code == 400
    assert dora.post("/v1/completions?dryrun=true", json=completion("dora", "x")).status_code == 400
    many = [completion("dora", f"m{n}") for n in range(101)]
    assert dora.post(PATH, json=many).status_code == 413
