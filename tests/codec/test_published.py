"""Published records, from whatever version of their schema wrote them."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import fastavro
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.codec.avro import AvroEncoder, framing
from pipeline.codec.errors import UnknownSchemaIdError
from pipeline.codec.published import (
    NotPublishedError,
    PublishedReader,
    audit_link_of,
    has_revision_second,
    revision_of,
    schema_id_of,
)
from pipeline.core.records import AuditEntry, ProgressUpdated
from tests.codec.samples import SAMPLES, SCHEMAS, TYPES

ID = 7
OURS = SCHEMAS["ProgressUpdated"]


def written(tree: Any) -> Any:
    """A registry of one schema."""

    def schema(schema_id: int) -> Any:
        if schema_id != ID:
            raise UnknownSchemaIdError(f"no {schema_id}", schema_id=schema_id)
        return tree

    return schema


def progress_bytes() -> bytes:
    sample = next(one for one in SAMPLES if isinstance(one, ProgressUpdated))
    return AvroEncoder(OURS, ID).encode(sample)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda one: type(one).__name__)
def test_every_record_comes_back_as_it_was_published(sample: Any) -> None:
    name = type(sample).__name__
    reader = PublishedReader(TYPES[name], SCHEMAS[name], written(SCHEMAS[name].tree))
    encoded = AvroEncoder(SCHEMAS[name], ID).encode(sample)
    assert reader.read(encoded) == sample
    assert reader.read(encoded) == sample
    assert schema_id_of(encoded) == ID


def test_a_newer_writers_fields_are_passed_over() -> None:
    newer = json.loads(OURS.text)
    newer["fields"].append({"name": "mood", "type": ["null", "string"], "default": None})
    ours = PublishedReader(ProgressUpdated, OURS, written(OURS.tree))
    theirs = PublishedReader(ProgressUpdated, OURS, written(newer))
    encoded = progress_bytes()
    assert theirs.read(encoded + b"\x02\x06joy") == ours.read(encoded)


@pytest.mark.parametrize(
    "value",
    [b"", b"\x00\x00", framing(ID), b"{" + b"x" * 20, framing(ID) + b"\x02", framing(ID) + b"\xff"],
)
def test_what_is_no_record_is_told(value: bytes) -> None:
    reader = PublishedReader(ProgressUpdated, OURS, written(OURS.tree))
    with pytest.raises(NotPublishedError):
        reader.read(value)


def test_a_schema_that_is_none_is_told() -> None:
    reader = PublishedReader(ProgressUpdated, OURS, written({"type": "nonsense"}))
    with pytest.raises(NotPublishedError, match="no Avro schema"):
        reader.read(progress_bytes())


def test_an_unknown_schema_is_the_registrys_to_tell() -> None:
    reader = PublishedReader(ProgressUpdated, OURS, written(OURS.tree))
    with pytest.raises(UnknownSchemaIdError):
        reader.read(framing(8) + progress_bytes()[5:])


@given(st.integers(0, 2**63 - 1), st.text(max_size=200))
def test_the_revision_is_had_without_the_rest(revision: int, user_id: str) -> None:
    schema = {
        "type": "record",
        "name": "Start",
        "fields": [{"name": "u", "type": "string"}, {"name": "r", "type": "long"}],
    }
    start = io.BytesIO()
    fastavro.schemaless_writer(start, schema, {"u": user_id, "r": revision})
    assert revision_of(framing(ID) + start.getvalue() + b"rest") == revision


def test_a_revision_of_several_bytes_stands_behind_a_name_of_any_length() -> None:
    name = "é" * 50  # its length takes two bytes, too
    start = b"\xc8\x01" + name.encode() + b"\xd8\x04"  # zigzag: 100 bytes of text, then 300
    assert revision_of(framing(ID) + start + b"rest") == 300


def test_a_record_that_ends_within_its_revision_is_told() -> None:
    with pytest.raises(NotPublishedError, match="revision"):
        revision_of(framing(ID) + b"\x02a")


@pytest.mark.parametrize("sequence", [0, 63, 64, 123_456, 2**63 - 1])
@pytest.mark.parametrize("generation", ["", "blue", "é" * 50])
def test_the_link_of_an_audit_entry_is_had_without_the_rest(generation: str, sequence: int) -> None:
    sample = next(one for one in SAMPLES if isinstance(one, AuditEntry))
    entry = msgspec.structs.replace(sample, generation=generation, sequence=sequence, partition=300)
    encoded = AvroEncoder(SCHEMAS["AuditEntry"], ID).encode(entry)
    assert audit_link_of(encoded) == (generation, sequence)


@pytest.mark.parametrize(
    "body", [b"", b"\x02a", b"\x02a\x02b", b"\x02a\x02b\x06", b"\x02a\x02\xff\x06\x08"]
)
def test_an_audit_entry_that_ends_within_its_sequence_is_told(body: bytes) -> None:
    assert audit_link_of(framing(ID) + b"\x02a\x02b\x06\x08") == ("b", 4)
    with pytest.raises(NotPublishedError, match="sequence"):
        audit_link_of(framing(ID) + body)


def test_only_a_schema_that_begins_with_user_and_revision_is_quick() -> None:
    assert has_revision_second(OURS.tree)
    turned = json.loads(OURS.text)
    turned["fields"] = turned["fields"][::-1]
    assert not has_revision_second(turned)
    assert not has_revision_second("string")


def test_threads_may_read_the_first_record_of_a_type_at_once() -> None:
    """msgspec alone crashes the process then."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.codec.reading_at_once"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "2400\n"), ran.stderr
