"""`awaway schemas`: the registry's schemas, as `schemas/*.avsc` defines them.

Owns: the commands, what they print and their exit codes.
Does not own: comparing and registering (ops/schemas/sync.py).
Invariant: only `register` changes anything; `plan` exits with 3 when `register` would change
something, and with 1 when it would refuse.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.output import Output, OutputOption, show
from pipeline.errors import EXIT_FAILED, EXIT_OK, EXIT_PLAN_HAS_CHANGES

if TYPE_CHECKING:
    from confluent_kafka.schema_registry import SchemaRegistryClient
    from rich.console import Console

    from pipeline.codec.registry import Expected
    from pipeline.ops.schemas.sync import SchemaChange
    from pipeline.ops.topics.file import TopicsFile

app = typer.Typer(no_args_is_help=True)

FolderOption = Annotated[
    Path | None,
    typer.Option("--schemas", help="The .avsc files; default: the setting schemas_dir."),
]
FileOption = Annotated[
    Path | None, typer.Option("--file", help="The topics.yaml; default: the setting topics_file.")
]
RegistryOption = Annotated[
    str | None,
    typer.Option("--registry-url", help="The registry; default: the setting registry_url."),
]
PrefixOption = Annotated[
    str | None, typer.Option("--prefix", help="Used instead of the setting topic_prefix.")
]


@app.command()
def plan(
    *,
    folder: FolderOption = None,
    file: FileOption = None,
    registry_url: RegistryOption = None,
    prefix: PrefixOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show how the registry differs from our schemas. Changes nothing.

    Exits with 3 if `register` would change something, with 1 if it would refuse to.
    """
    from pipeline.ops.schemas import sync as schemas  # noqa: PLC0415 - loads the registry's client

    client, wanted = _connect(folder, file, registry_url, prefix)
    found = schemas.plan(client, wanted)
    changes = [change for change in found if change.is_change]
    _show_changes(changes, found, output, done=False)
    if any(change.refused is not None for change in changes):
        raise typer.Exit(EXIT_FAILED)
    raise typer.Exit(EXIT_PLAN_HAS_CHANGES if changes else EXIT_OK)


@app.command()
def check(
    *,
    folder: FolderOption = None,
    file: FileOption = None,
    registry_url: RegistryOption = None,
    prefix: PrefixOption = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the registry.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Check that our schemas are compatible with the released and the registered ones.

    Changes nothing.
    """
    from pipeline.ops.schemas import sync as schemas  # noqa: PLC0415 - loads the registry's client

    loaded_file, loaded_folder = _files(folder, file)
    findings = schemas.check(loaded_folder, loaded_file)
    if not offline:
        client, wanted = _connect(folder, file, registry_url, prefix)
        findings += schemas.check_online(client, wanted)

    def _render(console: "Console") -> None:
        for finding in findings:
            console.print(f"{finding.record}: {finding.problem}", style="red", markup=False)
        if not findings:
            console.print("every schema may be registered", style="green")

    show({"compatible": not findings, "findings": findings}, output, _render)
    raise typer.Exit(EXIT_FAILED if findings else EXIT_OK)


@app.command()
def register(
    *,
    folder: FolderOption = None,
    file: FileOption = None,
    registry_url: RegistryOption = None,
    prefix: PrefixOption = None,
    allow_incompatible: Annotated[
        list[str] | None,
        typer.Option("--allow-incompatible", help="Subject whose consumers may break. Repeatable."),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Set each subject's compatibility level, and register what is missing or changed."""
    from pipeline.ops.schemas import sync as schemas  # noqa: PLC0415 - loads the registry's client

    client, wanted = _connect(folder, file, registry_url, prefix)
    done = schemas.register(client, wanted, allow_incompatible or ())
    _show_changes(done, schemas.plan(client, wanted), output, done=True)


def _files(folder: Path | None, file: Path | None) -> "tuple[TopicsFile, Path]":
    from pipeline.ops.topics.file import load_topics  # noqa: PLC0415 - loads YAML
    from pipeline.settings.load import load_settings  # noqa: PLC0415 - slow to import

    settings = load_settings(schemas_dir=folder, topics_file=file)
    return load_topics(settings.topics_file), settings.schemas_dir


def _connect(
    folder: Path | None, file: Path | None, registry_url: str | None, prefix: str | None
) -> "tuple[SchemaRegistryClient, Mapping[str, Expected]]":
    from pipeline.codec.registry import connect  # noqa: PLC0415 - slow to import
    from pipeline.codec.schemas import load_schemas  # noqa: PLC0415 - the same
    from pipeline.ops.schemas.sync import expected  # noqa: PLC0415 - the same
    from pipeline.ops.topics.file import Target, load_topics  # noqa: PLC0415 - the same
    from pipeline.settings.load import load_settings  # noqa: PLC0415 - the same

    settings = load_settings(
        schemas_dir=folder, topics_file=file, registry_url=registry_url, topic_prefix=prefix
    )
    wanted = expected(
        load_topics(settings.topics_file),
        load_schemas(settings.schemas_dir),
        Target(settings.topic_prefix),
    )
    return connect(settings.registry_client()), wanted


def _show_changes(
    changes: "list[SchemaChange]", found: "list[SchemaChange]", output: Output, *, done: bool
) -> None:
    """Print what is to do or was done, and the inputs that are ahead of this release."""
    newer = [change for change in found if change.standing == "newer"]

    def _render(console: "Console") -> None:
        for change in newer:
            _render_newer(console, change)
        for change in changes:
            _render_change(console, change)
        if not changes and not newer:
            console.print(
                f"the registry has all {len(found)} schemas as they are here", style="green"
            )
        elif not changes:
            console.print(f"{len(newer)} inputs are newer; there is nothing to do", style="green")
        elif done:
            console.print(f"{len(changes)} subjects changed", style="bold green")
        else:
            refused = sum(change.refused is not None for change in changes)
            tail = f", {refused} refused" if refused else "; `awaway schemas register` makes them"
            console.print(f"{len(changes)} changes{tail}", style="bold")

    refusals = [f"{c.subject}: {c.refused}" for c in changes if c.refused is not None]
    result = {
        "registered" if done else "changes": changes,
        "subjects": len(found),
        "refused": refusals,
        "newer": newer,
    }
    show(result, output, _render)


def _render_newer(console: "Console", change: "SchemaChange") -> None:
    console.print(f"= {change.subject} ({change.record})", style="bold cyan")
    _render_diff(console, change)
    console.print(f"    {change.note}", markup=False)


def _render_change(console: "Console", change: "SchemaChange") -> None:
    sign, colour = ("+", "green") if change.standing == "missing" else ("~", "yellow")
    console.print(f"{sign} {change.subject} ({change.record})", style=f"bold {colour}")
    if change.level_now != change.level:
        before = "" if change.level_now is None else f"{change.level_now} → "
        console.print(f"    compatibility: {before}{change.level}", style=colour)
    if change.standing != "newer":
        _render_diff(console, change)
    if change.refused is not None:
        console.print(f"    refused: {change.refused}", style="red", markup=False)


def _render_diff(console: "Console", change: "SchemaChange") -> None:
    for line in change.diff:
        shade = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "dim")
        console.print(f"    {line}", style=shade, markup=False)
