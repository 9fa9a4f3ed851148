"""Schemas as code: offline, and on the real registry."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka.schema_registry import Schema as RegistrySchema
from confluent_kafka.schema_registry import SchemaRegistryClient

from pipeline.codec.errors import (
    RegistryUnavailableError,
    SchemaDiffersError,
    SchemaFileError,
)
from pipeline.codec.registry import Expected, SchemaResolver, connect, level_of
from pipeline.codec.schemas import RECORDS, Schema, load_schemas, parse
from pipeline.dev.local.stack import LocalStack
from pipeline.ops.schemas import sync as schemas
from pipeline.ops.schemas.sync import NotLatestError, SchemasRefusedError
from pipeline.ops.topics.file import Target, load_topics, parse_topics

ROOT = Path(__file__).parents[2]
FILE = load_topics(ROOT / "topics.yaml")
SCHEMAS = load_schemas(ROOT / "schemas")


def grown(schema: Schema) -> Schema:
    """One more field, and one more symbol in every enum."""
    tree = copy.deepcopy(schema.tree)
    field = {"name": "brand_new", "type": ["null", "string"], "doc": "New.", "default": None}
    tree["fields"].insert(len(tree["fields"]) - 2, field)
    for one in _enums(tree):
        one["symbols"].append("brand_new")
    return parse(json.dumps(tree), schema.name)


def _enums(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [found for branch in node for found in _enums(branch)]
    if not isinstance(node, dict):
        return []
    inner = [found for value in node.values() for found in _enums(value)]
    return [node, *inner] if node.get("type") == "enum" else inner


def broken(schema: Schema) -> Schema:
    """A new field without a default."""
    tree = copy.deepcopy(schema.tree)
    tree["fields"].insert(0, {"name": "brand_new", "type": "string", "doc": "New."})
    return parse(json.dumps(tree), schema.name)


def changed(wanted: dict[str, Expected], change: Callable[[Schema], Schema]) -> dict[str, Expected]:
    return {s: msgspec.structs.replace(one, schema=change(one.schema)) for s, one in wanted.items()}


@pytest.fixture
def client(stack: LocalStack) -> SchemaRegistryClient:
    return connect({"url": stack.registry_url})


@pytest.fixture
def wanted(topic_prefix: str) -> dict[str, Expected]:
    return schemas.expected(FILE, SCHEMAS, Target(topic_prefix))


def test_every_record_has_a_subject() -> None:
    expected = schemas.expected(FILE, SCHEMAS)
    assert {one.schema.name for one in expected.values()} == set(RECORDS)
    assert expected["awaway.audit-value"].level == "FULL_TRANSITIVE"
    assert expected["awaway.completions-value"].level == "BACKWARD_TRANSITIVE"
    inputs = {subject for subject, one in expected.items() if one.is_input}
    assert inputs == {"awaway.completions-value", "awaway.commands-value"}


def test_the_schemas_of_this_release_are_right() -> None:
    assert schemas.check(ROOT / "schemas", FILE) == []


def test_check_names_what_is_wrong(tmp_path: Path) -> None:
    folder = tmp_path / "schemas"
    shutil.copytree(ROOT / "schemas", folder)
    (folder / "AuditEntry.avsc").write_text(broken(SCHEMAS["AuditEntry"]).text)
    (folder / "Command.avsc").write_text(grown(SCHEMAS["Command"]).text)
    found = {(one.record, one.problem) for one in schemas.check(folder, FILE)}
    assert {record for record, _ in found} == {"AuditEntry", "Command"}
    number = len(list((folder / "released" / "Command").glob("v*.avsc"))) + 1
    copy = f"it is not released: copy it to released/Command/v{number}.avsc"
    assert ("Command", copy) in found
    assert any("v1 data is not readable" in problem for _, problem in found)


def test_check_names_a_record_without_a_topic() -> None:
    text = (ROOT / "topics.yaml").read_text().replace("value: AuditEntry", "value: Command")
    found = schemas.check(ROOT / "schemas", parse_topics(text))
    assert [(one.record, one.problem) for one in found] == [
        ("AuditEntry", "no topic of topics.yaml has it")
    ]


def test_a_registry_is_made_as_the_files_say(
    client: SchemaRegistryClient, wanted: dict[str, Expected]
) -> None:
    planned = schemas.plan(client, wanted)
    assert {(c.standing, c.level_now, c.is_change) for c in planned} == {("missing", None, True)}
    assert schemas.register(client, wanted) == planned
    assert schemas.register(client, wanted) == []
    assert {(c.standing, c.is_change) for c in schemas.plan(client, wanted)} == {("same", False)}
    assert schemas.check_online(client, wanted) == []
    assert SchemaResolver(client).resolve(wanted).keys() == wanted.keys()


def test_every_record_and_every_enum_can_grow_on_the_real_registry(
    client: SchemaRegistryClient, wanted: dict[str, Expected]
) -> None:
    """And from the newer one back, too: both pass at FULL_TRANSITIVE."""
    full = {s: msgspec.structs.replace(w, level="FULL_TRANSITIVE") for s, w in wanted.items()}
    schemas.register(client, full)
    newer = changed(full, grown)
    assert schemas.check_online(client, newer) == []
    done = schemas.register(client, newer)
    assert {(c.standing, c.version_now, c.refused) for c in done} == {("differs", 1, None)}
    assert all(any("brand_new" in line for line in change.diff) for change in done)
    assert SchemaResolver(client).resolve(newer)
    for subject, one in full.items():
        assert client.test_compatibility_all_versions(
            subject, RegistrySchema(one.schema.text, "AVRO")
        )


def test_what_breaks_readers_is_refused_and_nothing_else_is_done(
    client: SchemaRegistryClient, wanted: dict[str, Expected]
) -> None:
    schemas.register(client, wanted)
    subject = next(s for s in wanted if s.endswith("audit-value"))
    first = next(iter(wanted))
    mixed = wanted | {
        first: Expected(grown(wanted[first].schema), wanted[first].level, is_input=True),
        subject: Expected(broken(wanted[subject].schema), wanted[subject].level),
    }
    assert [(one.record) for one in schemas.check_online(client, mixed)] == ["AuditEntry"]
    with pytest.raises(SchemasRefusedError, match="brand_new") as caught:
        schemas.register(client, mixed)
    assert "--allow-incompatible" in caught.value.fix
    assert SchemaResolver(client).resolve(wanted)
    done = schemas.register(client, mixed, [subject])
    assert {change.subject for change in done} == {first, subject}
    assert level_of(client, subject) == "FULL_TRANSITIVE"
    assert SchemaResolver(client).resolve(mixed)


def test_a_level_that_somebody_changed_is_set_back(
    client: SchemaRegistryClient, wanted: dict[str, Expected]
) -> None:
    schemas.register(client, wanted)
    subject = next(iter(wanted))
    client.set_compatibility(subject, "NONE")
    (change,) = schemas.register(client, wanted)
    assert (change.subject, change.standing, change.level_now) == (subject, "same", "NONE")
    assert level_of(client, subject) == wanted[subject].level


def test_the_registry_itself_refuses_what_our_rules_would(
    client: SchemaRegistryClient, wanted: dict[str, Expected]
) -> None:
    """So that a schema cannot slip past by another way than this command."""
    schemas.register(client, wanted)
    for subject, one in wanted.items():
        text = RegistrySchema(broken(one.schema).text, "AVRO")
        assert not client.test_compatibility_all_versions(subject, text)


def test_a_subject_that_holds_something_else(
    client: SchemaRegistryClient, wanted: dict[str, Expected]
) -> None:
    subject = next(iter(wanted))
    other = 'syntax = "proto3"; message Other { string name = 1; }'
    client.register_schema(subject, RegistrySchema(other, "PROTOBUF"))
    (change,) = schemas.plan(client, {subject: wanted[subject]})
    assert change.standing == "differs"
    assert change.refused is not None


def test_a_subject_that_is_not_ours(
    client: SchemaRegistryClient, wanted: dict[str, Expected]
) -> None:
    with pytest.raises(SchemaFileError, match="is not a subject of ours"):
        schemas.register(client, wanted, ["nope-value"])


MOOD = {"name": "mood", "type": ["null", "string"], "default": None}


def with_field(text: str, field: dict[str, Any]) -> str:
    tree = json.loads(text)
    tree["fields"].append(field)
    return json.dumps(tree)


def put(client: SchemaRegistryClient, subject: str, text: str) -> None:
    """What a producer's serialiser does by itself."""
    client.register_schema(subject, RegistrySchema(text, "AVRO"))


