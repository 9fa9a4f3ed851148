"""The resolver: against a registry made of a dict, and against the real one."""

import copy
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema as RegistrySchema
from confluent_kafka.schema_registry import SchemaReference, SchemaRegistryError

from pipeline.clock import now_ms
from pipeline.codec.avro import AvroEncoder
from pipeline.codec.avro_reader import UnresolvableSchemaError
from pipeline.codec.errors import (
    CompatibilityLevelError,
    DecodeError,
    RegistryUnavailableError,
    SchemaDiffersError,
    SchemaMissingError,
    UnknownSchemaIdError,
)
from pipeline.codec.inputs import InputDecoder
from pipeline.codec.registry import (
    Expected,
    SchemaResolver,
    connect,
    level_of,
    registered_fingerprint,
)
from pipeline.codec.schemas import RECORDS, parse
from pipeline.codec.writers import subjects_of
from pipeline.dev.local.stack import LocalStack
from tests.codec.registry_scene import (
    REFUSALS,
    SILENCES,
    Clock,
    FakeRegistry,
    changed,
    raising,
)
from tests.codec.samples import SAMPLES, SCHEMAS

AUDIT, PORTAL = SCHEMAS["AuditEntry"], SCHEMAS["PortalUnlocked"]
EXPECTED = {
    "a-value": Expected(AUDIT, "FULL_TRANSITIVE"),
    "p-value": Expected(PORTAL, "FULL_TRANSITIVE"),
}


@pytest.fixture
def registry() -> FakeRegistry:
    fake = FakeRegistry()
    fake.put("a-value", 11, AUDIT.text, "FULL_TRANSITIVE")
    fake.put("p-value", 12, PORTAL.text, "FULL_TRANSITIVE")
    return fake


def resolver(
    registry: Any, clock: Callable[[], float] = lambda: 0.0, **bounds: Any
) -> SchemaResolver:
    return SchemaResolver(registry, clock, **bounds)


def test_ids_come_by_subject(registry: FakeRegistry) -> None:
    assert resolver(registry).resolve(EXPECTED) == {"a-value": 11, "p-value": 12}


def test_layout_and_documentation_make_no_difference(registry: FakeRegistry) -> None:
    registry.put("a-value", 21, changed(AUDIT.text, lambda t: t.update(doc="other")))
    assert resolver(registry).resolve(EXPECTED)["a-value"] == 21


def test_a_missing_subject(registry: FakeRegistry) -> None:
    del registry.subjects["p-value"]
    with pytest.raises(SchemaMissingError) as caught:
        resolver(registry).resolve(EXPECTED)
    assert caught.value.fields["subject"] == "p-value"
    assert "awaway schemas register" in caught.value.fix


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t["fields"].insert(0, {"name": "new", "type": "int", "default": 0}),
        lambda t: t["fields"].pop(0),
        lambda t: t["fields"][17]["type"].pop("logicalType"),
        lambda t: t["fields"][5]["type"]["symbols"].append("more"),
        lambda t: t["fields"][4].pop("default"),
    ],
)
def test_another_schema(registry: FakeRegistry, change: Callable[[dict[str, Any]], object]) -> None:
    text = changed(AUDIT.text, change)
    registry.put("a-value", 11, text)
    with pytest.raises(SchemaDiffersError, match=AUDIT.fingerprint) as caught:
        resolver(registry).resolve(EXPECTED)
    assert caught.value.fields == {"subject": "a-value", "version": 2}
    assert "awaway schemas" in caught.value.fix


def test_a_registered_text_that_is_no_avro(registry: FakeRegistry) -> None:
    registry.put("a-value", 11, 'syntax = "proto3";', kind="PROTOBUF")
    with pytest.raises(SchemaDiffersError, match="None"):
        resolver(registry).resolve(EXPECTED)
    assert registered_fingerprint(None) is None
    assert registered_fingerprint("{}") is None
    assert registered_fingerprint("5") is None
    assert registered_fingerprint('{"type":' * 100_000) is None


@pytest.mark.parametrize("level", ["BACKWARD", "NONE", "FULL", None])
def test_another_compatibility_level(registry: FakeRegistry, level: str | None) -> None:
    registry.levels.pop("a-value")
    if level is not None:
        registry.levels["a-value"] = level
    with pytest.raises(CompatibilityLevelError, match=level or "BACKWARD"):
        resolver(registry).resolve(EXPECTED)


def test_the_registrys_own_level_counts_where_the_subject_has_none(registry: FakeRegistry) -> None:
    del registry.levels["a-value"]
    registry.levels[None] = "FULL_TRANSITIVE"
    assert resolver(registry).resolve(EXPECTED)["a-value"] == 11


