"""What the tests of `awaway validate` share: an input, a file, what is said of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import main as cli

ROOT = Path(__file__).parents[2]
Captured = pytest.CaptureFixture[str]
AT = ("--at", "2026-07-08T09:00:05Z")


def completion(number: int, day: int = 8, **other: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "completion_id": f"c{number}",
        "user_id": "ada",
        "session_id": f"s{number}",
        "practice": "breath",
        "started_at": f"2026-07-{day:02}T08:30:00Z",
        "completed_at": f"2026-07-{day:02}T09:00:00Z",
        "tz": "Europe/Berlin",
    }
    return fields | other


def said(capsys: Captured, *words: str) -> tuple[int, list[dict[str, Any]]]:
    code = cli.run(["validate", *words, "-o", "json"])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def written(path: Path, content: Any) -> str:
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return str(path)
