"""Schemas as code: offline, and on the real registry."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema as RegistrySchema
from confluent_kafka.schema_registry import SchemaRegistryClient

from pipeline.codec.errors import RegistryUnavailableError, SchemaFileError
from pipeline.codec.registry import Expected, SchemaResolver, connect, level_of
from pipeline.codec.schemas import RECORDS, Schema, load_schemas, parse
from pipeline.local.stack import LocalStack
from pipeline.ops import schemas
from pipeline.ops.schemas import SchemasRefusedError
from pipeline.ops.topics_file import Target, load_topics, parse_topics

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
    return {s: Expected(change(one.schema), one.level) for s, one in wanted.items()}


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


def test_the_schemas_of_this_release_are_right() -> None:
    assert schemas.check(ROOT / "schemas", FILE) == []


def test_check_names_what_is_wrong(tmp_path: Path) -> None:
    folder = tmp_path / "schemas"
    shutil.copytree(ROOT / "schemas", folder)
    (folder / "AuditEntry.avsc").write_text(broken(SCHEMAS["AuditEntry"]).text)
    (folder / "Command.avsc").write_text(grown(SCHEMAS["Command"]).text)
    found = {(one.record, one.problem) for one in schemas.check(folder, FILE)}
    assert {record for record, _ in found} == {"AuditEntry", "Command"}
    assert ("Command", "it is not released: copy it to released/Command/v2.avsc") in found
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
    full = {s: Expected(one.schema, "FULL_TRANSITIVE") for s, one in wanted.items()}
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
        first: Expected(grown(wanted[first].schema), wanted[first].level),
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


def test_a_registry_that_does_not_answer(wanted: dict[str, Expected]) -> None:
    client = connect({"url": "http://127.0.0.1:1", "max.retries": 0})
    for request in (schemas.plan, schemas.register, schemas.check_online):
        with pytest.raises(RegistryUnavailableError, match="did not answer"):
            request(client, wanted)
