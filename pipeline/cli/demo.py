"""`awaway demo`: a simulated month through the real pipeline.

Owns: the command's options, what it prints, its exit code.
Does not own: the demonstration (pipeline/dev/demo/).
Invariant: exit code 0 means that pipeline, oracle and ground truth agree in everything.
"""

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from pipeline.cli.output import Output, OutputOption, ProgressLine, show, stderr
from pipeline.errors import EXIT_FAILED, EXIT_OK

if TYPE_CHECKING:
    from pipeline.dev.demo.stage import Say
    from pipeline.dev.local.stack import LocalStack
    from pipeline.settings.worker import Settings


def command(  # noqa: PLR0913 - one for each option
    *,
    users: Annotated[int, typer.Option(min=1, max=200_000, help="Number of users.")] = 3_000,
    days: Annotated[
        int, typer.Option(min=1, max=400, help="Number of days that they practise.")
    ] = 30,
    seed: Annotated[
        int, typer.Option(help="Seed of the users and what they do; the days end now.")
    ] = 1,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Leave Kafka, the registry and a console running."),
    ] = False,
    kill: Annotated[
        int, typer.Option(min=0, max=50, hidden=True, help="Kill the worker so many times.")
    ] = 0,
    corrupt: Annotated[
        bool,
        typer.Option("--corrupt", help="Damage users' states on the way, and put them right."),
    ] = False,
    root: Annotated[
        Path, typer.Option("--root", hidden=True, help="Where servers and files are.")
    ] = Path(".local/demo"),
    output: OutputOption = Output.TEXT,
) -> int:
    """Watch a simulated month of practice, or --days, flow through the whole pipeline.

    Starts a Kafka and a schema registry of its own, generates users who practise, lapse, travel,
    go offline and send garbage, and runs a worker on their inputs. Then it compares everything
    that the worker published with an independent model and with the generator's ground truth. At
    the end it writes a page of the figures that the users reached.

    With --corrupt, states of some users are damaged while inputs flow and somebody reads progress;
    a scrub finds them, and a rebuild puts them right.

    Exit codes: 0 everything agrees, 1 something differs or failed.
    """
    from pipeline.dev.demo.live import LiveView  # noqa: PLC0415
    from pipeline.dev.demo.run import run_demo  # noqa: PLC0415
    from pipeline.dev.demo.stage import Options, read_files, start_stack  # noqa: PLC0415
    from pipeline.dev.demo.summary import kept_lines, render  # noqa: PLC0415
    from pipeline.settings.load import load_settings  # noqa: PLC0415 - slow to import

    began = time.monotonic()
    console = stderr()
    files = read_files(load_settings())
    options = Options(root, users=users, days=days, seed=seed, kills=kill, corrupt=corrupt)
    with ProgressLine() as progress:
        stack = start_stack(root, progress)

    def say(message: str) -> None:
        console.print(message, style="dim", markup=False)

    with stack:
        result = run_demo(stack, options, files, say, LiveView(console))
        if keep:
            stack.release()
            result = msgspec.structs.replace(result, console=_console(result.settings, stack, say))
    result = msgspec.structs.replace(result, seconds=time.monotonic() - began)
    show(result.as_dict(), output, lambda out: render(result, out))
    if keep:
        place = shlex.quote(_seen_from_here(stack.root))
        for line in kept_lines(result, called_as(), place):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    return EXIT_OK if result.right else EXIT_FAILED


def _console(settings: "Settings", stack: "LocalStack", say: "Say") -> str | None:
    """The address of a console over the run; None where it did not start, which is said."""
    from pipeline.dev.demo.console import start_console  # noqa: PLC0415 - slow to import
    from pipeline.dev.demo.errors import ConsoleNotStartedError  # noqa: PLC0415

    say("starting the console")
    try:
        return start_console(settings, settings.data_dir.parent, stack)
    except ConsoleNotStartedError as error:
        say(f"{error.what}: {error.why}")
        return None


def called_as() -> str:
    """How this command is called from this folder, for lines that are to be pasted."""
    program = Path(sys.argv[0]).absolute()
    if program.name == "awaway":
        # By its path also where it is on PATH for now: the next shell may have another one.
        return shlex.quote(_seen_from_here(program))
    return f"{shlex.quote(_seen_from_here(Path(sys.executable)))} -m pipeline.cli.main"


def _seen_from_here(path: Path) -> str:
    """A path relative to this folder where it is below it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
