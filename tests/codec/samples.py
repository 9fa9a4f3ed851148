"""Records to test with: one fixed sample of each kind, and strategies made from the schemas.

Owns: the samples whose bytes are golden. Does not own: the golden bytes (schemas/golden).
"""

import io
from pathlib import Path
from typing import Any

import fastavro
import msgspec
from hypothesis import strategies as st

from pipeline.codec.schemas import JsonSchema, Schema, load_schemas
from pipeline.core.records import (
    RECORD_TYPES,
    AuditEntry,
    Cause,
    Command,
    Dates,
    DeadLetter,
    GeometryUpdated,
    Header,
    Keys,
    NextPortal,
    OriginalCompletion,
    PortalReached,
    PortalUnlocked,
    PracticeCompleted,
    ProgressUpdated,
    ReconciliationAlert,
    Record,
    Run,
)

SCHEMAS_DIR = Path(__file__).parents[2] / "schemas"
SCHEMAS = load_schemas(SCHEMAS_DIR)
TYPES: dict[str, type[Record]] = {record.__name__: record for record in RECORD_TYPES}

ASSET = "5c" * 32
KEYS = tuple(f"9a1b2c3d-0000-5000-8000-00000000000{n}" for n in range(4))
CAUSE = Cause("awaway.completions", 3, 123_456_789, "c-0001")

SAMPLES: tuple[Record, ...] = (
    PracticeCompleted(
        "c-0001",
        "user-0001",
        "s-0001",
        "breath",
        1_772_345_400_000,
        1_772_346_600_123,
        "Pacific/Apia",
        1_772_346_601_000,
        None,
        "4.2.0",
        {"mood": "ruhig ☯", "": ""},
    ),
    Command(
        "r-0001",
        "user-0001",
        "redrive",
        "support:anna",
        "asked for by the user",
        None,
        -1,
        None,
        None,
        b"\x00\xff raw",
        1_772_346_600_000,
        "Asia/Kathmandu",
        None,
        "what it is about ☯",
        "completions",
        "awaway.completions[3]@17",
    ),
    PortalUnlocked(
        "0d8a7f1e-0000-5000-8000-000000000001",
        "user-0001",
        1,
        "seed-of-life",
        "Seed of Life",
        7,
        115,
        115,
        131,
        20_513,
        "Europe/Berlin",
        "breath",
        "seed-of-life",
        7,
        ASSET,
        f"https://assets.example/{ASSET}.svg",
        KEYS[:2],
        3,
        NextPortal("flower-of-life", "Flower of Life", 6),
        "2026-01",
        "live",
        1_772_346_600_456,
        CAUSE,
    ),
    ProgressUpdated(
        "user-0001",
        17,
        9,
        9,
        12,
        0,
        9,
        20_513,
        20_514,
        "Europe/Berlin",
        Dates((Run(20_500, 3), Run(20_505, 9)), (), (Run(20_503, 1),), ()),
        (
            PortalReached(0, "point", 20_505, 1_771_600_000_000, ASSET),
            PortalReached(0, "vesica", 20_507, 1_771_800_000_000, "0f" * 32),
        ),
        Keys(KEYS[:3], KEYS[:1]),
        2,
        None,
        0,
        11,
        None,
        "2026-01",
        "blue",
        1_772_346_600_456,
        CAUSE,
        False,
    ),
    GeometryUpdated(
        "user-0001", 20_513, "vesica", 3, 11, True, ASSET, f"/assets/{ASSET}.svg", "1", CAUSE
    ),
    ReconciliationAlert(
        "a-0001",
        "user-0001",
        "collision",
        "error",
        "c-0001",
        OriginalCompletion("c-0001", "awaway.completions", 3, 2**40),
        ("completed_at", "practice"),
        20_514,
        20_513,
        CAUSE,
    ),
    DeadLetter(
        "decode",
        "invalid_utf8",
        "a text of the value is not UTF-8; send JSON in UTF-8",
        b"user-0001",
        b'{"completion_id":"\xff"}',
        (Header("traceparent", b"00-01"), Header("empty", None)),
        None,
        Cause("awaway.completions", 0, 0),
        1_772_346_600_456,
    ),
    AuditEntry(
        "77a5e1d2-0000-5000-8000-000000000001",
        "blue",
        3,
        123_456,
        "user-0001",
        "completion",
        "user-0001",
        None,
        None,
        "accepted",
        20_513,
        ("0d8a7f1e-0000-5000-8000-000000000001",),
        "0123456789abcdef",
        "fedcba9876543210",
        17,
        "2026-01",
        "2025b",
        1_772_346_600_456,
        CAUSE,
        None,
        "Europe/Berlin",
        True,
        ("r-0001", "r-0002"),
        "rebuild.approve",
        None,
        b"\x11" * 32,
        b"\x22" * 32,
    ),
)


def plain(record: Record) -> dict[str, Any]:
    """A record as other Avro libraries take it: the fields of its schema."""
    tree: dict[str, Any] = _listed(msgspec.to_builtins(record, builtin_types=(bytes,)))
    fields = SCHEMAS[type(record).__name__].tree["fields"]
    return {field["name"]: tree[field["name"]] for field in fields}


def _listed(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _listed(value) for key, value in node.items()}
    return [_listed(item) for item in node] if isinstance(node, (tuple, list)) else node


def from_plain(name: str, tree: object) -> Record:
    """The reverse."""
    return msgspec.convert(tree, TYPES[name], builtin_types=(bytes,))


def fastavro_body(schema: Schema, tree: dict[str, Any]) -> bytes:
    """What fastavro writes."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema.tree), tree)
    return out.getvalue()


_STRATEGIES: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1) | st.integers(-70, 40_000),
    "long": st.integers(-(2**63), 2**63 - 1) | st.integers(-70, 40_000),
    "bytes": st.binary(max_size=80),
    "string": st.text(max_size=40),
}


def values_of(node: JsonSchema, named: dict[str, JsonSchema] | None = None) -> Any:
    """A strategy for every value of an Avro type, as builtins."""
    named = {} if named is None else named
    if isinstance(node, str):
        return _STRATEGIES[node] if node in _STRATEGIES else values_of(named[node], named)
    if isinstance(node, list):
        return st.one_of([values_of(branch, named) for branch in node])
    if "name" in node:
        named[node["name"]] = node
    kind = node["type"]
    if kind == "enum":
        return st.sampled_from(node["symbols"])
    if kind == "array":
        return st.lists(values_of(node["items"], named), max_size=4)
    if kind == "map":
        return st.dictionaries(_STRATEGIES["string"], values_of(node["values"], named), max_size=4)
    if kind == "record":
        return st.fixed_dictionaries(
            {field["name"]: values_of(field["type"], named) for field in node["fields"]}
        )
    return values_of(kind, named)
