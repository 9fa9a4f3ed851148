"""Decoding is total: schemas and bodies of any origin, and what reading them may do.

Owns: drawn schemas, valid ones with damage, and JSON that never was one; drawn and damaged bodies.
Does not own: what a value is (test_avro_pairs.py).
"""

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.codec.avro_reader import (
    AvroReader,
    MalformedAvroError,
    UnresolvableSchemaError,
    parse_writer_schema,
)
from pipeline.codec.inputs import REASONS
from pipeline.codec.schemas import JsonSchema, Schema
from tests.codec.avro_pairs import Pair, pairs
from tests.codec.avro_steps import allowed, steps_of
from tests.codec.samples import SCHEMAS

WORDS = (
    *("null", "boolean", "int", "long", "float", "double", "bytes", "string"),
    *(
        "record",
        "error",
        "enum",
        "fixed",
        "array",
        "map",
        "union",
        "a",
        "a.b",
        "X",
        "N1",
        "c.X",
        "",
    ),
    *("date", "decimal", "timestamp-micros", "timestamp-millis", "duration", "uuid"),
)
KEYS = (
    *("type", "name", "namespace", "fields", "items", "values", "symbols", "size", "default"),
    *("aliases", "logicalType", "scale", "precision", "doc", "order"),
)
SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(WORDS),
    st.none(),
    st.booleans(),
    st.sampled_from((0, 1, -1, 2**31, 2**63, -(2**63), 10**300, 1.5, float("nan"), float("inf"))),
    st.text(max_size=3),
)
TREES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=25,
)
OURS = (SCHEMAS["PracticeCompleted"], SCHEMAS["Command"])


def holders_of(tree: JsonSchema) -> list[tuple[Any, Any]]:
    """Every list or object within a tree with each index or key that it has."""
    found: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        keys = one if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        found += [(one, key) for key in keys]
        waiting += [one[key] for key in keys]
    return found


@st.composite
def damaged(draw: Any, tree: JsonSchema) -> JsonSchema:
    """A tree of which parts are changed, taken out, doubled, or put where others were."""
    tree = copy.deepcopy(tree)
    for _ in range(draw(st.integers(1, 3))):
        holders = holders_of(tree)
        owner, key = draw(st.sampled_from(holders))
        what = draw(st.integers(0, 4))
        if what == 0:
            owner[key] = draw(TREES)
        elif what == 1:
            del owner[key]
        elif what == 2:
            other, from_there = draw(st.sampled_from(holders))
            owner[key] = copy.deepcopy(other[from_there])
        elif what == 3 and isinstance(owner, list):
            owner.insert(key, copy.deepcopy(owner[key]))
        else:
            owner[key] = {"type": "array", "items": owner[key]}
        if not holders_of(tree):
            break
    return tree


@st.composite
def bodies(draw: Any, written: bytes) -> bytes:
    """A body as it was written, with damage, or bytes of any origin."""
    body = bytearray(written)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(body)))
        some = draw(st.binary(max_size=3) | st.sampled_from((b"\xff" * 9 + b"\x01", b"\x80" * 11)))
        body[at : at + draw(st.integers(0, 3))] = some
    return draw(st.just(bytes(body)) | st.binary(max_size=40))  # type: ignore[no-any-return]


def try_all(writer: JsonSchema, ours: Schema, body: bytes) -> None:
    """Read a body, and hold what comes of it to what may."""
    try:
        reader = AvroReader(writer, ours)
    except UnresolvableSchemaError as error:
        check_message(error)
        return
    try:
        row = reader.read(body, 0)
    except MalformedAvroError as error:
        assert error.reason in REASONS
        check_message(error)
    else:
        assert len(row) == len(ours.tree["fields"])
    steps_of(reader, body, allowed(body, 16 + 4 * len(ours.tree["fields"])))


def check_message(error: Exception) -> None:
    """A message is short, and can be written down."""
    text = str(error)
    assert 0 < len(text) < 500
    text.encode()


def try_pair(data: st.DataObject, pair: Pair) -> None:
    body = data.draw(bodies(pair.body()))
    ours = Schema("R", "", pair.reader_json)
    try_all(pair.writer_json, ours, body)
    if ours.tree["fields"]:
        try_all(data.draw(damaged(pair.writer_json)), ours, body)


def try_text(data: st.DataObject, ours: Schema) -> None:
    text = data.draw(st.sampled_from(OURS)).text
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = start + data.draw(st.integers(0, 40))
        some = data.draw(st.text('{}[]":,\\ntre0', max_size=4) | TREES.map(json.dumps))
        text = text[:start] + some + text[end:]
    try:
        tree = parse_writer_schema(text)
    except UnresolvableSchemaError as error:
        check_message(error)
    else:
        try_all(tree, ours, b"")


@settings(max_examples=40)
@given(data=st.data(), pair=pairs())
def test_damaged_schemas_and_bodies_are_refused_or_read(data: st.DataObject, pair: Pair) -> None:
    try_pair(data, pair)


@settings(max_examples=80)
@given(data=st.data(), ours=st.sampled_from(OURS), body=st.binary(max_size=60))
def test_damage_to_our_own_schemas_is_refused_or_read(
    data: st.DataObject, ours: Schema, body: bytes
) -> None:
    try_all(data.draw(damaged(ours.tree)), ours, body)


@settings(max_examples=80)
@given(tree=TREES, ours=st.sampled_from(OURS), body=st.binary(max_size=20))
def test_any_json_is_refused_or_read(tree: JsonSchema, ours: Schema, body: bytes) -> None:
    try_all(tree, ours, body)
    fields = [{"name": "extra", "type": tree}, *ours.tree["fields"]]
    try_all({**ours.tree, "fields": fields}, ours, body)


@settings(max_examples=50)
@given(data=st.data(), ours=st.sampled_from(OURS))
def test_any_text_is_refused_or_read(data: st.DataObject, ours: Schema) -> None:
    try_text(data, ours)


@settings(max_examples=100)
@given(st.text(max_size=40) | st.text('{}[]":,\\ntre0', max_size=60))
def test_no_text_does_anything_else(text: str) -> None:
    try:
        parse_writer_schema(text)
    except UnresolvableSchemaError as error:
        check_message(error)


@pytest.mark.verify
@settings(max_examples=3_000, suppress_health_check=list(HealthCheck))
@given(data=st.data(), pair=pairs(), tree=TREES, ours=st.sampled_from(OURS))
def test_for_longer(data: st.DataObject, pair: Pair, tree: JsonSchema, ours: Schema) -> None:
    try_pair(data, pair)
    try_text(data, ours)
    try_all(data.draw(damaged(ours.tree)), ours, data.draw(st.binary(max_size=60)))
    fields = [{"name": "extra", "type": tree}, *ours.tree["fields"]]
    try_all({**ours.tree, "fields": fields}, ours, data.draw(st.binary(max_size=60)))
