"""`awaway doctor`: everything that an operator would check, and what to do.

Owns: the command's options, what it prints, its exit code.
Does not own: the checks (ops/doctor).
Invariant: it reads, and changes nothing; lines have at most 80 columns where names allow it.
"""

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline import clock
from pipeline.cli.configuration import ConfigOption
from pipeline.cli.output import Output, OutputOption, ProgressLine, paragraph, show
from pipeline.errors import EXIT_FAILED, EXIT_OK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from pipeline.ops.doctor.finding import Finding

_COLOURS = {"ok": None, "warn": "yellow", "fail": "red", "skipped": "dim"}


def command(
    *,
    config: ConfigOption = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 for a warning, too.")
    ] = False,
    disk_free_mib: Annotated[
        int, typer.Option(min=0, help="Less free space than this is a failure, in MiB.")
    ] = 1_024,
    output: OutputOption = Output.TEXT,
) -> int:
    """Check everything that the pipeline needs, and say for each what to do.

    It looks at brokers, credentials, topics, access rules, registry, schemas, workers and their
    lag, the ends of the audit, downstream services, clocks, disk, figures and versions, side by
    side, and answers within ten seconds whatever is away. It changes nothing. Run it with the
    settings of a worker, on its machine: `awaway doctor --config FILE`.

    Each check is ok, warn, fail, or skipped: not looked at, because what it needs is away.

    Exit codes: 0 nothing failed (warnings are allowed without --strict), 1 something did, 2 usage.
    """
    from pipeline.ops.doctor.finding import Bounds, Subject  # noqa: PLC0415 - slow to import
    from pipeline.ops.doctor.run import CHECKS, examine  # noqa: PLC0415
    from pipeline.settings.load import load_settings  # noqa: PLC0415

    bounds = Bounds(disk_free_bytes=disk_free_mib << 20)
    subject = Subject(load_settings(config), clock.now_ms, bounds)
    with ProgressLine() as progress:
        found = examine(
            subject,
            CHECKS,
            lambda name, done, total: progress(f"looking ({name})", done, total),
        )
    counts = Counter[str](one.level for one in found)
    result = {"findings": found, **{level: counts[level] for level in _COLOURS}}
    show(result, output, lambda console: _render(found, counts, console))
    return EXIT_FAILED if counts["fail"] or (strict and counts["warn"]) else EXIT_OK


def _render(found: "Sequence[Finding]", counts: "Mapping[str, int]", console: "Console") -> None:
    for one in found:
        label = f"{one.level:8}{one.check:14}"
        paragraph(console, one.said, _COLOURS[one.level], label)
        if one.advice:
            paragraph(console, one.advice, None, " " * (len(label) - 3) + "-> ")
    summary = ", ".join(f"{counts[level]} {level}" for level in _COLOURS if counts[level])
    console.print(summary, style="bold")
