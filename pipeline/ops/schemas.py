"""Schemas as code: compare the registry with `schemas/*.avsc`, and register what is missing.

Owns: what each subject must have, the differences, the order of registering.
Does not own: connections (codec/registry.py), the offline check (compatibility.py), printing
(cli/schemas.py).
Invariants: a plan and a check change nothing; nothing at all is registered while anything is
refused; a subject has its compatibility level before its first schema, so no version ever escapes
the check.
"""

import json
from collections.abc import Collection, Mapping
from difflib import unified_diff
from pathlib import Path
from typing import Final, Literal

import msgspec
from confluent_kafka.schema_registry import Schema as RegistrySchema
from confluent_kafka.schema_registry import SchemaRegistryClient

from pipeline.codec.errors import RegistryError, SchemaFileError
from pipeline.codec.registry import (
    SUBJECT_NOT_FOUND,
    VERSION_NOT_FOUND,
    Expected,
    ask,
    level_of,
    registered_fingerprint,
)
from pipeline.codec.schemas import RECORDS, Schema, load_schemas
from pipeline.ops.compatibility import changed_releases, problems, released_versions
from pipeline.ops.topics_file import Target, TopicsFile, compatibility_of

__all__ = [
    "Finding",
    "SchemaChange",
    "SchemasRefusedError",
    "check",
    "expected",
    "plan",
    "register",
]

_NO_LEVEL: Final = "NONE"

Standing = Literal["same", "missing", "differs"]


class SchemasRefusedError(RegistryError):
    """A schema would break those that read or write its subject. Nothing was registered.

    **Operator action**: change the schema as the message says (a new field has a default, an enum
    has a default symbol, nothing is renamed); only if every reader and writer is known and ready,
    allow the subject by name.
    """


class SchemaChange(msgspec.Struct, frozen=True):
    """One subject: how it stands, and what would be done.

    Attributes:
        standing: whether the registry's latest schema is ours.
        level_now: in force; None when the subject is not there.
        version_now: latest; None when the subject is not there.
        diff: lines of a unified diff from the registry's schema to ours; empty unless it differs.
        refused: why it is not registered; None when it may be.
    """

    subject: str
    record: str
    standing: Standing
    level_now: str | None
    level: str
    version_now: int | None
    diff: tuple[str, ...] = ()
    refused: str | None = None

    @property
    def is_change(self) -> bool:
        """Whether registering would do anything."""
        return self.standing != "same" or self.level_now != self.level


class Finding(msgspec.Struct, frozen=True):
    """One thing that `check` found wrong."""

    record: str
    problem: str


def expected(
    file: TopicsFile,
    schemas: Mapping[str, Schema],
    target: Target = Target(),  # noqa: B008 -- frozen
) -> dict[str, Expected]:
    """What each subject must have, by subject, in the order of `topics.yaml`."""
    return {
        subject: Expected(schemas[topic.schema.value], compatibility_of(topic))
        for subject, topic in file.subjects(target).items()
        if topic.schema.value is not None
    }


def plan(client: SchemaRegistryClient, wanted: Mapping[str, Expected]) -> list[SchemaChange]:
    """Compare the registry with our schemas.

    Args:
        client: `codec.registry.connect`.
        wanted: `expected`.

    Returns:
        One entry a subject, in order, changed or not.

    Raises:
        RegistryUnavailableError: the registry did not answer.
    """
    return [_compare(client, subject, one) for subject, one in wanted.items()]


def _compare(client: SchemaRegistryClient, subject: str, wanted: Expected) -> SchemaChange:
    latest = ask(
        f"latest version of {subject}",
        lambda: client.get_version(subject, "latest"),
        SUBJECT_NOT_FOUND,
        VERSION_NOT_FOUND,
    )
    record = wanted.schema.name
    if latest is None or latest.schema is None:
        return SchemaChange(subject, record, "missing", None, wanted.level, None)
    level_now = level_of(client, subject)
    text = latest.schema.schema_str or ""
    if registered_fingerprint(text) == wanted.schema.fingerprint:
        return SchemaChange(subject, record, "same", level_now, wanted.level, latest.version)
    refused = _unreadable_by_registered(client, subject, wanted)
    return SchemaChange(
        subject,
        record,
        "differs",
        level_now,
        wanted.level,
        latest.version,
        tuple(
            unified_diff(_lines(text), _lines(wanted.schema.text), "registered", "ours", "", "", 2)
        ),
        refused,
    )


