"""The archives that halve a start: made once, and really used."""

import sys
from pathlib import Path

import pytest

from pipeline.dev.local import quickstart
from pipeline.dev.local.artifacts import cache_folder, provide
from pipeline.dev.local.quickstart import prepare
from pipeline.dev.local.stack import LocalStack, quiet
from pipeline.dev.local.state import Layout, read_state


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_servers_run_with_their_archives(stack: LocalStack) -> None:
    state = read_state(Layout(stack.root))
    assert state is not None
    for server in state.servers:
        assert server.process is not None
        maps = Path(f"/proc/{server.process.pid}/maps").read_text()
        assert f"/{server.name}.jsa" in maps


@pytest.mark.verify
def test_a_trial_run_makes_them_once_and_a_broken_one_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = provide(quiet, cache_folder())
    messages: list[str] = []

    def progress(message: str, done: int | None = None, total: int | None = None) -> None:
        messages.append(message)

    first = prepare(files, tmp_path, progress)
    assert "preparing quick starts (once)" in messages
    home = first.java.parent.parent.parent
    assert {path.name for path in home.iterdir()} == {
        *("java", "base.jsa", "kafka.jsa", "registry.jsa", "ready")
    }
    messages.clear()
    assert prepare(files, tmp_path, progress) == first
    assert not messages

    (home / "ready").unlink()
    (home / "kafka.jsa").unlink()
    made: list[Path] = []
    monkeypatch.setattr(quickstart, "_make", lambda _files, where, _progress: made.append(where))
    without = prepare(files, tmp_path, progress)
    assert made == [home]
    assert set(without.jvm_flags) == {"registry"}
