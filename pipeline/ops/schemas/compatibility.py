"""Whether a schema may follow the released ones, told without a registry.

Owns: the levels, and rules that Avro's own check does not have.
Does not own: the registry's verdict (schemas.py).
Invariant: what passes here, a Confluent-compatible registry takes at the same level.
"""

import json
from pathlib import Path
from typing import Any, Final

import avro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker
from avro.errors import AvroException

from pipeline.codec.errors import SchemaFileError
from pipeline.codec.schemas import Schema, load_schema

FINGERPRINTS_FILE: Final = "fingerprints.json"


def released_versions(folder: Path, record: str) -> list[Schema]:
    """Every released version of a record's schema, oldest first.

    Args:
        folder: `schemas/` of the release.

    Raises:
        SchemaFileError: a version's file is wrong, or there is a gap in the numbers.
    """
    files = sorted((folder / "released" / record).glob("v*.avsc"), key=lambda f: int(f.stem[1:]))
    if [file.stem for file in files] != [f"v{n}" for n in range(1, len(files) + 1)]:
        raise SchemaFileError(
            f"the released versions of {record} are not v1, v2 and so on",
            why=", ".join(file.name for file in files),
            fix="put the missing file back from version control",
        )
    return [load_schema(file) for file in files]


def problems(current: Schema, released: list[Schema], level: str) -> list[str]:
    """What keeps a schema from following the released ones.

    Args:
        current: to be released.
        released: oldest first; may be empty.
        level: BACKWARD_TRANSITIVE, or FULL_TRANSITIVE for both directions.

    Returns:
        One line each, naming the version; empty when it may follow.
    """
    found = _problems_alone(current)
    for number, older in enumerate(released, 1):
        found += [f"v{number} data is not readable: {p}" for p in _unreadable(current, older)]
        if level == "FULL_TRANSITIVE":
            found += [
                f"a reader with v{number} cannot read it: {p}" for p in _unreadable(older, current)
            ]
        found += [f"v{number}: {p}" for p in _logical_changes(current.tree, older.tree)]
    return found


def _unreadable(reader: Schema, writer: Schema) -> list[str]:
    try:
        checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
        verdict = checker.get_compatibility(
            avro.schema.parse(reader.text), avro.schema.parse(writer.text)
        )
    except AvroException as error:
        return [str(error)]
    places = sorted(verdict.locations - {"/"}) or ["/"]
    return [f"{message} at {', '.join(places)}" for message in sorted(verdict.messages)]


def _problems_alone(schema: Schema) -> list[str]:
    """Rules of ours: everything can grow, and everything is explained."""
    found: list[str] = []
    for path, node in _named_nodes(schema.tree, schema.name):
        if "doc" not in node:
            found.append(f"{path} has no doc")
        if node.get("type") == "enum" and node.get("default") not in node["symbols"]:
            found.append(f"{path} has no default symbol, so it could never gain another")
        for field in node.get("fields", ()):
            if "doc" not in field:
                found.append(f"{path}.{field['name']} has no doc")
    if schema.name == "AuditEntry" and schema.tree["fields"][-1]["name"] != "hash":
        found.append("AuditEntry's last field is not hash; put the new field before prev_hash")
    return found


def _named_nodes(node: Any, path: str) -> list[tuple[str, dict[str, Any]]]:
    """Every record and enum of a schema, with where it is."""
    if isinstance(node, list):
        return [found for branch in node for found in _named_nodes(branch, path)]
    if not isinstance(node, dict):
        return []
    if "symbols" in node:
        return [(path, node)]
    if "fields" in node:
        inner = [(f["type"], f"{path}.{f['name']}") for f in node["fields"]]
        return [(path, node), *(found for kind, at in inner for found in _named_nodes(kind, at))]
    return [
        found for key in ("type", "items", "values") for found in _named_nodes(node.get(key), path)
    ]


def _logical_changes(current: dict[str, Any], older: dict[str, Any]) -> list[str]:
    """Avro resolves a long of microseconds into one of milliseconds without a word."""
    now, before = _logical_types(current, ""), _logical_types(older, "")
    return [
        f"{path} was {before[path] or 'plain'} and is {now[path] or 'plain'}"
        for path in sorted(now.keys() & before.keys())
        if now[path] != before[path]
    ]


def _logical_types(node: Any, path: str) -> dict[str, str]:
    if isinstance(node, list):
        return {at: kind for branch in node for at, kind in _logical_types(branch, path).items()}
    if isinstance(node, str):
        return {} if node == "null" else {path: ""}
    if "fields" in node:
        found: dict[str, str] = {}
        for field in node["fields"]:
            found |= _logical_types(field["type"], f"{path}.{field['name']}".lstrip("."))
        return found
    for inner in ("items", "values"):
        if inner in node:
            return _logical_types(node[inner], f"{path}[]")
    return {path: str(node.get("logicalType", ""))}


def changed_releases(folder: Path, records: tuple[str, ...]) -> list[str]:
    """Released files that are not as they were released.

    Args:
        folder: `schemas/` of the release.
        records: names of records.

    Returns:
        One line each; empty when all stand as recorded in `released/fingerprints.json`.

    Raises:
        SchemaFileError: the record of fingerprints is missing or unreadable.
    """
    path = folder / "released" / FINGERPRINTS_FILE
    try:
        recorded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SchemaFileError(
            f"{path} cannot be read", why=str(error), fix="put it back from version control"
        ) from error
    actual = {
        f"{record}/v{number}": schema.fingerprint
        for record in records
        for number, schema in enumerate(released_versions(folder, record), 1)
    }
    return [
        f"{name}: recorded {recorded.get(name, 'nothing')}, is {actual.get(name, 'missing')}"
        for name in sorted(recorded.keys() | actual.keys())
        if recorded.get(name) != actual.get(name)
    ]
