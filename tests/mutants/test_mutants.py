"""The mutation run on a toy of two rules: what is killed, what survives, what is marked."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mutants.harvest import Harvest
from mutants.markers import MarkerError, about_nothing, markers_of
from mutants.sowing import sown
from mutants.targets import LeftOutError, Room, Seeds, Target, targets_in

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
from mutants.harvest import Harvest
from mutants.targets import Target, Tests

root = Path(sys.argv[1])
judges = (Tests(("tests/test_rules.py",)),)
run = Harvest(root, [Target("toy.rules", judges, "guards" not in sys.argv)])
wrong = run.run(2, with_types="types" in sys.argv)
sys.exit(tell(run, wrong, time.monotonic(), (0, [])))
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

    def mark(self, marker: str) -> None:
        """Put a comment above what the first rule does."""
        line = "    return count > MOST"
        (self.root / "toy" / "rules.py").write_text(
            RULES.replace(line, f"    # {marker}: nobody counts to three\n{line}")
        )

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
    code, outcome, output = toy.run()
    assert code == 0, output
    assert outcome["mutants"] == outcome["killed"] == len(sown("toy.rules", RULES))
    assert outcome["survived"] == 0


@pytest.mark.verify
def test_a_survivor_is_told_and_fails_the_run_until_it_is_killed_or_argued(toy: Toy) -> None:
    toy.count_to(2)
    code, outcome, output = toy.run()
    assert (code, outcome["survived"]) == (1, 1)
    assert "- return count > MOST\n    + return count >= MOST" in output
    toy.mark("equivalent (>=)")
    code, outcome, _ = toy.run()
    assert (code, outcome["survived"], outcome["argued"]) == (0, 0, 1)
    _, _, output = toy.run()
    assert ", 0 to be tried" in output
    toy.count_to(3)
    code, outcome, output = toy.run()
    assert (code, outcome["killed"]) == (0, outcome["mutants"] - 1), output
    toy.mark("no equivalent (>=)")
    code, outcome, output = toy.run()
    assert (code, outcome["killed"]) == (0, outcome["mutants"]), output


def test_a_guard_that_nobody_misses_is_told_in_a_module_that_is_not_mutated_whole_too(
    toy: Toy,
) -> None:
    toy.mark("guard (swap)")
    code, outcome, output = toy.run("guards", "types")
    assert (code, outcome["mutants"], outcome["killed"]) == (0, 1, 1), output
    assert (outcome["guards"], outcome["guards_unnoticed"]) == (1, 0)
    toy.count_to(2)
    code, outcome, output = toy.run("guards", "types")
    assert (code, outcome["guards"], outcome["guards_unnoticed"]) == (1, 1, 1)
    assert "nobody misses: toy.rules, line 9: guard (swap): nobody counts to three" in output


@pytest.mark.verify
def test_a_source_that_does_not_pass_as_it_is_fails_the_run(toy: Toy) -> None:
    toy.count_to(4)
    code, _, output = toy.run()
    assert code == 1
    assert "the source as it is does not pass: tests/test_rules.py::test_enough" in output


@pytest.mark.verify
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
    code, outcome, output = toy.run()
    assert code == 0, output
    assert outcome["killed_by"]["time"] >= 1


@pytest.mark.verify
def test_what_the_type_checker_refuses_is_noticed_before_any_test(toy: Toy) -> None:
    toy.count_to(2)
    code, outcome, output = toy.run("types")
    assert (code, outcome["survived"]) == (1, 1)
    assert "- return count > MOST\n    + return count >= MOST" in output
    refused = outcome["killed_by"]["types"]
    assert 0 < refused < outcome["mutants"] - 1
    assert f"the type checker refuses {refused} of them" in output


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


MARKED = '''
def is_enough(count: int, most: int = 5) -> bool:
    """Whether it is."""
    # A word before the markers.
    # equivalent (True, >=): nobody counts
    # to three
    # guard (False): too few are not enough
    if (
        count > most
        # equivalent (11): ten is as good
        and count < 10
    ):
        # equivalent (removed): the end is the same
        return True
    elif count:
        return False
    # equivalent (name): nobody asks
    return False
'''


def complaints(source: str) -> list[str]:
    """What is wrong with the markers of a source."""
    return list(about_nothing(markers_of("toy.rules", source), sown("toy.rules", source)))


def test_a_marker_is_about_the_head_of_a_statement_or_about_one_line_of_it() -> None:
    assert complaints(MARKED) == []
    marked = [
        (marker.kind, sorted(marker.selectors), marker.why, marker.first, marker.last)
        for marker in markers_of("toy.rules", MARKED)
    ]
    assert marked == [
        ("equivalent", [">=", "True"], "nobody counts to three", 8, 13),
        ("guard", ["False"], "too few are not enough", 8, 13),
        ("equivalent", ["11"], "ten is as good", 11, 11),
        ("equivalent", ["removed"], "the end is the same", 14, 14),
        ("equivalent", ["name"], "nobody asks", 18, 18),
    ]


@pytest.mark.parametrize(
    "was, becomes, output",
    [
        (
            "if (\n        count > most",
            "if (\n        count == most",
            "no mutant of this line by '>='",
        ),
        ("count < 10", "count < most", "there are: <=, swap"),
        ("(False): too few", "(True): too few", "a guard that nobody has to notice"),
    ],
)
def test_a_marker_about_no_mutant_is_told(was: str, becomes: str, output: str) -> None:
    said = complaints(MARKED.replace(was, becomes))
    assert len(said) == 1 and said[0].startswith("toy.rules, line ") and output in said[0]


@pytest.mark.parametrize(
    "was, becomes",
    [
        ("equivalent (name): nobody asks", "equivalent: nobody asks"),
        ("equivalent (name): nobody asks", "equivalent (name):"),
        ("nobody asks\n    return False", "nobody asks\n\n    return False"),
        ("    elif count:", "    elif count:  # guard (True): there are some"),
        ("return False\n    # equ", "return False\n    return False  # equ"),
    ],
)
def test_a_marker_that_is_not_of_the_form_or_stands_above_nothing_is_told(
    was: str, becomes: str
) -> None:
    assert was in MARKED
    with pytest.raises(MarkerError, match=r"toy\.rules, line \d+"):
        markers_of("toy.rules", MARKED.replace(was, becomes))


def test_a_guard_that_is_gone_stops_the_run_before_it_begins(toy: Toy) -> None:
    toy.mark("guard (None)")
    with pytest.raises(MarkerError, match=r"toy\.rules, line 9: guard \(None\)"):
        Harvest(toy.root, [Target("toy.rules", ())])


def test_what_is_marked_stays_so_when_names_change_and_modules_move() -> None:
    source = (ROOT / "pipeline" / "core" / "streak.py").read_text()
    renamed = source.replace("utc", "there").replace("longest_days", "most")
    assert renamed.count("there") > 5
    marked = [
        [marker.described().partition(",")[2] for marker in markers_of(module, text)]
        for module, text in (("core.streak", source), ("core.days.row", renamed))
    ]
    assert marked[0] == marked[1] != []
    assert complaints(source) == complaints(renamed) == []


def test_what_moves_within_its_room_keeps_its_judges(tmp_path: Path) -> None:
    judges = (Seeds(range(1)),)
    room = Room("toy", judges, ("thin",))
    (tmp_path / "toy" / "thin").mkdir(parents=True)
    (tmp_path / "toy" / "thin" / "client.py").touch()
    (tmp_path / "toy" / "thin" / "rules.py").write_text(MARKED)
    (tmp_path / "toy" / "rules.py").touch()
    found = targets_in(tmp_path, [room])
    assert found == [Target("toy.rules", judges), Target("toy.thin.rules", judges, False)]
    (tmp_path / "toy" / "days").mkdir()
    (tmp_path / "toy" / "rules.py").rename(tmp_path / "toy" / "days" / "rules.py")
    assert targets_in(tmp_path, [room])[0] == Target("toy.days.rules", judges)
    with pytest.raises(LeftOutError, match="toy: nothing there is called thick"):
        targets_in(tmp_path, [Room("toy", judges, ("thin", "thick"))])


@pytest.mark.verify
def test_every_marker_of_the_pipeline_is_about_a_mutant_that_is_tried() -> None:
    targets = {target.module: target for target in targets_in(ROOT)}
    guards = 0
    for path in (ROOT / "pipeline").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        source = path.read_text()
        markers = markers_of(module, source)
        guards += sum(marker.kind == "guard" for marker in markers)
        if markers:
            assert list(about_nothing(markers, sown(module, source))) == []
            assert targets[module].is_whole or {each.kind for each in markers} == {"guard"}
    assert guards > 20
