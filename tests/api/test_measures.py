"""What the API tells about itself: metrics and probes."""

from pathlib import Path

import pytest

from pipeline.api.reads.freshness import Freshness
from pipeline.api.reads.materialise import State
from pipeline.observability import api_metrics as m
from pipeline.observability.api_prometheus import ApiMetrics
from pipeline.observability.metrics import LATENCY_OBJECTIVE_S
from tests.api.scene import NOON, Scene, person


def test_the_objective_is_an_exact_bucket() -> None:
    assert LATENCY_OBJECTIVE_S in m.READABLE.buckets
    metrics = ApiMetrics()
    metrics.readable([NOON - 1_001, NOON - 1_000, NOON - 1, NOON + 5], NOON)
    value = metrics.registry.get_sample_value
    assert value("awaway_api_append_to_readable_seconds_bucket", {"le": "1.0"}) == 3
    assert value("awaway_api_append_to_readable_seconds_count") == 4


def test_names_are_distinct_and_counters_say_so() -> None:
    names = [metric.name for metric in m.API_METRICS]
    assert len(names) == len(set(names))
    for metric in m.API_METRICS:
        assert metric.name.startswith("awaway_api_")
        assert (metric.kind.value == "counter") == metric.name.endswith("_total")
        assert not {"user", "user_id", "path"} & set(metric.labels)


async def test_requests_are_counted_by_template_and_nothing_else(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "store")
    scene.put(person())
    scene.catch_up()
    for path in ("/v1/users/ann/progress", "/v1/users/ann/keys", "/v1/users/bob/keys", "/nowhere"):
        await scene.get(path)
    await scene.get("/v1/users/ann/keys", method="BREW")
    value = scene.metrics.registry.get_sample_value

    def count(route: str, status: str, method: str = "GET") -> float | None:
        labels = {"route": route, "status": status, "method": method}
        return value("awaway_api_requests_total", labels)

    assert count("/v1/users/{user_id}/progress", "2xx") == 1
    assert count("/v1/users/{user_id}/keys", "2xx") == 1
    assert count("/v1/users/{user_id}/keys", "4xx") == 1
    assert count("/v1/users/{user_id}/keys", "4xx", "OTHER") == 1
    assert count("none", "4xx") == 1
    at = {"route": "/v1/users/{user_id}/keys"}
    assert value("awaway_api_request_duration_seconds_count", at) == 3
    assert value("awaway_api_users") == 1
    assert value("awaway_api_time_lag_seconds", {"partition": "0"}) == 0
    scene.store.close()


@pytest.mark.parametrize(
    ("state", "complete_at_ms", "caught_up", "ready", "live"),
    [
        (State.STARTING, None, False, 503, 200),
        (State.LOADING, None, False, 503, 200),
        (State.LOADING, NOON, False, 503, 200),
        (State.CONNECTING, NOON, False, 200, 200),
        (State.CONNECTING, None, False, 503, 200),
        (State.TAILING, NOON, True, 200, 200),
        (State.CONNECTING, NOON, True, 200, 200),
        (State.FAILED, NOON, True, 503, 503),
    ],
)
async def test_it_is_ready_when_reads_do_not_go_back(
    tmp_path: Path,
    state: State,
    complete_at_ms: int | None,
    caught_up: bool,
    ready: int,
    live: int,
) -> None:
    scene = Scene(tmp_path / "store")
    scene.source.freshness = Freshness(1, complete_at_ms)
    if caught_up:
        scene.source.freshness.note_ends({0: 0}, NOON)
    scene.source.state = state
    scene.source.reason = "no broker" if state is State.CONNECTING else ""
    assert (await scene.get("/readyz")).status == ready
    answer = await scene.get("/livez")
    assert (answer.status, answer.json["ok"]) == (live, live == 200)
    assert (await scene.get("/startupz")).status == 200
    scene.store.close()


class Index:
    """Of outcomes; as far as probes ask."""

    complete_at_ms: int | None = None


async def test_it_waits_for_the_index_of_outcomes_but_not_for_ever(tmp_path: Path) -> None:
    index = Index()
    scene = Scene(tmp_path / "store", given={"outcomes": index})
    scene.source.freshness.note_ends({0: 0, 1: 0}, NOON)
    scene.source.state = State.TAILING
    answer = await scene.get("/readyz")
    assert (answer.status, len(answer.json["reasons"])) == (503, 1)
    assert "what became of completions" in answer.json["reasons"][0]
    index.complete_at_ms = NOON
    assert (await scene.get("/readyz")).status == 200
    index.complete_at_ms = None
    scene.now_ms += 601_000
    assert (await scene.get("/readyz")).status == 200
    scene.now_ms -= 601_000
    scene.source.state, scene.source.reason = State.CONNECTING, "no broker"
    assert (await scene.get("/readyz")).status == 200
    scene.store.close()


async def test_the_description_is_served(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "store")
    answer = await scene.get("/v1/openapi.json")
    assert answer.json["openapi"] == "3.1.0"
    assert "/v1/users/{user_id}/progress" in answer.json["paths"]
    scene.store.close()
