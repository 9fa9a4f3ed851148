"""`awaway deadletters`: look at rejected inputs, have them judged once more, or put them away.

Owns: the commands, their options, the order of their steps, exit codes.
Does not own: letters and what was done about them (ops/deadletters), what is printed
(deadletters_shown.py).
Invariants: nothing is sent without `--yes`, a reason, a ticket and a choice; who asks is whom the
brokers take the client for; a letter stays in its topic, whatever is done about it.
"""

import heapq
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from pipeline import clock
from pipeline.cli.adjust_desk import Desk
from pipeline.cli.configuration import ConfigOption
from pipeline.cli.deadletters_options import (
    PartitionsOption,
    PlaceArgument,
    PlacesArgument,
    RejectionsOption,
    SinceOption,
    StagesOption,
    StatesOption,
    TopicOption,
    UntilOption,
    UserOption,
    is_choice,
    wanted_of,
)
from pipeline.cli.output import (
    LinesOption,
    Output,
    OutputOption,
    ProgressLine,
    print_json,
    show,
)
from pipeline.errors import EXIT_FAILED, EXIT_OK, ConfigError, UsageError

if TYPE_CHECKING:
    from pipeline.core.records import Command
    from pipeline.ops.deadletters.forecast import Forecaster
    from pipeline.ops.deadletters.handled import Handled
    from pipeline.ops.deadletters.letters import About, Letter, Wanted
    from pipeline.ops.deadletters.log import DeadLetterLog
    from pipeline.ops.deadletters.plan import Chosen, Planned, Why
    from pipeline.ops.deadletters.send import Result
    from pipeline.ops.progress import Say

app = typer.Typer(no_args_is_help=True)

ROWS = 50
"""Letters that are listed for people unless they ask for more."""

NoteOption = Annotated[str, typer.Option(help="Why, for the audit; needed with --yes.")]
TicketOption = Annotated[str, typer.Option(help="The ticket, for the audit; needed with --yes.")]
SendOption = Annotated[bool, typer.Option("--yes", "-y", help="Do it. Default: only show what.")]
AllOption = Annotated[
    bool, typer.Option("--all", help="Every open letter, where nothing is chosen.")
]
LimitOption = Annotated[
    int,
    typer.Option(
        min=1, max=20_000, help="Look at so many letters at most; filters lead to others."
    ),
]
RateOption = Annotated[float, typer.Option(min=0.1, max=1000, help="At most so many a second.")]
WaitOption = Annotated[
    float, typer.Option(min=0.1, max=600, help="Seconds to wait for the effect of each.")
]


class How(NamedTuple):
    """The options of what sends."""

    reason: str
    ticket: str
    limit: int
    rate: float
    wait_s: float
    yes: bool
    output: Output


class LettersDesk(Desk):
    """What these commands need of the world."""

    def log(self) -> "DeadLetterLog":
        """Reads letters, and what was done about them."""
        from pipeline.ops.deadletters.log import DeadLetterLog  # noqa: PLC0415 - slow to import

        return DeadLetterLog(*self._log)

    def forecaster(self) -> "Forecaster":
        """Says what would happen to them now."""
        from pipeline.ops.deadletters.forecast import Forecaster  # noqa: PLC0415 - the same

        return Forecaster(*self._log, self.world)


@app.command("list")
def list_(  # noqa: PLR0913 - one parameter an option
    *,
    rejection: RejectionsOption = None,
    stage: StagesOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    user: UserOption = None,
    topic: TopicOption = None,
    partition: PartitionsOption = None,
    state: StatesOption = None,
    limit: Annotated[
        int | None,
        typer.Option(min=0, help="The latest so many. Default: 50; with -o json all."),
    ] = None,
    config: ConfigOption = None,
    output: LinesOption = Output.TEXT,
) -> None:
    """List rejected inputs: first how many of each reason, then the latest.

    The state of a letter is open, redriven with what came of it, or discarded. With -o json there
    is one object a line for each letter, those of a partition in their order.

    Examples: `awaway deadletters list --since 7d`; `awaway deadletters list --rejection too_late
    --state open`; `awaway deadletters list --user ada -o json`.
    """
    from pipeline.cli.deadletters_shown import Counts, render_list, row_of  # noqa: PLC0415 - slow
    from pipeline.ops.deadletters.handled import read_handled  # noqa: PLC0415 - the same

    wanted = wanted_of(rejection, stage, (since, until), user, topic, (partition, state))
    log = LettersDesk(config).log()
    counts = Counts()
    latest: list[tuple[int, tuple[int, int], Letter, Handled]] = []
    rows = ROWS if limit is None else limit
    with ProgressLine() as progress:
        handled = read_handled(log, wanted, progress)
        for letter in log.letters(wanted, progress):
            its = handled.of(letter)
            if wanted.states and its.state not in wanted.states:
                continue
            counts.add(letter.record, its)
            if output is Output.JSON and limit is None:
                print_json(row_of(letter, its))
            else:
                heapq.heappush(latest, (letter.published_ms, letter.place, letter, its))
                if len(latest) > rows:
                    heapq.heappop(latest)
    found = [row_of(letter, its) for _, _, letter, its in sorted(latest, reverse=True)]
    if output is Output.JSON:
        for one in found:
            print_json(one)
        return
    there = (counts, found, log.unreadable)
    show({}, output, lambda to: render_list(*there, to, is_filtered=is_choice(wanted)))


