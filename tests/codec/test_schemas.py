"""The schema files: that they stand as released, that they can grow, that golden bytes are read."""

import copy
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import fastavro
import msgspec
import pytest

from pipeline.codec.avro import AvroEncoder
from pipeline.codec.avro_reader import AvroReader
from pipeline.codec.errors import SchemaFileError
from pipeline.codec.schemas import (
    RECORDS,
    Schema,
    canonical_form,
    fingerprint_of,
    load_schema,
    load_schemas,
    parse,
)
from pipeline.core.enumerations import (
    Action,
    AlertVerdict,
    CommandKind,
    Origin,
    Severity,
    Stage,
    Verdict,
)
from pipeline.ops.schemas.compatibility import changed_releases, problems, released_versions
from tests.codec.samples import SAMPLES, SCHEMAS, SCHEMAS_DIR, TYPES, plain

LEVELS = dict.fromkeys(RECORDS, "FULL_TRANSITIVE") | dict.fromkeys(
    ("PracticeCompleted", "Command"), "BACKWARD_TRANSITIVE"
)
BY_NAME = {type(record).__name__: record for record in SAMPLES}
GOLDEN = sorted((SCHEMAS_DIR / "golden").glob("*.bin"))


def grown(name: str, grow: Callable[[dict[str, Any]], object]) -> Schema:
    """The current schema of a record, changed."""
    tree = copy.deepcopy(SCHEMAS[name].tree)
    grow(tree)
    return parse(json.dumps(tree), name)


