"""The command `awaway`.

Owns: which commands there are, loading the one that is asked for, exit codes, uncaught errors.
Does not own: what a command does (one file each beside this), how things are printed (output.py).
Invariants: a command's module is imported only when that command is asked for, so help is quick;
the exit code is always 0 (done), 1 (failed), 2 (usage), 3 (a plan has changes) or 130 (Ctrl-C);
everything but `DEVELOPMENT` works without the package pipeline.dev, as in the container image.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from types import TracebackType
from typing import Annotated, Any, Final

import typer

from pipeline.cli.output import Output, print_json, show_error, wanted
from pipeline.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, AwawayError, UsageError

COMMANDS: Final = {
    "demo": "Watch a simulated month of practice flow through the whole pipeline.",
    "worker": "Run the pipeline until it is stopped.",
    "api": "Serve what the pipeline knows of its users, over HTTP.",
    "token": "Create a token for the API, for development.",
    "validate": "Show what the pipeline would make of inputs, without a server.",
    "explain": "Explain from the log why a user's day counts or not.",
    "audit": "Show what the audit says, verify that it is whole, and prove it to others.",
    "adjust": "Correct what a user's record says: credit, revoke, withdraw, claim or return.",
    "rebuild": "Derive the state from the log, see what differs, and put it right.",
    "scrub": "Check that users' state and progress are what the log says.",
    "delivery": "Show how far the services are that read what is published.",
    "doctor": "Check everything that the pipeline needs, and say what to do.",
    "deadletters": "Look at rejected inputs, have them judged once more, or put them away.",
    "skip": "Have the workers skip one input that stops them, by its offset.",
    "local": "Run Kafka and a schema registry on this machine.",
    "topics": "Compare the topics with topics.yaml, create and change them.",
    "schemas": "Compare the registry with the schemas, and register what is missing.",
    "assets": "Publish the catalogue of figures, and check that it is complete.",
}
"""Every command and its help, in the order in which they are listed."""

DEVELOPMENT: Final = frozenset({"demo", "local"})
"""Commands that need pipeline.dev."""

_COMPLETION_VARIABLE = "_AWAWAY_COMPLETE"


def build(argv: Sequence[str]) -> typer.Typer:
    """The command line, with those modules loaded that this call needs.

    Args:
        argv: the words after the program's name.

    Returns:
        All installed commands by name and help; only the one that is asked for can be run.

    Raises:
        UsageError: the command is not installed here.
    """
    root = typer.Typer(
        name="awaway",
        help="Daily practice into streaks, portals and sacred geometry, exactly once.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    root.callback()(_root_options)
    asked = next((word for word in argv if not word.startswith("-")), "")
    left_out = DEVELOPMENT if find_spec("pipeline.dev") is None else frozenset()
    if asked in left_out:
        raise UsageError(
            f"`awaway {asked}` is not installed here",
            why="it is for development: the container image has no package pipeline.dev",
            fix="run it from a checkout of the repository",
        )
    for name, help_text in COMMANDS.items():
        if name in left_out:
            continue
        if name == asked or _COMPLETION_VARIABLE in os.environ:
            module = import_module(f"pipeline.cli.{name}")
            if hasattr(module, "app"):
                root.add_typer(module.app, name=name, help=help_text)
            else:
                root.command(name, short_help=help_text)(module.command)
        else:
            root.command(name, help=help_text)(_not_loaded)
    return root


def run(argv: Sequence[str]) -> int:
    """Run one command.

    Args:
        argv: the words after the program's name.

    Returns:
        The exit code.
    """
    output = wanted(argv)
    try:
        command = typer.main.get_command(build(argv))
        _unwrap(command)
        result = command.main(args=list(argv), prog_name="awaway", standalone_mode=False)
    except AwawayError as error:
        show_error(error, output)
        return error.exit_code
    except typer.Abort:
        show_error(UsageError("nothing was done", why="it was not confirmed"), output)
        return EXIT_FAILED
    except typer.TyperException as error:
        if not error.format_message():  # no command was given, so its help was printed
            return EXIT_USAGE
        words = " ".join(["awaway", *_leading_words(argv)])
        usage = UsageError(error.format_message(), fix=f"see `{words} --help`")
        show_error(usage, output)
        return usage.exit_code
    return result if isinstance(result, int) else EXIT_OK


def main() -> None:
    """The entry point of the installed script."""
    argv = sys.argv[1:]
    if wanted(argv) is Output.JSON:
        sys.excepthook = _report_bug
    sys.exit(run(argv))


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"awaway {version('awaway')}")
        raise typer.Exit


def _root_options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Daily practice into streaks, portals and sacred geometry, exactly once."""


def _unwrap(command: Any) -> None:
    """Make each paragraph of the help one line, which the terminal wraps to its own width."""
    if command.help:
        paragraphs = command.help.split("\n\n")
        command.help = "\n\n".join(" ".join(each.split("\n")) for each in paragraphs)
    for one in getattr(command, "commands", {}).values():
        _unwrap(one)


def _not_loaded() -> None:
    """Stands in the list of commands for one whose module was not loaded."""


def _leading_words(argv: Sequence[str]) -> list[str]:
    """The names of command and subcommand at the start of a command line."""
    return [word for word in argv[:1] if word in COMMANDS]


def _report_bug(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print even an error that nobody foresaw as one JSON object."""
    traceback.print_exception(kind, error, trace)
    bug = AwawayError(
        f"unexpected {kind.__name__}",
        why=str(error),
        fix="this is a bug in awaway: report it with the traceback on stderr",
    )
    print_json(bug.as_dict())


if __name__ == "__main__":
    main()
