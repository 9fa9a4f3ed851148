"""A registry made of a dict, with the requests of the Confluent API that the codec sends."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from confluent_kafka.schema_registry import RegisteredSchema, SchemaReference, SchemaRegistryError
from confluent_kafka.schema_registry import Schema as RegistrySchema
from confluent_kafka.schema_registry.error import OAuthTokenError
from httpx2 import ConnectError

SILENCES: tuple[Exception, ...] = (
    ConnectError("refused"),
    TimeoutError("slow"),
    OAuthTokenError("no token"),
    SchemaRegistryError(500, 50001, "its database is gone"),
    SchemaRegistryError(503, -1, "starting"),
    SchemaRegistryError(408, -1, "took long"),
)
"""No answer: it can pass."""

REFUSALS: tuple[Exception, ...] = (
    ValueError("an HTML page with status 200"),
    KeyError("compatibilityLevel"),
    RecursionError("brackets"),
    SchemaRegistryError(302, -1, "log in first"),
    SchemaRegistryError(401, 40101, "who are you"),
    SchemaRegistryError(403, 40301, "not for you"),
    SchemaRegistryError(404, -1, "a proxy's own 404"),
    SchemaRegistryError(410, -1, "gone"),
    SchemaRegistryError(422, 42201, "no such form"),
    SchemaRegistryError(429, -1, "slow down"),
)
"""Answers that say nothing of what was asked."""


@dataclass
class Kept:
    """One version."""

    number: int
    schema_id: int
    schema: RegistrySchema
    deleted: bool = False


class FakeRegistry:
    """Answers from memory.

    Attributes:
        asked: one line a request.
        answer: given a request's line, raises or returns what is answered instead; None for the
            right answer.
    """

    def __init__(self) -> None:
        self.subjects: dict[str, list[Kept]] = {}
        self.levels: dict[str | None, str] = {None: "BACKWARD"}
        self.asked: list[str] = []
        self.answer: Callable[[str], Any] = lambda _: None
        self.cleared = 0

    def put(
        self,
        subject: str,
        schema_id: int,
        text: str | None,
        level: str | None = None,
        kind: str = "AVRO",
        refers: bool = False,
    ) -> Kept:
        """Register one more version."""
        references = [SchemaReference("X", "x-value", 1)] if refers else []
        versions = self.subjects.setdefault(subject, [])
        number = max((one.number for one in versions), default=0) + 1
        versions.append(Kept(number, schema_id, RegistrySchema(text, kind, references)))
        if level is not None:
            self.levels[subject] = level
        return versions[-1]

    def _asked(self, line: str) -> Any:
        self.asked.append(line)
        return self.answer(line)

    def _versions(self, subject: str, deleted: bool) -> list[Kept]:
        found = [one for one in self.subjects.get(subject, []) if deleted or not one.deleted]
        if not found:
            raise SchemaRegistryError(404, 40401, "no subject")
        return found

    def get_versions(self, subject: str, deleted: bool = False) -> Any:
        answer = self._asked(f"versions of {subject}")
        if answer is not None:
            return answer
        return [one.number for one in self._versions(subject, deleted)]

    def get_version(self, subject: str, number: int | str = "latest", deleted: bool = False) -> Any:
        answer = self._asked(f"version {number} of {subject}")
        if answer is not None:
            return answer
        versions = self._versions(subject, deleted)
        for one in reversed(versions):
            if number in ("latest", one.number):
                return RegisteredSchema(
                    subject=subject,
                    version=one.number,
                    schema_id=one.schema_id,
                    guid=None,
                    schema=one.schema,
                )
        raise SchemaRegistryError(404, 40402, "no version")

    def get_compatibility(self, subject: str | None = None) -> Any:
        answer = self._asked(f"level of {subject}")
        if answer is not None:
            return answer
        if subject not in self.levels:
            raise SchemaRegistryError(404, 40408, "no level")
        return self.levels[subject]

    def get_schema(self, schema_id: int) -> Any:
        answer = self._asked(f"schema {schema_id}")
        if answer is not None:
            return answer
        for versions in self.subjects.values():
            for one in versions:
                if one.schema_id == schema_id:
                    return one.schema
        raise SchemaRegistryError(404, 40403, "no schema")

    def clear_caches(self) -> None:
        self.cleared += 1


class Clock:
    """Elapsed seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def raising(error: Exception) -> Callable[[str], Any]:
    """An answer that is an error."""

    def answer(_: str) -> Any:
        raise error

    return answer


def changed(text: str, change: Callable[[dict[str, Any]], object]) -> str:
    """A schema's text after a change of its tree."""
    tree = json.loads(text)
    change(tree)
    return json.dumps(tree)
