"""`awaway scrub`: whether users' state and progress are what the log says.

Owns: the options, what is printed, the exit code.
Does not own: the comparisons (pipeline/rebuild/scrub.py), putting right (`awaway rebuild`).
Invariant: it changes nothing.
"""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline import clock
from pipeline.cli.configuration import ConfigOption
from pipeline.cli.output import Output, OutputOption, ProgressLine, printable, show
from pipeline.cli.partitions import PartitionsOption, UserOption, wanted_of
from pipeline.errors import EXIT_FAILED, EXIT_OK, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.rebuild.scrub import Scrubbed

SHOWN_MAX = 20
"""Findings that are printed for people; `-o json` has them all."""


def command(
    *,
    config: ConfigOption = None,
    partition: PartitionsOption = None,
    user: UserOption = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Only about so many users, others at each run.")
    ] = None,
    metrics_file: Annotated[
        Path | None,
        typer.Option(help="Write metrics for node_exporter's textfile collector: a name in .prom."),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> int:
    """Check that users' state and progress are what the log says.

    It derives the state from the log beside the workers and compares it with the changelogs, and
    the last record of each user in `progress` with that state. Nothing is changed and nothing kept.
    Who differs is named, with the command with which to go on.

    A worker's own disk and the store of an API process are not looked at: they compare them
    themselves where AWAWAY_SCRUB_RECORDS_PER_S and AWAWAY_API_SCRUB_RECORDS_PER_S are set, and name
    users in their logs.

    Examples: `awaway scrub --user ada`; by cron: `awaway scrub --sample 10000 --metrics-file
    /var/lib/node_exporter/awaway.prom`.

    Exit code 0: nothing differs; 1: something does, or it could not be checked.
    """
    from pipeline.rebuild.scrub import Choice, scrub, write_metrics  # noqa: PLC0415 - slow
    from pipeline.rebuild.setup import Setup  # noqa: PLC0415 - the same
    from pipeline.settings.load import load_settings  # noqa: PLC0415 - the same

    if user is not None and (partition or sample):
        raise UsageError("--user takes one user alone", fix="leave --partition and --sample out")
    if metrics_file is not None and not metrics_file.parent.is_dir():
        raise UsageError(
            f"there is no folder {metrics_file.parent}", fix="make it, or name another file"
        )
    setup = Setup(load_settings(config))
    wanted = wanted_of(partition, user, setup.partitions)
    with ProgressLine() as line:
        found = scrub(
            setup,
            wanted,
            Choice(user, sample, secrets.token_bytes(16)),
            lambda number, done, total: line(
                f"partition {number} ({done:,} of {total:,} inputs)", done, total
            ),
        )
    if metrics_file is not None:
        write_metrics(metrics_file, found, clock.now_ms())
    shown = {
        "partitions": wanted,
        "users_checked": found.users_checked,
        "users_differing": len(found.findings),
        "unsettled": found.unsettled,
        "findings": found.findings,
    }
    show(shown, output, lambda console: _render(console, found))
    return EXIT_FAILED if found.findings else EXIT_OK


def _render(console: "Console", found: "Scrubbed") -> None:
    console.print(f"{found.users_checked:,} users checked", style="bold", markup=False)
    if found.unsettled:
        console.print(
            f"{found.unsettled} changed too often to tell about their progress", markup=False
        )
    if not found.findings:
        console.print("nobody differs: state and progress are what the log says", style="green")
        return
    console.print(f"{len(found.findings):,} users differ", style="bold yellow", markup=False)
    for one in found.findings[:SHOWN_MAX]:
        console.print(
            printable(f"{one.user_id} (partition {one.partition}): {one.what}, {one.why}"),
            style="bold",
            markup=False,
        )
        for deviation in one.deviations:
            console.print(
                printable(f"  {deviation.field}: {deviation.found} -> {deviation.expected}"),
                markup=False,
            )
        console.print(printable(f"  {one.fix}"), style="green", markup=False)
    if len(found.findings) > SHOWN_MAX:
        console.print(f"and {len(found.findings) - SHOWN_MAX} more: `-o json` has them all")
    console.print("then look at the diff and approve it: docs/runbooks/state-differs.md")
