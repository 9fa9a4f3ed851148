"""Schemas, ids and the registry's answers as input: whatever they are, the outcome is one of three.

A record, a `DecodeError` with one of our reasons, or "the registry is away".
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka.schema_registry import RegisteredSchema, SchemaRegistryError
from confluent_kafka.schema_registry import Schema as RegistrySchema
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.codec import writers
from pipeline.codec.errors import DecodeError, RegistryUnavailableError
from pipeline.codec.inputs import REASONS, InputDecoder
from pipeline.codec.registry import SchemaResolver
from pipeline.codec.writers import SubjectSchemas
from pipeline.core.records import Command, PracticeCompleted
from tests.codec.inputs_scene import COMMAND, COMPLETION, ENCODERS
from tests.codec.registry_scene import REFUSALS, SILENCES, Clock, FakeRegistry
from tests.codec.samples import SCHEMAS
from tests.properties import examples

OURS = [SCHEMAS[name].text for name in ("PracticeCompleted", "Command", "AuditEntry")]
BODIES = [ENCODERS["PracticeCompleted"].encode(COMPLETION), ENCODERS["Command"].encode(COMMAND)]
IDS = [0, 1, 2, 3, 4, 2**31 - 1, -1, -(2**31)]

json_trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=6) | st.sampled_from(("type", "fields")), inner)
    ),
    max_leaves=12,
)
kinds = st.sampled_from(
    ["null", "boolean", "int", "long", "float", "double", "bytes", "string", "PracticeCompleted"]
)
types = st.recursive(
    kinds,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.fixed_dictionaries({"type": st.just("array"), "items": inner})
        | st.fixed_dictionaries({"type": st.just("map"), "values": inner})
        | st.fixed_dictionaries(
            {"type": st.just("fixed"), "name": st.just("F"), "size": st.integers(-2, 2**40)}
        )
        | st.fixed_dictionaries(
            {
                "type": st.just("record"),
                "name": st.sampled_from(["PracticeCompleted", "Command", "R", "", "a..b"]),
                "fields": st.lists(
                    st.fixed_dictionaries(
                        {
                            "name": st.sampled_from(["user_id", "tz", "x", "context"]),
                            "type": inner,
                        },
                        optional={"default": json_trees},
                    ),
                    max_size=4,
                ),
            },
            optional={"aliases": json_trees, "namespace": json_trees},
        )
    ),
    max_leaves=12,
)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """One of our schemas with a piece of its text replaced."""
    text = draw(st.sampled_from(OURS))
    at = draw(st.integers(0, len(text) - 1))
    return text[:at] + draw(st.text(max_size=8)) + text[at + draw(st.integers(0, 40)) :]


texts = (
    st.sampled_from([*OURS, "", "{}", "[]", "null", '"string"', "[" * 9_000, '{"type":' * 4_000])
    | types.map(json.dumps)
    | json_trees.map(json.dumps)
    | damaged()
    | st.text(max_size=40)
)
schemas = st.builds(
    RegistrySchema,
    st.none() | texts,
    st.sampled_from(["AVRO", "AVRO", "AVRO", "JSON", "PROTOBUF", ""]) | st.none(),
)
numbers = st.integers(1, 4) | st.integers() | st.text(max_size=3) | st.none() | st.booleans()
versions = st.builds(
    lambda number, schema_id, schema: RegisteredSchema(
        version=number, schema_id=schema_id, guid=None, subject="c-value", schema=schema
    ),
    numbers,
    st.sampled_from(IDS) | numbers,
    schemas,
)
errors = st.sampled_from([*SILENCES, *REFUSALS]) | st.builds(
    SchemaRegistryError,
    st.integers(300, 599),
    st.sampled_from([40401, 40402, 40403, -1]) | json_trees,
    json_trees,
)
listings = st.lists(st.integers(1, 4), max_size=4) | json_trees
answers = st.lists(st.tuples(st.integers(0, 9), listings, versions, schemas, errors), min_size=1)


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    """Each example begins with a state of its own, and would be a line of the log."""
    writers.logger.disabled = True
    yield
    writers.logger.disabled = False


class Hostile(FakeRegistry):
    """Answers with what was generated, one after the other."""

    def __init__(self, given_answers: list[tuple[int, Any, Any, Any, Exception]]) -> None:
        super().__init__()
        self.answers = given_answers
        self.answer = self.next_answer

    def next_answer(self, line: str) -> Any:
        luck, listing, version, schema, error = self.answers[len(self.asked) % len(self.answers)]
        if luck == 0:
            raise error
        if luck == 1:
            return {"not": "what was asked for"}
        if line.startswith("versions"):
            return listing
        return version if line.startswith("version") else schema


values = st.builds(
    lambda schema_id, body: b"\0" + (schema_id % 2**32).to_bytes(4, "big") + body,
    st.sampled_from(IDS) | st.integers(0, 2**32),
    st.sampled_from([body[5:] for body in BODIES]) | st.binary(max_size=60),
)


def outcome(decoder: InputDecoder, value: bytes, *, command: bool) -> str:
    """What became of a value; an assertion fails where that is none of the three."""
    try:
        record: Any = (decoder.decode_command if command else decoder.decode_completion)(value)
    except DecodeError as error:
        assert error.reason in REASONS
        assert error.schema_id == int.from_bytes(value[1:5], "big", signed=True)
        assert error.detail
        return error.reason
    except RegistryUnavailableError:
        return "away"
    assert isinstance(record, Command if command else PracticeCompleted)
    return "record"


@settings(max_examples=examples(40))
@given(answers, st.lists(st.tuples(values, st.booleans(), st.floats(0, 40)), min_size=1))
def test_whatever_the_registry_answers(
    answers: list[tuple[int, Any, Any, Any, Exception]],
    sent: list[tuple[bytes, bool, float]],
) -> None:
    registry: Any = Hostile(answers)
    clock = Clock()
    subject = SubjectSchemas(registry, "c-value", clock, lambda read: read())
    by_subject = InputDecoder(SCHEMAS, subject.writer_schema)
    by_id = InputDecoder(SCHEMAS, SchemaResolver(registry, clock).writer_schema)
    for value, command, passed_s in sent:
        clock.now_s += passed_s
        subject.begin(0, int(clock.now_s * 1000))
        outcome(by_subject, value, command=command)
        outcome(by_id, value, command=command)


@settings(max_examples=examples(80))
@given(texts, st.sampled_from(BODIES), st.booleans(), st.binary(max_size=30))
def test_whatever_the_schema_says(text: str, body: bytes, command: bool, noise: bytes) -> None:
    registry: Any = FakeRegistry()
    registry.put("c-value", 7, text)
    subject = SubjectSchemas(registry, "c-value", Clock(), lambda read: read())
    decoder = InputDecoder(SCHEMAS, subject.writer_schema)
    for tail in (body[5:], noise):
        found = outcome(decoder, b"\0\0\0\0\x07" + tail, command=command)
        assert found not in ("away", "unknown_schema_id", "schema_not_readable")


@pytest.mark.parametrize("command", [False, True])
def test_the_generated_registries_can_answer_rightly(command: bool) -> None:
    """So that the property above is not one about refusals alone."""
    name = "Command" if command else "PracticeCompleted"
    version = RegisteredSchema(
        version=1, schema_id=1, guid=None, subject="c", schema=RegistrySchema(SCHEMAS[name].text)
    )
    registry: Any = Hostile([(9, [1], version, version.schema, ValueError())])
    subject = SubjectSchemas(registry, "c-value", Clock(), lambda read: read())
    value = b"\0\0\0\0\x01" + BODIES[command][5:]
    for source in (subject.writer_schema, SchemaResolver(registry).writer_schema):
        assert outcome(InputDecoder(SCHEMAS, source), value, command=command) == "record"
