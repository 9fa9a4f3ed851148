"""A subject as a worker reads it, with readings at once and on a clock of the test's own."""

from collections.abc import Callable
from typing import Any

from pipeline.codec.writers import SubjectSchemas
from tests.codec.registry_scene import Clock, FakeRegistry
from tests.codec.samples import SCHEMAS

SUBJECT = "c-value"
TEXT = SCHEMAS["PracticeCompleted"].text
BROKER_MS = 1_790_000_000_000
"""The broker's clock when ours says 0; nothing here knows it but the records."""


class Scene:
    """A subject with one version, whose readings take no time and happen at once."""

    def __init__(self) -> None:
        self.registry = FakeRegistry()
        self.registry.put(SUBJECT, 11, TEXT)
        self.clock = Clock()
        self.reading_s = 0.0
        self.held: list[Callable[[], None]] | None = None
        self.schemas: SubjectSchemas = self.made()

    def made(self) -> SubjectSchemas:
        registry: Any = self.registry
        return SubjectSchemas(registry, SUBJECT, self.clock, self.start)

    def start(self, read: Callable[[], None]) -> None:
        if self.held is not None:
            self.held.append(read)
            return
        answer = self.registry.answer

        def slowly(line: str) -> Any:
            self.clock.now_s += self.reading_s
            return answer(line)

        self.registry.answer = slowly
        read()
        self.registry.answer = answer

    def appended(self, age_s: float = 0.0, partition: int = 0) -> None:
        """A batch is read whose newest record was appended so long ago."""
        self.schemas.begin(partition, BROKER_MS + int((self.clock.now_s - age_s) * 1000))

    @property
    def readings(self) -> int:
        return self.registry.asked.count(f"versions of {SUBJECT}")
