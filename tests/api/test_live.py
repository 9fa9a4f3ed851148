"""The live stream: what it sends, and that resuming loses nothing."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import confluent_kafka as ck
import httpx2
import pytest

from pipeline.dev.local.stack import LocalStack
from tests.api.serving import Served, completion, serving
from tests.integration.ledger import Ledger

DEADLINE_S = 30.0


@dataclass
class Event:
    """One server-sent event; `kind` is empty for a sign of life."""

    id: str
    kind: str
    data: Any


@contextmanager
def stream(
    client: httpx2.Client, user_id: str, last: str | None = None, query: str = ""
) -> Iterator[Iterator[Event]]:
    """The events of a user, as a client parses them."""
    headers = {} if last is None else {"Last-Event-ID": last}
    path = f"/v1/users/{user_id}/events{query}"
    with _opened(client, path, headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield _parse(answer.iter_lines())


@contextmanager
def _opened(client: httpx2.Client, path: str, headers: dict[str, str]) -> Iterator[httpx2.Response]:
    """The answer, once the server can stream."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        with client.stream("GET", path, headers=headers, timeout=DEADLINE_S) as answer:
            if answer.status_code == 200:
                yield answer
                return
            assert answer.status_code == 503, answer.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _parse(lines: Iterator[str]) -> Iterator[Event]:
    found: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            found[name] = value
        elif found.keys() & {"id", "event"}:
            data = json.loads(found["data"]) if "data" in found else None
            yield Event(found.get("id", ""), found.get("event", ""), data)
            found = {}


def take(events: Iterator[Event], *kinds: str) -> dict[str, Event]:
    """Read on until each kind came; the first of each."""
    missing = set(kinds)
    found: dict[str, Event] = {}
    deadline = time.monotonic() + DEADLINE_S
    while missing:
        assert time.monotonic() < deadline, f"{missing} did not come; {found}"
        one = next(events)
        if one.kind in missing:
            missing.discard(one.kind)
            found[one.kind] = one
    return found


def post(served: Served, *completions: dict[str, Any]) -> None:
    client = served.client("gateway", "service", scope="completions:write")
    assert client.post("/v1/completions", json=list(completions)).status_code == 202


def days_ago(user_id: str, days: int) -> dict[str, Any]:
    at = datetime.now(UTC) - timedelta(days=days)
    return completion(user_id, f"{user_id}-{days}", at=at)


def test_a_stream_tells_what_a_completion_did_and_the_read_has_it(served: Served) -> None:
    amy = served.client("amy")
    with stream(amy, "amy") as events:
        first = next(events)
        assert first.kind == "snapshot"
        assert first.data == {"reason": "start", "progress": None}
        post(served, days_ago("amy", 0))
        taken = take(events, "progress", "portal", "geometry")
    progress = taken["progress"].data
    assert (progress["streak_days"], progress["revision"]) == (1, 1)
    assert taken["portal"].data["portal"] == "bindu"
    assert taken["geometry"].data["asset"]["id"] == progress["asset"]["id"]
    read = amy.get("/v1/users/amy/progress?min_revision=1").json()
    assert {name: read[name] for name in progress} == progress
    assert len({event.id for event in taken.values()}) == 3


def test_a_stream_is_in_the_zone_of_whoever_listens(served: Served) -> None:
    ira = served.client("ira")
    # Places with dates of their own at any instant: a date begins in one 26 h before the other.
    east, west = "?tz=%2B14:00", "?tz=-12:00"
    with stream(ira, "ira", query=east) as first, stream(ira, "ira", query=west) as second:
        assert [next(events).data["progress"] for events in (first, second)] == [None, None]
        post(served, days_ago("ira", 0))
        taken = [take(events, "progress", "portal")["progress"] for events in (first, second)]
    assert [event.data["tz"] for event in taken] == ["Etc/GMT-14", "Etc/GMT+12"]
    assert {event.data["user_tz"] for event in taken} == {"Europe/Berlin"}
    assert taken[0].data["today"] > taken[1].data["today"]
    assert {event.data["streak_days"] for event in taken} == {1}
    # A snapshot is of the store, whose reader is another than the one that streams.
    served.ledger.wait_for(lambda: ira.get("/v1/users/ira/progress").status_code == 200)
    with stream(ira, "ira", query=west) as events:
        snapshot = next(events).data["progress"]
    assert (snapshot["tz"], snapshot["today"]) == ("Etc/GMT+12", taken[1].data["today"])
    # An id is a position in the topics: in any zone a stream goes on from it, leaving nothing out.
    post(served, days_ago("ira", 1))
    for query in (east, west, ""):
        with stream(ira, "ira", taken[0].id, query) as events:
            again = take(events, "progress")["progress"]
        zone = {east: "Etc/GMT-14", west: "Etc/GMT+12", "": "Europe/Berlin"}[query]
        assert (again.data["tz"], again.data["lifetime_days"]) == (zone, 2)
    refused = ira.get("/v1/users/ira/events?tz=Mars/Phobos")
    assert (refused.status_code, refused.json()["type"]) == (400, "urn:awaway:problem:bad-query")
    served.ledger.wait_for(lambda: served.streams() == 0)


