"""The console that a demonstration leaves behind: it answers, and goes with its stack."""

import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from pipeline.dev.demo.console import end_console, start_console
from pipeline.dev.demo.errors import ConsoleNotStartedError
from pipeline.dev.local.process import ProcessId, end, identify, this_process
from pipeline.dev.local.stack import LocalStack
from pipeline.dev.local.state import Layout, StackState, write_whole
from pipeline.settings.worker import Settings
from tests.demo.month import ROOT
from tests.integration.ledger import Ledger

GONE_S_MAX = 40.0


def is_up(address: str) -> bool:
    try:
        return httpx2.get(address, timeout=5).status_code == 200
    except httpx2.HTTPError:
        return False


@pytest.mark.verify
def test_it_answers_is_alone_and_ends_with_the_stack(
    stack: LocalStack, topic_prefix: str, tmp_path: Path
) -> None:
    ledger = Ledger(stack, topic_prefix, tmp_path, tmp_path)
    ledger.set_up()
    settings = Settings(
        bootstrap_servers=stack.bootstrap_servers,
        registry_url=stack.registry_url,
        topic_prefix=topic_prefix,
        topics_file=ROOT / "topics.yaml",
        policy_file=ROOT / "policy.yaml",
        schemas_dir=ROOT / "schemas",
        assets_url=str(tmp_path),
    )
    # Something that lives stands in for the supervisor: the run's own must not end here.
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as standing_in:
        supervisor = identify(standing_in.pid)
        assert supervisor is not None
        kept = LocalStack(tmp_path / "kept")
        kept.root.mkdir()
        state = StackState(supervisor, (), "", 0, 0, None)
        write_whole(Layout(kept.root).state_file, state)
        try:
            address = start_console(settings, tmp_path, kept)
            page = httpx2.get(address, timeout=20)
            assert (page.status_code, address.startswith("http://127.0.0.1:")) == (200, True)
            assert "Authorisation is off" in page.text
            assert f"{topic_prefix}</code> (the dot is part of it)" in page.text
            assert not address.startswith("http://127.0.0.1:8090/")
            again = tmp_path / "again"
            again.mkdir()
            first, address = address, start_console(settings, again, kept)
            assert not is_up(first)
            assert is_up(address)
        finally:
            end(supervisor, 0)
    deadline_s = time.monotonic() + GONE_S_MAX
    while is_up(address):
        assert time.monotonic() < deadline_s, (again / "api.log").read_text()
        time.sleep(0.2)


def test_a_stack_that_is_down_has_none(tmp_path: Path) -> None:
    with pytest.raises(ConsoleNotStartedError):
        start_console(Settings(), tmp_path, LocalStack(tmp_path / "none"))


def test_only_the_process_that_was_written_down_is_ended(tmp_path: Path) -> None:
    end_console(tmp_path)
    record = tmp_path / "console.json"
    write_whole(record, ProcessId(this_process().pid, "another start"))
    end_console(tmp_path)
    assert not record.exists()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as left:
        found = identify(left.pid)
        assert found is not None
        write_whole(record, found)
        subprocess.run(
            [sys.executable, "-m", "pipeline.dev.demo.console", "end", str(tmp_path)],
            cwd=ROOT,
            timeout=60,
            check=True,
        )
        assert left.wait(0) != 0
    assert not record.exists()