def test_a_producer_may_register_a_newer_input(
    client: SchemaRegistryClient, wanted: dict[str, Expected]
) -> None:
    schemas.register(client, wanted)
    subject = next(s for s in wanted if s.endswith("completions-value"))
    put(client, subject, with_field(wanted[subject].schema.text, MOOD))
    assert SchemaResolver(client).resolve(wanted)
    planned = {change.subject: change for change in schemas.plan(client, wanted)}
    newer = planned.pop(subject)
    assert (newer.standing, newer.version_now, newer.is_change) == ("newer", 2, False)
    assert any("mood" in line for line in newer.diff if line.startswith("+"))
    assert newer.note is not None
    assert "version 2 came after ours, version 1" in newer.note
    assert {change.standing for change in planned.values()} == {"same"}
    assert schemas.check_online(client, wanted) == []
    assert schemas.register(client, wanted) == []
    assert client.get_version(subject, "latest").version == 2
    client.set_compatibility(subject, "NONE")
    (change,) = schemas.register(client, wanted)
    assert (change.standing, change.level_now) == ("newer", "NONE")
    assert level_of(client, subject) == wanted[subject].level


def test_a_release_follows_what_producers_registered(
    client: SchemaRegistryClient, wanted: dict[str, Expected]
) -> None:
    """Also a field whose logical type we do not use, which the rules of outputs would refuse."""
    subject = next(s for s in wanted if s.endswith("completions-value"))
    mine = {subject: wanted[subject]}
    schemas.register(client, mine)
    text = json.loads(wanted[subject].schema.text)
    text["fields"][0]["type"] = {"type": "string", "logicalType": "uuid"}
    put(client, subject, json.dumps(text))
    next_release = changed(mine, grown)
    assert SchemaResolver(client).resolve(next_release)
    (change,) = schemas.register(client, next_release)
    assert (change.standing, change.refused) == ("differs", None)
    assert client.get_version(subject, "latest").version == 3
    assert SchemaResolver(client).resolve(next_release)


