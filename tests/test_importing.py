"""Imports beside each other: they come, they fail where they are needed, and they never meet."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.importing import SLOW_IN_A_WORKER, import_beside

THREADS = "import "


def await_imports() -> None:
    """Until what was begun has ended."""
    for thread in threading.enumerate():
        if thread.name.startswith(THREADS):
            thread.join(20)
            assert not thread.is_alive()


def test_what_is_begun_is_there_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_to_import.py").write_text("import time; time.sleep(0.2); answer = 42")
    monkeypatch.syspath_prepend(tmp_path)
    import_beside("slow_to_import")
    module = __import__("slow_to_import")  # waits, and sees it whole
    assert module.answer == 42
    await_imports()


def test_what_is_not_there_is_told_to_whoever_needs_it(
    recwarn: pytest.WarningsRecorder,
) -> None:
    import_beside("not_there_at_all")
    await_imports()
    assert not recwarn.list  # pytest warns of what a thread raised
    with pytest.raises(ModuleNotFoundError):
        __import__("not_there_at_all")


@pytest.mark.parametrize("name", SLOW_IN_A_WORKER)
def test_none_imports_another_or_anything_of_ours(name: str) -> None:
    said = subprocess.run(
        [sys.executable, "-c", f"import sys, {name}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    modules = set(said.stdout.split())
    assert name in modules
    assert not modules & (set(SLOW_IN_A_WORKER) - {name})
    assert not [module for module in modules if module.partition(".")[0] == "pipeline"]
