"""Scripts of other sites: those that the settings name may call the API, others may not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.api.http.access import make_access, middleware
from pipeline.settings.api import ApiSettings
from tests.api.scene import NOON, Scene, person

OURS, THEIRS = "https://app.example", "https://app.example.evil"
PROGRESS = "/v1/users/ann/progress"


def scene_of(folder: Path, *origins: str) -> Scene:
    settings = ApiSettings(api_auth_off=True, api_cors_origins=list(origins))
    access = make_access(settings, lambda: NOON)
    within = middleware(settings, access)
    made = Scene(folder, within=within)
    made.put(person())
    made.catch_up()
    return made


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = scene_of(tmp_path, OURS)
    yield made
    made.store.close()


async def test_a_named_site_may_ask_before_it_posts(scene: Scene) -> None:
    asked = {
        "access_control_request_method": "POST",
        "access_control_request_headers": "authorization, content-type",
    }
    for path in ("/v1/completions", PROGRESS):
        answer = await scene.get(path, "", "OPTIONS", origin=OURS, **asked)
        assert answer.status == 200
        assert answer.headers["access-control-allow-origin"] == OURS
        allowed = answer.headers["access-control-allow-methods"]
        assert {name.strip() for name in allowed.split(",")} == {"GET", "POST"}
        headers = answer.headers["access-control-allow-headers"].lower()
        assert {"authorization", "content-type", "last-event-id"} <= set(headers.split(", "))
        assert {"traceparent", "tracestate", "baggage", "content-encoding"} <= set(
            headers.split(", ")
        )
        assert "access-control-allow-credentials" not in answer.headers
        refused = await scene.get(path, "", "OPTIONS", origin=THEIRS, **asked)
        assert refused.status == 400
        assert "access-control-allow-origin" not in refused.headers
    deleting = asked | {"access_control_request_method": "DELETE"}
    assert (await scene.get(PROGRESS, "", "OPTIONS", origin=OURS, **deleting)).status == 400


async def test_what_tracing_adds_to_a_request_is_let_through(scene: Scene) -> None:
    added = ("traceparent", "traceparent,tracestate", "baggage", "traceparent,tracestate,baggage")
    for names in added:
        asked = {
            "access_control_request_method": "POST",
            "access_control_request_headers": f"authorization,content-type,{names}",
        }
        answer = await scene.get("/v1/completions", "", "OPTIONS", origin=OURS, **asked)
        assert answer.status == 200
    asked["access_control_request_headers"] = "x-of-nobody"
    assert (await scene.get("/v1/completions", "", "OPTIONS", origin=OURS, **asked)).status == 400


@pytest.mark.parametrize("query", ["", "min_revision=1"])
async def test_a_read_is_for_named_sites_and_says_what_they_may_see(
    scene: Scene, query: str
) -> None:
    answer = await scene.get(PROGRESS, query, origin=OURS)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, OURS)
    assert "origin" in answer.headers["vary"].lower()
    exposed = {
        name.strip() for name in answer.headers["access-control-expose-headers"].lower().split(",")
    }
    assert {"etag", "location", "retry-after", "accept-encoding"} <= exposed
    assert answer.headers["x-content-type-options"] == "nosniff"
    refused = await scene.get(PROGRESS, query, origin=THEIRS)
    assert "access-control-allow-origin" not in refused.headers
    plain = await scene.get(PROGRESS, query)
    assert plain.json["revision"] == answer.json["revision"] == 1


async def test_a_problem_can_be_read_by_a_named_site_too(scene: Scene) -> None:
    for path, status in (("/v1/users/bob/progress", 404), ("/nowhere", 404)):
        answer = await scene.get(path, origin=OURS)
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, OURS)


async def test_what_is_refused_unread_can_be_read_by_a_named_site_too(scene: Scene) -> None:
    huge = {"content_length": "99999999"}
    answer = await scene.get("/v1/completions", "", "POST", origin=OURS, **huge)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (413, OURS)
    answer = await scene.get(PROGRESS, "x" * 99_999, origin=OURS)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (414, OURS)


async def test_without_the_setting_no_site_may(tmp_path: Path) -> None:
    scene = scene_of(tmp_path)
    answer = await scene.get(PROGRESS, origin=OURS)
    assert (answer.status, "access-control-allow-origin" in answer.headers) == (200, False)
    asked = {"access_control_request_method": "GET"}
    preflight = await scene.get(PROGRESS, "", "OPTIONS", origin=OURS, **asked)
    assert "access-control-allow-origin" not in preflight.headers
    scene.store.close()
