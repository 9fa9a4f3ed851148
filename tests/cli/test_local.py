"""`awaway local` as people and programs see it."""

import json
from pathlib import Path

import pytest

from pipeline.cli.main import run
from pipeline.dev.local.stack import LocalStack

Captured = pytest.CaptureFixture[str]


def test_a_stack_that_is_down_says_so(tmp_path: Path, capsys: Captured) -> None:
    root = str(tmp_path / "stack")
    assert run(["local", "status", "--root", root]) == 1
    assert "down" in capsys.readouterr().out
    assert run(["local", "status", "--root", root, "-o", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["health"] == "down"
    assert found["servers"] == []
    assert found["ends_at"] is None
    assert run(["local", "down", "--root", root, "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["stopped"] is False


def test_a_stack_that_is_up_says_where(stack: LocalStack, capsys: Captured) -> None:
    root = str(stack.root)
    assert run(["local", "status", "--root", root]) == 0
    shown = capsys.readouterr().out
    assert f"export AWAWAY_BOOTSTRAP_SERVERS={stack.bootstrap_servers}" in shown
    assert f"export AWAWAY_REGISTRY_URL={stack.registry_url}" in shown
    assert run(["local", "status", "--root", root, "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["health"] == "up"
    assert found["bootstrap_servers"] == stack.bootstrap_servers
    assert {server["name"] for server in found["servers"]} == {"kafka", "registry"}
    assert all(server["healthy"] for server in found["servers"])


def test_data_is_deleted_only_when_somebody_says_so(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "data").mkdir()
    root = str(tmp_path)
    assert run(["local", "down", "--delete-data", "--root", root, "-o", "json"]) == 2
    assert "no terminal" in json.loads(capsys.readouterr().out)["what"]
    assert (tmp_path / "data").exists()
    assert run(["local", "down", "--delete-data", "--yes", "--root", root]) == 0
    assert not tmp_path.exists()


def test_a_taken_port_is_an_error_with_a_way_out(
    stack: LocalStack, tmp_path: Path, capsys: Captured
) -> None:
    port = stack.bootstrap_servers.rpartition(":")[2]
    root = str(tmp_path / "other")
    assert run(["local", "up", "--root", root, "--kafka-port", port, "-o", "json"]) == 1
    error = json.loads(capsys.readouterr().out)
    assert error["error"] == "PortInUseError"
    assert error["fields"]["port"] == int(port)
    assert error["fix"]
