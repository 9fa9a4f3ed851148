"""The mutation run on a toy of two rules: what is noticed, what survives, what may be argued."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mutants.argued import Argument, ArgumentError, read, unspoken
from mutants.guards import GUARDS, switched_off
from mutants.sowing import sown
from mutants.targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]
RULES = '''"""Two rules."""

MOST = 3


def is_enough(count: int, most: int = 5) -> bool:
    """Whether it is."""
    return count > MOST


def taken(pot: list[int], what: int) -> None:
    """Take one more."""
    if len(pot) >= MOST:
        raise ValueError("no more")
    pot.append(what)
'''
TESTED = """
import pytest
from toy.rules import is_enough, taken


def test_enough():
    assert is_enough(4) and not is_enough({below})


def test_taken():
    pot = []
    for what in range(3):
        taken(pot, what)
    assert pot == [0, 1, 2]
    with pytest.raises(ValueError):
        taken(pot, 3)
"""
RUN = """
import sys, time
from pathlib import Path
from mutants.__main__ import tell
from mutants.argued import read
from mutants.harvest import Harvest
from mutants.targets import Target, Tests

root = Path(sys.argv[1])
target = Target("toy.rules", (Tests(("tests/test_rules.py",), 1.0),))
run = Harvest(root, [target], read(root / "argued.yaml"), [])
wrong = run.run(2, with_types="types" in sys.argv)
sys.exit(tell(run, wrong, time.monotonic(), []))
"""
ARGUED = """
toy.rules:
  - was: return count > MOST
    becomes: {becomes}
    why: nobody counts to three
"""


class Toy:
    """A project of one module and its tests."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "toy").mkdir()
        (root / "tests").mkdir()
        (root / "toy" / "__init__.py").touch()
        (root / "toy" / "rules.py").write_text(RULES)
        self.count_to(3)

    def count_to(self, below: int) -> None:
        """Have the first rule's test count to what should not be enough."""
        (self.root / "tests" / "test_rules.py").write_text(TESTED.format(below=below))

    def argue(self, becomes: str) -> None:
        """Argue a mutant of the first rule."""
        (self.root / "argued.yaml").write_text(ARGUED.format(becomes=becomes))

    def run(self, *words: str) -> tuple[int, dict[str, Any], str]:
        """A mutation run: its exit code, its last line, and what it told."""
        done = subprocess.run(
            [sys.executable, "-c", RUN, str(self.root), *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(tmp_path)


def test_every_mutant_of_rules_that_are_tested_is_noticed(toy: Toy) -> None:
    code, outcome, told = toy.run()
    assert code == 0, told
    assert outcome["mutants"] == outcome["noticed"] == len(sown("toy.rules", RULES))
    assert outcome["survived"] == 0


def test_a_survivor_is_told_and_fails_the_run_until_it_is_noticed_or_argued(toy: Toy) -> None:
    toy.count_to(2)
    code, outcome, told = toy.run()
    assert (code, outcome["survived"]) == (1, 1)
    assert "- return count > MOST\n    + return count >= MOST" in told
    toy.argue("return count >= MOST")
    code, outcome, told = toy.run()
    assert (code, outcome["survived"], outcome["argued"]) == (0, 0, 1)
    assert ", 0 to be tried" in told
    toy.count_to(3)
    code, outcome, told = toy.run()
    assert (code, outcome["noticed"], outcome["argued"]) == (0, outcome["mutants"], 0)


def test_an_argument_about_no_mutant_fails_the_run(toy: Toy) -> None:
    toy.argue("return count > most")
    code, outcome, told = toy.run()
    assert (code, outcome["arguments_about_nothing"]) == (1, 1)
    assert "an argument about no mutant: toy.rules: return count > MOST" in told


def test_a_source_that_does_not_pass_as_it_is_fails_the_run(toy: Toy) -> None:
    toy.count_to(4)
    code, _, told = toy.run()
    assert code == 1
    assert "the source as it is does not pass: tests/test_rules.py::test_enough" in told


def test_a_mutant_that_never_ends_is_noticed(toy: Toy) -> None:
    rules = toy.root / "toy" / "rules.py"
    endless = (
        "\n\ndef climbed(most):\n    n = 0\n    while n < most:\n        n += 1\n    return n\n"
    )
    rules.write_text(RULES + endless)
    tests = toy.root / "tests" / "test_rules.py"
    tests.write_text(
        tests.read_text() + "\n\ndef test_climbed():\n    from toy.rules import climbed\n"
        "    assert climbed(3) == 3 and climbed(0) == 0\n"
    )
    code, outcome, told = toy.run()
    assert code == 0, told
    assert outcome["noticed_by"]["time"] >= 1


def test_what_the_type_checker_refuses_is_noticed_before_any_test(toy: Toy) -> None:
    toy.count_to(2)
    code, outcome, told = toy.run("types")
    assert (code, outcome["survived"]) == (1, 1)
    assert "- return count > MOST\n    + return count >= MOST" in told
    refused = outcome["noticed_by"]["types"]
    assert 0 < refused < outcome["mutants"] - 1
    assert f"the type checker refuses {refused} of them" in told


def test_what_is_for_a_person_and_what_is_outside_of_functions_is_not_mutated() -> None:
    changes = {(mutant.was, mutant.becomes) for mutant in sown("toy.rules", RULES)}
    assert ("pot.append(what)", "pass") in changes
    assert ('raise ValueError("no more")', "pass") in changes
    assert not [was for was, _ in changes if "MOST = 3" in was or "Take one" in was]
    assert not [becomes for _, becomes in changes if "most: int = 6" in becomes]
    assert not [becomes for _, becomes in changes if "XXno moreXX" in becomes]


def test_mutants_of_a_module_are_each_another_source_that_compiles() -> None:
    path = ROOT / "pipeline" / "core" / "portals.py"
    found = sown("pipeline.core.portals", path.read_text())
    assert len({mutant.digest for mutant in found}) == len(found) > 40
    for mutant in found:
        compile(mutant.source, "mutant", "exec")
        assert mutant.was != mutant.becomes


def test_an_argument_says_which_mutants_and_why(tmp_path: Path) -> None:
    file = tmp_path / "argued.yaml"
    assert read(file) == []
    for entry in (
        "{was: x, becomes: y}",
        "{was: x, why: z}",
        "{was: x, becomes: y, why: z, no: n}",
    ):
        file.write_text(f"toy.rules: [{entry}]")
        with pytest.raises(ArgumentError):
            read(file)


def test_every_argument_is_about_a_mutant_of_a_target() -> None:
    arguments = read(ROOT / "mutants" / "argued.yaml")
    assert {argument.module for argument in arguments} <= {target.module for target in TARGETS}
    rotten: list[Argument] = []
    for module in {argument.module for argument in arguments}:
        source = (ROOT / f"{module.replace('.', '/')}.py").read_text()
        about = [argument for argument in arguments if argument.module == module]
        rotten += unspoken(about, sown(module, source))
    assert rotten == []


def test_every_guard_of_the_ledger_is_where_it_was() -> None:
    assert len(switched_off(ROOT)) == len(GUARDS) > 20
