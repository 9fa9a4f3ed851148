"""The walk through the code in docs/ARCHITECTURE.md names functions that are there."""

import ast
import re
from collections.abc import Iterator

from tests.test_tidy import ROOT

PAGE = ROOT / "docs" / "ARCHITECTURE.md"
STEP = re.compile(r"\| \d+ \| `(?P<file>[^`]+)` \| (?P<functions>[^|]+) \| [^|]+ \|")
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef


def functions_in(source: str) -> Iterator[str]:
    """Return the functions of a module, and its methods as Class.method."""
    for node in ast.parse(source).body:
        if isinstance(node, FUNCTIONS):
            yield node.name
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, FUNCTIONS):
                    yield f"{node.name}.{inner.name}"


def missing_in(page: str) -> Iterator[str]:
    """Return the functions of a walk that their file does not have."""
    for step in STEP.finditer(page):
        there = set(functions_in((ROOT / step["file"]).read_text(encoding="utf-8")))
        for name in re.findall(r"`([^`]+)`", step["functions"]):
            if name not in there:
                yield f"{step['file']}: {name}"


def test_every_step_names_functions_that_are_there() -> None:
    page = PAGE.read_text(encoding="utf-8")
    steps = len(re.findall(r"^\| \d+ \|", page, flags=re.M))
    assert steps == len(STEP.findall(page)) > 20
    assert list(missing_in(page)) == []


def test_every_room_has_a_line_in_the_file_map() -> None:
    page = PAGE.read_text(encoding="utf-8")
    rooms = {path.parent for path in (ROOT / "pipeline").rglob("__init__.py")}
    grouping = {"pipeline", "pipeline/ops", "pipeline/dev"}
    names = {room.relative_to(ROOT).as_posix() for room in rooms} - grouping
    assert len(names) > 20
    assert [name for name in sorted(names) if f"| `{name}/` |" not in page] == []


def test_a_function_that_is_gone_is_noticed() -> None:
    step = "| 1 | `pipeline/core/fold.py` | `fold_completion`, `World.fold` | It folds. |"
    assert list(missing_in(step)) == ["pipeline/core/fold.py: World.fold"]
