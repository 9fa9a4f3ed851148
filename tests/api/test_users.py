"""The reads of a user: what they say, and when they say that nothing changed."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.api.http.auth import Guard, Principal
from pipeline.api.http.problems import ProblemError
from pipeline.core.calendar import DAY_MS
from pipeline.core.keys import key_ids
from pipeline.core.records import Dates, Keys, PortalReached, Run
from pipeline.observability import api_metrics as m
from tests.api.scene import DAY, HOUR_MS, NOON, Answered, Scene, person

PROGRESS = "/v1/users/ann/progress"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path / "store")
    yield made
    made.store.close()


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Scene]:
    """A scene in which a read waits for longer than any machine stalls."""
    made = Scene(tmp_path / "store", wait_ms_max=60_000)
    yield made
    made.store.close()


async def both_ways(scene: Scene, path: str, query: str = "", **headers: str) -> Answered:
    """The answer on the short way, which must be that of the long way."""
    short = await scene.get(path, query, **headers)
    long = await scene.get(path, f"{query}&min_revision=0".lstrip("&"), **headers)
    assert (short.status, sorted(short.headers.items())) == (
        long.status,
        sorted(long.headers.items()),
    )
    assert short.body == long.body
    return short


class Counted:
    """Middleware that counts the requests on the long way."""

    requests = 0

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        Counted.requests += 1
        await self._app(scope, receive, send)


@pytest.mark.parametrize(
    ("path", "query", "headers", "is_long"),
    [
        (PROGRESS, "", {}, False),
        (PROGRESS, "tz=Asia/Tokyo", {}, False),
        (PROGRESS, "tz=%2B02:00", {}, False),
        (PROGRESS, "tz=nowhere", {}, False),
        (PROGRESS, "tz=UTC&min_revision=0", {}, True),
        (PROGRESS, "min_revision=0", {}, True),
        (PROGRESS, "tz=" + "x" * 200, {}, True),
        (PROGRESS, "", {"origin": "https://elsewhere.example"}, True),
        ("/v1/users/~YW5u/progress", "", {}, True),
        ("/v1/users/ann/completions/progress", "", {}, True),
        ("/v1/users/ann/keys", "", {}, True),
    ],
)
async def test_the_short_way_is_for_progress_alone(
    tmp_path: Path, path: str, query: str, headers: dict[str, str], is_long: bool
) -> None:
    scene = Scene(tmp_path / "store", within=[Middleware(Counted)])
    Counted.requests = 0
    answer = await scene.get(path, query, **headers)
    assert (answer.status >= 400, Counted.requests) == (True, is_long)
    scene.store.close()


async def test_both_ways_answer_the_same_in_every_zone(scene: Scene) -> None:
    scene.put(person())
    scene.catch_up()
    for tz in ("Asia/Tokyo", "%2B02:00", "Pacific/Auckland"):
        answer = await both_ways(scene, PROGRESS, f"tz={tz}")
        again = await both_ways(scene, PROGRESS, f"tz={tz}", if_none_match=answer.headers["etag"])
        assert (answer.status, again.status, again.body) == (200, 304, b"")
    unknown = await both_ways(scene, PROGRESS, "tz=nowhere")
    assert (unknown.status, unknown.json["type"]) == (400, "urn:awaway:problem:bad-query")


async def test_progress_is_what_was_published_as_of_now(scene: Scene) -> None:
    scene.put(person(days=5))
    scene.catch_up()
    scene.now_ms += 250
    first = await both_ways(scene, PROGRESS)
    again = await both_ways(scene, PROGRESS)
    assert first.json == again.json
    shown = first.json
    assert (first.status, shown["user_id"], shown["revision"]) == (200, "ann", 1)
    assert (shown["streak_days"], shown["frame"], shown["covered_today"]) == (5, 5, True)
    assert (shown["today"], shown["streak_safe_until"]) == ("2026-11-23", "2026-11-24")
    assert (shown["as_of"], shown["lag_ms"]) == ("2026-11-23T12:00:00.000Z", 250)
    assert first.headers["awaway-as-of"] == shown["as_of"]
    assert first.headers["content-length"] == str(len(first.body))
    assert shown["asset"]["svg"] == f"/v1/assets/{shown['asset']['id']}.svg"


async def test_a_streak_that_broke_overnight_is_no_304(scene: Scene) -> None:
    scene.put(person(tz="Asia/Tokyo", end=DAY))
    scene.catch_up()
    first = await both_ways(scene, PROGRESS)
    etag = first.headers["etag"]
    assert first.json["streak_days"] == 3
    same = await both_ways(scene, PROGRESS, if_none_match=etag)
    assert (same.status, same.body) == (304, b"")
    # In Tokyo the day starts at 18:00 of the day before in UTC.
    scene.now_ms = (DAY + 1) * DAY_MS + 18 * HOUR_MS - 1
    before = await both_ways(scene, PROGRESS, if_none_match=etag)
    assert (before.json["streak_days"], before.json["today"]) == (3, "2026-11-24")
    scene.now_ms += 1
    after = await both_ways(scene, PROGRESS, if_none_match=before.headers["etag"])
    assert (after.status, after.json["streak_days"], after.json["asset"]) == (200, 0, None)
    assert after.json["longest_days"] == 3


async def test_a_new_record_is_seen_at_once_and_an_old_one_never(scene: Scene) -> None:
    scene.put(person(revision=4, days=4))
    scene.catch_up()
    first = await both_ways(scene, PROGRESS)
    scene.put(person(revision=6, days=6))
    newer = await both_ways(scene, PROGRESS, if_none_match=first.headers["etag"])
    assert (newer.status, newer.json["streak_days"]) == (200, 6)
    scene.put(person(revision=5, days=5))
    assert (await both_ways(scene, PROGRESS)).json["revision"] == 6


async def test_answers_in_memory_are_bounded(scene: Scene) -> None:
    people = [person(f"user-{n}") for n in range(25)]
    scene.put(*people)
    scene.catch_up()
    for each in people:
        assert (await scene.get(f"/v1/users/{each.user_id}/progress")).status == 200
    answer = await scene.get("/v1/users/user-24/progress")
    assert answer.json["user_id"] == "user-24"
    text = await scene.get("/metrics")
    assert b'awaway_api_rendered_answers_total{outcome="rendered"} 25.0' in text.body
    assert b'awaway_api_rendered_answers_total{outcome="reused"} 1.0' in text.body
    assert b'awaway_api_reads_total{result="fresh"} 26.0' in text.body
    assert b"user-24" not in text.body


async def test_nobody_is_not_there_before_everything_is(scene: Scene) -> None:
    scene.put(person())
    early = await both_ways(scene, PROGRESS)
    assert (early.status, early.json["type"]) == (503, "urn:awaway:problem:still-loading")
    assert early.headers["retry-after"] == "2"
    scene.catch_up()
    assert (await both_ways(scene, PROGRESS)).status == 200
    missing = await both_ways(scene, "/v1/users/bob/progress")
    assert (missing.status, missing.json["type"]) == (404, "urn:awaway:problem:no-such-user")
    assert missing.headers["content-type"] == "application/problem+json"


async def test_a_read_waits_for_its_revision(patient: Scene) -> None:
    patient.put(person(revision=1))
    patient.catch_up()
    waiting = asyncio.ensure_future(patient.get(PROGRESS, "min_revision=2"))
    others = asyncio.ensure_future(patient.get("/v1/users/ann/calendar", "min_revision=2"))
    await asyncio.sleep(0.02)
    await asyncio.to_thread(patient.put, person(revision=2, days=2))
    assert (await waiting).json["revision"] == 2
    assert (await others).json["revision"] == 2


async def test_a_read_does_not_wait_for_ever_and_says_what_there_is(scene: Scene) -> None:
    scene.put(person(revision=1))
    scene.catch_up()
    answer = await scene.get(PROGRESS, "min_revision=2")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert (answer.json["revision"], answer.json["have"]["streak_days"]) == (1, 3)
    nobody = await scene.get("/v1/users/bob/progress", "min_revision=1")
    assert (nobody.status, nobody.json["have"]) == (503, None)


async def test_those_who_wait_are_bounded(patient: Scene) -> None:
    patient.put(person(revision=1))
    patient.catch_up()
    waiting = [asyncio.ensure_future(patient.get(PROGRESS, "min_revision=9")) for _ in range(2)]
    await asyncio.sleep(0.02)
    refused = await asyncio.wait_for(patient.get(PROGRESS, "min_revision=9"), 30)
    assert refused.status == 503
    assert not any(one.done() for one in waiting)
    await asyncio.to_thread(patient.put, person(revision=9))
    assert [(await one).json["revision"] for one in waiting] == [9, 9]


async def test_a_store_that_falls_behind_is_told_of(scene: Scene) -> None:
    scene.put(person())
    scene.catch_up()
    scene.now_ms += 20_000
    answer = await both_ways(scene, PROGRESS)
    assert (answer.status, answer.json["lag_ms"]) == (200, 20_000)
    assert b'awaway_api_reads_total{result="stale"} 2.0' in (await scene.get("/metrics")).body
    assert scene.metrics.value(m.READS, "fresh") == 0


@pytest.mark.parametrize(
    ("path", "query", "slug"),
    [
        ("/v1/users/%00/progress".replace("%00", "\x00"), "", "bad-user-id"),
        ("/v1/users/" + "x" * 256 + "/progress", "", "bad-user-id"),
        ("/v1/users/ann/keys", "min_revision=-1", "bad-query"),
        ("/v1/users/ann/keys", "min_revision=1&min_revision=2", "bad-query"),
        ("/v1/users/ann/keys", "min_revison=1", "bad-query"),
        ("/v1/users/ann/calendar", "from=2026-13-01", "bad-query"),
        ("/v1/users/ann/calendar", "from=20261101", "bad-query"),
        ("/v1/users/ann/calendar", "from=2026-11-02&to=2026-11-01", "bad-query"),
        ("/v1/users/ann/calendar", "from=2020-01-01&to=2026-11-01", "bad-query"),
        ("/v1/users/ann/geometry", "limit=367", "bad-query"),
        ("/v1/users/ann/geometry", "limit=%F0%28", "bad-query"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    scene: Scene, path: str, query: str, slug: str
) -> None:
    scene.put(person())
    scene.catch_up()
    answer = await scene.get(path, query)
    assert (answer.status, answer.json["type"]) == (400, f"urn:awaway:problem:{slug}")


async def test_an_id_may_hold_a_slash(scene: Scene) -> None:
    scene.put(person("team/ann é"))
    scene.catch_up()
    for what in ("progress", "calendar"):
        assert (await scene.get(f"/v1/users/team/ann é/{what}")).json["user_id"] == "team/ann é"


async def test_an_id_may_be_what_paths_are_made_of(scene: Scene) -> None:
    scene.put(person("completions"), person("x/progress"))
    scene.catch_up()
    for user_id in ("completions", "x/progress"):
        for what in ("progress", "calendar"):
            answer = await both_ways(scene, f"/v1/users/{user_id}/{what}")
            assert answer.json["user_id"] == user_id


async def test_head_answers_without_a_body(scene: Scene) -> None:
    scene.put(person())
    scene.catch_up()
    whole, head = await scene.get(PROGRESS), await scene.get(PROGRESS, method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.body))
    assert (await scene.get(PROGRESS, method="POST")).status == 405


async def test_the_calendar_says_what_each_date_is(scene: Scene) -> None:
    dates = Dates((Run(DAY - 5, 3),), (Run(DAY - 2, 1),), (Run(DAY - 1, 1),), (Run(DAY - 5, 1),))
    scene.put(person(dates=dates))
    scene.catch_up()
    answer = await scene.get("/v1/users/ann/calendar", "from=2026-11-17")
    assert (answer.json["first"], answer.json["last"]) == ("2026-11-17", "2026-11-23")
    assert [(day["kind"], day["day"]) for day in answer.json["days"]] == [
        ("nothing", 0),
        ("revoked", 0),
        ("practised", 1),
        ("practised", 2),
        ("bridged", 3),
        ("credited", 4),
        ("nothing", 0),
    ]
    assert len((await scene.get("/v1/users/ann/calendar")).json["days"]) == 366


async def test_geometry_is_paged_from_the_current_figure_back(scene: Scene) -> None:
    scene.put(person(days=5, end=DAY - 1))
    scene.catch_up()
    first = (await scene.get("/v1/users/ann/geometry", "limit=2")).json
    assert (first["current"]["local_date"], first["current"]["frame"]) == ("2026-11-22", 5)
    assert [one["frame"] for one in first["snapshots"]] == [5, 4]
    before = first["next_before"]
    rest = (await scene.get("/v1/users/ann/geometry", f"before={before}")).json
    assert [(one["frame"], one["figure_completed"]) for one in rest["snapshots"]] == [
        (3, True),
        (2, False),
        (1, True),
    ]
    assert rest["next_before"] is None
    assert rest["current"] == first["current"]


async def test_portals_and_keys_name_each_other(scene: Scene) -> None:
    reached = (
        PortalReached(0, "bindu", DAY - 2, NOON, "5c" * 32),
        PortalReached(0, "of-old", DAY - 1, NOON, "5d" * 32),
    )
    (granted,) = key_ids("ann", 0, "bindu", 1)
    scene.put(person(portals=reached, keys=Keys((granted, "zzz"), ("early", granted))))
    scene.catch_up()
    portals = (await scene.get("/v1/users/ann/portals")).json
    assert [(one["title"], one["cycle_day"]) for one in portals["portals"]] == [
        ("Bindu", 1),
        ("of-old", None),
    ]
    assert portals["next_portal"]["days_away"] == 4
    keys = (await scene.get("/v1/users/ann/keys")).json
    assert keys["granted"] == [
        {"key_id": granted, "claimed": True, "lap": 0, "portal": "bindu"},
        {"key_id": "zzz", "claimed": False, "lap": None, "portal": None},
    ]
    assert keys["claimed_before_grant"] == ["early"]


async def test_who_may_not_learns_nothing(tmp_path: Path) -> None:
    class Closed(Guard):
        def authorize(self, *_: object) -> Principal:
            raise ProblemError(403, "forbidden", "Forbidden")

    scene = Scene(tmp_path / "store", guard=Closed(None))
    scene.put(person())
    scene.catch_up()
    for path in (PROGRESS, "/v1/users/bob/progress", "/v1/users/ann/keys"):
        assert (await both_ways(scene, path)).json["status"] == 403
    scene.store.close()


async def test_frames_may_be_kept_for_ever(scene: Scene) -> None:
    unknown = await scene.get(f"/v1/assets/{person().asset_id}.svg")
    assert (unknown.status, unknown.json["type"]) == (404, "urn:awaway:problem:no-such-asset")
    assert (await scene.get("/v1/assets/../etc.svg")).status in (400, 404)
    scene.put(person())
    scene.catch_up()
    asset = (await scene.get(PROGRESS)).json["asset"]
    svg = await scene.get(asset["svg"])
    assert (svg.status, svg.headers["content-type"]) == (200, "image/svg+xml")
    assert svg.headers["etag"] == f'"{asset["id"]}"'
    assert "immutable" in svg.headers["cache-control"]
    assert svg.headers["cross-origin-resource-policy"] == "cross-origin"
    assert unknown.headers["cross-origin-resource-policy"] == "same-origin"
    assert (await scene.get(asset["svg"], if_none_match=svg.headers["etag"])).status == 304


async def test_no_answer_says_a_thing_twice(scene: Scene) -> None:
    scene.put(person())
    scene.catch_up()
    asset = (await scene.get(PROGRESS)).json["asset"]
    for path in (PROGRESS, "/v1/users/ann/keys", asset["svg"], "/nowhere", "/metrics"):
        names = (await scene.get(path)).names
        assert len(names) == len(set(names)), path


async def test_an_error_that_nobody_foresaw_is_told_without_its_reason(scene: Scene) -> None:
    scene.put(person())
    scene.catch_up()

    def broken(value: bytes) -> NoReturn:
        raise ZeroDivisionError

    scene.source.decode = broken  # type: ignore[method-assign]
    answer = await both_ways(scene, PROGRESS)
    assert (answer.status, answer.json["type"]) == (500, "urn:awaway:problem:internal-error")
    assert b"ZeroDivision" not in answer.body
