"""`awaway rebuild`: derive the state from the log, see what differs, and put it right.

Owns: the commands, what they print, the confirmation.
Does not own: the rebuild (pipeline/rebuild/), why it is so (docs/adr/0027-rebuild-in-place.md).
Invariant: nothing changes but by `approve` and `rollback`, which say what they will do, and name
who asked, why, and the ticket.
"""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline import clock
from pipeline.cli.configuration import ConfigOption
from pipeline.cli.output import (
    Output,
    OutputOption,
    ProgressLine,
    ReasonOption,
    TicketOption,
    YesOption,
    confirm,
    show,
    stderr,
)
from pipeline.cli.partitions import PartitionsOption, UserOption, wanted_of
from pipeline.errors import EXIT_FAILED, EXIT_OK, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.ops.rebuild_diffs import Diff, ShownDifference
    from pipeline.ops.rebuilds import Progress, Rebuild, Step
    from pipeline.rebuild.job import Job
    from pipeline.rebuild.repairs import Result

app = typer.Typer(no_args_is_help=True)

IdArgument = Annotated[str, typer.Argument(help="Of the rebuild; `awaway rebuild list` shows it.")]

SHOWN_MAX = 20
"""Users of a diff that are printed for people; `-o json` has them all."""

NoteOption = Annotated[str, typer.Option(help="For the audit, if there is one.")]


@app.command()
def start(  # noqa: PLR0913 - one parameter an option
    *,
    config: ConfigOption = None,
    partition: PartitionsOption = None,
    user: UserOption = None,
    policy: Annotated[
        Path | None,
        typer.Option(help="Try a policy file on history: it makes a diff, never a repair."),
    ] = None,
    rebuild_id: Annotated[
        str | None, typer.Option("--id", help="Go on with a rebuild, or compare it once more.")
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, help="That share the partitions; default: one a processor.")
    ] = os.cpu_count() or 1,
    reason: NoteOption = "",
    ticket: NoteOption = "",
    output: OutputOption = Output.TEXT,
) -> int:
    """Derive users' states from the log, and compare them with what is live.

    It replays every input in the order that the audit recorded, into stores of its own below the
    data folder; the live pipeline goes on and does not notice. At the end it prints who differs and
    why. Nothing is changed: `awaway rebuild approve` does that.

    The audit gets an entry for it in each of its partitions before it begins, by the principal of
    your client. It may be stopped at any time: the same command with --id goes on where it was.

    Examples: awaway rebuild start; awaway rebuild start --user ada; awaway rebuild start --id ID
    """
    from pipeline.rebuild.job import Job  # noqa: PLC0415 - slow to import
    from pipeline.rebuild.setup import Setup  # noqa: PLC0415 - the same
    from pipeline.settings.load import load_settings  # noqa: PLC0415 - the same

    settings = load_settings(config)
    if rebuild_id is None:
        if user is not None and partition:
            raise UsageError("--user takes one user alone", fix="leave --partition out")
        wanted = wanted_of(partition, user, Setup(settings, policy).partitions)
        job = Job(settings, _new_id(), config)
        job.begin(wanted, user, policy)
    elif partition or user or policy:
        raise UsageError(
            "--id goes on with a rebuild as it was begun", fix="leave the other options out"
        )
    else:
        job = Job(settings, rebuild_id, config)
        if job.read().state in ("repairing", "aborted"):
            raise UsageError(
                f"{rebuild_id} is {job.read().state}", fix="`awaway rebuild status` says what to do"
            )
    with ProgressLine() as line:
        line(f"rebuild {job.folder.name}: replaying and comparing")
        diff = job.compare(processes, lambda found: _advance(line, found), reason, ticket)
    rebuild = job.read()
    show(
        {"rebuild": rebuild, "diff": diff},
        output,
        lambda console: _show_diff(console, rebuild, diff, None),
    )
    return EXIT_OK


