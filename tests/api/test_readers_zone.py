"""Reads in the reader's zone: what a traveller sees, and that caches tell zones apart."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from pipeline.core.calendar import DAY_MS
from pipeline.core.geometry.catalogue import GoldenCatalogue
from pipeline.core.outcome import World
from pipeline.core.records import Dates, ProgressUpdated, Run
from pipeline.observability import api_metrics as m
from tests.api.scene import DAY, HOUR_MS, Answered, Scene, person
from tests.core.scenes import BOOK, Log, at, completion, credit, day

PROGRESS = "/v1/users/ana/progress"
SHOWN = ("streak_days", "today", "tz", "user_tz")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path / "store")
    yield made
    made.store.close()


def folded() -> Log:
    return Log(World(BOOK, GoldenCatalogue()))


def traveller() -> ProgressUpdated:
    """Three evenings in Auckland; the next day is spent on the way to Los Angeles, and there."""
    log = folded()
    for number, date in enumerate(("2026-06-10", "2026-06-11", "2026-06-12")):
        ended = at(f"{date}T21:00:00+12:00")
        log.take(completion(number, ended, "Pacific/Auckland"), ended + 4_000)
    return log.progress()


def imported() -> ProgressUpdated:
    """Five days from another app, and no practice yet, so that nobody knows where it was."""
    log = folded()
    when = at("2026-06-18T23:10:00-07:00")
    for number in range(5):
        log.take(credit(f"import-{number}", day("2026-06-14") + number), when + number)
    return log.progress()


async def shown(scene: Scene, instant: str, query: str = "") -> tuple[object, ...]:
    """What is shown of ana at an instant."""
    scene.now_ms = at(instant)
    scene.catch_up()
    answer = await scene.get(PROGRESS, query)
    assert answer.status == 200, answer.body
    return tuple(answer.json[name] for name in SHOWN)


async def test_a_day_is_not_over_for_a_traveller_west_who_says_where_it_is(scene: Scene) -> None:
    scene.put(traveller())
    there = f"tz={quote('America/Los_Angeles', safe='')}"
    instants = [f"2026-06-13T{time}-07:00" for time in ("07:00:00", "13:00:00", "21:30:00")]
    for instant in instants:
        expected = (3, "2026-06-13", "America/Los_Angeles", "Pacific/Auckland")
        assert await shown(scene, instant, there) == expected
    at_home = [await shown(scene, instant) for instant in instants]
    assert [found[:2] for found in at_home] == [
        (3, "2026-06-13"),
        (0, "2026-06-14"),
        (0, "2026-06-14"),
    ]
    assert {found[2:] for found in at_home} == {("Pacific/Auckland", "Pacific/Auckland")}
    # The day is over there, too, when nobody practised until the next one begins at 03:00.
    assert (await shown(scene, "2026-06-14T02:59:59-07:00", there))[0] == 3
    assert (await shown(scene, "2026-06-15T02:59:59-07:00", there))[0] == 0


async def test_credits_alone_hold_until_the_day_is_over_everywhere(scene: Scene) -> None:
    scene.put(imported())
    for instant in ("2026-06-19T19:30:00-07:00", "2026-06-19T23:50:00-07:00"):
        assert await shown(scene, instant) == (5, "2026-06-19", "Etc/GMT+12", None)
    assert (await shown(scene, "2026-06-20T14:59:59+00:00"))[:2] == (5, "2026-06-19")
    assert (await shown(scene, "2026-06-20T15:00:00+00:00"))[:2] == (0, "2026-06-20")
    # Who reads it somewhere says what today is; nobody's own zone comes of it.
    late = "2026-06-19T20:30:00-07:00"
    assert await shown(scene, late, "tz=UTC") == (0, "2026-06-20", "UTC", None)
    assert (await shown(scene, late, "tz=America/Los_Angeles"))[0] == 5


async def test_every_read_of_a_user_is_in_the_readers_zone(scene: Scene) -> None:
    scene.put(traveller())
    scene.now_ms = at("2026-06-13T21:30:00-07:00")
    scene.catch_up()
    found = {}
    for what in ("progress", "portals", "keys", "geometry", "calendar"):
        here = await scene.get(f"/v1/users/ana/{what}", "tz=America/Los_Angeles")
        home = await scene.get(f"/v1/users/ana/{what}")
        assert (here.json["today"], home.json["today"]) == ("2026-06-13", "2026-06-14"), what
        assert (here.json["tz"], here.json["user_tz"]) == ("America/Los_Angeles", home.json["tz"])
        found[what] = (here.json, home.json)
    assert [one["next_portal"]["days_away"] for one in found["portals"]] == [4, 7]
    current = [one["current"] for one in found["geometry"]]
    assert (current[0]["frame"], current[1]) == (3, None)
    assert [one["last"] for one in found["calendar"]] == ["2026-06-13", "2026-06-14"]


@pytest.mark.parametrize(
    ("query", "zone", "today"),
    [
        ("tz=%2B02:00", "Etc/GMT-2", "2026-11-23"),
        ("tz=+02:00", "Etc/GMT-2", "2026-11-23"),
        ("tz=+0530", "+05:30", "2026-11-23"),
        ("tz=-03:30", "-03:30", "2026-11-23"),
        ("tz=UTC+14", "Etc/GMT-14", "2026-11-23"),
        ("tz=Etc/GMT+12", "Etc/GMT+12", "2026-11-22"),
        ("tz=america/new+york", "America/New_York", "2026-11-23"),
        ("tz=europe%2Fkiev", "Europe/Kiev", "2026-11-23"),
        ("tz=Z", "UTC", "2026-11-23"),
    ],
)
async def test_a_zone_is_understood_in_every_usual_spelling(
    scene: Scene, query: str, zone: str, today: str
) -> None:
    scene.put(person("ana"))
    scene.catch_up()
    answer = await scene.get(PROGRESS, query)
    assert (answer.status, answer.json["tz"], answer.json["today"]) == (200, zone, today)


@pytest.mark.parametrize(
    "query",
    [
        "tz=",
        "tz=+",
        "tz=Mars/Phobos",
        "tz=%2B15:00",
        "tz=../../etc/passwd",
        "tz=UTC&tz=UTC",
        "tz=%00",
        "tz=" + "+" * 70 + "02:00",
        "tz=" + "x" * 4_000,
    ],
)
@pytest.mark.parametrize("what", ["progress", "portals", "keys", "geometry", "calendar"])
async def test_a_zone_that_nobody_knows_is_refused(scene: Scene, what: str, query: str) -> None:
    scene.put(person("ana"))
    scene.catch_up()
    answer = await scene.get(f"/v1/users/ana/{what}", query)
    assert (answer.status, answer.json["type"]) == (400, "urn:awaway:problem:bad-query")
    assert len(answer.json["detail"]) < 400


async def test_who_sends_no_zone_is_told_what_one_is(scene: Scene) -> None:
    detail = (await scene.get(PROGRESS, "tz=PST")).json["detail"]
    assert "nobody knows the zone 'PST'" in detail
    assert "America/Los_Angeles" in detail and "%2B02:00" in detail


async def matched(scene: Scene, etag: str, query: str = "") -> Answered:
    return await scene.get(PROGRESS, query, if_none_match=etag)


async def test_a_304_means_the_same_date_in_the_same_zone(scene: Scene) -> None:
    scene.put(person("ana", tz="Asia/Tokyo"))
    scene.catch_up()
    # Noon in UTC: in all of these it is the same date, and each names itself.
    zones = ("Asia/Tokyo", "Asia/Seoul", "Europe/Berlin", "America/Los_Angeles", "%2B09:00")
    answers = {zone: await scene.get(PROGRESS, f"tz={zone}") for zone in zones}
    assert {answer.json["today"] for answer in answers.values()} == {"2026-11-23"}
    assert len({answer.headers["etag"] for answer in answers.values()}) == len(zones)
    own = await scene.get(PROGRESS)
    assert (own.headers["etag"], own.body) == (
        answers["Asia/Tokyo"].headers["etag"],
        answers["Asia/Tokyo"].body,
    )
    for zone, answer in answers.items():
        for other in zones:
            status = (await matched(scene, answer.headers["etag"], f"tz={other}")).status
            assert status == (304 if other == zone else 200), (zone, other)
    # One zone, however it is spelled.
    seoul = answers["Asia/Seoul"].headers["etag"]
    assert (await matched(scene, seoul, "tz=+asia/seoul")).status == 304
    # 03:00 in Seoul and Tokyo; Berlin's date goes on.
    scene.now_ms = DAY * DAY_MS + 18 * HOUR_MS
    assert (await matched(scene, seoul, "tz=Asia/Seoul")).status == 200
    assert (await matched(scene, own.headers["etag"])).status == 200
    berlin = answers["Europe/Berlin"].headers["etag"]
    assert (await matched(scene, berlin, "tz=Europe/Berlin")).status == 304


async def test_an_etag_without_a_zone_changes_when_the_users_own_becomes_known(
    scene: Scene,
) -> None:
    scene.put(person("ana", tz_known=False, revision=1))
    scene.catch_up()
    first = await scene.get(PROGRESS)
    assert (first.json["tz"], first.json["today"]) == ("Etc/GMT+12", "2026-11-22")
    scene.put(person("ana", revision=2))
    known = await matched(scene, first.headers["etag"])
    assert (known.status, known.json["tz"], known.json["today"]) == (200, "UTC", "2026-11-23")


def kept(scene: Scene) -> tuple[float, float]:
    """How many answers were reused, and how many were rendered."""
    for measure in scene.metrics.before_scrape:
        measure()
    return scene.metrics.value(m.ANSWERS, "reused"), scene.metrics.value(m.ANSWERS, "rendered")


async def test_answers_are_remembered_by_zone_two_for_a_user(scene: Scene) -> None:
    scene.put(person("ana", tz="Asia/Tokyo"))
    scene.catch_up()
    asked = ("", "tz=Asia/Tokyo", "tz=Europe/Berlin", "tz=europe/berlin", "", "tz=Europe/Berlin")
    for query in asked:
        assert (await scene.get(PROGRESS, query)).status == 200
    assert kept(scene) == (4, 2)
    # A third zone takes the place of the second, and never of the user's own.
    for query in ("tz=Asia/Seoul", "tz=Asia/Seoul", "", "tz=Europe/Berlin"):
        zone = (await scene.get(PROGRESS, query)).json["tz"]
        assert zone == (query.removeprefix("tz=") or "Asia/Tokyo")
    assert kept(scene) == (6, 4)


async def test_answers_in_any_zone_are_bounded_together(scene: Scene) -> None:
    people = [person(f"user-{number}") for number in range(20)]
    scene.put(*people)
    scene.catch_up()
    for each in people:
        for query in ("", "tz=Asia/Tokyo"):
            answer = await scene.get(f"/v1/users/{each.user_id}/progress", query)
            assert answer.json["user_id"] == each.user_id
    # Ten are kept: both of the last five.
    for each in people[-5:]:
        for query in ("", "tz=Asia/Tokyo"):
            await scene.get(f"/v1/users/{each.user_id}/progress", query)
    assert kept(scene) == (10, 40)
    await scene.get(f"/v1/users/{people[-6].user_id}/progress", "tz=Asia/Tokyo")
    assert kept(scene) == (10, 41)


async def test_a_new_record_is_seen_in_every_zone(scene: Scene) -> None:
    scene.put(person("ana", revision=1))
    scene.catch_up()
    for query in ("", "tz=Asia/Tokyo"):
        assert (await scene.get(PROGRESS, query)).json["revision"] == 1
    scene.put(person("ana", revision=2, days=2))
    for query in ("tz=Asia/Tokyo", ""):
        assert (await scene.get(PROGRESS, query)).json["revision"] == 2


async def test_a_remembered_answer_ends_with_the_day_of_its_own_zone(scene: Scene) -> None:
    scene.put(person("ana", tz="Asia/Tokyo", end=DAY))
    scene.catch_up()
    queries = ("", "tz=America/Los_Angeles")

    async def both() -> list[tuple[int, str]]:
        found = [(await scene.get(PROGRESS, query)).json for query in queries]
        return [(one["streak_days"], one["today"]) for one in found]

    assert await both() == [(3, "2026-11-23")] * 2
    scene.now_ms = (DAY + 1) * DAY_MS + 18 * HOUR_MS  # in Tokyo the day after the next begins
    assert await both() == [(0, "2026-11-25"), (3, "2026-11-24")]
    scene.now_ms = (DAY + 2) * DAY_MS + 11 * HOUR_MS  # and now in Los Angeles
    assert await both() == [(0, "2026-11-25"), (0, "2026-11-25")]


async def test_waiting_for_a_revision_is_in_the_readers_zone(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "store", wait_ms_max=60_000)
    scene.put(person("ana", revision=1, tz="Pacific/Auckland"))
    scene.catch_up()
    waiting = [
        asyncio.ensure_future(scene.get(PROGRESS, f"min_revision=2&tz={zone}"))
        for zone in ("Asia/Tokyo", "Etc/GMT%2B12")
    ]
    await asyncio.sleep(0.02)
    await asyncio.to_thread(scene.put, person("ana", revision=2, tz="Pacific/Auckland"))
    found = [(await one).json for one in waiting]
    assert [(one["revision"], one["tz"], one["today"]) for one in found] == [
        (2, "Asia/Tokyo", "2026-11-23"),
        (2, "Etc/GMT+12", "2026-11-22"),
    ]
    scene.store.close()


async def test_what_there_is_instead_of_a_revision_is_in_the_readers_zone(scene: Scene) -> None:
    dates = Dates((Run(DAY - 3, 3),))
    scene.put(person("ana", dates=dates, tz="Pacific/Auckland", end=DAY - 1))
    scene.now_ms = (DAY + 1) * DAY_MS - HOUR_MS
    scene.catch_up()
    for what in ("progress", "calendar"):
        path = f"/v1/users/ana/{what}"
        home = (await scene.get(path, "min_revision=2")).json["have"]
        west = (await scene.get(path, "min_revision=2&tz=America/Los_Angeles")).json["have"]
        assert (home["streak_days"], home["today"]) == (0, "2026-11-24")
        assert (west["streak_days"], west["today"]) == (3, "2026-11-23")
        assert west["user_tz"] == "Pacific/Auckland"