def test_an_input_that_this_release_cannot_read(
    client: SchemaRegistryClient, wanted: dict[str, Expected]
) -> None:
    """It is told which version, and what is told helps."""
    schemas.register(client, wanted)
    subject = next(s for s in wanted if s.endswith("completions-value"))
    client.set_compatibility(subject, "NONE")
    put(client, subject, wanted[subject].schema.text.replace('"name": "tz"', '"name": "zone"'))
    client.set_compatibility(subject, wanted[subject].level)
    with pytest.raises(SchemaDiffersError, match="version 2") as refused:
        SchemaResolver(client).resolve(wanted)
    (change,) = [c for c in schemas.plan(client, wanted) if c.is_change]
    assert change.standing == "superseded"
    assert "cannot read version 2" in (change.refused or "")
    (finding,) = schemas.check_online(client, wanted)
    assert "version 2" in finding.problem
    with pytest.raises(SchemasRefusedError, match="would change nothing") as caught:
        schemas.register(client, wanted, [subject])
    for fix in (refused.value.fix, caught.value.fix):
        assert f"DELETE /subjects/{subject}/versions/2" in fix
    client.delete_version(subject, 2)
    assert schemas.register(client, wanted) == []
    assert SchemaResolver(client).resolve(wanted)


def test_an_output_that_somebody_registered_after_ours(
    client: SchemaRegistryClient, wanted: dict[str, Expected]
) -> None:
    """Registering ours again changes nothing, and is not said to."""
    schemas.register(client, wanted)
    subject = next(s for s in wanted if s.endswith("progress-value"))
    put(client, subject, grown(wanted[subject].schema).text)
    with pytest.raises(SchemaDiffersError):
        SchemaResolver(client).resolve(wanted)
    with pytest.raises(SchemasRefusedError, match="version 2 was registered after ours, version 1"):
        schemas.register(client, wanted)
    client.delete_version(subject, 2)
    assert SchemaResolver(client).resolve(wanted)


def test_what_was_registered_and_is_not_the_latest_is_not_called_done(
    client: SchemaRegistryClient, wanted: dict[str, Expected], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody registered another one at the same moment."""
    subject = next(s for s in wanted if s.endswith("progress-value"))
    mine = {subject: wanted[subject]}
    right = client.register_schema

    def also(name: str, schema: RegistrySchema) -> int:
        found: int = right(name, schema)
        right(name, RegistrySchema(grown(wanted[subject].schema).text, "AVRO"))
        return found

    monkeypatch.setattr(client, "register_schema", also)
    with pytest.raises(NotLatestError, match="the latest is version 2"):
        schemas.register(client, mine)


def test_what_the_registry_refuses_is_called_so(
    client: SchemaRegistryClient, wanted: dict[str, Expected]
) -> None:
    """It has rules of its own, such as one for new fields at full compatibility."""
    subject = next(s for s in wanted if s.endswith("completions-value"))
    schemas.register(client, {subject: wanted[subject]})
    strict = with_field(wanted[subject].schema.text, {"name": "mood", "type": "string"})
    put_level = {subject: Expected(parse(strict, "x"), "FULL_TRANSITIVE", is_input=True)}
    with pytest.raises(SchemasRefusedError):
        schemas.register(client, put_level)


def test_a_registry_that_does_not_answer(wanted: dict[str, Expected]) -> None:
    client = connect({"url": "http://127.0.0.1:1", "max.retries": 0})
    for request in (schemas.plan, schemas.register, schemas.check_online):
        with pytest.raises(RegistryUnavailableError, match="did not answer"):
            request(client, wanted)
