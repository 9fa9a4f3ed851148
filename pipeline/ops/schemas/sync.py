"""Schemas as code: compare the registry with `schemas/*.avsc`, and register what is missing.

Owns: what each subject must have, the differences, the order of registering.
Does not own: connections (codec/registry.py), the offline check (compatibility.py), printing
(cli/schemas.py).
Invariants: a plan and a check change nothing; nothing at all is registered while anything is
refused; a subject has its compatibility level before its first schema, so no version ever escapes
the check; what is said to be registered is the subject's latest version afterwards.

Producers may register newer versions of an input (it is what Confluent's serialisers do by
themselves). As long as a worker of this release can read them there is nothing to do; its own
reader is the judge.
"""

import json
from collections.abc import Collection, Mapping
from difflib import unified_diff
from http import HTTPStatus
from pathlib import Path
from typing import Final, Literal

import msgspec
from confluent_kafka.schema_registry import Schema as RegistrySchema
from confluent_kafka.schema_registry import SchemaRegistryClient

from pipeline.codec.errors import RegistryError, RegistryUnavailableError, SchemaFileError
from pipeline.codec.registry import (
    Expected,
    ask,
    level_of,
    registered_fingerprint,
    unreadable,
    way_out,
)
from pipeline.codec.registry_client import Version, version_numbers, version_of
from pipeline.codec.schemas import RECORDS, Schema, load_schemas
from pipeline.ops.schemas.compatibility import changed_releases, problems, released_versions
from pipeline.ops.topics.file import Target, TopicsFile, compatibility_of

__all__ = [
    "Finding",
    "NotLatestError",
    "SchemaChange",
    "SchemasRefusedError",
    "check",
    "expected",
    "plan",
    "register",
]

_NO_LEVEL: Final = "NONE"

Standing = Literal["same", "missing", "differs", "newer", "superseded"]
"""Of the registry's latest version: ours; there is none; another one, that ours may follow; one of
an input that came after ours, and that we can read; one that came after ours and is in the way."""


class SchemasRefusedError(RegistryError):
    """A schema would break those that read or write its subject. Nothing was registered.

    **Operator action**: change the schema as the message says (a new field has a default, an enum
    has a default symbol, nothing is renamed); only if every reader and writer is known and ready,
    allow the subject by name.
    """


class NotLatestError(RegistryError):
    """What was registered is not the subject's latest version.

    **Operator action**: as the message says: start the release that goes with the latest version,
    or delete that version at the registry.
    """


class SchemaChange(msgspec.Struct, frozen=True):
    """One subject: how it stands, and what would be done.

    Attributes:
        standing: how the registry's latest schema stands to ours.
        level_now: in force; None when the subject is not there.
        version_now: latest; None when the subject is not there.
        diff: lines of a unified diff from the registry's schema to ours; empty unless it differs.
        refused: why it is not registered; None when it may be.
        note: what an operator should know of a version that is newer than ours; else None.
    """

    subject: str
    record: str
    standing: Standing
    level_now: str | None
    level: str
    version_now: int | None
    diff: tuple[str, ...] = ()
    refused: str | None = None
    note: str | None = None

    @property
    def is_to_register(self) -> bool:
        """Whether our schema has to become the latest version."""
        return self.standing not in ("same", "newer")

    @property
    def is_change(self) -> bool:
        """Whether registering would do anything, or is refused."""
        return self.is_to_register or self.level_now != self.level


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
        subject: Expected(
            schemas[topic.schema.value], compatibility_of(topic), topic.kind == "input"
        )
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
    latest = version_of(client, subject)
    schema = wanted.schema
    if latest is None:
        return SchemaChange(subject, schema.name, "missing", None, wanted.level, None)
    level_now = level_of(client, subject)
    number = latest.number
    if registered_fingerprint(latest.text) == schema.fingerprint:
        return SchemaChange(subject, schema.name, "same", level_now, wanted.level, number)
    standing, refused, note = _standing(client, subject, wanted, latest)
    before, after = ("ours", "registered") if standing == "newer" else ("registered", "ours")
    lines = {"ours": _lines(schema.text), "registered": _lines(latest.text)}
    diff = unified_diff(lines[before], lines[after], before, after, "", "", 2)
    return SchemaChange(
        subject, schema.name, standing, level_now, wanted.level, number, tuple(diff), refused, note
    )