@app.command()
def status(
    rebuild_id: Annotated[
        str | None, typer.Argument(help="Of the rebuild; default: the last.")
    ] = None,
    *,
    config: ConfigOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show how far a rebuild is, who did what when, and what to do next."""
    from pipeline.ops.rebuilds import next_step  # noqa: PLC0415 - slow to import

    job = _job(rebuild_id, config)
    rebuild, found = job.read(), job.progress()

    todo = next_step(rebuild)

    def render(console: "Console") -> None:
        console.print(f"{rebuild.id}: {rebuild.state}", style="bold", markup=False)
        for one in found:
            console.print(
                f"  partition {one.partition}: {one.done:,} of {one.total:,} inputs,"
                f" {one.rate:,.0f}/s, {one.left_s:,.0f} s left",
                markup=False,
            )
        for step in rebuild.steps:
            _show_step(console, step)
        console.print(todo, style="green", markup=False)

    show({"rebuild": rebuild, "progress": found, "next": todo}, output, render)


@app.command()
def diff(
    rebuild_id: IdArgument,
    *,
    user: Annotated[str | None, typer.Option(help="Show this user alone, with everything.")] = None,
    config: ConfigOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show who would change, in what, and why."""
    job = _job(rebuild_id, config)
    rebuild, found = job.read(), job.diff()
    shown = {"rebuild": rebuild, "diff": found}
    show(shown, output, lambda console: _show_diff(console, rebuild, found, user))


@app.command()
def approve(  # noqa: PLR0913 - one parameter an option
    rebuild_id: IdArgument,
    *,
    digest: Annotated[str, typer.Option(help="Of the diff that you have seen.")],
    reason: ReasonOption,
    ticket: TicketOption,
    yes: YesOption = False,
    config: ConfigOption = None,
    output: OutputOption = Output.TEXT,
) -> int:
    """Put right the users of a diff, while the pipeline goes on.

    Each of them is derived once more, as of now, and put right by a command that the worker carries
    out in one transaction: readers see the old progress or the right one, never neither. Portals
    that were missed are unlocked, with origin rebuild; none is told twice. Users who differ since
    the diff are left alone. It may be stopped at any time and given again.
    """
    from pipeline.ops.rebuilds import next_step  # noqa: PLC0415 - slow to import

    job = _job(rebuild_id, config)
    rebuild, found = job.read(), job.diff()
    if rebuild.tries_policy:
        raise UsageError(
            f"{rebuild_id} only tries a policy",
            fix="put the policy in force by a new version in the policy file",
        )
    if digest != found.digest:
        raise UsageError(
            f"the diff of {rebuild_id} has the digest {found.digest}, not {digest}",
            why="it was compared once more since you saw it",
            fix=f"look at it again: `awaway rebuild diff {rebuild_id}`",
        )
    if rebuild.state not in ("compared", "repairing"):
        raise UsageError(f"{rebuild_id} is {rebuild.state}", fix=next_step(rebuild))
    confirm(f"{len(found.users)} users will change", digest, yes)
    return _repair(job, ("approve", reason, ticket), output)


@app.command()
def rollback(
    rebuild_id: IdArgument,
    *,
    reason: ReasonOption,
    ticket: TicketOption,
    yes: YesOption = False,
    config: ConfigOption = None,
    output: OutputOption = Output.TEXT,
) -> int:
    """Put the users whom a rebuild repaired back to where they were, with what came since.

    Portals that were unlocked since stay unlocked: what was told is not taken back.
    """
    from pipeline.ops.rebuilds import next_step  # noqa: PLC0415 - slow to import

    job = _job(rebuild_id, config)
    rebuild, users = job.read(), sum(map(len, job.repaired().values()))
    is_cut_short = rebuild.state == "repairing" and rebuild.steps[-1].what == "rollback"
    if not users and not is_cut_short:
        raise UsageError(f"{rebuild_id} has repaired nobody", fix=next_step(rebuild))
    confirm(f"{users} users go back to the state before {rebuild_id}", rebuild_id, yes)
    return _repair(job, ("rollback", reason, ticket), output)


@app.command()
def abort(
    rebuild_id: IdArgument,
    *,
    reason: NoteOption = "",
    ticket: NoteOption = "",
    config: ConfigOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Drop what a rebuild has derived; nothing that is live changes."""
    job = _job(rebuild_id, config)
    job.abort(reason, ticket)
    show(
        {"aborted": rebuild_id},
        output,
        lambda console: console.print(f"{rebuild_id} is aborted", style="green", markup=False),
    )


@app.command("list")
def show_all(*, config: ConfigOption = None, output: OutputOption = Output.TEXT) -> None:
    """List the rebuilds of this data folder and generation, and who did what when."""
    from pipeline.ops.rebuilds import all_of  # noqa: PLC0415 - slow to import
    from pipeline.settings.load import load_settings  # noqa: PLC0415 - the same

    found, complaints = all_of(load_settings(config))

    def render(console: "Console") -> None:
        for one in found:
            console.print(f"{one.id}: {one.state}, {one.scope}", style="bold", markup=False)
            for step in one.steps:
                _show_step(console, step)
        for complaint in complaints:
            stderr().print(complaint, style="red", markup=False)
        if not found and not complaints:
            console.print("there is none", style="green")

    show({"rebuilds": found, "unreadable": complaints}, output, render)


def _job(rebuild_id: str | None, config: Path | None) -> "Job":
    from pipeline.ops.rebuilds import all_of  # noqa: PLC0415 - slow to import
    from pipeline.rebuild.job import Job  # noqa: PLC0415 - the same
    from pipeline.settings.load import load_settings  # noqa: PLC0415 - the same

    settings = load_settings(config)
    if rebuild_id is None:
        found, _ = all_of(settings)
        if not found:
            raise UsageError("there is no rebuild here", fix="`awaway rebuild start` begins one")
        rebuild_id = found[0].id
    return Job(settings, rebuild_id, config)


def _show_step(console: "Console", step: "Step") -> None:
    came = step.outcome or "not done yet"
    console.print(
        f"  {clock.rfc3339(step.at)[:19]}Z  {step.what} by {step.actor}: {came}", markup=False
    )
    if step.reason or step.ticket:
        console.print(f"    {step.ticket or 'no ticket'}: {step.reason}", markup=False)


def _new_id() -> str:
    digits = "".join(letter for letter in clock.rfc3339(clock.now_ms())[:19] if letter.isdigit())
    return f"rb-{digits}-{secrets.token_hex(2)}"


def _advance(line: Callable[[str, int, int], None], found: "list[Progress]") -> None:
    done, total = sum(one.done for one in found), sum(one.total for one in found)
    line(f"replaying ({done:,} of {total:,} inputs)", done, total)


def _repair(job: "Job", asked: tuple[str, str, str], output: Output) -> int:
    what, reason, ticket = asked
    with ProgressLine() as line:
        results = job.repair(
            what == "rollback",
            reason,
            ticket,
            lambda done, total: line(f"{what}: users", done, total),
        )
    shown = {"rebuild": job.read(), "results": results}
    show(shown, output, lambda console: _show_results(console, results))
    return EXIT_FAILED if any(one.failed for one in results) else EXIT_OK


def _show_results(console: "Console", results: "list[Result]") -> None:
    repaired = sum(len(one.repaired) for one in results)
    right = sum(len(one.superseded) for one in results)
    portals = sum(len(one.portals) for one in results)
    console.print(
        f"{repaired} users changed, {right} needed nothing any more, {portals} portals unlocked",
        style="bold green",
        markup=False,
    )
    for one in results:
        for user_id, why in sorted(one.failed.items()):
            stderr().print(f"{user_id} is as before: {why}", style="red", markup=False)


def _show_diff(console: "Console", rebuild: "Rebuild", found: "Diff", user: str | None) -> None:
    from pipeline.ops.rebuild_diffs import WHY  # noqa: PLC0415 - slow to import
    from pipeline.ops.rebuilds import next_step  # noqa: PLC0415 - the same

    rows = [one for one in found.users if user in (None, one.user_id)]
    rate = rebuild.inputs / rebuild.seconds if rebuild.seconds else 0.0
    console.print(
        f"{rebuild.id}: {rebuild.inputs:,} inputs replayed, {rate:,.0f} a second",
        style="bold",
        markup=False,
    )
    if not rows:
        console.print("nobody differs: the state is what the log says", style="green")
        return
    console.print(f"{len(rows)} users differ", style="bold yellow", markup=False)
    for name, text in WHY.items():
        count = sum(one.why == name for one in rows)
        if count:
            console.print(f"  {count:>7,}  {text}", markup=False)
    for one in rows[:SHOWN_MAX]:
        _show_user(console, one)
    if len(rows) > SHOWN_MAX:
        console.print(f"and {len(rows) - SHOWN_MAX} more: `-o json` has them all", markup=False)
    console.print(f"digest {found.digest}", style="bold", markup=False)
    console.print(next_step(rebuild, is_seen=True), style="green", markup=False)


def _show_user(console: "Console", one: "ShownDifference") -> None:
    from pipeline.ops.rebuild_diffs import spelled  # noqa: PLC0415 - slow to import

    before, after = one.before, one.after
    console.print(
        f"{one.user_id} (partition {one.partition}): {one.why}", style="bold", markup=False
    )
    for name, label in (
        ("streak_days", "streak"),
        ("longest_days", "longest"),
        ("lifetime_days", "lifetime"),
        ("portals", "portals"),
        ("keys", "keys"),
        ("frame", "frame"),
    ):
        was, will = getattr(before, name), getattr(after, name)
        if was != will:
            console.print(f"  {label:<9} {was} -> {will}", markup=False)
    for sign, runs in (("+", one.dates_added), ("-", one.dates_removed)):
        if runs:
            console.print(f"  dates    {sign} {spelled(runs)}", markup=False)
    if one.portals_missed:
        console.print(f"  unlocks   {', '.join(one.portals_missed)}", markup=False)
    if one.window_records:
        console.print(f"  dedupe window: {one.window_records} records", markup=False)
    parting = one.parting
    if parting is not None:
        console.print(
            f"  since audit entry {parting.sequence} ({parting.topic} {one.partition} offset"
            f" {parting.offset}): recorded {parting.recorded}, derived {parting.derived}",
            markup=False,
        )