@app.command("show")
def show_(
    place: PlaceArgument,
    *,
    raw: Annotated[
        Path | None, typer.Option(help="Save the bytes of the input's value in this file.")
    ] = None,
    config: ConfigOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show one rejected input: everything about it, its bytes, what would become of it now.

    Control characters are shown as their code points, so nothing in an input can steer the
    terminal.

    Examples: `awaway deadletters show 3:17`; `awaway deadletters show 3:17 --raw input.bin`.
    """
    from pipeline.cli.deadletters_shown import render_letter, shown_letter  # noqa: PLC0415 - slow
    from pipeline.ops.deadletters.handled import read_told  # noqa: PLC0415 - the same
    from pipeline.ops.deadletters.letters import place_of  # noqa: PLC0415 - the same

    desk = LettersDesk(config)
    log = desk.log()
    wanted = place_of(place)
    with ProgressLine() as progress:
        letter = log.at([wanted])[wanted]
        if raw is not None:
            _save(raw, letter.origin.value or b"")
        told = read_told(log, letter, progress)
        (said,) = desk.forecaster().judge([letter], clock.now_ms(), progress)
    found = shown_letter(letter, told, said, log.decoder)
    show(found, output, lambda console: render_letter(found, console))


@app.command()
def redrive(  # noqa: PLR0913 - one parameter an option
    places: PlacesArgument = None,
    *,
    rejection: RejectionsOption = None,
    stage: StagesOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    user: UserOption = None,
    topic: TopicOption = None,
    partition: PartitionsOption = None,
    everything: AllOption = False,
    also_rejected: Annotated[
        bool, typer.Option("--also-rejected", help="Send also what would be rejected again.")
    ] = False,
    reason: NoteOption = "",
    ticket: TicketOption = "",
    limit: LimitOption = 10_000,
    rate: RateOption = 50.0,
    wait: WaitOption = 30.0,
    yes: SendOption = False,
    config: ConfigOption = None,
    output: OutputOption = Output.TEXT,
) -> int:
    """Have rejected inputs judged once more, as if they had come when they first came.

    Without --yes it shows in numbers what would now happen to each, and sends nothing. An input
    cannot count twice, however often it is redriven. Letters that were redriven or discarded are
    passed over, so a run that was stopped goes on when the same is typed again. After a request
    whose effect does not come within --wait, nothing more is sent.

    Examples: `awaway deadletters redrive 3:17`; `awaway deadletters redrive --rejection
    unknown_schema_id --since 2d --yes --reason "schema registered" --ticket O-17`.

    Exit codes: 0 done, or shown; 1 one was rejected again or has no effect yet, or an error; 2
    usage.
    """
    from pipeline.codec.partitioner import OF_ITS_KEY  # noqa: PLC0415 - slow to import
    from pipeline.ops.deadletters.plan import plan_redrive, redrive_command  # noqa: PLC0415 - slow

    wanted = wanted_of(rejection, stage, (since, until), user, topic, (partition, None))
    how = How(reason, ticket, limit, rate, wait, yes, output)
    desk, why = _ready(config, places, wanted, how, everything=everything)
    with ProgressLine() as progress:
        chosen = _chosen(desk.log(), places, wanted, how.limit, progress)
        letters = [letter for letter, _ in chosen.letters]
        said = desk.forecaster().judge(letters, clock.now_ms(), progress) if letters else []
    planned = plan_redrive(chosen, said, also_rejected=also_rejected)
    commands = [
        (redrive_command(one.letter, why), OF_ITS_KEY) for one in planned if not one.passed_over
    ]
    return _carry_out("redrive", desk, (planned, chosen.more), commands, how)


@app.command()
def discard(  # noqa: PLR0913 - one parameter an option
    places: PlacesArgument = None,
    *,
    rejection: RejectionsOption = None,
    stage: StagesOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    user: UserOption = None,
    topic: TopicOption = None,
    partition: PartitionsOption = None,
    everything: AllOption = False,
    reason: NoteOption = "",
    ticket: TicketOption = "",
    limit: LimitOption = 10_000,
    rate: RateOption = 50.0,
    wait: WaitOption = 30.0,
    yes: SendOption = False,
    config: ConfigOption = None,
    output: OutputOption = Output.TEXT,
) -> int:
    """Record that nothing will be done about rejected inputs; they stay in their topic.

    Each gets an entry in the audit with who, why and the ticket, and is listed as discarded. It can
    still be redriven later, by its place. Without --yes it shows how many there are.

    Examples: `awaway deadletters discard 3:17`; `awaway deadletters discard --rejection
    malformed_json --until 2026-03-01 --yes --reason "a load test" --ticket O-19`.

    Exit codes: 0 done, or shown; 1 one has no effect yet, or an error; 2 usage.
    """
    from pipeline.ops.deadletters.plan import discard_command, plan_discard  # noqa: PLC0415 - slow

    wanted = wanted_of(rejection, stage, (since, until), user, topic, (partition, None))
    how = How(reason, ticket, limit, rate, wait, yes, output)
    desk, why = _ready(config, places, wanted, how, everything=everything)
    with ProgressLine() as progress:
        chosen = _chosen(desk.log(), places, wanted, how.limit, progress)
    planned = plan_discard(chosen)
    commands = [
        (discard_command(one.letter, why), one.letter.place.partition)
        for one in planned
        if not one.passed_over
    ]
    return _carry_out("discard", desk, (planned, chosen.more), commands, how)


def _ready(
    config: Path | None,
    places: list[str] | None,
    wanted: "Wanted",
    how: How,
    *,
    everything: bool,
) -> "tuple[LettersDesk, Why]":
    """Check what was typed before anything is read."""
    from pipeline.core.texts import ID_CHARS_MAX  # noqa: PLC0415 - slow to import
    from pipeline.ops.deadletters.plan import Why  # noqa: PLC0415 - the same
    from pipeline.ops.skips import check_notes  # noqa: PLC0415 - the same

    if places and (everything or is_choice(wanted)):
        raise UsageError("places and filters do not go together", fix="give either")
    if how.yes and not (places or everything or is_choice(wanted)):
        raise UsageError(
            "nothing says which letters", fix="give places, a filter, or --all for every open one"
        )
    if how.yes:
        check_notes(how.reason, how.ticket)
        if len(how.ticket) > ID_CHARS_MAX:
            raise UsageError("the ticket is too long", fix="give the short id that it has")
    desk = LettersDesk(config)
    return desk, Why(desk.actor, how.reason, how.ticket)


def _chosen(
    log: "DeadLetterLog", places: list[str] | None, wanted: "Wanted", limit: int, say: "Say"
) -> "Chosen":
    """The letters that a command is about, with what was done about them."""
    from pipeline.ops.deadletters.handled import read_handled  # noqa: PLC0415 - slow to import
    from pipeline.ops.deadletters.letters import STATES, place_of  # noqa: PLC0415 - the same
    from pipeline.ops.deadletters.plan import choose  # noqa: PLC0415 - the same

    handled = read_handled(log, wanted, say)
    if places:
        found = log.at(dict.fromkeys(place_of(one) for one in places))
        return choose(found.values(), handled, frozenset(STATES), limit)._replace(are_named=True)
    letters: Iterator[Letter] = log.letters(wanted, say)
    return choose(letters, handled, frozenset({"open"}), limit)


def _carry_out(
    doing: "About",
    desk: LettersDesk,
    plan: "tuple[list[Planned], int]",
    commands: "list[tuple[Command, int]]",
    how: How,
) -> int:
    """Show a plan, or send it and tell what became of it."""
    from pipeline.cli import deadletters_shown as shown  # noqa: PLC0415 - slow to import
    from pipeline.ops.adjust.bulk import Pace  # noqa: PLC0415 - the same
    from pipeline.ops.deadletters.plan import numbers_of  # noqa: PLC0415 - the same
    from pipeline.ops.deadletters.send import send_all  # noqa: PLC0415 - the same

    planned, more = plan
    numbers = numbers_of(planned, more)
    if not how.yes or not commands:
        result = {"numbers": numbers, "sent": False, "letters": shown.plan_rows(planned)}
        show(result, how.output, lambda to: shown.render_plan(doing, numbers, how.yes, to))
        return EXIT_OK
    with desk.corrections() as corrections, ProgressLine() as progress:
        results = send_all(
            commands,
            corrections,
            Pace(how.rate, how.wait_s),
            lambda done, total: progress(f"{doing} ({done:,} of {total:,})", done, total),
        )
    rows = shown.result_rows(doing, planned, results)
    result = {"numbers": numbers, "sent": True, "letters": rows}
    show(result, how.output, lambda to: shown.render_results(doing, numbers, results, to))
    return EXIT_OK if all(map(_is_done, results.values())) else EXIT_FAILED


def _is_done(result: "Result") -> bool:
    return result.became not in {"dead_letter", "not_read_back", "not_sent", "unknown"}


def _save(file: Path, raw: bytes) -> None:
    from pipeline.whole_file import write_whole  # noqa: PLC0415 - only needed here

    try:
        write_whole(file, raw)
    except OSError as error:
        raise ConfigError(
            f"the bytes cannot be written to {file}",
            why=error.strerror or str(error),
            fix="give --raw another file",
        ) from error
