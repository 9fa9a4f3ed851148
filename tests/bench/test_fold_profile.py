"""The hot path without Kafka comes to the input's truth, in memory and in RocksDB."""

import pytest

from bench.fold_profile import main


@pytest.mark.parametrize("options", [[], ["--rocks"]])
def test_stages_and_whole_are_right(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--events", "2000", *options]) == 0
    shown = capsys.readouterr().out
    for line in ("decode JSON", "fold, with look-ups", "encode progress", "bare loop, whole"):
        assert line in shown
    assert shown.count("processor, whole") == 2


def test_functions_are_listed_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--events", "1000", "--functions", "--collapse"]) == 0
    assert "fold_completion" in capsys.readouterr().out
