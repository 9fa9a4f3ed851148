"""`awaway delivery`: how far the services are that consume what the pipeline publishes.

Owns: the command's options, what it prints, its exit code.
Does not own: measuring (ops/delivery/measure.py), a user's portals (ops/delivery/user.py).
Invariant: it reads, and changes nothing; lines have at most 80 columns where names allow it.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline import clock
from pipeline.cli.configuration import ConfigOption
from pipeline.cli.output import Output, OutputOption, ProgressLine, paragraph, printable, show
from pipeline.errors import EXIT_FAILED, EXIT_OK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from pipeline.ops.delivery.position import Delivery, Wanted
    from pipeline.ops.delivery.user import PortalDelivery
    from pipeline.settings.worker import Settings


def command(
    *,
    user: Annotated[
        str | None, typer.Argument(metavar="USER", help="Only this user's portals.")
    ] = None,
    config: ConfigOption = None,
    output: OutputOption = Output.TEXT,
) -> int:
    """Show how far each downstream service is, or which have read a user's portals.

    The groups, and how old a record may become before each has read it, are `downstream` in
    topics.yaml. A group is behind by the age of the first committed record that it has not read.

    `awaway delivery` is a table of all groups. `awaway delivery ada` is one line for each portal of
    ada and each group. The console's page of a person says when each group read a portal.

    Exit codes: 0 all keep up, 1 a group is beyond its bound or its offsets do not fit the topic (of
    a user: nothing was found, or a portal waits for too long), 2 usage.
    """
    from pipeline.ops.delivery.measure import wanted_of  # noqa: PLC0415 - slow to import
    from pipeline.ops.topics.file import Target, load_topics  # noqa: PLC0415
    from pipeline.settings.load import load_settings  # noqa: PLC0415

    settings = load_settings(config)
    wanted = wanted_of(load_topics(settings.topics_file), Target(settings.topic_prefix))
    if user is not None:
        portals = settings.topic("portals")
        return _show_user(settings, {portals: wanted.get(portals, {})}, user, output)
    deliveries = _measured(settings, wanted)
    now_ms = clock.now_ms()
    late = [one for one in deliveries if one.problems(now_ms)]
    shown = {
        "groups": [_as_dict(one, now_ms) for one in deliveries],
        "behind": len(late),
    }
    prefix = settings.topic_prefix
    show(shown, output, lambda console: _render(deliveries, prefix, now_ms, console))
    return EXIT_FAILED if late else EXIT_OK


def _measured(settings: "Settings", wanted: "Wanted") -> "list[Delivery]":
    from pipeline.ops.delivery.measure import DeliveryReader, with_states  # noqa: PLC0415 - slow

    client = settings.kafka_client()
    with DeliveryReader(client, wanted) as reader:
        return with_states(client, reader.measure())


def _as_dict(one: "Delivery", now_ms: int) -> dict[str, object]:
    return {
        "group": one.group,
        "topic": one.topic,
        "state": one.state,
        "bound_ms": one.bound_ms,
        "lag_ms": one.lag_ms(now_ms),
        "lag_records": one.lag_records,
        "problems": one.problems(now_ms),
        "notes": one.notes(),
        "partitions": [
            {
                "partition": its.partition,
                "committed": its.committed,
                "first": its.first,
                "end": its.end,
                "unread": its.unread,
                "lag_ms": its.lag_ms(now_ms),
                "lag_records": its.lag_records,
                "lost_records": its.lost_records,
                "is_ahead": its.is_ahead,
            }
            for its in one.positions
        ],
    }


def _render(deliveries: "Sequence[Delivery]", prefix: str, now_ms: int, console: "Console") -> None:
    if not deliveries:
        console.print("topics.yaml names no downstream group")
        return
    row = "{:<16} {:<16} {:>10} {:>10} {:>8}  {}"
    console.print(row.format("GROUP", "TOPIC", "RECORDS", "OLDEST", "BOUND", ""), style="bold")
    for one in deliveries:
        problems = one.problems(now_ms)
        lag_ms = one.lag_ms(now_ms)
        age = clock.length_text(lag_ms) if one.lag_records else "-"
        bound = clock.length_text(one.bound_ms)
        line = row.format(
            one.group,
            one.topic.removeprefix(prefix),
            f"{one.lag_records:,}",
            age,
            bound,
            "BEHIND" if problems else "ok",
        )
        console.print(line, style="red" if problems else None, markup=False)
        for said in [*problems, *one.notes()]:
            paragraph(console, said)
        if problems:
            paragraph(console, one.advice(), "green")
    paragraph(console, "RECORDS counts offsets; OLDEST: how old the first unread record is.", "dim")


def _show_user(settings: "Settings", wanted: "Wanted", user: str, output: Output) -> int:
    from pipeline.codec.registry import SchemaResolver, connect  # noqa: PLC0415 - slow to import
    from pipeline.codec.schemas import load_schemas  # noqa: PLC0415
    from pipeline.ops.delivery.user import deliveries_of, published_portals  # noqa: PLC0415

    (topic,) = wanted
    with ProgressLine() as progress:
        portals = published_portals(
            settings.kafka_client(),
            topic,
            load_schemas(settings.schemas_dir)["PortalUnlocked"],
            SchemaResolver(connect(settings.registry_client())).writer_schema,
            user,
            lambda done, total: progress("reading the portals", done, total),
        )
    # Asked after the portals were read, so that no group is said to wait for what it has read.
    groups = _measured(settings, wanted) if portals else []
    now_ms = clock.now_ms()
    found = deliveries_of(portals, groups, now_ms)
    shown = {"user_id": user, "topic": topic, "as_of_ms": now_ms, "portals": found}
    show(shown, output, lambda console: _render_user(user, topic, found, console))
    is_late = any(read.is_late for one in found for read in one.groups)
    return EXIT_OK if found and not is_late else EXIT_FAILED


def _render_user(
    user: str, topic: str, found: "Sequence[PortalDelivery]", console: "Console"
) -> None:
    if not found:
        console.print(
            printable(f"nothing about {user} is in {topic}; `awaway explain {user}` says more"),
            markup=False,
        )
        return
    portals = "1 portal" if len(found) == 1 else f"{len(found)} portals"
    console.print(printable(f"{user}: {portals}"), style="bold", markup=False)
    for one in found:
        lap = f", lap {one.lap + 1}" if one.lap else ""
        console.print(printable(f"{one.title}{lap}"), style="bold", markup=False)
        console.print(
            f"  {one.place}, published {clock.rfc3339(one.time_ms)}", style="dim", markup=False
        )
        for read in one.groups:
            waits = f"not yet, for {clock.length_text(read.waiting_ms)}"
            said = "read" if read.is_read else waits
            late = f", beyond its bound of {clock.length_text(read.bound_ms)}" * read.is_late
            style = "red" if read.is_late else None
            console.print(f"  {read.group:<20} {said}{late}", style=style, markup=False)
