"""`awaway skip`: have one input put aside that stops the workers.

Owns: the commands, what they print, the confirmation.
Does not own: the topic of skips (ops/skips.py).
Invariant: nothing is put aside without who, why and a ticket, and a typed confirmation; who asks
is whom the brokers take the client for, and not what somebody types.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline import clock
from pipeline.cli.output import (
    Output,
    OutputOption,
    ReasonOption,
    TicketOption,
    YesOption,
    confirm,
    show,
    stderr,
)
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.ops.skips import Preview, Skip, SkipTopic
    from pipeline.settings.worker import Settings

app = typer.Typer(no_args_is_help=True)

TopicArgument = Annotated[str, typer.Argument(help="completions or commands, or the full name.")]
PartitionArgument = Annotated[
    int, typer.Argument(min=0, max=2**31 - 1, help="As the worker's log has it.")
]
OffsetArgument = Annotated[int, typer.Argument(min=0, max=2**63 - 1, help="Of the input itself.")]
_INPUTS = ("completions", "commands")


@app.command()
def add(  # noqa: PLR0913 - one parameter an option
    topic: TopicArgument,
    partition: PartitionArgument,
    offset: OffsetArgument,
    *,
    reason: ReasonOption,
    ticket: TicketOption,
    yes: YesOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Put one input aside: workers that start from now on do not read it.

    It is for an input that ends every worker that reads it, and for nothing else: what a worker can
    refuse becomes a dead letter by itself. The input becomes a dead letter of stage operator, with
    its bytes untouched, and its audit entry names reason, ticket, and as actor the principal that
    the Kafka client logs in with. It stays in its topic.
    """
    from pipeline.kafka.principal import principal_of  # noqa: PLC0415 - slow to import
    from pipeline.ops.skips import Skip, check  # noqa: PLC0415 - the same

    settings, skips = _open()
    actor = principal_of(settings.kafka_client())
    skip = Skip(_full(settings, topic), partition, offset, actor, reason, ticket, clock.now_ms())
    check(skip)
    found = skips.preview(skip)
    if output is Output.TEXT:
        _show_input(stderr(), skip, found)
    confirm(f"{skip.place} will not count, whatever it says", str(offset), yes)
    skips.add(skip)
    _tell(
        {"skipped": skip, "input": found}, f"{skip.place} is put aside; start the workers", output
    )


@app.command("list")
def show_all(*, output: OutputOption = Output.TEXT) -> None:
    """List what was put aside and not withdrawn."""
    _, skips = _open()
    found = skips.all()

    def render(console: "Console") -> None:
        for one in found:
            console.print(one.place, style="bold", markup=False)
            console.print(f"  {clock.rfc3339(one.asked_at)} by {one.actor}", markup=False)
            console.print(f"  {one.reason} ({one.ticket})", markup=False)
        if not found:
            console.print("nothing is put aside", style="green")

    show({"skips": found}, output, render)


@app.command()
def withdraw(
    topic: TopicArgument,
    partition: PartitionArgument,
    offset: OffsetArgument,
    *,
    output: OutputOption = Output.TEXT,
) -> None:
    """Take it back, as long as no worker has passed the input.

    Workers read what is put aside when they start: one that runs already still skips the input, so
    stop the workers first.
    """
    from pipeline.ops.skips import Skip, SkipRefusedError  # noqa: PLC0415 - slow to import

    settings, skips = _open()
    wanted = Skip(_full(settings, topic), partition, offset, "", "", "", 0)
    if wanted.place not in {one.place for one in skips.all()}:
        raise SkipRefusedError(
            f"{wanted.place} is not put aside", fix="`awaway skip list` shows what is"
        )
    skips.preview(wanted)
    skips.withdraw(wanted)
    _tell(
        {"withdrawn": wanted.place},
        f"{wanted.place} is read again, by workers that start now",
        output,
    )


def _open() -> "tuple[Settings, SkipTopic]":
    from pipeline.ops.skips import SkipTopic  # noqa: PLC0415 - the same
    from pipeline.settings.load import load_settings  # noqa: PLC0415 - slow to import

    settings = load_settings()
    skips = SkipTopic(settings.kafka_client(), settings.topic_prefix, settings.group_id)
    return settings, skips


def _full(settings: "Settings", topic: str) -> str:
    names = {name: settings.topic(name) for name in _INPUTS}
    full = names.get(topic, topic)
    if full not in names.values():
        raise UsageError(
            f"{topic!r} is no topic of inputs",
            fix=f"say {' or '.join((*_INPUTS, *names.values()))}",
        )
    return full


def _show_input(console: "Console", skip: "Skip", found: "Preview") -> None:
    console.print(skip.place, style="bold", markup=False)
    console.print(f"  appended  {clock.rfc3339(found.append_time)}", markup=False)
    console.print(f"  key       {found.key}", markup=False)
    console.print(f"  value     {found.value_bytes} bytes: {found.value}", markup=False)


def _tell(result: object, text: str, output: Output) -> None:
    show(result, output, lambda console: console.print(text, style="bold green", markup=False))
