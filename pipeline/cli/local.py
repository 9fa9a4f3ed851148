"""`awaway local`: Kafka and a schema registry on this machine.

Owns: the three commands, what they print and their exit codes.
Does not own: the stack (pipeline/dev/local/stack.py).
Invariant: each of them is idempotent.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline import clock
from pipeline.cli.output import Output, OutputOption, ProgressLine, YesOption, confirm, show
from pipeline.errors import EXIT_FAILED

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.dev.local.stack import LocalStack, StackStatus

app = typer.Typer(no_args_is_help=True)

RootOption = Annotated[
    Path,
    typer.Option("--root", envvar="AWAWAY_STACK_DIR", help="The folder of data and logs."),
]
_DEFAULT_ROOT = Path(".local/stack")


@app.command()
def up(
    *,
    root: RootOption = _DEFAULT_ROOT,
    kafka_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Kafka's port; default: a free one.")
    ] = None,
    registry_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The registry's port; default: a free one.")
    ] = None,
    max_hours: Annotated[
        float, typer.Option(min=0.01, max=168, help="Hours after which both stop by themselves.")
    ] = 12.0,
    output: OutputOption = Output.TEXT,
) -> None:
    """Start Kafka and the registry, and leave them running.

    The first start downloads about 200 MB. If both run already, nothing changes.
    """
    stack = _stack(root, kafka_port=kafka_port, registry_port=registry_port, lifetime_h=max_hours)
    with ProgressLine() as progress:
        started = stack.up(progress)
    status = stack.status()

    def _render(console: "Console") -> None:
        console.print("the stack is up" if started else "the stack was up already", style="bold")
        _render_status(console, status)

    show({"started": started, **_as_dict(status)}, output, _render)


@app.command()
def down(
    *,
    root: RootOption = _DEFAULT_ROOT,
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="Delete topics, schemas and logs as well.")
    ] = False,
    yes: YesOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Stop Kafka and the registry. Their data stays."""
    if delete_data:
        confirm(f"All topics and schemas in {root} will be lost", "delete", yes)
    ran = _stack(root).down(delete_data=delete_data)
    message = "the stack is down" if ran else f"no stack was up in {root}"
    show(
        {"stopped": ran, "health": "down", "data_deleted": delete_data},
        output,
        lambda console: console.print(message),
    )


@app.command()
def status(*, root: RootOption = _DEFAULT_ROOT, output: OutputOption = Output.TEXT) -> None:
    """Show whether both servers answer. Exits with 1 unless they do."""
    found = _stack(root).status()
    show(_as_dict(found), output, lambda console: _render_status(console, found))
    if found.health != "up":
        raise typer.Exit(EXIT_FAILED)


def _stack(
    root: Path,
    *,
    kafka_port: int | None = None,
    registry_port: int | None = None,
    lifetime_h: float = 12.0,
) -> "LocalStack":
    from pipeline.dev.local.stack import LocalStack  # noqa: PLC0415 - keeps --help quick

    return LocalStack(
        root, kafka_port=kafka_port, registry_port=registry_port, lifetime_h=lifetime_h
    )


def _as_dict(status: "StackStatus") -> dict[str, object]:
    """The status for programs, with its end as an instant that people can read, too."""
    import msgspec  # noqa: PLC0415

    ends_at = None if status.ends_at_ms is None else clock.rfc3339(status.ends_at_ms)
    return {**msgspec.structs.asdict(status), "ends_at": ends_at}


def _render_status(console: "Console", status: "StackStatus") -> None:
    """A few lines for people."""
    colour = {"up": "green", "degraded": "yellow", "down": "red"}[status.health]
    console.print(f"stack     [{colour}]{status.health}[/{colour}]  {status.root}")
    for server in status.servers:
        state = "answers" if server.healthy else "does not answer"
        pid = "no process" if server.pid is None else f"pid {server.pid}"
        console.print(f"{server.name:9} {server.address}  {state}, {pid}, log {server.log}")
    if status.ends_at_ms is not None:
        console.print(f"ends      {clock.rfc3339(status.ends_at_ms)}, or with `awaway local down`")
        console.print("\nto point the pipeline at it:")
        console.print(f"  export AWAWAY_BOOTSTRAP_SERVERS={status.bootstrap_servers}")
        console.print(f"  export AWAWAY_REGISTRY_URL={status.registry_url}")
        console.print("  export AWAWAY_DEVELOPMENT_BROKER=true")