def test_all_that_is_wrong_is_told_at_once(registry: FakeRegistry) -> None:
    registry.subjects.clear()
    registry.put("p-value", 12, AUDIT.text)
    with pytest.raises(SchemaMissingError, match="a-value") as caught:
        resolver(registry).resolve(EXPECTED)
    assert "p-value is not this release's" in str(caught.value)


def newer(text: str) -> str:
    """A version that a producer may register: one field more, which we do not know."""
    field = {"name": "mood", "type": ["null", "string"], "default": None}
    return changed(text, lambda tree: tree["fields"].append(field))


COMPLETED = SCHEMAS["PracticeCompleted"]
INPUT = {"c-value": Expected(COMPLETED, "BACKWARD_TRANSITIVE", is_input=True)}


def test_an_input_may_be_newer_than_we_are(registry: FakeRegistry) -> None:
    registry.put("c-value", 31, COMPLETED.text, "BACKWARD_TRANSITIVE")
    registry.put("c-value", 32, newer(COMPLETED.text))
    assert resolver(registry).resolve(INPUT) == {"c-value": 31}
    registry.put("c-value", 33, newer(COMPLETED.text).replace("mood", "weather"))
    assert resolver(registry).resolve(INPUT) == {"c-value": 31}


def test_an_input_of_which_ours_was_never_registered(registry: FakeRegistry) -> None:
    registry.put("c-value", 32, newer(COMPLETED.text), "BACKWARD_TRANSITIVE")
    assert resolver(registry).resolve(INPUT) == {"c-value": 32}
    registry.levels["c-value"] = "NONE"
    with pytest.raises(CompatibilityLevelError, match="is NONE"):
        resolver(registry).resolve(INPUT)


def test_an_input_whose_latest_version_we_cannot_read(registry: FakeRegistry) -> None:
    registry.put("c-value", 31, COMPLETED.text, "BACKWARD_TRANSITIVE")
    registry.put("c-value", 32, COMPLETED.text.replace('"tz"', '"zone"'))
    with pytest.raises(SchemaDiffersError, match="version 2: it lacks") as caught:
        resolver(registry).resolve(INPUT)
    assert caught.value.fields == {"subject": "c-value", "version": 2}
    assert "DELETE /subjects/c-value/versions/2" in caught.value.fix
    registry.put("c-value", 33, 'syntax = "proto3";', kind="PROTOBUF")
    with pytest.raises(SchemaDiffersError, match="version 3: it is PROTOBUF, not Avro"):
        resolver(registry).resolve(INPUT)


def test_an_output_is_ours_or_nobodys(registry: FakeRegistry) -> None:
    registry.put("a-value", 13, newer(AUDIT.text))
    with pytest.raises(SchemaDiffersError, match="version 2 has fingerprint"):
        resolver(registry).resolve(EXPECTED)


def test_a_version_that_goes_while_ours_is_looked_for(registry: FakeRegistry) -> None:
    registry.put("c-value", 31, COMPLETED.text, "BACKWARD_TRANSITIVE").deleted = True
    registry.put("c-value", 32, newer(COMPLETED.text))
    registry.answer = lambda line: [1, 2] if line.startswith("versions") else None
    assert resolver(registry).resolve(INPUT) == {"c-value": 32}


def test_a_writers_schema_is_asked_for_once(registry: FakeRegistry) -> None:
    resolved = resolver(registry, ids_max=2)
    for schema_id in (11, 12, 11, 12):
        assert resolved.writer_schema(schema_id)["type"] == "record"
    assert registry.asked == ["schema 11", "schema 12"]
    registry.put("x-value", 13, AUDIT.text)
    resolved.writer_schema(11)
    resolved.writer_schema(13)
    resolved.writer_schema(11)
    assert registry.asked[2:] == ["schema 13"]
    resolved.writer_schema(12)
    assert registry.asked[3:] == ["schema 12"]


def test_an_unknown_id_is_remembered_for_a_while(registry: FakeRegistry) -> None:
    clock = Clock()
    resolved = resolver(registry, clock, unknown_ttl_s=30.0)
    for _ in range(3):
        with pytest.raises(UnknownSchemaIdError):
            resolved.writer_schema(99)
    assert registry.asked == ["schema 99"]
    registry.put("late-value", 99, AUDIT.text)
    clock.now_s += 29
    with pytest.raises(UnknownSchemaIdError):
        resolved.writer_schema(99)
    clock.now_s += 2
    assert resolved.writer_schema(99)["name"] == "AuditEntry"


