"""What a command prints, and how.

Owns: the two output formats, errors for people and programs, progress lines, confirmations.
Does not own: what is in a result (the commands), what an error says (pipeline/errors.py).
Invariants: stdout carries the result alone: with `-o json` exactly one JSON object, also for an
error (`awaway validate`, `awaway audit show` and `awaway deadletters list` print one a line);
progress and errors for people go to stderr. No colour without a terminal or under NO_COLOR. What an
error quotes cannot steer the terminal.
"""

import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Self

import msgspec
import typer

from pipeline.errors import EXIT_FAILED, AwawayError, UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


_steers = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]").sub


COLUMNS = 80
"""Of paragraphs and tables, so that they stand in a terminal of the usual width."""


class UnwritableOutputError(AwawayError):
    """The result cannot be written to stdout.

    Operator action: free space on the disk that stdout goes to, or send it elsewhere.
    """


class Output(StrEnum):
    """For whom a result is printed."""

    TEXT = "text"
    JSON = "json"


OutputOption = Annotated[
    Output,
    typer.Option("--output", "-o", help="text for people, json for programs: one object."),
]
LinesOption = Annotated[
    Output,
    typer.Option("--output", "-o", help="text for people, json: one object a line."),
]
YesOption = Annotated[
    bool, typer.Option("--yes", "-y", help="Do not ask; for scripts that know what they do.")
]
ReasonOption = Annotated[str, typer.Option(help="Why, for the audit.")]
TicketOption = Annotated[str, typer.Option(help="The ticket, for the audit.")]


def stdout() -> "Console":
    """The console for results."""
    from rich.console import Console  # noqa: PLC0415 - slow to import

    return Console(highlight=False, soft_wrap=True)


def stderr() -> "Console":
    """The console for progress and errors."""
    from rich.console import Console  # noqa: PLC0415 - slow to import

    return Console(stderr=True, highlight=False, soft_wrap=True)


def show(result: object, output: Output, render: "Callable[[Console], None]") -> None:
    """Print a command's result.

    Args:
        result: what programs get: a mapping or a msgspec Struct.
        output: for whom.
        render: prints it for people.
    """
    if output is Output.JSON:
        print_json(result)
    else:
        with _writing():
            render(stdout())


def print_json(result: object) -> None:
    """Print one JSON object and a line feed on stdout."""
    write(msgspec.json.encode(result, enc_hook=str).decode() + "\n")


def write(text: str) -> None:
    """Write text on stdout.

    Raises:
        UnwritableOutputError: it cannot be written.
    """
    if sys.stdout is None:
        raise UnwritableOutputError(
            "the output cannot be written", why="stdout is closed", fix="send it somewhere"
        )
    with _writing():
        sys.stdout.write(text)
        sys.stdout.flush()


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # What is still in the buffer would fail once more when the process ends.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # who reads has had enough, such as `head`
            raise SystemExit(EXIT_FAILED) from None
        raise UnwritableOutputError(
            "the output cannot be written", why=str(error), fix="send it where there is room for it"
        ) from error


def printable(text: str) -> str:
    """A text whose control characters, all but the line feed, are shown as their code points."""
    return _steers(lambda found: ascii(found[0])[1:-1], text)


def paragraph(console: "Console", text: str, style: str | None = None, label: str = "  ") -> None:
    """Print a text of any length, in lines of `COLUMNS` where its words allow it.

    Args:
        label: begins the first line; the others are indented by as much.
    """
    for line in textwrap.wrap(
        printable(text),
        COLUMNS,
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_long_words=False,
        break_on_hyphens=False,
    ):
        console.print(line, style=style, markup=False)


def show_error(error: AwawayError, output: Output) -> None:
    """Print an error: what happened, why, and what to do.

    Args:
        error: it is printed whole; it holds no secrets.
        output: JSON goes to stdout, unless that is what failed; text to stderr.
    """
    if output is Output.JSON and not isinstance(error, UnwritableOutputError):
        print_json(error.as_dict())
        return
    from rich.text import Text  # noqa: PLC0415 - slow to import

    console = stderr()
    console.print(Text.assemble(("error: ", "bold red"), _indent(error.what)))
    if error.why:
        console.print(Text.assemble(("  why: ", "bold"), _indent(error.why)))
    if error.fix:
        console.print(Text.assemble(("  fix: ", "bold green"), _indent(error.fix)))


def wanted(argv: Sequence[str]) -> Output:
    """The output format that a command line asks for, before it is parsed.

    Args:
        argv: the words after the program's name; they need not make sense.

    Returns:
        JSON when `-o json` is among them in any of its spellings, so that even the error of an
        unusable command line is one JSON object.
    """
    words = list(argv)
    pairs = zip(words, [*words, ""][1:], strict=True)
    spelled = {"-ojson", "-o=json", "--output=json"}
    asked = any(
        word in spelled or (word in {"-o", "--output"} and following == Output.JSON)
        for word, following in pairs
    )
    return Output.JSON if asked else Output.TEXT


def confirm(consequence: str, word: str, yes: bool) -> None:
    """Let somebody type a word before something is destroyed.

    Args:
        consequence: what will be gone, one sentence without its full stop.
        word: what is to be typed, such as the topic's name.
        yes: whether `--yes` was given; then nothing is asked.

    Raises:
        UsageError: nobody can be asked, or something else was typed. Operator action: type the
            word, or give `--yes`.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            "this needs a confirmation, and there is no terminal to ask on",
            why=consequence,
            fix="give --yes if that is what you want",
        )
    stderr().print(f"{consequence}.\nType [bold]{word}[/bold] to go on: ", end="")
    if sys.stdin.readline().strip() != word:
        raise UsageError("nothing was done", why=f"the word {word} was not typed", fix="")


class ProgressLine:
    """Progress on stderr: a live line on a terminal, else one line a step.

    A context manager; it is called as `pipeline.dev.local.artifacts.Progress` is.
    """

    def __init__(self) -> None:
        self._console = stderr()
        self._live: Progress | None = None
        self._task: TaskID | None = None
        self._last_step = ""

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            from rich.progress import (  # noqa: PLC0415 - slow to import
                BarColumn,
                Progress,
                SpinnerColumn,
                TaskProgressColumn,
                TextColumn,
            )

            columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn())
            self._live = Progress(
                *columns, TaskProgressColumn(), console=self._console, transient=True
            )
            self._live.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, message: str, done: int | None = None, total: int | None = None) -> None:
        """Show one step; `done` of `total` when it can be counted."""
        if self._live is None:
            step = message.partition(" (")[0]
            if step != self._last_step:
                self._last_step = step
                self._console.print(message, markup=False)
        elif self._task is None:
            self._task = self._live.add_task(message, completed=done or 0, total=total)
        else:
            self._live.update(self._task, description=message, completed=done or 0, total=total)


def _indent(text: str) -> str:
    """Let the further lines of a text stand under its first."""
    return printable(text).replace("\n", "\n       ")
