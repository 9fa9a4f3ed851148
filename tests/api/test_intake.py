"""Which completions are sent on, with a clock that is set by hand."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipeline.api.http.auth import ALL_SCOPES, Kind, Principal
from pipeline.api.ingest.intake import Batch, Intake
from pipeline.api.ingest.producing import InputProducer
from pipeline.core.policy import load_policy
from tests.api.scene import HOUR_MS, NOON, ROOT
from tests.api.test_outcomes import Clock, opened
from tests.api.test_producing import producer
from tests.integration.ledger import iso

__all__ = ["producer"]
ANN = Principal("ann", Kind.USER, ALL_SCOPES)


@dataclass
class World:
    """What an intake is given: a producer with librdkafka's own broker, an index without one."""

    completions: InputProducer
    outcomes: Any
    now_ms: Clock
    policies: Any = field(default_factory=lambda: load_policy((ROOT / "policy.yaml").read_text()))


@pytest.fixture
def world(tmp_path: Path, producer: InputProducer) -> World:
    clock = Clock()
    clock.ms = NOON
    return World(producer, opened(tmp_path / "index", clock), clock)


def ended_at(end_ms: int) -> bytes:
    return json.dumps(
        {
            "completion_id": "c",
            "user_id": "ann",
            "session_id": "s",
            "practice": "breath",
            "started_at": iso(end_ms - HOUR_MS // 3),
            "completed_at": iso(end_ms),
            "tz": "UTC",
        }
    ).encode()


async def test_what_came_too_early_is_sent_on_when_it_comes_again(world: World) -> None:
    intake = Intake(world.completions, world.outcomes, world.policies, world.now_ms)

    async def post() -> tuple[int, str | None]:
        taken: Batch = await intake.take([ended_at(NOON + HOUR_MS)], ANN, [])
        (item,) = taken.items
        assert item.status == "recorded" and item.position is not None
        return item.position.offset, item.warning.reason if item.warning else None

    first = await post()
    assert first[1] == "too_far_ahead"
    world.now_ms.ms += HOUR_MS
    again = await post()
    assert again == (first[0] + 1, None)
    assert await post() == again
