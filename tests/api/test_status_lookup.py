"""What is told of a completion whose position is known and whose id may not be."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipeline.api.http.access import make_access
from pipeline.api.outcomes.index import Outcomes, Receipt
from pipeline.api.outcomes.statuses import PARTS_MS_MAX
from pipeline.api.reads import turns
from pipeline.codec.varint import zigzag
from pipeline.core.records import Cause, PracticeCompleted, RecordCoordinates
from pipeline.kafka.errors import UnreadableLogError
from pipeline.ops.explain.records import RawInput
from pipeline.settings.api import ApiSettings
from tests.api.scene import Answered, Scene
from tests.api.test_outcomes import DAY_MS, NOW_MS, Clock, Read, audit, follow, letter, opened

TOPIC = "t.completions"
VALUE = b'{"user_id": "ana", "completion_id": "\\u006bc-1", "tz": 7}'


def sent(completion_id: str = "kc-1", user_id: str = "ana") -> PracticeCompleted:
    return PracticeCompleted(completion_id, user_id, "s", "breath", NOW_MS, NOW_MS, "UTC")


@dataclass
class Inputs:
    """Stands in for the topic of completions."""

    there: dict[tuple[int, int], RawInput] = field(default_factory=dict)
    is_away: bool = False
    asked: list[RecordCoordinates] = field(default_factory=list)

    def put(
        self, offset: int, record: PracticeCompleted | None = None, at_ms: int = NOW_MS
    ) -> None:
        self.there[0, offset] = RawInput(at_ms, "JSON", record)

    def read(self, coordinates: Sequence[RecordCoordinates]) -> dict[RecordCoordinates, RawInput]:
        self.asked += coordinates
        if self.is_away:
            raise UnreadableLogError("the inputs cannot be read")
        found = ((one, self.there.get((one.partition, one.offset))) for one in coordinates)
        return {one: raw for one, raw in found if raw is not None}


class Producer:
    topic = TOPIC
    is_dead = False


@dataclass
class World:
    scene: Scene
    index: Outcomes
    inputs: Inputs
    clock: Clock

    async def ask(self, at: str = "0-5", name: str = "kc-1", user: str = "ana") -> Answered:
        query = f"position={at}" if at else ""
        return await self.scene.get(f"/v1/users/{user}/completions/{name}", query)

    async def status(self, *asked: str) -> str:
        """`pending`, another state, or status and slug of the problem."""
        answer = await self.ask(*asked)
        if answer.status == 200:
            return str(answer.json["status"])
        assert "as_of" in answer.json
        return f"{answer.status} {answer.json['type'].rpartition(':')[2]}"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = Clock()
    index, inputs = opened(tmp_path / "index", clock), Inputs()
    index.partitions = 4
    given = {
        "outcomes": index,
        "completions": Producer(),
        "inputs": inputs,
        "access": make_access(ApiSettings(api_auth_off=True), clock),
    }
    scene = Scene(tmp_path / "store", now_ms=NOW_MS, given=given)
    yield World(scene, index, inputs, clock)
    index.close()
    scene.store.close()


def rejected(number: int, **changed: Any) -> list[Read]:
    """What is published of an input whose ids could not be read."""
    nameless = {"cause": Cause(TOPIC, 0, number)}
    entry = audit(number, user_id=None, verdict="dead_letter", rejection="wrong_type", **nameless)
    given = {"value": VALUE, "stage": "decode", "reason": "wrong_type", **nameless, **changed}
    return [
        Read("audit", number, entry, None),
        Read("deadletters", number, letter(number, **given), given.get("key", b"ana")),
    ]


async def test_a_rejected_input_of_ones_own_is_told_with_its_refusal(world: World) -> None:
    follow(world.index, *rejected(5))
    answer = await world.ask()
    assert answer.status == 200
    assert answer.json["status"] == "rejected"
    assert (answer.json["user_id"], answer.json["completion_id"]) == ("ana", "kc-1")
    assert answer.json["refusal"]["reason"] == "wrong_type"
    assert answer.json["position"] == {"topic": TOPIC, "partition": 0, "offset": 5}
    assert answer.json["audit"]["offset"] == 5
    assert world.inputs.asked == []


@pytest.mark.parametrize(
    ("changed", "state"),
    [
        ({"value": b'{"completion_id":"kc-1"'}, "rejected"),
        ({"value": b"\0\0\0\0\x09" + zigzag(4) + b"kc-1" + zigzag(3) + b"ana"}, "rejected"),
        ({"value": b"\0\0\0\0\x09" + zigzag(5) + b"kc-12"}, "404"),
        ({"value": b'{"completion_id":"kc-2","context":{"of":"kc-1"}}'}, "404"),
        ({"value": b'{"completion_id":"\xff","completion_id":"kc-1"}'}, "rejected"),
        ({"value": b'{"completion_id":"\\ud83d","completion_id":"\\'}, "404"),
        ({"value": b"nonsense"}, "404"),
        ({"value": None}, "404"),
        ({"key": None}, "rejected"),
        ({"key": b"\xff"}, "rejected"),
        ({"key": b"bob"}, "404"),
        ({"key": None, "value": VALUE.replace(b"ana", b"bob")}, "404"),
    ],
)
async def test_what_a_rejected_input_says_of_itself_decides(
    world: World, changed: dict[str, Any], state: str
) -> None:
    follow(world.index, *rejected(5, **changed))
    answer = await world.ask()
    found = answer.json["status"] if answer.status == 200 else str(answer.status)
    assert found == state
    own = changed.get("key", b"ana") == b"ana"
    if state == "404":
        assert answer.json["type"].endswith("unknown-completion")
        assert ("decode.wrong_type" in answer.json["detail"]) == own


async def test_what_this_process_sent_is_known_to_be_what_was_rejected(world: World) -> None:
    world.index.remember("ana", "kc-1", Receipt(b"d", 0, 5, NOW_MS))
    assert await world.status("") == "pending"
    follow(world.index, *rejected(5, value=b"packed in a way that only the worker's release knew"))
    assert await world.status("") == "rejected"
    assert world.inputs.asked == []


async def test_a_rejection_is_pending_until_its_dead_letter_is_here(world: World) -> None:
    entry, late = rejected(5)
    follow(world.index, entry)
    assert await world.status() == "pending"
    world.index.complete_at_ms = NOW_MS + PARTS_MS_MAX
    assert await world.status() == "404 unknown-completion"
    follow(world.index, late)
    assert await world.status() == "rejected"


async def test_at_a_position_of_somebody_or_something_else_there_is_no_such_completion(
    world: World,
) -> None:
    follow(world.index, Read("audit", 5, audit(5)), Read("audit", 6, audit(6, user_id="bob")))
    for at in ("0-5", "0-6"):
        answer = await world.ask(at)
        assert (answer.status, answer.json["detail"]) == (
            404,
            "the input at this position is not this completion",
        )
    assert await world.status("0-6", "c5") == "accepted"  # an id is enough


async def test_pending_is_what_is_in_the_log_and_waits(world: World) -> None:
    world.inputs.put(7, sent())
    world.inputs.put(8, sent("other"))
    world.inputs.put(9, sent(user_id="bob"))
    world.inputs.put(10, None)
    asked = {"0-7": "pending", "0-8": "404", "0-9": "404", "0-10": "pending", "0-11": "404"}
    found = {at: (await world.status(at)).split()[0] for at in asked}
    assert found == asked
    answer = await world.ask("0-11")
    assert "yet" in answer.json["detail"]
    follow(world.index, Read("audit", 12, audit(12)))
    answer = await world.ask("0-11")  # a gap: a transaction's end, or one that was aborted
    assert (answer.status, "yet" in answer.json["detail"]) == (404, False)


async def test_a_partition_that_is_none_is_known_without_a_question(world: World) -> None:
    for at in ("4-0", "999999-1"):
        answer = await world.ask(at)
        assert (answer.status, "partition" in answer.json["detail"]) == (404, True)
    assert world.inputs.asked == []
    world.index.partitions = 0  # nothing is known of the topic yet
    assert await world.status("999999-1") == "404 unknown-completion"
    assert len(world.inputs.asked) == 1


async def test_what_is_older_than_the_history_is_gone(world: World) -> None:
    world.inputs.put(5, sent(), NOW_MS)
    world.inputs.put(4, sent(), NOW_MS - 91 * DAY_MS)
    assert await world.status("0-4") == "410 gone"
    follow(world.index, Read("audit", 5, audit(5)))
    world.clock.ms += 91 * DAY_MS
    answer = await world.ask()
    assert (answer.status, answer.json["type"][-5:]) == (410, ":gone")
    assert "90 days" in answer.json["detail"]


async def test_while_brokers_are_away_the_index_decides_alone(world: World) -> None:
    world.inputs.is_away = True
    assert await world.status() == "pending"
    follow(world.index, Read("audit", 6, audit(6)))
    answer = await world.ask()
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")


async def test_few_questions_are_asked_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "WAITING_MAX", 3)
    found = await asyncio.gather(*(world.status(f"0-{n}") for n in range(20, 30)))
    assert (found.count("404 unknown-completion"), found.count("pending")) == (3, 7)
    assert len(world.inputs.asked) == 3


@pytest.mark.parametrize(
    "query",
    [
        *("position=0", "position=-1-2", "position=0-1&position=0-2", "position=0-1x"),
        *("positoin=0-1", "position=\u0663-1", "position="),
    ],
)
async def test_what_is_no_position_is_refused(world: World, query: str) -> None:
    answer = await world.scene.get("/v1/users/ana/completions/c", query)
    assert (answer.status, answer.json["type"].rpartition(":")[2]) == (400, "bad-query")


async def test_an_id_may_be_written_in_both_ways(world: World) -> None:
    follow(world.index, Read("audit", 5, audit(5, cause=Cause(TOPIC, 0, 5, ".."))))
    answer = await world.ask("", "~Li4")
    assert (answer.status, answer.json["completion_id"]) == (200, "..")
    for name in ("~", "~Li5"):
        answer = await world.ask("", name)
        assert (answer.status, answer.json["type"][-17:]) == (400, "bad-completion-id")
    assert json.loads(answer.body)["detail"]
