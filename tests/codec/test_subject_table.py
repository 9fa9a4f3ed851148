"""The table of a subject's versions: what is in it, and within which bounds."""

from typing import Any

import pytest
from confluent_kafka.schema_registry import SchemaRegistryError
from httpx2 import ConnectError

from pipeline.codec import subject_table
from pipeline.codec.errors import RegistryUnavailableError
from pipeline.codec.subject_table import SubjectTable
from tests.codec.registry_scene import FakeRegistry

SUBJECT = "c-value"


@pytest.fixture
def registry() -> FakeRegistry:
    fake = FakeRegistry()
    for n in range(1, 31):
        fake.put(SUBJECT, 100 + n, f'{{"type":"string","n":{n}}}')
    return fake


def table_of(registry: Any) -> SubjectTable:
    return SubjectTable(registry, SUBJECT)


def test_every_version_is_read_once(registry: FakeRegistry) -> None:
    table = table_of(registry)
    assert table.read() is None
    assert table.texts.keys() == set(range(101, 131))
    assert len(registry.asked) == 31
    assert table.read() is None
    assert registry.asked[31:] == [f"versions of {SUBJECT}", f"version latest of {SUBJECT}"]
    registry.put(SUBJECT, 200, '"string"')
    assert table.read() is None
    assert registry.asked[33:] == [f"versions of {SUBJECT}", f"version 31 of {SUBJECT}"]
    assert table.texts[200].schema == '"string"'


def test_versions_that_were_deleted_still_count(registry: FakeRegistry) -> None:
    """Their records are in the log, and will be for as long as it is kept."""
    for one in registry.subjects[SUBJECT]:
        one.deleted = True
    table = table_of(registry)
    assert table.read() is None
    assert len(table.texts) == 30
    table.read()
    assert len(table.texts) == 30


def test_a_version_that_goes_while_the_table_is_read(registry: FakeRegistry) -> None:
    table = table_of(registry)
    registry.answer = lambda line: [1, 2, 77] if line.startswith("versions") else None
    assert table.read() is None
    assert table.texts.keys() == {101, 102}
    asked = len(registry.asked)
    assert table.read() is None
    assert registry.asked[asked:] == [f"versions of {SUBJECT}"]


def test_the_newest_are_held(registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject_table, "VERSIONS_MAX", 10)
    table = table_of(registry)
    assert table.read() is None
    assert table.texts.keys() == set(range(121, 131))
    assert table.left_out == 20
    registry.put(SUBJECT, 131, '"string"')
    assert table.read() is None
    assert table.texts.keys() == set(range(122, 132))


def test_the_texts_are_bounded_together(
    registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject_table, "TEXTS_CHARS_MAX", 120)
    table = table_of(registry)
    table.read()
    assert max(table.texts) == 130
    assert 3 <= len(table.texts) <= 5
    asked = len(registry.asked)
    table.read()
    assert len(registry.asked) == asked + 2


def test_a_registry_that_began_anew_is_read_anew(registry: FakeRegistry) -> None:
    """Its numbers start again and mean others; an id that was read keeps its schema."""
    table = table_of(registry)
    table.read()
    before = table.texts[101]
    registry.subjects.clear()
    for n in range(1, 31):
        registry.put(SUBJECT, 90 + n, '"string"')
    assert table.read() is None
    assert table.texts[101] is before
    assert table.texts[91].schema == '"string"'
    assert registry.cleared == 1


def test_a_subject_that_was_there_and_is_not(registry: FakeRegistry) -> None:
    del registry.subjects[SUBJECT]
    with pytest.raises(RegistryUnavailableError, match="has no subject c-value") as caught:
        table_of(registry).read()
    assert caught.value.fields["http_status"] == 404


def test_a_gap_is_told_and_filled_later(registry: FakeRegistry) -> None:
    table = table_of(registry)

    def answer(line: str) -> Any:
        if line in (f"version 3 of {SUBJECT}", f"version 5 of {SUBJECT}"):
            raise SchemaRegistryError(422, 42201, "cannot show it")

    registry.answer = answer
    gap = table.read()
    assert gap is not None
    assert "version 5" in str(gap)
    assert len(table.texts) == 28
    registry.answer = lambda _: None
    assert table.read() is None
    assert len(table.texts) == 30


def test_a_registry_that_falls_silent_leaves_what_was_read(registry: FakeRegistry) -> None:
    table = table_of(registry)

    def answer(line: str) -> Any:
        if line == f"version 12 of {SUBJECT}":
            raise ConnectError("gone")

    registry.answer = answer
    with pytest.raises(RegistryUnavailableError, match="did not answer"):
        table.read()
    assert 0 < len(table.texts) < 30
    assert len(registry.asked) <= 1 + 24
