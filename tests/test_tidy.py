"""The house rules that no other tool holds.

Owns: sizes, names, docstrings, clocks, asserts, and what must never be in a tracked file.
Does not own: form (ruff), types (mypy), layers (import-linter).
Invariant: each rule is a function from files to complaints, and is tried on a file that breaks it.
"""

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
PARAMETERS_MAX = 6
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}
CLOCKS = {
    ("time", "time"),
    ("time", "time_ns"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
}
# Written in pieces, so that this file does not break its own rule.
UNSPEAKABLE = re.compile(
    "|".join(
        [
            r"/wo" r"rk/",
            r"/ro" r"ot/",
            r"/ho" r"me/[a-z]",
            r"/Us" r"ers/[a-z]",
            r"pypi\.o" r"rg",
            r"files\.pythonho" r"sted",
            r"repo1?\.mav" r"en",
            r"mav" r"en\.apache\.org/mav" r"en2",
            r"registry\.npm" r"js",
            r"proxy\.gol" r"ang",
            r"index\.cra" r"tes",
        ]
    )
)
Definition = ast.FunctionDef | ast.AsyncFunctionDef

Complaints = Iterator[str]


def tracked() -> list[Path]:
    """Every file in the repository, also those not committed yet."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = (ROOT / name for name in listed.stdout.split("\0") if name)
    return sorted(path for path in paths if path.is_file())


def modules(*folders: str) -> list[Path]:
    """The tracked Python modules below some folders."""
    return [
        path
        for path in tracked()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in folders
    ]


def functions(tree: ast.Module) -> Iterator[Definition]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def too_long(path: Path, tree: ast.Module) -> Complaints:
    lines = path.read_text().count("\n")
    if lines > MODULE_LINES_MAX:
        yield f"{lines} lines, at most {MODULE_LINES_MAX}"
    for function in functions(tree):
        length = (function.end_lineno or 0) - function.lineno + 1
        if length > FUNCTION_LINES_MAX:
            yield f"{function.name} has {length} lines, at most {FUNCTION_LINES_MAX}"


def too_many_parameters(path: Path, tree: ast.Module) -> Complaints:
    for function in functions(tree):
        if is_command(function):
            continue  # its parameters are the options that a person types
        arguments = function.args
        names = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        count = len([argument for argument in names if argument.arg not in {"self", "cls"}])
        if count > PARAMETERS_MAX:
            yield f"{function.name} has {count} parameters, at most {PARAMETERS_MAX}"


def is_command(function: Definition) -> bool:
    """Whether Typer makes a command of it."""
    decorated = any("command" in ast.unparse(item) for item in function.decorator_list)
    return decorated or function.name == "command"


def vaguely_named(path: Path, tree: ast.Module) -> Complaints:
    if VAGUE_NAMES & {path.stem, path.parent.name, *path.stem.split("_")}:
        yield "its name says nothing"


def without_opening(path: Path, tree: ast.Module) -> Complaints:
    docstring = ast.get_docstring(tree)
    if path.name == "__init__.py" and not docstring and len(tree.body) == 0:
        return
    if not docstring:
        yield "no docstring opens it"


def without_ownership(path: Path, tree: ast.Module) -> Complaints:
    if path.name in {"__init__.py", "__main__.py"}:
        return
    docstring = ast.get_docstring(tree) or ""
    for part in ("Owns:", "Does not own:"):
        if part not in docstring:
            yield f"its docstring has no '{part}'"


def reading_the_clock(path: Path, tree: ast.Module) -> Complaints:
    if path.relative_to(ROOT).as_posix() == "pipeline/clock.py":
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value).rpartition(".")[2]
            if (owner, node.attr) in CLOCKS:
                yield f"line {node.lineno} reads the wall clock; use pipeline/clock.py"
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            taken = {("time", alias.name) for alias in node.names}
            if taken & CLOCKS:
                yield f"line {node.lineno} imports the wall clock; use pipeline/clock.py"


def asserting(path: Path, tree: ast.Module) -> Complaints:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            yield f"line {node.lineno} asserts; raise an error that says what to do"


def error_without_action(path: Path, tree: ast.Module) -> Complaints:
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef) or node.name.startswith("_"):
            continue
        bases = [ast.unparse(base) for base in node.bases]
        if not any(base.endswith(("Error", "Exception")) for base in bases):
            continue
        if not node.name.endswith("Error"):
            yield f"{node.name} is an error, so its name ends in Error"
        if "operator action" not in (ast.get_docstring(node) or "").lower():
            yield f"{node.name} does not say 'Operator action:'"


def unspeakable(path: Path, text: str) -> Complaints:
    for number, line in enumerate(text.splitlines(), 1):
        if UNSPEAKABLE.search(line):
            yield f"line {number} names a folder of one machine, or a registry's host"
        if re.search(r"(#|//)\s*(TODO|FIXME|XXX)\b", line):
            yield f"line {number} leaves something to do"


Rule = Callable[[Path, ast.Module], Complaints]
EVERYWHERE: tuple[Rule, ...] = (too_long, too_many_parameters, vaguely_named, without_opening)
PIPELINE: tuple[Rule, ...] = (
    without_ownership,
    reading_the_clock,
    asserting,
    error_without_action,
)


def complaints(paths: list[Path], rules: tuple[Rule, ...]) -> list[str]:
    """What the rules have against the files, one line each."""
    found = []
    for path in paths:
        tree = ast.parse(path.read_text(), str(path))
        for rule in rules:
            found += [f"{path.relative_to(ROOT)}: {said}" for said in rule(path, tree)]
    return found


def test_pipeline_keeps_the_house_rules() -> None:
    assert not complaints(modules("pipeline"), (*EVERYWHERE, *PIPELINE))


def test_tests_and_benchmarks_keep_the_house_rules() -> None:
    paths = modules("tests", "bench", "chaos", "simulator", "mutants")
    tests = [path for path in paths if path.name.startswith("test_")]
    parametrised = (too_long, vaguely_named, without_opening)  # fixtures count no parameters
    assert not complaints(tests, parametrised)
    assert not complaints([path for path in paths if path not in tests], EVERYWHERE)


def test_no_tracked_file_names_a_machine_or_a_registry() -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {said}" for said in unspeakable(path, text)]
    assert not found


BREAKING: dict[Rule, str] = {
    too_long: "def f():\n" + "    x = 1\n" * FUNCTION_LINES_MAX,
    too_many_parameters: "def f(a, b, c, d, *, e, f, g): ...",
    without_opening: "x = 1",
    without_ownership: '"""Owns: all. Invariant: none."""',
    reading_the_clock: "import datetime\ndatetime.datetime.now(datetime.UTC)",
    asserting: "assert x",
    error_without_action: 'class LostError(ValueError):\n    """Lost."""',
}


@pytest.mark.parametrize("rule", BREAKING, ids=lambda rule: rule.__name__)
def test_a_rule_notices_what_breaks_it(rule: Rule) -> None:
    path = ROOT / "pipeline" / "fold.py"
    text = BREAKING[rule]
    assert list(rule(write_nowhere(path, text), ast.parse(text)))


def test_the_rules_on_names_lines_and_text_notice_what_breaks_them(tmp_path: Path) -> None:
    empty = ast.parse("")
    assert list(vaguely_named(Path("pipeline/retry_utils.py"), empty))
    assert not list(vaguely_named(Path("pipeline/retry.py"), empty))
    long = tmp_path / "long.py"
    long.write_text("\n" * (MODULE_LINES_MAX + 1))
    assert list(too_long(long, empty))
    assert list(unspeakable(long, "see " + "/".join(["", "home", "ann", "notes"])))
    assert list(unspeakable(long, "x = 1  # " + "TO" + "DO later"))
    assert not list(unspeakable(long, "/api/v1"))
    raised = ast.parse('class Lost(ValueError):\n    """Operator action: look."""')
    assert list(error_without_action(long, raised)) == [
        "Lost is an error, so its name ends in Error"
    ]


def write_nowhere(path: Path, text: str) -> Path:
    """A path of the pipeline whose text is another's: rules may read the file they judge."""

    class Pretended(type(path)):  # type: ignore[misc]
        def read_text(self, *_args: object, **_options: object) -> str:
            return text

    return Pretended(path)