def _standing(
    client: SchemaRegistryClient, subject: str, wanted: Expected, latest: Version
) -> tuple[Standing, str | None, str | None]:
    """How a latest version that is not ours stands to ours: standing, why refused, note."""
    found = [version_of(client, subject, n) for n in version_numbers(client, subject)]
    versions = [version for version in found if version is not None]
    fingerprints = {registered_fingerprint(v.text): v.number for v in versions}
    ours = fingerprints.get(wanted.schema.fingerprint)
    problem = unreadable(latest, wanted.schema) if wanted.is_input else "it is not ours"
    if ours is None:
        refused = (
            _unreadable_inputs(wanted, versions)
            if wanted.is_input
            else _unreadable_by_registered(wanted, versions)
        )
        return "differs", refused, None
    if problem is None:
        return (
            "newer",
            None,
            f"version {latest.number} came after ours, version {ours}; this release reads it and"
            " leaves out the fields that it does not know; to use them, start a release that has"
            " them",
        )
    number = latest.number
    if wanted.is_input:
        problem = f"this release cannot read version {number}: {problem}"
    else:
        problem = f"version {number} was registered after ours, version {ours}"
    problem += f"; registering ours again would change nothing: {way_out(subject, number)}"
    return "superseded", problem, None


def _unreadable_inputs(wanted: Expected, versions: list[Version]) -> str | None:
    """Of an input: the registered versions whose records a worker could not read."""
    found = [(version.number, unreadable(version, wanted.schema)) for version in versions]
    return "; ".join(f"v{n} data is not readable: {p}" for n, p in found if p is not None) or None


def _unreadable_by_registered(wanted: Expected, versions: list[Version]) -> str | None:
    """Of an output: compare with every version by our own rules, whatever level is set there."""
    try:
        released = [Schema(wanted.schema.name, v.text, json.loads(v.text)) for v in versions]
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
        SchemasRefusedError: a schema would break others, or a newer version is in the way. Nothing
            was changed.
        NotLatestError: a schema was registered, and another one is the latest all the same.
        RegistryUnavailableError: the registry did not answer or refused; register again.
    """
    for subject in allow_incompatible:
        if subject not in wanted:
            raise SchemaFileError(
                f"{subject} is not a subject of ours", fix=f"one of {', '.join(wanted)}"
            )
    todo = [change for change in plan(client, wanted) if change.is_change]
    stuck = [c for c in todo if c.standing == "superseded"]
    if stuck:
        raise SchemasRefusedError(
            "a newer version is in the way, and registering ours again would change nothing",
            why="\n".join(f"{change.subject}: {change.refused}" for change in stuck),
            fix=way_out(stuck[0].subject, stuck[0].version_now or 0),
        )
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
        if change.is_to_register:
            _put(client, subject, wanted.schema)
    finally:
        if change.refused is not None:
            _set_level(client, subject, wanted.level)


def _put(client: SchemaRegistryClient, subject: str, ours: Schema) -> None:
    """Register our schema, and look whether it is the latest version now."""
    schema = RegistrySchema(ours.text, "AVRO")
    try:
        ask(f"registering {subject}", lambda: client.register_schema(subject, schema))
    except RegistryUnavailableError as error:
        if error.fields.get("http_status") != HTTPStatus.CONFLICT:
            raise
        raise SchemasRefusedError(
            f"the registry refuses our schema of {subject}",
            why=error.why,
            fix="change the schema; or --allow-incompatible SUBJECT if everybody is ready for it",
            subject=subject,
        ) from error
    latest = version_of(client, subject)
    if latest is None or registered_fingerprint(latest.text) != ours.fingerprint:
        number = None if latest is None else latest.number
        raise NotLatestError(
            f"our schema of {subject} was registered, but is not its latest version",
            why=f"the latest is version {number}; ours was there before it, or somebody registered"
            " another one at this moment",
            fix=f"run `awaway schemas plan`; {way_out(subject, number or 0)}",
            subject=subject,
            version=number,
        )


def _set_level(client: SchemaRegistryClient, subject: str, level: str) -> None:
    ask(f"level of {subject}", lambda: client.set_compatibility(subject, level))