def test_unknown_ids_are_bounded_in_number(registry: FakeRegistry) -> None:
    resolved = resolver(registry, ids_max=10)
    for schema_id in range(1_000, 1_100):
        with pytest.raises(UnknownSchemaIdError):
            resolved.writer_schema(schema_id)
    assert len(resolved._unknown_until) == 10
    with pytest.raises(UnknownSchemaIdError):
        resolved.writer_schema(1_099)
    assert len(registry.asked) == 100
    with pytest.raises(UnknownSchemaIdError):
        resolved.writer_schema(1_000)
    assert len(registry.asked) == 101


@pytest.mark.parametrize(
    "failure",
    [*SILENCES, *REFUSALS, SchemaRegistryError(404, 40401, "no such subject, nobody asked for it")],
)
def test_a_registry_that_cannot_say_is_never_an_unknown_id(
    registry: FakeRegistry, failure: Exception
) -> None:
    resolved = resolver(registry)
    registry.answer = raising(failure)
    with pytest.raises(RegistryUnavailableError):
        resolved.writer_schema(11)
    registry.answer = lambda _: None
    assert resolved.writer_schema(11)["name"] == "AuditEntry"


def test_an_answer_that_is_no_schema(registry: FakeRegistry) -> None:
    registry.answer = lambda _: {"schema": AUDIT.text}
    with pytest.raises(RegistryUnavailableError, match="not a registry's"):
        resolver(registry).writer_schema(11)


def test_a_schema_of_another_language(registry: FakeRegistry) -> None:
    registry.put("x-value", 20, 'syntax = "proto3";', kind="PROTOBUF")
    registry.put("x-value", 21, None)
    registry.put("x-value", 22, "{}", kind="JSON")
    for schema_id in (20, 21, 22):
        with pytest.raises(UnresolvableSchemaError, match="not Avro"):
            resolver(registry).writer_schema(schema_id)
    registry.put("x-value", 23, "[" * 5_000)
    with pytest.raises(UnresolvableSchemaError, match="too deep"):
        resolver(registry).writer_schema(23)


def test_the_real_registry_from_nothing_to_a_decoded_record(stack: LocalStack) -> None:
    prefix = f"t{uuid.uuid4().hex[:8]}."
    client = connect({"url": stack.registry_url})
    resolved = SchemaResolver(client)
    expected = {
        f"{prefix}{name}-value": Expected(SCHEMAS[name], "FULL_TRANSITIVE") for name in RECORDS
    }
    with pytest.raises(SchemaMissingError):
        resolved.resolve(expected)
    for subject, one in expected.items():
        client.set_compatibility(subject, one.level)
        client.register_schema(subject, RegistrySchema(one.schema.text, "AVRO"))
    ids = resolved.resolve(expected)
    assert set(ids) == set(expected)
    decoder = InputDecoder(SCHEMAS, resolved.writer_schema)
    record = SAMPLES[0]
    encoder = AvroEncoder(SCHEMAS["PracticeCompleted"], ids[f"{prefix}PracticeCompleted-value"])
    assert decoder.decode_completion(encoder.encode(record)) == record
    for unknown in (2**31 - 1, -1):
        with pytest.raises(DecodeError) as caught:
            decoder.decode_completion(b"\x00" + unknown.to_bytes(4, "big", signed=True) + b"x")
        assert caught.value.reason == "unknown_schema_id"


def test_the_real_registry_with_a_newer_schema_and_another_level(stack: LocalStack) -> None:
    subject = f"t{uuid.uuid4().hex[:8]}.audit-value"
    expected = {subject: Expected(AUDIT, "FULL_TRANSITIVE")}
    client = connect({"url": stack.registry_url})
    client.register_schema(subject, RegistrySchema(AUDIT.text, "AVRO"))
    with pytest.raises(CompatibilityLevelError):
        SchemaResolver(client).resolve(expected)
    assert level_of(client, subject) == level_of(client, f"{subject}-absent")
    client.set_compatibility(subject, "FULL_TRANSITIVE")
    first = SchemaResolver(client).resolve(expected)[subject]
    tree = copy.deepcopy(AUDIT.tree)
    tree["fields"].insert(0, {"name": "new", "type": ["null", "int"], "default": None})
    client.register_schema(subject, RegistrySchema(json.dumps(tree), "AVRO"))
    with pytest.raises(SchemaDiffersError):
        SchemaResolver(client).resolve(expected)
    newer = {subject: Expected(parse(json.dumps(tree), "newer"), "FULL_TRANSITIVE")}
    assert SchemaResolver(client).resolve(newer)[subject] != first


