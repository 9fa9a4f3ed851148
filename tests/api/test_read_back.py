"""What is told of a correction that was sent: only what the audit says and readers see."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from pipeline.api.ingest.read_back import ReadBack
from pipeline.api.outcomes.rows import Entry
from pipeline.api.outcomes.statuses import Position
from pipeline.api.reads.user_read import Reads
from pipeline.api.reads.views import Views
from pipeline.core.geometry.catalogue import GoldenCatalogue
from pipeline.core.policy import load_policy
from pipeline.core.records import Cause
from pipeline.settings.api import ApiSettings
from tests.api.scene import NOON, ROOT, Scene, person
from tests.api.test_outcomes import audit, letter

TOPIC = "t.commands"
AT = Position(TOPIC, 0, 7)
CAUSE = Cause(TOPIC, 0, 7, "r1")


class Index:
    """Outcomes of a test's own, told as the reading thread tells them."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.listeners: list[Callable[[str, Entry], None]] = []

    def of_completion(self, *_: str) -> list[Entry]:
        """Everything: all is about one request."""
        return self.entries

    def add(self, topic: str, record: Any, cause: Cause = CAUSE) -> None:
        entry = Entry(topic, 0, 1, NOON, msgspec.structs.replace(record, cause=cause))
        self.entries.append(entry)
        for listener in self.listeners:
            listener("ann", entry)


class World:
    """A read-back over an index and a store."""

    def __init__(self, folder: Path, wait_s: float) -> None:
        self.scene = Scene(folder)
        self.scene.catch_up()
        self.index = Index()
        policies = load_policy((ROOT / "policy.yaml").read_text())
        views = Views(policies, GoldenCatalogue())
        scene = self.scene
        reads = Reads(ApiSettings(), scene.source, policies, views, scene.metrics, scene.clock)
        self.read_back = ReadBack(cast(Any, self.index), reads, TOPIC, wait_s)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, 30.0)


def applied(revision: int, verdict: str = "applied") -> Any:
    return audit(1, verdict=verdict, action="credit", revision=revision, actor="operator/olga")


async def test_it_is_applied_once_the_audit_says_so_and_readers_see_it(world: World) -> None:
    waiting = asyncio.ensure_future(world.read_back.of("ann", "r1", AT))
    for _ in range(5):
        await asyncio.sleep(0)
    world.index.add("audit", applied(2))
    world.scene.put(person("ann", revision=1))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    world.scene.put(person("ann", revision=2))
    found = await waiting
    assert (found.status, found.revision, found.position) == ("applied", 2, AT)
    assert (found.actor, found.kind) == ("operator/olga", "credit")
    assert await world.read_back.known("ann", "r1") == found


async def test_what_does_not_come_in_time_is_pending(tmp_path: Path) -> None:
    world = World(tmp_path, 0.05)
    assert (await world.read_back.of("ann", "r1", AT)).status == "pending"
    assert await world.read_back.known("ann", "r1") is None
    # The audit is there, and no reader sees the revision.
    world.index.add("audit", applied(2))
    found = await world.read_back.of("ann", "r1", AT)
    assert (found.status, found.verdict, found.position) == ("pending", None, AT)
    assert found.url == "/v1/users/ann/adjustments?request_id=r1"
    known = await world.read_back.known("ann", "r1")
    assert known is not None and known.status == "pending"


async def test_another_input_of_the_same_id_is_not_taken_for_it(tmp_path: Path) -> None:
    world = World(tmp_path, 0.05)
    world.scene.put(person("ann", revision=9))
    world.index.add("audit", applied(2), Cause("t.completions", 0, 7, "r1"))
    assert await world.read_back.known("ann", "r1") is None
    world.index.add("audit", applied(3), Cause(TOPIC, 0, 6, "r1"))
    assert (await world.read_back.of("ann", "r1", AT)).status == "pending"
    world.index.add("audit", applied(3, "repeated"))
    assert (await world.read_back.of("ann", "r1", AT)).status == "repeated"
    first = await world.read_back.known("ann", "r1")
    assert first is not None
    assert (first.status, first.position) == ("applied", Position(TOPIC, 0, 6))


async def test_a_rejection_says_why_as_far_as_it_is_known(world: World) -> None:
    rejected = audit(1, verdict="dead_letter", action="credit", rejection="date_too_early")
    world.index.add("audit", rejected)
    found = await world.read_back.of("ann", "r1", AT)
    assert found.status == "rejected" and found.refusal is not None
    assert found.refusal.reason == "date_too_early"
    world.index.add("deadletters", letter(1))
    found = await world.read_back.of("ann", "r1", AT)
    assert found.refusal is not None
    assert found.refusal.detail == letter(1).detail
