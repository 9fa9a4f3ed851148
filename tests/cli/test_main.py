"""The command line's root: what is loaded, exit codes, errors for people and for programs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from pipeline.cli import main as cli
from pipeline.cli import output
from pipeline.cli.output import Output, ProgressLine, confirm, show, wanted
from pipeline.errors import AwawayError, ConfigError, StackError, UsageError

Captured = pytest.CaptureFixture[str]


class TopicLostError(StackError):
    """A made-up error with one field. Operator action: none."""


def failing_command(error: Exception) -> typer.Typer:
    root = typer.Typer()

    @root.command()
    def fail() -> None:
        raise error

    return root


def test_help_lists_every_command_and_loads_none_of_them() -> None:
    program = (
        "import sys; from pipeline.cli.main import run; code = run(['--help']); "
        "print(sorted(sys.modules)); sys.exit(code)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    help_text, _, modules = ran.stdout.rpartition("[")
    for name in cli.COMMANDS:
        assert re.search(rf"^│ {name} ", help_text, re.MULTILINE)
        assert f"'pipeline.cli.{name}'" not in modules
    for slow in ("confluent_kafka", "faust", "pydantic", "jgo", "requests"):
        assert f"'{slow}'" not in modules


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_that_is_listed_is_there(name: str, capsys: Captured) -> None:
    assert cli.run([name, "--help"]) == 0
    assert f"Usage: awaway {name} " in capsys.readouterr().out


def test_the_terminal_wraps_a_paragraph_of_the_help(capsys: Captured) -> None:
    assert cli.run(["worker", "--help"]) == 0
    words = capsys.readouterr().out
    paragraph = words[words.index("Reads completions") : words.index("Settings come")].rstrip()
    *lines, _ = paragraph.splitlines()
    assert lines
    widths = [len(line.rstrip()) for line in lines]
    assert min(widths[1:]) > max(widths[1:]) - 20


def test_a_word_that_is_neither_a_date_nor_an_age_is_refused(capsys: Captured) -> None:
    assert cli.run(["explain", "ada", "--since", "3x"]) == 2
    said = capsys.readouterr().err
    assert "'3x' is no date and no age" in said
    assert "30d or 12h" in said


def test_version_is_the_packages(capsys: Captured) -> None:
    assert cli.run(["--version"]) == 0
    assert re.fullmatch(r"awaway \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_an_unusable_command_line_has_exit_code_2(capsys: Captured) -> None:
    assert cli.run(["locl"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "No such command 'locl'" in captured.err
    assert "fix: see `awaway --help`" in captured.err

    assert cli.run(["local", "up", "--kafka-port", "0", "-o", "json"]) == 2
    captured = capsys.readouterr()
    assert captured.err == ""
    error = json.loads(captured.out)
    assert error["error"] == "UsageError"
    assert error["exit_code"] == 2
    assert error["fix"] == "see `awaway local --help`"

    assert cli.run(["local"]) == 2
    captured = capsys.readouterr()
    assert "Usage: awaway local" in captured.out
    assert captured.err == ""


def test_an_error_says_what_happened_why_and_what_to_do(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = TopicLostError("a topic is gone", why="line 1\nline 2", fix="apply", topic="t", port=3)
    monkeypatch.setattr(cli, "build", lambda _argv: failing_command(error))
    assert cli.run([]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == ("error: a topic is gone\n  why: line 1\n       line 2\n  fix: apply\n")
    monkeypatch.setattr(cli, "wanted", lambda _argv: Output.JSON)
    assert cli.run([]) == 1
    captured = capsys.readouterr()
    assert captured.err == ""
    assert json.loads(captured.out) == {
        "error": "TopicLostError",
        "what": "a topic is gone",
        "why": "line 1\nline 2",
        "fix": "apply",
        "exit_code": 1,
        "fields": {"topic": "t", "port": 3},
    }
    assert captured.out.count("\n") == 1


def test_text_that_looks_like_markup_is_printed_as_it_is(capsys: Captured) -> None:
    output.show_error(ConfigError("bad [red]value[/red]", why="[x]"), Output.TEXT)
    assert "bad [red]value[/red]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("exception", "code"), [(typer.Exit(3), 3), (typer.Exit(0), 0), (KeyboardInterrupt(), 130)]
)
def test_a_command_chooses_its_exit_code(
    exception: Exception, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "build", lambda _argv: failing_command(exception))
    assert cli.run([]) == code


def test_an_unforeseen_error_is_one_json_object_too(capsys: Captured) -> None:
    try:
        _ = 1 // 0
    except ZeroDivisionError as error:
        cli._report_bug(type(error), error, error.__traceback__)
    captured = capsys.readouterr()
    assert json.loads(captured.out)["what"] == "unexpected ZeroDivisionError"
    assert "Traceback" in captured.err


@pytest.mark.parametrize(
    "words",
    [["-o", "json"], ["-ojson"], ["--output", "json"], ["--output=json"], ["up", "-x", "-o=json"]],
)
def test_json_is_noticed_before_the_command_line_is_parsed(words: list[str]) -> None:
    assert wanted(words) is Output.JSON


@pytest.mark.parametrize("words", [[], ["-o"], ["-o", "text"], ["json"], ["--output", "jso"]])
def test_text_is_what_people_get(words: list[str]) -> None:
    assert wanted(words) is Output.TEXT


def test_a_result_is_one_json_object_or_text(capsys: Captured) -> None:
    show({"path": Path("a")}, Output.JSON, lambda console: console.print("never"))
    assert json.loads(capsys.readouterr().out) == {"path": "a"}
    show({}, Output.TEXT, lambda console: console.print("shown"))
    assert capsys.readouterr().out == "shown\n"


def test_nothing_is_destroyed_without_somebody_who_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    confirm("All will be gone", "delete", yes=True)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(UsageError, match="no terminal"):
        confirm("All will be gone", "delete", yes=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin.readline", lambda: "delete\n", raising=False)
    confirm("All will be gone", "delete", yes=False)
    assert "All will be gone" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin.readline", lambda: "yes\n", raising=False)
    with pytest.raises(UsageError, match="nothing was done"):
        confirm("All will be gone", "delete", yes=False)


def test_progress_without_a_terminal_is_a_line_a_step(capsys: Captured) -> None:
    with ProgressLine() as progress:
        progress("fetching (3 files)", 0, 10)
        progress("fetching (3 files)", 5, 10)
        progress("waiting (1 s)")
        progress("waiting (2 s)")
    captured = capsys.readouterr()
    assert captured.err == "fetching (3 files)\nwaiting (1 s)\n"
    assert captured.out == ""


def test_no_colour_means_none(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    output.show_error(AwawayError("lost"), Output.TEXT)
    assert "\x1b[" in capsys.readouterr().err
    monkeypatch.setenv("NO_COLOR", "1")
    output.show_error(AwawayError("lost"), Output.TEXT)
    assert "\x1b[3" not in capsys.readouterr().err