def framed(schema_id: int, record: Any) -> bytes:
    return AvroEncoder(SCHEMAS["PracticeCompleted"], schema_id).encode(record)


def test_the_real_registry_as_a_worker_asks_it(stack: LocalStack) -> None:
    """Of its subject alone: newer versions, deleted ones, and what can never be read."""
    topics = [f"t{uuid.uuid4().hex[:8]}.{name}" for name in ("completions", "commands")]
    subject = f"{topics[0]}-value"
    client = connect({"url": stack.registry_url})
    client.set_compatibility(subject, "NONE")
    completed = SCHEMAS["PracticeCompleted"]
    ours = client.register_schema(subject, RegistrySchema(completed.text, "AVRO"))
    client.register_schema(f"{topics[1]}-value", RegistrySchema(SCHEMAS["Command"].text, "AVRO"))
    subjects = subjects_of(topics, client)
    decoder = InputDecoder(SCHEMAS, *(one.writer_schema for one in subjects.values()))
    record = SAMPLES[0]

    def decoded(value: bytes) -> Any:
        subjects[topics[0]].begin(0, now_ms())
        try:
            return decoder.decode_completion(value)
        except DecodeError as error:
            assert error.schema_id == int.from_bytes(value[1:5], "big", signed=True)
            return error.reason, error.detail

    assert decoded(framed(ours, record)) == record
    newer_text = newer(completed.text)
    later = client.register_schema(subject, RegistrySchema(newer_text, "AVRO"))
    assert decoded(framed(later, record) + b"\x02\x08calm") == record
    third = client.register_schema(
        subject, RegistrySchema(newer_text.replace("mood", "sky"), "AVRO")
    )
    client.delete_version(subject, 3)
    assert decoded(framed(third, record) + b"\x00") == record
    for unknown in (2**31 - 1, -1, client.register_schema(f"{subject}-x", RegistrySchema("[]"))):
        reason, detail = decoded(b"\0" + unknown.to_bytes(4, "big", signed=True) + b"x")
        assert reason == "unknown_schema_id"
        assert detail.startswith(f"schema id {unknown} is not among the versions of {subject}; ")
        assert f"register the schema under {subject} (TopicNameStrategy)" in detail
    client.register_schema(
        f"{subject}-user", RegistrySchema('{"type":"record","name":"a.User","fields":[]}', "AVRO")
    )
    refers = client.register_schema(
        subject,
        RegistrySchema(
            '{"type":"record","name":"R","fields":[{"name":"user","type":"a.User"}]}',
            "AVRO",
            [SchemaReference("a.User", f"{subject}-user", 1)],
        ),
    )
    reason, detail = decoded(framed(refers, record))
    assert reason == "unresolvable_schema"
    assert "refers to other schemas" in detail


def test_the_real_registry_with_another_language(stack: LocalStack) -> None:
    topic = f"t{uuid.uuid4().hex[:8]}.completions"
    client = connect({"url": stack.registry_url})
    proto = 'syntax = "proto3"; message Other { string name = 1; }'
    schema_id = client.register_schema(f"{topic}-value", RegistrySchema(proto, "PROTOBUF"))
    made = subjects_of([topic], client)[topic]
    made.begin(0, now_ms())
    with pytest.raises(DecodeError, match="it is PROTOBUF, not Avro") as caught:
        InputDecoder(SCHEMAS, made.writer_schema).decode_completion(framed(schema_id, SAMPLES[0]))
    assert caught.value.reason == "unresolvable_schema"


def test_the_real_registry_loses_its_data(stack: LocalStack) -> None:
    """What was read goes on; an id that was not says nothing, until there is a subject again."""
    topic = f"t{uuid.uuid4().hex[:8]}.completions"
    client = connect({"url": stack.registry_url})
    text = RegistrySchema(SCHEMAS["PracticeCompleted"].text, "AVRO")
    ours = client.register_schema(f"{topic}-value", text)
    made = subjects_of([topic], client)[topic]
    decoder = InputDecoder(SCHEMAS, made.writer_schema)
    made.begin(0, now_ms())
    assert decoder.decode_completion(framed(ours, SAMPLES[0])) == SAMPLES[0]
    client.delete_subject(f"{topic}-value")
    client.delete_subject(f"{topic}-value", permanent=True)
    made.begin(0, now_ms())
    with pytest.raises(RegistryUnavailableError, match="has no subject"):
        decoder.decode_completion(framed(ours + 1, SAMPLES[0]))
    made.begin(0, now_ms())
    assert decoder.decode_completion(framed(ours, SAMPLES[0])) == SAMPLES[0]
