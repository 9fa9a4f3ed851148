"""The command `awaway`.

Owns: which commands there are, loading the one that is asked for, exit codes, errors at the top.
Does not own: what a command does (one file each beside this), how things are printed (output.py).
Invariant: no command's module is imported before that command is asked for, so help is quick; every
way out has one of the exit codes 0 (done), 1 (failed), 2 (usage), 3 (a plan has changes), or 130.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from types import TracebackType
from typing import Annotated, Any

import typer

from pipeline.cli.output import Output, print_json, show_error, wanted
from pipeline.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, AwawayError, UsageError

COMMANDS = {
    "demo": "Watch a simulated month of practice flow through the whole pipeline.",
    "worker": "Run the pipeline until it is stopped.",
    "api": "Serve what is known of the users, over HTTP.",
    "token": "Make a token for the API, for development.",
    "validate": "Say what the pipeline would say of inputs, without a server.",
    "explain": "Say why a user's day counts or not, from the log.",
    "skip": "Put one input aside that stops the workers, by its offset.",
    "local": "Run Kafka and a schema registry on this machine.",
    "topics": "Compare the topics with topics.yaml, and make them so.",
    "schemas": "Compare the registry with the schemas, and register what is missing.",
    "assets": "Publish the catalogue of figures, and check that it is there.",
}
_COMPLETION_VARIABLE = "_AWAWAY_COMPLETE"


def build(argv: Sequence[str]) -> typer.Typer:
    """The command line, with the modules loaded that this call needs.

    Args:
        argv: the words after the program's name.

    Returns:
        All commands by name and help; only the one that is asked for can be run.
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
    for name, help_text in COMMANDS.items():
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
            "--version", help="Say which version this is.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Daily practice into streaks, portals and sacred geometry, exactly once."""


def _unwrap(command: Any) -> None:
    """Have each paragraph of the help be one line: the terminal wraps it, the source did too."""
    if command.help:
        paragraphs = command.help.split("\n\n")
        command.help = "\n\n".join(" ".join(each.split("\n")) for each in paragraphs)
    for one in getattr(command, "commands", {}).values():
        _unwrap(one)


def _not_loaded() -> None:
    """Stand in the list of commands for one whose module was not loaded."""


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
        fix="this is a fault in awaway: report it with the trace on stderr",
    )
    print_json(bug.as_dict())


if __name__ == "__main__":
    main()