def test_resuming_from_any_event_gives_exactly_what_came_after(served: Served) -> None:
    bo = served.client("bo")
    seen: list[Event] = []
    with stream(bo, "bo") as events:
        for days in (2, 1, 0):
            post(served, days_ago("bo", days))
            wanted = {"progress": 3 - days, "geometry": 3 - days, "portal": 2 if days == 0 else 1}
            deadline = time.monotonic() + DEADLINE_S
            while any(sum(e.kind == kind for e in seen) < n for kind, n in wanted.items()):
                assert time.monotonic() < deadline, [event.kind for event in seen]
                seen.append(next(events))
    taken = [event for event in seen if event.kind in ("progress", "portal", "geometry")]
    for number, last in enumerate(taken):
        with stream(bo, "bo", last.id) as events:
            again = []
            for event in events:
                if not event.kind:  # the sign of life that ends what was missed
                    break
                again.append(event)
        kinds = ("progress", "portal", "geometry")
        for kind in kinds:
            missed = [event.data for event in taken[number + 1 :] if event.kind == kind]
            assert [event.data for event in again if event.kind == kind] == missed, (number, kind)
        assert not [event for event in again if event.kind not in kinds]


def test_what_came_while_away_is_sent_even_by_another_server(
    served: Served, stack: LocalStack
) -> None:
    """Beyond what memory holds, and from a server that has nothing of it; which then stops."""
    cy = served.client("cy")
    with stream(cy, "cy") as events:
        post(served, days_ago("cy", 1))
        take(events, "progress", "portal", "geometry")
        last = next(events).id
    post(served, days_ago("cy", 0))
    served.ledger.wait_for(lambda: cy.get("/v1/users/cy/progress").json().get("lifetime_days") == 2)
    _push_out_of_memory(served.ledger, b"cy")
    with stream(cy, "cy", last) as events:
        taken = take(events, "progress")
        assert taken["progress"].data["lifetime_days"] == 2
    with serving(_copy(served.ledger)) as other, stream(other.client("cy"), "cy", last) as events:
        assert take(events, "progress")["progress"].data["lifetime_days"] == 2
        other.ask_to_stop()
        assert take(events, "end")["end"].data == {"reason": "shutdown"}


def _push_out_of_memory(ledger: Ledger, user: bytes) -> None:
    """Records of nobody, behind those of a user and in its partition."""
    names = ("progress", "portals", "geometry")
    samples = {name: next(r for r in ledger.raw(name) if r.key() == user) for name in names}
    producer = ck.Producer({"bootstrap.servers": ledger.bootstrap})
    for name, sample in samples.items():
        for number in range(600):
            key = f"nobody-{number}".encode()
            producer.produce(ledger.topic(name), sample.value(), key, sample.partition())
    assert producer.flush(20) == 0


def _copy(ledger: Ledger) -> Ledger:
    """The same ledger, for a server with a folder of its own."""
    folder = ledger.folder / "other"
    folder.mkdir()
    return Ledger(ledger.stack, ledger.prefix, folder, ledger.assets)


@pytest.mark.parametrize(
    ("last", "reason"),
    [("nonsense", "unknown-id"), ("00000000-1-1-1", "reset")],
)
def test_an_id_that_cannot_be_resumed_gives_a_snapshot_that_says_so(
    served: Served, last: str, reason: str
) -> None:
    with stream(served.client("dee"), "dee", last) as events:
        first = next(events)
    assert (first.kind, first.data["reason"]) == ("snapshot", reason)


def test_records_that_are_gone_are_told_as_gone(served: Served) -> None:
    eli = served.client("eli")
    with stream(eli, "eli") as events:
        post(served, days_ago("eli", 0))
        taken = take(events, "progress", "portal", "geometry")
    epoch, *_ = taken["portal"].id.split("-")
    partition = taken["portal"].data["cause"]["partition"]
    _push_out_of_memory(served.ledger, b"eli")
    before = ck.TopicPartition(served.ledger.topic("portals"), partition, 300)
    for future in served.ledger.admin.delete_records([before]).values():
        future.result(20)
    first = Event("", "", None)

    def told_as_gone() -> bool:
        nonlocal first
        with stream(eli, "eli", f"{epoch}-0-0-0") as events:
            first = next(events)
        return first.kind == "snapshot"  # before that, memory had not moved on

    served.ledger.wait_for(told_as_gone)
    assert first.data["reason"] == "gone"
    assert first.data["progress"]["revision"] == 1


def test_streams_are_for_their_user_and_bounded(served: Served) -> None:
    flo = served.client("flo")
    assert served.client("gus").get("/v1/users/flo/events").status_code == 403
    with stream(served.client("sue", "support"), "flo") as events:
        assert next(events).kind == "snapshot"
    held = [stream(flo, "flo") for _ in range(8)]
    followed = [each.__enter__() for each in held]
    assert {next(events).kind for events in followed} == {"snapshot"}
    served.ledger.wait_for(lambda: served.streams() == 8)
    refused = flo.get("/v1/users/flo/events")
    assert refused.status_code == 429
    for each in held:
        each.__exit__(None, None, None)
    served.ledger.wait_for(lambda: served.streams() == 0)
