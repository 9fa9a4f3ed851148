"""The two doors into the project: `make`, and what CI runs."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_make_alone_lists_every_target_with_what_it_does() -> None:
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^\.PHONY: ([a-z-]+)$", makefile, re.MULTILINE)
    assert {"demo", "test", "verify", "bench", "lock", "clean"} <= set(targets)
    for target in targets:
        assert re.search(rf"^  {target} +\S+ \S+", listed, re.MULTILINE), target


def test_ci_runs_what_everybody_runs() -> None:
    run = ROOT / ".ci" / "run"
    assert os.access(run, os.X_OK)
    assert "make test" in run.read_text()


def test_every_requirement_is_pinned_with_a_hash_and_names_no_registry() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        text = lock.read_text()
        pins = re.findall(r"^[a-z0-9][^\s=]*==\S+ \\$", text, re.MULTILINE)
        loose = re.findall(r"^[a-z0-9].*[^\\]$", text, re.MULTILINE)
        assert pins
        assert not loose
        assert "://" not in text


def test_the_locks_are_installed_as_they_are_with_nothing_resolved() -> None:
    for name in ("Makefile", "deploy/Dockerfile"):
        text = (ROOT / name).read_text().replace("\\\n", " ")
        installs = re.findall(r"pip install[^\n]*--require-hashes[^\n]*", text)
        assert installs, name
        for install in installs:
            assert "--no-deps" in install, install
