"""The resolver: against a registry made of a dict, and against the real one."""

import copy
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka.schema_registry import RegisteredSchema, SchemaRegistryError
from confluent_kafka.schema_registry import Schema as RegistrySchema
from httpx2 import ConnectError

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
    ask,
    connect,
    level_of,
    registered_fingerprint,
)
from pipeline.codec.schemas import RECORDS, parse
from pipeline.local.stack import LocalStack
from tests.codec.samples import SAMPLES, SCHEMAS

AUDIT, PORTAL = SCHEMAS["AuditEntry"], SCHEMAS["PortalUnlocked"]
EXPECTED = {
    "a-value": Expected(AUDIT, "FULL_TRANSITIVE"),
    "p-value": Expected(PORTAL, "FULL_TRANSITIVE"),
}


class FakeRegistry:
    """The four requests that the resolver sends."""

    def __init__(self) -> None:
        self.latest: dict[str, tuple[int, str]] = {}
        self.levels: dict[str | None, str] = {None: "BACKWARD"}
        self.schemas: dict[int, RegistrySchema] = {}
        self.asked: list[int] = []
        self.failure: Exception | None = None

    def put(self, subject: str, schema_id: int, text: str, level: str | None) -> None:
        self.latest[subject] = (schema_id, text)
        self.schemas[schema_id] = RegistrySchema(text, "AVRO")
        if level is not None:
            self.levels[subject] = level

    def get_version(self, subject: str, version: str) -> RegisteredSchema:
        assert version == "latest"
        if subject not in self.latest:
            raise SchemaRegistryError(404, 40401, "no subject")
        schema_id, text = self.latest[subject]
        return RegisteredSchema(
            subject=subject, version=3, schema_id=schema_id, guid=None, schema=RegistrySchema(text)
        )

    def get_compatibility(self, subject: str | None = None) -> str:
        if subject not in self.levels:
            raise SchemaRegistryError(404, 40408, "no level")
        return self.levels[subject]

    def get_schema(self, schema_id: int) -> RegistrySchema:
        self.asked.append(schema_id)
        if self.failure is not None:
            raise self.failure
        if schema_id not in self.schemas:
            raise SchemaRegistryError(404, 40403, "no schema")
        return self.schemas[schema_id]


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


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


def changed(text: str, change: Callable[[dict[str, Any]], object]) -> str:
    tree = json.loads(text)
    change(tree)
    return json.dumps(tree)


def test_ids_come_by_subject(registry: FakeRegistry) -> None:
    assert resolver(registry).resolve(EXPECTED) == {"a-value": 11, "p-value": 12}


def test_layout_and_documentation_make_no_difference(registry: FakeRegistry) -> None:
    registry.put("a-value", 11, changed(AUDIT.text, lambda t: t.update(doc="other")), None)
    assert resolver(registry).resolve(EXPECTED)["a-value"] == 11


def test_a_missing_subject(registry: FakeRegistry) -> None:
    del registry.latest["p-value"]
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
    registry.put("a-value", 11, text, None)
    with pytest.raises(SchemaDiffersError, match=AUDIT.fingerprint) as caught:
        resolver(registry).resolve(EXPECTED)
    assert caught.value.fields == {"subject": "a-value", "version": 3}
    assert "awaway schemas" in caught.value.fix


def test_a_registered_text_that_is_no_avro(registry: FakeRegistry) -> None:
    registry.put("a-value", 11, 'syntax = "proto3";', None)
    with pytest.raises(SchemaDiffersError, match="None"):
        resolver(registry).resolve(EXPECTED)
    assert registered_fingerprint(None) is None
    assert registered_fingerprint("{}") is None
    assert registered_fingerprint("5") is None


@pytest.mark.parametrize("level", ["BACKWARD", "NONE", "FULL", None])
def test_another_compatibility_level(registry: FakeRegistry, level: str | None) -> None:
    registry.levels.pop("a-value")
    registry.put("a-value", 11, AUDIT.text, level)
    with pytest.raises(CompatibilityLevelError, match=level or "BACKWARD"):
        resolver(registry).resolve(EXPECTED)


def test_the_registrys_own_level_counts_where_the_subject_has_none(registry: FakeRegistry) -> None:
    del registry.levels["a-value"]
    registry.levels[None] = "FULL_TRANSITIVE"
    assert resolver(registry).resolve(EXPECTED)["a-value"] == 11


def test_all_that_is_wrong_is_told_at_once(registry: FakeRegistry) -> None:
    registry.latest.clear()
    registry.put("p-value", 12, AUDIT.text, None)
    with pytest.raises(SchemaMissingError, match="a-value") as caught:
        resolver(registry).resolve(EXPECTED)
    assert "p-value is not this release's" in str(caught.value)


def test_a_writers_schema_is_asked_for_once(registry: FakeRegistry) -> None:
    resolved = resolver(registry, ids_max=2)
    for schema_id in (11, 12, 11, 12):
        assert resolved.writer_schema(schema_id) == json.loads(
            registry.schemas[schema_id].schema_str or ""
        )
    assert registry.asked == [11, 12]
    registry.put("x-value", 13, AUDIT.text, None)
    resolved.writer_schema(11)
    resolved.writer_schema(13)
    resolved.writer_schema(11)
    assert registry.asked == [11, 12, 13]
    resolved.writer_schema(12)
    assert registry.asked == [11, 12, 13, 12]


def test_an_unknown_id_is_remembered_for_a_while(registry: FakeRegistry) -> None:
    clock = Clock()
    resolved = resolver(registry, clock, unknown_ttl_s=30.0)
    for _ in range(3):
        with pytest.raises(UnknownSchemaIdError):
            resolved.writer_schema(99)
    assert registry.asked == [99]
    registry.put("late-value", 99, AUDIT.text, None)
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
    [
        ConnectError("refused"),
        TimeoutError("slow"),
        ValueError("an HTML page with status 200"),
        SchemaRegistryError(500, 50001, "its database is gone"),
        SchemaRegistryError(503, -1, "starting"),
        SchemaRegistryError(429, -1, "slow down"),
        SchemaRegistryError(401, 40101, "who are you"),
        SchemaRegistryError(404, -1, "a proxy's own 404"),
        SchemaRegistryError(404, 40401, "no such subject, which nobody asked for"),
    ],
)
def test_a_registry_that_cannot_say_is_never_an_unknown_id(
    registry: FakeRegistry, failure: Exception
) -> None:
    resolved = resolver(registry)
    registry.failure = failure
    with pytest.raises(RegistryUnavailableError):
        resolved.writer_schema(11)
    registry.failure = None
    assert resolved.writer_schema(11)["name"] == "AuditEntry"


def test_a_schema_of_another_language(registry: FakeRegistry) -> None:
    registry.schemas[20] = RegistrySchema('syntax = "proto3";', "PROTOBUF")
    registry.schemas[21] = RegistrySchema(None, "AVRO")
    for schema_id in (20, 21):
        with pytest.raises(UnresolvableSchemaError, match="not Avro"):
            resolver(registry).writer_schema(schema_id)


def test_waits_are_bounded_by_default() -> None:
    client = connect({"url": "http://127.0.0.1:1", "max.retries": 0})
    assert client._rest_client.timeout == 5
    with pytest.raises(RegistryUnavailableError, match="did not answer"):
        ask("anything", client.get_compatibility)


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
