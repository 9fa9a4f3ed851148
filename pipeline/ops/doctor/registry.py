"""Checks of the schema registry: whether it answers, its clock, its schemas.

Owns: these checks, and what to do about what they find.
Does not own: the differences of schemas (ops/schemas/sync.py), requests (codec/registry_client.py).
Invariants: nothing is registered; each question is bounded in time.
"""

from email.utils import parsedate_to_datetime
from typing import Any, Final

from confluent_kafka.schema_registry import SchemaRegistryClient

from pipeline.codec.registry import ask, connect
from pipeline.codec.schemas import load_schemas
from pipeline.ops.doctor.finding import REQUEST_S, Finding, Subject
from pipeline.ops.schemas.sync import SchemaChange, expected, plan

_NAMED_MAX: Final = 3


def registry(subject: Subject) -> Finding:
    """Whether the registry answers, and whether its clock is this machine's."""
    client = _client(subject)
    dates: list[str] = []

    def note_date(response: Any) -> None:
        dates.append(response.headers.get("date", ""))

    client._rest_client.session.event_hooks["response"].append(note_date)
    subjects = ask("its subjects", client.get_subjects) or []
    said = f"{subject.settings.registry_url} answers, {len(subjects)} subjects"
    try:
        its_ms = int(parsedate_to_datetime(dates[-1]).timestamp() * 1000)
    except (IndexError, ValueError):
        return Finding("registry", "ok", f"{said}; it does not tell the time")
    # The header has whole seconds, rounded down.
    difference_ms = subject.now_ms() - its_ms - 500
    level = subject.clock_level(difference_ms)
    if level == "ok":
        return Finding("registry", "ok", f"{said}; its clock is this machine's")
    said += f"; this machine's clock is {difference_ms / 1000:+.0f} s off its clock"
    return Finding("registry", level, said, "set both clocks by NTP")


def schemas(subject: Subject) -> Finding:
    """Whether the registered schemas are those of this release."""
    wanted = expected(subject.topics, load_schemas(subject.settings.schemas_dir), subject.target)
    found = plan(_client(subject), wanted)
    refused = [one for one in found if one.refused is not None]
    if refused:
        said = "; ".join(f"{one.subject}: {one.refused}" for one in refused[:_NAMED_MAX])
        return Finding("schemas", "fail", said, "`awaway schemas plan` shows the differences")
    if changes := [one for one in found if one.is_change]:
        said = "; ".join(_difference(one) for one in changes[:_NAMED_MAX])
        more = f"; and {len(changes) - _NAMED_MAX} more" * (len(changes) > _NAMED_MAX)
        fix = "`awaway schemas plan` shows all, `awaway schemas register` makes it so"
        return Finding("schemas", "fail", said + more, fix)
    if newer := [one for one in found if one.standing == "newer"]:
        said = "; ".join(f"{one.subject}: {one.note}" for one in newer[:_NAMED_MAX])
        fix = "nothing, or start the release that knows these fields"
        return Finding("schemas", "warn", said, fix)
    return Finding("schemas", "ok", f"{len(found)} subjects have this release's schemas")


def _difference(change: SchemaChange) -> str:
    if change.standing == "missing":
        return f"{change.subject} is not registered"
    if change.is_to_register:
        return f"{change.subject}: this release's schema is not registered"
    return f"{change.subject} has level {change.level_now}, not {change.level}"


def _client(subject: Subject) -> SchemaRegistryClient:
    bounds: dict[str, Any] = {"timeout": REQUEST_S, "max.retries": 0}
    return connect({**bounds, **subject.settings.registry_client()})
