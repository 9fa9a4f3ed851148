"""The agents: each batch reaches the processor, and its fate the engine."""

from collections.abc import AsyncIterator
from typing import Any, cast

from pipeline.engine.batch import Batch
from pipeline.worker.agents import Agents
from pipeline.worker.processing import Processor


class Poll:
    """Some batches of one poll, and what became of each."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.fates: list[tuple[str, str]] = []

    async def batches(self) -> AsyncIterator[Batch]:
        for name in self.names:
            yield cast(Batch, _Batch(name, self.fates))


class _Batch:
    def __init__(self, name: str, fates: list[tuple[str, str]]) -> None:
        self.name = name
        self._fates = fates

    def done(self) -> None:
        self._fates.append((self.name, "done"))

    def fail(self, error: BaseException) -> None:
        self._fates.append((self.name, f"failed: {error}"))


class _Processor:
    """Notes what it is given; refuses a batch named bad."""

    def __init__(self) -> None:
        self.given: list[tuple[str, str]] = []

    def completions(self, batch: Any) -> None:
        self._take("completions", batch.name)

    def commands(self, batch: Any) -> None:
        self._take("commands", batch.name)

    def _take(self, topic: str, name: str) -> None:
        self.given.append((topic, name))
        if name == "bad":
            raise ValueError("no")


async def test_a_batch_is_done_when_it_was_processed_and_a_failed_one_stops_no_other() -> None:
    agents, processor = Agents(), _Processor()
    agents.processor = cast(Processor, processor)
    poll = Poll("first", "bad", "last")
    await agents.completions(poll.batches())
    assert processor.given == [("completions", name) for name in poll.names]
    assert poll.fates == [("first", "done"), ("bad", "failed: no"), ("last", "done")]
    commands = Poll("one")
    await agents.commands(commands.batches())
    assert processor.given[-1] == ("commands", "one")
    assert commands.fates == [("one", "done")]