def enums_in(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [found for branch in node for found in enums_in(branch)]
    if not isinstance(node, dict):
        return []
    inner = [found for value in node.values() for found in enums_in(value)]
    return [node, *inner] if node.get("type") == "enum" else inner


def without_logical_types(node: Any) -> Any:
    """So that fastavro gives numbers, as our records have them."""
    if isinstance(node, list):
        return [without_logical_types(branch) for branch in node]
    if not isinstance(node, dict):
        return node
    return {key: without_logical_types(v) for key, v in node.items() if key != "logicalType"}


ENUMS = [(name, enum["name"]) for name in RECORDS for enum in enums_in(SCHEMAS[name].tree)]


def with_symbol(name: str, enum_name: str) -> Schema:
    def grow(tree: dict[str, Any]) -> None:
        for enum in enums_in(tree):
            if enum["name"] == enum_name:
                enum["symbols"].append("brand_new")

    return grown(name, grow)


def with_field(name: str) -> Schema:
    field = {"name": "brand_new", "type": ["null", "string"], "doc": "New.", "default": None}
    return grown(name, lambda tree: tree["fields"].insert(len(tree["fields"]) - 2, field))


@pytest.mark.parametrize("name", RECORDS)
def test_a_schema_has_the_fields_of_its_record_in_their_order(name: str) -> None:
    fields = [field["name"] for field in SCHEMAS[name].tree["fields"]]
    beside = ["offset_minutes"] if name == "PracticeCompleted" else []
    assert fields + beside == list(TYPES[name].__struct_fields__)


def test_the_words_of_each_type_are_the_symbols_of_its_enum() -> None:
    by_name = {enum["name"]: enum["symbols"] for n in RECORDS for enum in enums_in(SCHEMAS[n].tree)}
    words = {
        "CommandKind": CommandKind,
        "Action": Action,
        "AuditVerdict": Verdict,
        "DuplicateVerdict": AlertVerdict,
        "Severity": Severity,
        "Origin": Origin,
        "Stage": Stage,
    }
    assert by_name == {
        name: ["unknown", *(word for word in get_args(kind) if word != "unknown")]
        for name, kind in words.items()
    }


def test_the_audit_record_ends_with_its_hash() -> None:
    assert [f["name"] for f in SCHEMAS["AuditEntry"].tree["fields"]][-2:] == ["prev_hash", "hash"]


def test_released_files_are_as_they_were_released() -> None:
    assert changed_releases(SCHEMAS_DIR, RECORDS) == []


@pytest.mark.parametrize("name", RECORDS)
def test_the_current_schema_may_follow_the_released_ones_and_is_released(name: str) -> None:
    released = released_versions(SCHEMAS_DIR, name)
    assert problems(SCHEMAS[name], released, LEVELS[name]) == []
    assert released[-1].fingerprint == SCHEMAS[name].fingerprint


@pytest.mark.parametrize("change", ["field", "default", "symbol", "remove", "new"])
def test_a_touched_release_is_noticed(tmp_path: Path, change: str) -> None:
    folder = tmp_path / "schemas"
    shutil.copytree(SCHEMAS_DIR, folder)
    last = len(released_versions(folder, "AuditEntry"))
    path = folder / "released" / "AuditEntry" / f"v{last}.avsc"
    text = path.read_text()
    if change == "remove":
        path.unlink()
    elif change == "new":
        (path.parent / f"v{last + 1}.avsc").write_text(text)
    else:
        swaps = {
            "field": ('"tzdata_version"', '"tz_version"'),
            "default": ('"default": null', '"default": ""'),
            "symbol": ('"erase"', '"erased"'),
        }
        tree = text.replace(*swaps[change])
        if change == "default":
            tree = text.replace('"null",\n        "string"', '"string",\n        "null"')
            tree = tree.replace('"default": null', '"default": ""')
        assert tree != text
        path.write_text(tree)
    found = changed_releases(folder, RECORDS)
    assert len(found) == 1
    assert "AuditEntry/v" in found[0]


def test_every_release_has_golden_bytes() -> None:
    expected = {
        f"{name}-v{number}"
        for name in RECORDS
        for number, _ in enumerate(released_versions(SCHEMAS_DIR, name), 1)
    }
    assert {path.stem for path in GOLDEN} == expected
    assert {path.stem for path in (SCHEMAS_DIR / "golden").glob("*.json")} == expected


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_bytes_are_read_with_the_current_schema(path: Path) -> None:
    name, _, version = path.stem.partition("-")
    written = load_schema(SCHEMAS_DIR / "released" / name / f"{version}.avsc")
    since = {f["name"]: f["default"] for f in SCHEMAS[name].tree["fields"] if "default" in f}
    fields = msgspec.json.decode(path.with_suffix(".json").read_bytes())
    expected = msgspec.convert(since | fields, TYPES[name], strict=False)
    body = path.read_bytes()
    read = fastavro.schemaless_reader(
        io.BytesIO(body),
        fastavro.parse_schema(without_logical_types(written.tree)),
        fastavro.parse_schema(without_logical_types(SCHEMAS[name].tree)),
    )
    assert read == plain(expected)
    if name in ("PracticeCompleted", "Command"):
        row = AvroReader(written.tree, SCHEMAS[name]).read(body, 0)
        assert TYPES[name](*row) == expected


@pytest.mark.parametrize("name", RECORDS)
def test_the_encoder_writes_the_golden_bytes(name: str) -> None:
    number = len(released_versions(SCHEMAS_DIR, name))
    golden = SCHEMAS_DIR / "golden" / f"{name}-v{number}.bin"
    record = msgspec.json.decode(golden.with_suffix(".json").read_bytes(), type=TYPES[name])
    assert record == BY_NAME[name]
    assert AvroEncoder(SCHEMAS[name], 1).encode_body(record) == golden.read_bytes()


@pytest.mark.parametrize(("name", "enum_name"), ENUMS)
def test_each_enum_can_gain_a_symbol(name: str, enum_name: str) -> None:
    newer, older = with_symbol(name, enum_name), SCHEMAS[name]
    assert newer.fingerprint != older.fingerprint
    assert problems(newer, [older], "FULL_TRANSITIVE") == []
    field = next(
        f["name"]
        for f in newer.tree["fields"]
        if isinstance(f["type"], dict) and f["type"].get("name") == enum_name
    )
    record = msgspec.structs.replace(BY_NAME[name], **{field: "brand_new"})
    body = AvroEncoder(newer, 1).encode_body(record)
    read = fastavro.schemaless_reader(
        io.BytesIO(body), fastavro.parse_schema(newer.tree), fastavro.parse_schema(older.tree)
    )
    assert isinstance(read, dict)
    assert read[field] == "unknown"


@pytest.mark.parametrize("name", RECORDS)
def test_each_record_can_gain_a_field(name: str) -> None:
    newer, older = with_field(name), SCHEMAS[name]
    assert problems(newer, [older], "FULL_TRANSITIVE") == []
    tree = plain(BY_NAME[name]) | {"brand_new": "x"}
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(newer.tree), tree)
    read = fastavro.schemaless_reader(
        io.BytesIO(out.getvalue()),
        fastavro.parse_schema(newer.tree),
        fastavro.parse_schema(older.tree),
    )
    assert isinstance(read, dict)
    assert list(read) == [field["name"] for field in older.tree["fields"]]
    back = fastavro.schemaless_reader(
        io.BytesIO((SCHEMAS_DIR / "golden" / f"{name}-v1.bin").read_bytes()),
        fastavro.parse_schema(released_versions(SCHEMAS_DIR, name)[0].tree),
        fastavro.parse_schema(newer.tree),
    )
    assert isinstance(back, dict)
    assert back["brand_new"] is None


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda t: t["fields"].insert(0, {"name": "x", "type": "int", "doc": "d"}), "not readable"),
        (lambda t: t["fields"].pop(3), "a reader with v1 cannot read it"),
        (lambda t: t["fields"][0].update(name="renamed"), "renamed"),
        (lambda t: t["fields"][0].update(type="long"), "not compatible"),
        (lambda t: t.update(name="Other"), "expected: awaway"),
        (lambda t: enums_in(t)[0].pop("default"), "no default symbol"),
        (lambda t: enums_in(t)[0]["symbols"].remove("live"), None),
        (lambda t: t["fields"][0].pop("doc"), "PortalUnlocked.unlock_id has no doc"),
        (lambda t: t.pop("doc"), "PortalUnlocked has no doc"),
        (
            lambda t: t["fields"][21]["type"].update(logicalType="timestamp-micros"),
            "unlocked_at was timestamp-millis and is timestamp-micros",
        ),
        (lambda t: t["fields"][21].update(type="long"), "was timestamp-millis and is plain"),
    ],
)
def test_changes_that_break_somebody_are_named(change: Any, complaint: str | None) -> None:
    newer = grown("PortalUnlocked", change)
    found = problems(newer, [SCHEMAS["PortalUnlocked"]], "FULL_TRANSITIVE")
    if complaint is None:
        assert found == []
    else:
        assert complaint in "\n".join(found)


