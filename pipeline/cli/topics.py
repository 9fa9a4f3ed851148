"""`awaway topics`: the cluster's topics, as `topics.yaml` defines them.

Owns: the commands, what they print and their exit codes.
Does not own: comparing and changing (ops/topics/sync.py), the file (ops/topics/file.py).
Invariant: only `apply` changes anything; `plan` exits with 3 when there is something to do.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.output import Output, OutputOption, YesOption, confirm, show
from pipeline.errors import EXIT_OK, EXIT_PLAN_HAS_CHANGES

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient
    from rich.console import Console

    from pipeline.ops.topics.file import TopicsFile
    from pipeline.ops.topics.sync import Change, Permissions, Plan, Target
    from pipeline.settings.worker import Settings

app = typer.Typer(no_args_is_help=True)

FileOption = Annotated[
    Path | None, typer.Option("--file", help="The topics.yaml; default: the setting topics_file.")
]
BrokersOption = Annotated[
    str | None,
    typer.Option("--bootstrap-servers", help="Brokers, host:port; default: the setting."),
]
PrefixOption = Annotated[
    str | None, typer.Option("--prefix", help="Used instead of the setting topic_prefix.")
]
GenerationOption = Annotated[
    str | None,
    typer.Option("--generation", help="Generation of the changelogs; default: the setting."),
]
PartitionsOption = Annotated[
    int | None, typer.Option("--partitions", min=1, max=1024, help="Used instead of the file's.")
]
ReplicationOption = Annotated[
    int | None, typer.Option("--replication", min=1, max=9, help="Used instead of the file's.")
]
SimulatedTimeOption = Annotated[
    bool,
    typer.Option(
        "--simulated-time",
        help="Inputs keep the producer's timestamps: for a demo, never in production.",
    ),
]
DeleteOption = Annotated[
    list[str] | None,
    typer.Option("--delete", help="Full name of a topic to delete with its data. Repeatable."),
]
AddPartitionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--add-partitions",
        help="Full name of a topic that may get partitions; users move between them. Repeatable.",
    ),
]


@app.command()
def plan(  # noqa: PLR0913 - one parameter an option
    *,
    file: FileOption = None,
    bootstrap_servers: BrokersOption = None,
    prefix: PrefixOption = None,
    generation: GenerationOption = None,
    partitions: PartitionsOption = None,
    replication: ReplicationOption = None,
    simulated_time: SimulatedTimeOption = False,
    delete: DeleteOption = None,
    add_partitions: AddPartitionsOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show how the cluster differs from the file. Changes nothing; exits with 3 if it differs."""
    from pipeline.ops.topics import sync as topics  # noqa: PLC0415 - loads the Kafka client

    settings = _settings(bootstrap_servers, file, prefix, generation)
    found = topics.plan(
        _admin(settings),
        topics.load_topics(settings.topics_file),
        _target(settings, partitions, replication, simulated_time),
        _by_name(delete, add_partitions),
    )
    _show_plan(found, output, applied=False)
    raise typer.Exit(EXIT_PLAN_HAS_CHANGES if found.changes else EXIT_OK)


