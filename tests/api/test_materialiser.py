"""The materialiser against a topic of the test's own making: what it takes for a fault."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.api.reads.materialise import STORE_AGE_MS_MAX, Materialiser, State
from pipeline.api.reads.progress_topic import ProgressPoll
from pipeline.api.reads.store import Identity, ProgressStore, ReadStoreError
from pipeline.codec.errors import RegistryUnavailableError
from pipeline.kafka.errors import OffsetGoneError, UnreadableLogError
from pipeline.observability import api_metrics as m
from pipeline.observability.api_prometheus import ApiMetrics
from tests.api.scene import ENCODER, IDENTITY, NOON, SCHEMA, Scene, person


@dataclass
class Record:
    """A consumed record of partition 0."""

    at: int
    content: bytes | None
    user: bytes | None = b"ann"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.at

    def key(self) -> bytes | None:
        return self.user

    def value(self) -> bytes | None:
        return self.content

    def timestamp(self) -> tuple[int, int]:
        return (1, NOON)


@dataclass
class Topic:
    """Gives what the script says: one entry a poll. The broker's answer comes one poll late."""

    script: list[list[Record] | Exception | Callable[[], None]]
    ends_at: list[int]
    made: Identity = IDENTITY
    read_at: list[dict[int, int]] = field(default_factory=list)
    asked: int = 0

    def identity(self) -> Identity:
        return self.made

    def read_from(self, positions: dict[int, int], _: int) -> None:
        self.read_at.append(positions)

    def poll(self, _: float) -> ProgressPoll:
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        if callable(step):
            step()
            return ProgressPoll([], {})
        return ProgressPoll(step, {})

    def ask_ends(self, _: int) -> None:
        self.asked = 2

    def ends(self) -> dict[int, int] | None:
        self.asked -= 1
        return {0: self.ends_at.pop(0), 1: 0} if self.asked == 0 else None

    def close(self) -> None:
        pass


def materialiser(folder: Path, topic: Topic, now_ms: int = NOON) -> Materialiser:
    def connect() -> Any:
        return topic

    return Materialiser(
        ProgressStore(folder, 8 << 20),
        connect,
        SCHEMA,
        lambda _: SCHEMA.tree,
        ApiMetrics(),
        lambda: now_ms,
    )


def published(offset: int, revision: int) -> Record:
    return Record(offset, ENCODER.encode(person(revision=revision)))


def run(source: Materialiser, topic: Topic) -> None:
    """Until the script is through."""
    topic.script.append(source._stop.set)
    source._run()


def aside(source: Materialiser) -> float:
    return source._metrics.value(m.STORES_SET_ASIDE)


def test_records_that_came_after_the_question_are_no_fault(tmp_path: Path) -> None:
    # The end is asked for at 0 records; two polls later there are two, and the answer is 1.
    topic = Topic([[published(0, 1)], [published(1, 2)]], [1])
    source = materialiser(tmp_path, topic)
    run(source, topic)
    assert (aside(source), source.is_loaded, source.state) == (0, True, State.STOPPED)
    again = ProgressStore(tmp_path, 8 << 20)
    assert (again.positions(), again.users, again.complete_at_ms) == ({0: 2}, 1, NOON)
    again.close()


def test_a_topic_that_ends_before_the_store_is_another(tmp_path: Path) -> None:
    topic = Topic([[published(0, 1), published(1, 2)], []], [2])
    run(materialiser(tmp_path, topic), topic)
    shorter = Topic([[], [], [published(0, 7)], []], [1, 1])
    source = materialiser(tmp_path, shorter)
    run(source, shorter)
    assert (aside(source), shorter.read_at) == (1, [{0: 2}, {}])


def test_what_does_not_fit_is_built_anew(tmp_path: Path) -> None:
    whole = Topic([[published(0, 1)], []], [1])
    run(materialiser(tmp_path, whole), whole)

    def next_run(topic: Topic, now_ms: int = NOON) -> tuple[float, dict[int, int]]:
        source = materialiser(tmp_path, topic, now_ms)
        run(source, topic)
        return aside(source), topic.read_at[-1]

    assert next_run(Topic([[], []], [1])) == (0, {0: 1})
    remade = Identity(IDENTITY.topic, "another", 2)
    assert next_run(Topic([[published(0, 1)], []], [1], remade)) == (1, {})
    more = Identity(IDENTITY.topic, "another", 3)
    assert next_run(Topic([[published(0, 1)], []], [1], more)) == (1, {})
    # The script ends before the load does: what was begun is not gone on with.
    assert next_run(Topic([[published(0, 1)]], [5], IDENTITY)) == (1, {})
    assert next_run(Topic([[published(0, 1)], []], [1], IDENTITY)) == (1, {})
    later_ms = NOON + STORE_AGE_MS_MAX
    assert next_run(Topic([[], []], [1], IDENTITY), later_ms) == (0, {0: 1})
    much_later_ms = later_ms + STORE_AGE_MS_MAX + 1
    assert next_run(Topic([[], []], [1], IDENTITY), much_later_ms) == (1, {})


def test_after_trouble_it_reads_on_from_where_the_store_ends(tmp_path: Path) -> None:
    topic = Topic(
        [[published(0, 1)], UnreadableLogError("no broker"), [published(1, 2)], [], []], [1, 2]
    )
    source = materialiser(tmp_path, topic)
    source._stop.wait = lambda _=None: False  # type: ignore[method-assign, assignment]
    run(source, topic)
    assert (topic.read_at, aside(source)) == ([{}, {0: 1}], 0)
    gone = Topic([OffsetGoneError("gone"), [published(5, 9)], []], [6])
    other = materialiser(tmp_path, gone)
    run(other, gone)
    assert (gone.read_at, aside(other)) == ([{0: 2}, {}], 1)


def test_a_registry_that_is_away_loses_nothing(tmp_path: Path) -> None:
    answers: list[Any] = [RegistryUnavailableError("away"), SCHEMA.tree]

    def registry(_: int) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    topic = Topic([[published(0, 1)], [published(0, 1)], []], [1, 1])
    source = materialiser(tmp_path, topic)
    source._registry = registry
    source._stop.wait = lambda _=None: False  # type: ignore[method-assign, assignment]
    run(source, topic)
    assert topic.read_at == [{}, {}]
    again = ProgressStore(tmp_path, 8 << 20)
    assert (again.positions(), again.users) == ({0: 1}, 1)
    again.close()


def test_what_is_no_progress_stops_nobody(tmp_path: Path) -> None:
    strange = [Record(0, b"nonsense"), Record(1, b"x", None), published(2, 4), Record(3, None)]
    topic = Topic([strange, []], [4])
    source = materialiser(tmp_path, topic)
    run(source, topic)
    value = source._metrics.value
    assert (value(m.RECORDS, "refused"), value(m.RECORDS, "erased")) == (2, 1)
    again = ProgressStore(tmp_path, 8 << 20)
    assert (again.positions(), again.users) == ({0: 4}, 0)
    again.close()


async def test_a_writer_that_fails_leaves_the_readers_what_there_is(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "store")
    scene.put(person())
    scene.catch_up()

    def full() -> None:
        raise ReadStoreError("the disk is full")

    scene.source._once = full  # type: ignore[method-assign]
    scene.source._run()
    assert (await scene.get("/v1/users/ann/progress")).status == 200
    assert (await scene.get("/livez")).json["reasons"] == [
        "the store cannot go on: the disk is full"
    ]
    scene.store.close()