def test_an_input_may_drop_what_an_output_may_not() -> None:
    newer = grown("PracticeCompleted", lambda tree: tree["fields"].pop(0))
    older = [SCHEMAS["PracticeCompleted"]]
    assert problems(newer, older, "BACKWARD_TRANSITIVE") == []
    assert problems(newer, older, "FULL_TRANSITIVE") != []


def test_the_audit_record_keeps_its_last_field() -> None:
    field = {"name": "late", "type": ["null", "string"], "default": None, "doc": "d"}
    newer = grown("AuditEntry", lambda tree: tree["fields"].append(field))
    assert "last field" in "\n".join(problems(newer, [], "FULL_TRANSITIVE"))


def test_the_fingerprint_sees_what_a_reader_can_notice_and_nothing_else() -> None:
    tree = SCHEMAS["PortalUnlocked"].tree
    same = json.loads(json.dumps(tree, sort_keys=True))
    same.pop("doc")
    same["fields"][0].pop("doc")
    same["name"] = f"{same.pop('namespace')}.{same['name']}"
    same["fields"][0]["type"] = {"type": "string"}
    same["fields"][1]["type"] = {"type": {"type": "string"}}
    assert fingerprint_of(same) == fingerprint_of(tree)
    for path, value in (("default", "live"), ("symbols", ["unknown", "live"])):
        other = copy.deepcopy(tree)
        enums_in(other)[0][path] = value
        assert fingerprint_of(other) != fingerprint_of(tree)
    other = copy.deepcopy(tree)
    other["fields"][21]["type"]["logicalType"] = "timestamp-micros"
    assert fingerprint_of(other) != fingerprint_of(tree)


def test_the_canonical_form_resolves_names() -> None:
    inner = {"type": "record", "name": "I", "fields": [{"name": "f", "type": "int"}]}
    short: dict[str, Any] = {
        "type": "record",
        "name": "A",
        "namespace": "n",
        "fields": [{"name": "i", "type": inner}],
    }
    short["fields"] += [{"name": "j", "type": {"type": "array", "items": "I"}}]
    full = json.loads(json.dumps(short).replace('"I"', '"n.I"'))
    assert canonical_form(short) == canonical_form(full)
    assert '"n.I"' in canonical_form(short)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "is not an Avro schema"),
        ("[]", "is not the schema of a record"),
        ('"string"', "is not the schema of a record"),
        ('{"type": "record"}', "is not an Avro schema"),
        ('{"type": "record", "name": "A", "fields": [{"name": "x"}]}', "is not an Avro schema"),
        ('{"type": "record", "name": "A", "fields": 5}', "is not an Avro schema"),
        ('{"type": "record", "name": "A", "fields": [{"name": "x", "type": "B"}]}', "is not an"),
    ],
)
def test_files_that_are_no_schema(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "A.avsc"
    path.write_text(text)
    with pytest.raises(SchemaFileError, match=complaint):
        load_schema(path)


def test_missing_and_misnamed_files(tmp_path: Path) -> None:
    with pytest.raises(SchemaFileError, match="cannot be read"):
        load_schemas(tmp_path)
    for name in RECORDS:
        shutil.copy(SCHEMAS_DIR / "Command.avsc", tmp_path / f"{name}.avsc")
    with pytest.raises(SchemaFileError, match="holds the record Command"):
        load_schemas(tmp_path)
    (tmp_path / "PracticeCompleted.avsc").write_bytes(b"\xff")
    with pytest.raises(SchemaFileError, match="cannot be read"):
        load_schemas(tmp_path)


def test_a_gap_among_the_versions_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "released" / "Command"
    folder.mkdir(parents=True)
    shutil.copy(SCHEMAS_DIR / "Command.avsc", folder / "v2.avsc")
    with pytest.raises(SchemaFileError, match="not v1, v2"):
        released_versions(tmp_path, "Command")
    with pytest.raises(SchemaFileError, match="fingerprints"):
        changed_releases(tmp_path, RECORDS)
