"""`awaway adjust`: put right what a user's record says.

Owns: the commands, what they print, the confirmation, exit codes.
Does not own: the preview (ops/adjust/preview.py), sending and reading back (ops/adjust/send.py),
many at once (adjust_many.py).
Invariant: nothing is sent that would be rejected, or before it was shown and confirmed.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from pipeline import clock
from pipeline.cli.adjust_desk import (
    Desk,
    DryRunOption,
    check_texts,
    date_of,
)
from pipeline.cli.adjust_many import many
from pipeline.cli.adjust_shown import effect_of, render
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
from pipeline.errors import EXIT_FAILED, EXIT_OK

if TYPE_CHECKING:
    from datetime import date

    from pipeline.core.records import Command
    from pipeline.core.state import UserState
    from pipeline.ops.adjust.preview import AdjustmentPreview
    from pipeline.ops.adjust.request import Asked, Correction

app = typer.Typer(no_args_is_help=True)
app.add_typer(many)

UserArgument = Annotated[str, typer.Argument(metavar="USER", help="The user's id.")]
DayArgument = Annotated[
    str, typer.Argument(metavar="DATE", help="A local date, such as 2026-03-01.")
]
RequestArgument = Annotated[
    str, typer.Argument(metavar="REQUEST", help="The id of the request to cancel.")
]
KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="The id of the Field Key.")]
ZoneOption = Annotated[
    str | None, typer.Option(help="The user's zone, while no completion has said one.")
]
RequestIdOption = Annotated[
    str | None,
    typer.Option(help="Names this request: asked again under it, it counts once. Default: new."),
]
WaitOption = Annotated[
    float,
    typer.Option("--wait", min=0.1, max=600, help="Seconds to wait until the effect is read back."),
]


class How(NamedTuple):
    """The options that all corrections have."""

    request_id: str | None
    wait_s: float
    dry_run: bool
    yes: bool
    config: Path | None
    output: Output


@app.command("credit-day")
def credit_day(  # noqa: PLR0913 - one parameter an option
    user: UserArgument,
    day: DayArgument,
    *,
    reason: ReasonOption,
    ticket: TicketOption,
    tz: ZoneOption = None,
    request_id: RequestIdOption = None,
    wait: WaitOption = 5.0,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    config: ConfigOption = None,
    output: OutputOption = Output.TEXT,
) -> int:
    """Let a date count although nothing was practised on it."""
    how = How(request_id, wait, dry_run, yes, config, output)
    return _correct(_asked("credit-day", user, date_of(day), reason, ticket, tz), how)


@app.command("revoke-day")
def revoke_day(  # noqa: PLR0913 - one parameter an option
    user: UserArgument,
    day: DayArgument,
    *,
    reason: ReasonOption,
    ticket: TicketOption,
    request_id: RequestIdOption = None,
    wait: WaitOption = 5.0,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    config: ConfigOption = None,
    output: OutputOption = Output.TEXT,
) -> int:
    """Let a date not count, whatever was practised on it; portals that were unlocked stay."""
    how = How(request_id, wait, dry_run, yes, config, output)
    return _correct(_asked("revoke-day", user, date_of(day), reason, ticket), how)


@app.command()
def withdraw(  # noqa: PLR0913 - one parameter an option
    user: UserArgument,
    request: RequestArgument,
    *,
    reason: ReasonOption,
    ticket: TicketOption,
    request_id: RequestIdOption = None,
    wait: WaitOption = 5.0,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    config: ConfigOption = None,
    output: OutputOption = Output.TEXT,
) -> int:
    """Cancel an earlier credit, revocation or claim, by its request id."""
    how = How(request_id, wait, dry_run, yes, config, output)
    return _correct(_asked("withdraw", user, request, reason, ticket), how)


@app.command("claim-key")
def claim_key(  # noqa: PLR0913 - one parameter an option
    user: UserArgument,
    key: KeyArgument,
    *,
    reason: ReasonOption,
    ticket: TicketOption,
    request_id: RequestIdOption = None,
    wait: WaitOption = 5.0,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    config: ConfigOption = None,
    output: OutputOption = Output.TEXT,
) -> int:
    """Claim a Field Key for the user."""
    how = How(request_id, wait, dry_run, yes, config, output)
    return _correct(_asked("claim-key", user, key, reason, ticket), how)


@app.command("return-key")
def return_key(  # noqa: PLR0913 - one parameter an option
    user: UserArgument,
    key: KeyArgument,
    *,
    reason: ReasonOption,
    ticket: TicketOption,
    request_id: RequestIdOption = None,
    wait: WaitOption = 5.0,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    config: ConfigOption = None,
    output: OutputOption = Output.TEXT,
) -> int:
    """Undo the claim of a Field Key, so that it can be claimed again.

    It withdraws the request that claimed the key. The topic of commands tells which one that is:
    the audit records that a key was claimed, and not which one. If several requests claim the key,
    they are named, and each has to be withdrawn.
    """
    how = How(request_id, wait, dry_run, yes, config, output)
    return _correct(_asked("return-key", user, key, reason, ticket), how)


def _correct(asked: "Asked", how: How) -> int:
    """Preview, confirm, send, read back.

    Returns:
        0 when the request was applied, now or before; 1 when it was or would be rejected.
    """
    from pipeline.ops.adjust.preview import preview  # noqa: PLC0415 - slow to import
    from pipeline.ops.adjust.request import new_request_id  # noqa: PLC0415 - the same

    check_texts(how.request_id or "")
    desk = Desk(how.config)
    with ProgressLine() as progress:
        state = desk.states().read([asked.user_id], progress)[asked.user_id]
    command = _command(asked, state, desk.actor, how.request_id or new_request_id())
    found = preview(state, command, desk.world, clock.now_ms())
    if how.dry_run or found.verdict == "dead_letter":
        return _tell_preview(found, how.output)
    if how.output is Output.TEXT:
        render(found, stderr())
    if found.verdict == "applied":
        confirm(f"{asked.correction} for {asked.user_id}, as above", asked.user_id, how.yes)
    with desk.corrections() as corrections:
        corrections.send(command)
        effect = corrections.wait(command.request_id, how.wait_s)
    result = {"preview": found, "sent": True, "effect": effect}
    show(result, how.output, lambda console: effect_of(effect, console))
    return EXIT_OK if effect.verdict in ("applied", "repeated") else EXIT_FAILED


def _tell_preview(found: "AdjustmentPreview", output: Output) -> int:
    result = {"preview": found, "sent": False, "effect": None}
    show(result, output, lambda console: render(found, console))
    return EXIT_FAILED if found.verdict == "dead_letter" else EXIT_OK


def _command(asked: "Asked", state: "UserState", actor: str, request_id: str) -> "Command":
    from msgspec.structs import replace  # noqa: PLC0415 - slow to import

    from pipeline.ops.adjust.request import command_of  # noqa: PLC0415 - the same
    from pipeline.ops.adjust.user_state import claim_of  # noqa: PLC0415 - the same

    if asked.correction == "return-key":
        asked = replace(asked, about=claim_of(state, str(asked.about), request_id))
    return command_of(asked, actor, request_id)


def _asked(
    correction: "Correction",
    user_id: str,
    about: "date | str",
    reason: str,
    ticket: str,
    tz: str | None = None,
) -> "Asked":
    from pipeline.ops.adjust.request import Asked  # noqa: PLC0415 - slow to import

    check_texts(user_id, str(about), reason, ticket, tz or "")
    return Asked(correction, user_id, about, reason, ticket, tz)
