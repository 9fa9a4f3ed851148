"""The schema files, and the fingerprint by which two schemas are the same.

Owns: reading `schemas/*.avsc`, the canonical form and its fingerprint.
Does not own: the registry (registry.py), bytes (avro.py, avro_reader.py), compatibility
(ops/schemas/sync.py).
Invariant: two schemas have one fingerprint when a reader and a writer could not tell them apart:
documentation and layout do not count; names, order, types, defaults and logical types do. (Avro's
own Parsing Canonical Form drops defaults and logical types, on which compatibility depends.)
"""

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
from fastavro.schema import SchemaParseException, parse_schema

from pipeline.codec.errors import SchemaFileError
from pipeline.core.records import RECORD_TYPES

JsonSchema: TypeAlias = Any
"""A schema as JSON has it: a type's name, a list of a union's branches, or an object."""

RECORDS: Final = tuple(record.__name__ for record in RECORD_TYPES)
"""Names of the records that cross a topic; each has a schema file of its name."""

NAMED: Final = ("record", "enum", "fixed")
_KEPT: Final = ("default", "symbols", "items", "values", "size", "logicalType", "aliases")
_PRIMITIVES: Final = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")


class Schema(msgspec.Struct, frozen=True, dict=True):
    """One record's schema.

    Attributes:
        name: the record's name without its namespace.
        text: the file as it is.
        tree: the parsed JSON.
    """

    name: str
    text: str
    tree: dict[str, Any]

    @cached_property
    def fingerprint(self) -> str:
        """Return the SHA-256 of the canonical form, 64 hexadecimal digits."""
        return fingerprint_of(self.tree)


def canonical_form(schema: JsonSchema) -> str:
    """Return a schema without what a reader cannot notice, always written the same way."""
    return json.dumps(_canonical(schema, ""), sort_keys=True, separators=(",", ":"))


def fingerprint_of(schema: JsonSchema) -> str:
    """Return the SHA-256 of the canonical form, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_form(schema).encode()).hexdigest()


def _full_name(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"


def _canonical(node: JsonSchema, namespace: str) -> object:
    if isinstance(node, str):
        return node if node in _PRIMITIVES else _full_name(node, namespace)
    if isinstance(node, list):
        return [_canonical(branch, namespace) for branch in node]
    kind = node["type"]
    if not isinstance(kind, str):
        return _canonical(kind, namespace)
    kept: dict[str, object] = {key: node[key] for key in _KEPT if key in node}
    if kind in NAMED:
        full_name = _full_name(str(node["name"]), str(node.get("namespace", namespace)))
        namespace = full_name.rpartition(".")[0]
        kept["name"] = full_name
    if kind == "record":
        kept["fields"] = [_canonical_field(field, namespace) for field in node["fields"]]
    for inner in ("items", "values"):
        if inner in kept:
            kept[inner] = _canonical(node[inner], namespace)
    if not kept and kind in _PRIMITIVES:
        return kind
    return kept | {"type": kind}


def _canonical_field(field: dict[str, Any], namespace: str) -> dict[str, object]:
    kept: dict[str, object] = {"name": field["name"], "type": _canonical(field["type"], namespace)}
    for key in ("default", "aliases"):
        if key in field:
            kept[key] = field[key]
    return kept


def parse(text: str, origin: str) -> Schema:
    """Parse a schema from its JSON text.

    Args:
        text: one Avro record schema.
        origin: where it is from, for the message.

    Raises:
        SchemaFileError: it is not the schema of a record.
    """
    try:
        tree = json.loads(text)
        parse_schema(tree)
    except (ValueError, KeyError, TypeError, AttributeError, SchemaParseException) as error:
        raise SchemaFileError(
            f"{origin} is not an Avro schema", why=str(error), fix="mend the file", path=origin
        ) from error
    if not isinstance(tree, dict) or tree.get("type") != "record":
        raise SchemaFileError(
            f"{origin} is not the schema of a record", fix="mend the file", path=origin
        )
    return Schema(str(tree["name"]).rpartition(".")[2], text, tree)


def load_schema(path: Path) -> Schema:
    """Load one schema file.

    Raises:
        SchemaFileError: missing, unreadable, or not the schema of a record.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SchemaFileError(
            f"{path} cannot be read",
            why=str(error),
            fix="set AWAWAY_SCHEMAS_DIR to the folder that holds the .avsc files",
            path=str(path),
        ) from error
    return parse(text, str(path))


def load_schemas(folder: Path) -> dict[str, Schema]:
    """Load every record's current schema.

    Args:
        folder: `schemas/` of the release.

    Returns:
        By record name, in the order of `RECORDS`.

    Raises:
        SchemaFileError: one is missing or wrong.
    """
    schemas = {}
    for name in RECORDS:
        path = folder / f"{name}.avsc"
        schemas[name] = schema = load_schema(path)
        if schema.name != name:
            raise SchemaFileError(
                f"{path} holds the record {schema.name}",
                fix="name the file after its record",
                path=str(path),
            )
    return schemas