@app.command()
def apply(  # noqa: PLR0913 - one parameter an option
    *,
    file: FileOption = None,
    bootstrap_servers: BrokersOption = None,
    prefix: PrefixOption = None,
    generation: GenerationOption = None,
    partitions: PartitionsOption = None,
    replication: ReplicationOption = None,
    simulated_time: SimulatedTimeOption = False,
    delete: DeleteOption = None,
    add_partitions: AddPartitionsOption = None,
    yes: YesOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Create and change topics as the file says.

    A change that loses data is refused unless its topic is named in an option.
    """
    from pipeline.ops.topics import sync as topics  # noqa: PLC0415 - loads the Kafka client

    settings = _settings(bootstrap_servers, file, prefix, generation)
    for name in delete or ():
        confirm(f"All records of {name} will be lost, for everybody", name, yes)
    done = topics.apply(
        _admin(settings),
        topics.load_topics(settings.topics_file),
        _target(settings, partitions, replication, simulated_time),
        _by_name(delete, add_partitions),
    )
    _show_plan(done, output, applied=True)


@app.command()
def dump(
    *,
    bootstrap_servers: BrokersOption = None,
    prefix: PrefixOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Print the cluster's topics, as YAML or JSON."""
    from pipeline.ops.strict_yaml import parse_yaml  # noqa: PLC0415 - the same
    from pipeline.ops.topics import sync as topics  # noqa: PLC0415 - loads the Kafka client

    settings = _settings(bootstrap_servers, None, prefix, None)
    text = topics.dump(_admin(settings), settings.topic_prefix)
    show(parse_yaml(text), output, lambda console: console.print(text, end="", markup=False))


@app.command()
def validate(*, file: FileOption = None, output: OutputOption = Output.TEXT) -> None:
    """Check the file only, without a cluster."""
    loaded, target = _offline(file, None, None)
    names = [wanted.name for wanted in loaded.wanted(target)]
    show({"valid": True, "topics": names}, output, lambda c: c.print(f"{len(names)} topics, valid"))


@app.command()
def acls(
    *,
    file: FileOption = None,
    prefix: PrefixOption = None,
    generation: GenerationOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Print the permissions that each process needs, as arguments of Kafka's kafka-acls."""
    from pipeline.ops.topics.acls import rules  # noqa: PLC0415 - only this command needs it

    found = rules(*_offline(file, prefix, generation))

    def _render(console: "Console") -> None:
        for rule in found:
            console.print(rule.arguments(), markup=False, soft_wrap=True)

    show({"rules": found}, output, _render)


def _settings(
    bootstrap_servers: str | None, file: Path | None, prefix: str | None, generation: str | None
) -> "Settings":
    from pipeline.settings.load import load_settings  # noqa: PLC0415 - slow to import

    return load_settings(
        bootstrap_servers=bootstrap_servers,
        topics_file=file,
        topic_prefix=prefix,
        generation=generation,
    )


def _offline(
    file: Path | None, prefix: str | None, generation: str | None
) -> tuple["TopicsFile", "Target"]:
    from pipeline.ops.topics.file import load_topics  # noqa: PLC0415 - loads YAML

    settings = _settings(None, file, prefix, generation)
    return load_topics(settings.topics_file), _target(settings, None, None, False)


def _admin(settings: "Settings") -> "AdminClient":
    from pipeline.ops.topics.sync import connect  # noqa: PLC0415 - loads the Kafka client

    return connect(settings.kafka_client())


def _target(
    settings: "Settings", partitions: int | None, replication: int | None, simulated_time: bool
) -> "Target":
    from pipeline.ops.topics.file import Target  # noqa: PLC0415 - loads YAML

    return Target(
        settings.topic_prefix, partitions, replication, settings.generation, simulated_time
    )


def _by_name(delete: list[str] | None, add_partitions: list[str] | None) -> "Permissions":
    from pipeline.ops.topics.sync import Permissions  # noqa: PLC0415 - loads the Kafka client

    return Permissions(frozenset(delete or ()), frozenset(add_partitions or ()))


def _show_plan(found: "Plan", output: Output, *, applied: bool) -> None:
    key = "applied" if applied else "changes"

    def _render(console: "Console") -> None:
        for change in found.changes:
            _render_change(console, change)
        for name in found.unmanaged:
            console.print(f"  {name} is not in the file and is left alone", style="dim")
        count = len(found.changes)
        if not count:
            console.print("the cluster is as the file says", style="green")
        elif applied:
            console.print(f"{count} changes made", style="bold green")
        elif found.refusals:
            console.print(f"{count} changes, {len(found.refusals)} refused", style="bold red")
        else:
            console.print(f"{count} changes; `awaway topics apply` makes them", style="bold")

    result = {key: found.changes, "unmanaged": found.unmanaged, "refused": found.refusals}
    show(result, output, _render)


_SIGNS = {
    "create": ("+", "green"),
    "configure": ("~", "yellow"),
    "add_partitions": ("~", "yellow"),
    "delete": ("-", "red"),
}


def _render_change(console: "Console", change: "Change") -> None:
    sign, colour = _SIGNS[change.kind]
    console.print(f"{sign} {change.topic}", style=f"bold {colour}", markup=False)
    if change.partitions is not None:
        console.print(f"    partitions: {change.partitions}", style=colour)
    if change.replication is not None:
        console.print(f"    replicas: {change.replication}", style=colour)
    for setting in change.settings:
        wanted = "(broker's default)" if setting.wanted is None else setting.wanted
        before = "" if change.kind == "create" else f"{setting.now} → "
        console.print(f"    {setting.name}: {before}{wanted}", style=colour, markup=False)
    if change.refused is not None:
        console.print(f"    refused: {change.refused}", style="red", markup=False)