def _unreadable_by_registered(
    client: SchemaRegistryClient, subject: str, wanted: Expected
) -> str | None:
    """Compare with every registered version by our own rules, whatever level is set there."""
    numbers = ask(f"versions of {subject}", lambda: client.get_versions(subject)) or []
    versions = []
    for number in numbers:
        version = ask(f"{subject} {number}", lambda n=number: client.get_version(subject, n))  # type: ignore[misc]
        if version is not None and version.schema is not None:
            versions.append(version.schema.schema_str or "")
    try:
        released = [Schema(wanted.schema.name, text, json.loads(text)) for text in versions]
    except ValueError as error:
        return f"a registered version is not Avro: {error}"
    return "; ".join(problems(wanted.schema, released, wanted.level)) or None


def _lines(text: str) -> list[str]:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False).splitlines()
    except ValueError:
        return text.splitlines()


def check(folder: Path, file: TopicsFile) -> list[Finding]:
    """Look for mistakes in the schema files, without a registry.

    Args:
        folder: `schemas/` of the release.
        file: says on which side of the pipeline each record is.

    Returns:
        What is wrong; empty when every current schema may follow its released versions and no
        released file was touched.

    Raises:
        SchemaFileError: a file is missing or not a schema.
    """
    schemas = load_schemas(folder)
    levels = {
        topic.schema.value: compatibility_of(topic)
        for topic in file.topics
        if topic.schema.value is not None
    }
    found = [Finding(line.partition("/")[0], line) for line in changed_releases(folder, RECORDS)]
    for record, schema in schemas.items():
        if record not in levels:
            found.append(Finding(record, "no topic of topics.yaml has it"))
            continue
        released = released_versions(folder, record)
        found += [Finding(record, line) for line in problems(schema, released, levels[record])]
        if not released or released[-1].fingerprint != schema.fingerprint:
            found.append(
                Finding(
                    record,
                    f"it is not released: copy it to released/{record}/v{len(released) + 1}.avsc",
                )
            )
    return found


def check_online(client: SchemaRegistryClient, wanted: Mapping[str, Expected]) -> list[Finding]:
    """Ask the registry itself whether each schema could be registered, at the level it has set.

    Returns:
        What it or our own rules refuse; a subject that is not there refuses nothing.

    Raises:
        RegistryUnavailableError: the registry did not answer.
    """
    found = []
    for change in plan(client, wanted):
        subject, schema = change.subject, wanted[change.subject].schema
        if change.refused is not None:
            found.append(Finding(schema.name, f"{subject}: {change.refused}"))
        elif change.standing == "differs":
            text = RegistrySchema(schema.text, "AVRO")
            if not ask(
                f"compatibility with {subject}",
                lambda s=subject, t=text: client.test_compatibility_all_versions(s, t),  # type: ignore[misc]
            ):
                found.append(Finding(schema.name, f"{subject}: the registry would refuse it"))
    return found


def register(
    client: SchemaRegistryClient,
    wanted: Mapping[str, Expected],
    allow_incompatible: Collection[str] = (),
) -> list[SchemaChange]:
    """Set each subject's level and register our schema where it is not the latest.

    Args:
        client: `codec.registry.connect`.
        wanted: `expected`.
        allow_incompatible: subjects whose schema may break others.

    Returns:
        What was changed; empty when there was nothing to do.

    Raises:
        SchemasRefusedError: a schema would break others. Nothing was changed.
        RegistryUnavailableError: the registry did not answer or refused; register again.
    """
    for subject in allow_incompatible:
        if subject not in wanted:
            raise SchemaFileError(
                f"{subject} is not a subject of ours", fix=f"one of {', '.join(wanted)}"
            )
    todo = [change for change in plan(client, wanted) if change.is_change]
    refused = [c for c in todo if c.refused is not None and c.subject not in allow_incompatible]
    if refused:
        raise SchemasRefusedError(
            "a schema would break those that read or write its subject",
            why="\n".join(f"{change.subject}: {change.refused}" for change in refused),
            fix="change the schema; or --allow-incompatible SUBJECT if everybody is ready for it",
        )
    for change in todo:
        _register(client, change, wanted[change.subject])
    return todo


def _register(client: SchemaRegistryClient, change: SchemaChange, wanted: Expected) -> None:
    subject = change.subject
    if change.refused is not None:
        _set_level(client, subject, _NO_LEVEL)
    else:
        _set_level(client, subject, wanted.level)
    try:
        if change.standing != "same":
            schema = RegistrySchema(wanted.schema.text, "AVRO")
            ask(f"registering {subject}", lambda: client.register_schema(subject, schema))
    finally:
        if change.refused is not None:
            _set_level(client, subject, wanted.level)


def _set_level(client: SchemaRegistryClient, subject: str, level: str) -> None:
    ask(f"level of {subject}", lambda: client.set_compatibility(subject, level))
