"""`awaway adjust amnesty`: credit a date to many users.

Owns: the command, what it prints, the progress bar, where the report goes.
Does not own: rows, rate and verdicts (ops/adjust/bulk.py).
Invariants: nothing is sent before the numbers were shown and confirmed; the report is written
however the run ends, unless it is killed.
"""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline import clock
from pipeline.cli.adjust_desk import (
    Desk,
    DryRunOption,
    check_texts,
    date_of,
)
from pipeline.cli.configuration import ConfigOption
from pipeline.cli.output import (
    Output,
    OutputOption,
    ProgressLine,
    ReasonOption,
    TicketOption,
    YesOption,
    confirm,
    printable,
    show,
    stderr,
)
from pipeline.errors import EXIT_FAILED, EXIT_OK, ConfigError
from pipeline.whole_file import write_whole

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.ops.adjust.bulk import Numbers, Planned, Row, RowResult
    from pipeline.ops.adjust.request import Asked

many = typer.Typer()
"""The commands of `awaway adjust` that are about more than one user."""

_FILE_BYTES_MAX = 64 << 20


@many.command()
def amnesty(  # noqa: PLR0913 - one parameter an option
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV: user_id[,local_date], one user a line.")
    ],
    *,
    reason: ReasonOption,
    ticket: TicketOption,
    day: Annotated[
        str | None, typer.Option("--date", help="The date of all lines that name none.")
    ] = None,
    rate: Annotated[
        float, typer.Option(min=0.1, max=1000, help="At most so many requests a second.")
    ] = 20.0,
    wait: Annotated[
        float, typer.Option(min=0.1, max=600, help="Seconds to wait for the effect of each.")
    ] = 30.0,
    report: Annotated[
        Path | None,
        typer.Option(help="Every line's verdict, .csv or .json. Default: FILE.report.csv."),
    ] = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    config: ConfigOption = None,
    output: OutputOption = Output.TEXT,
) -> int:
    """Credit a date to everybody in a file, such as for an outage.

    What would change is shown in numbers first. A line's request id follows from ticket, user and
    date, so a run that was stopped goes on when the same is typed again, and sends nothing twice.
    After a request whose effect does not come within --wait, nothing more is sent.

    Exit codes: 0 every line was applied, now or before; 1 one was not, or an error; 2 usage.
    """
    from pipeline.ops.adjust.bulk import Pace, Run, numbers_of, rows_of  # noqa: PLC0415

    target = report or file.with_name(f"{file.name}.report.csv")
    default = None if day is None else date_of(day)
    check_texts(reason, ticket)
    rows = rows_of(_read(file), default, str(file))
    desk = Desk(config)
    planned = _planned(desk, rows, reason, ticket)
    numbers = numbers_of(planned)
    if dry_run:
        show({"numbers": numbers, "sent": False}, output, lambda it: _show_numbers(numbers, it))
        return EXIT_FAILED if numbers.rejected else EXIT_OK
    if output is Output.TEXT:
        _show_numbers(numbers, stderr())
    _check_writable(target)
    if numbers.to_send:
        confirm(f"{numbers.to_send} requests are sent, under {ticket}", str(numbers.to_send), yes)
    with desk.corrections() as corrections:
        run = Run(planned, corrections, Pace(rate, wait))
        try:
            with ProgressLine() as progress:
                run.send_all(lambda done, total: progress("sending", done, total))
        finally:
            _write(target, run.report())
    return _tell(run.report(), numbers, target, output)


def _planned(desk: Desk, rows: "list[Row]", reason: str, ticket: str) -> "list[Planned]":
    from pipeline.ops.adjust.bulk import plan  # noqa: PLC0415 - slow to import
    from pipeline.ops.adjust.request import Asked  # noqa: PLC0415 - the same

    def asked(row: "Row") -> "tuple[Asked, str]":
        return Asked("credit-day", row.user_id, row.local_date, reason, ticket), desk.actor

    with ProgressLine() as progress:
        states = desk.states().read({row.user_id for row in rows}, progress)
    return plan(rows, states, asked, desk.world, clock.now_ms())


def _tell(results: "list[RowResult]", numbers: "Numbers", report: Path, output: Output) -> int:
    verdicts = Counter(one.verdict for one in results)
    is_done = verdicts["applied"] + verdicts["repeated"] == len(results)

    def render(console: "Console") -> None:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
        console.print(counts, style="bold green" if is_done else "bold red", markup=False)
        console.print(f"  every line's verdict is in {report}", markup=False)
        late = next((one for one in results if one.verdict == "not_read_back"), None)
        if late is not None:
            console.print(f"  stopped: {late.request_id}, {late.why}", markup=False)
            console.print("  see whether workers run; type the same again to go on", markup=False)

    result = {"numbers": numbers, "sent": True, "verdicts": verdicts, "report": str(report)}
    show(result, output, render)
    return EXIT_OK if is_done else EXIT_FAILED


def _show_numbers(numbers: "Numbers", console: "Console") -> None:
    def line(label: str, text: object) -> None:
        console.print(f"  {label:10} {printable(str(text))}", markup=False)

    console.print(f"{numbers.rows} lines, {numbers.users} users", style="bold", markup=False)
    line("to send", numbers.to_send)
    line("changed", f"{numbers.users_changed} users")
    line("portals", f"{numbers.portals}, with {numbers.keys} Field Keys")
    line("repeated", f"{numbers.repeated} were taken before, and are not sent again")
    line("no effect", f"{numbers.without_effect} dates count already, or stay revoked")
    if numbers.unknown_users:
        line("unknown", f"nothing is known of {numbers.unknown_users} users: are the ids right?")
    for reason, count in numbers.rejected.items():
        line("rejected", f"{count} for {reason}")


def _read(file: Path) -> bytes:
    try:
        if file.stat().st_size > _FILE_BYTES_MAX:
            raise ConfigError(f"{file} is larger than {_FILE_BYTES_MAX} bytes", fix="split it")
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be read", why=error.strerror or str(error), fix="name a CSV file"
        ) from error


def _check_writable(file: Path) -> None:
    """Find out before anything is sent."""
    part = file.with_name(f"{file.name}.part")
    try:
        part.touch()
        part.unlink()
    except OSError as error:
        raise _unwritable(file, error) from error


def _write(file: Path, results: "list[RowResult]") -> None:
    """Write a report, whole or not at all."""
    import msgspec  # noqa: PLC0415 - slow to import

    from pipeline.ops.adjust.bulk import as_csv  # noqa: PLC0415 - the same

    is_json = file.suffix == ".json"
    raw = msgspec.json.encode(results) if is_json else as_csv(results).encode()
    try:
        write_whole(file, raw)
    except OSError as error:
        raise _unwritable(file, error) from error


def _unwritable(file: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"the report cannot be written to {file}",
        why=error.strerror or str(error),
        fix="give another --report; what was sent is not sent twice",
    )
