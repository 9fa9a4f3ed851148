"""Dead letters on a real broker: listed, shown, redriven once and only once, put away."""

import json
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import main as cli
from pipeline.codec.partitioner import partition_of
from pipeline.dev.workload.wire import plain_completion
from pipeline.kafka.principal import principal_of
from tests.integration.ledger import ROOT, Ledger
from tests.integration.test_adjust import practising
from tests.integration.test_rejects import REJECTS

NOW = datetime.now(UTC).replace(hour=11, minute=0) - timedelta(days=1)
NOW_MS = int(NOW.timestamp() * 1000)
DAY_MS = 86_400_000
BECAUSE = ("--reason", "the code is mended", "--ticket", "O-17", "--yes")


class Operator:
    """Somebody who types `awaway deadletters` for a ledger."""

    def __init__(
        self, ledger: Ledger, environ: pytest.MonkeyPatch, told: pytest.CaptureFixture[str]
    ) -> None:
        ledger.be_set_in(environ)
        self._told = told

    def __call__(self, *words: str) -> tuple[int, Any]:
        """Exit code and result."""
        code, found = self._run(*words)
        return code, found[0]

    def listed(self, *words: str) -> dict[str, dict[str, Any]]:
        """The rows of a list, by place."""
        code, rows = self._run("list", *words)
        assert code == 0
        return {row["letter"]: row for row in rows}

    def _run(self, *words: str) -> tuple[int, list[Any]]:
        self._told.readouterr()
        patient = () if words[0] in ("list", "show") else ("--wait", "60")
        code = cli.run(["deadletters", *words, *patient, "-o", "json"])
        return code, [json.loads(line) for line in self._told.readouterr().out.splitlines()]


@pytest.fixture
def operator(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Operator:
    """`awaway deadletters` in this process."""
    return Operator(ledger, monkeypatch, capsys)


def sent(ledger: Ledger) -> list[str]:
    """The request ids in the topic of commands, in any order."""
    return [json.loads(record.value())["request_id"] for record in ledger.raw("commands")]


def elsewhere(ledger: Ledger, user: str) -> int:
    """A partition that is not the user's."""
    return (partition_of(user.encode(), ledger.partitions) + 1) % ledger.partitions


def by_reason(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["reason"]: row for row in rows.values()}


def rejected(ledger: Ledger) -> dict[str, bytes]:
    """Send five inputs of which four are rejected, by a release that cannot fold one of them.

    Returns:
        The values of two, by the reason.
    """
    stray = plain_completion("bo", "stray", NOW_MS, tz="UTC")
    late = plain_completion("cy", "late", NOW_MS - 90 * DAY_MS, tz="UTC")
    with ledger.worker(plan={"poison": "poison"}) as worker:
        ledger.complete("ada", "poison", NOW - timedelta(days=1), tz="UTC")
        ledger.complete("ada", "good", NOW, tz="UTC")
        ledger.send("completions", b"bo", stray, partition=elsewhere(ledger, "bo"))
        ledger.send("completions", b"cy", late)
        ledger.send("completions", b"cy", b"{\x1b")
        ledger.flush()
        ledger.drain(worker)
    return {"wrong_partition": stray, "too_late": late}


def look_at(
    ledger: Ledger, operator: Operator, stray: bytes, folder: Path
) -> dict[str, dict[str, Any]]:
    """List letters, show one whole, and see what a redrive would do; gives the rows by reason."""
    letters = by_reason(operator.listed())
    assert {(row["stage"], reason) for reason, row in letters.items()} == {
        ("fold", "zero_division_error"),
        ("transport", "wrong_partition"),
        ("validate", "too_late"),
        ("decode", "malformed_json"),
    }
    assert {row["state"] for row in letters.values()} == {"open"}
    assert operator.listed("--since", "1h", "--stage", "decode", "--limit", "9").keys() == {
        letters["malformed_json"]["letter"]
    }
    code, refused = operator("list", "--partition", "9")
    assert code == 2 and "there is no partition 9" in refused["what"]

    saved = folder / "input.bin"
    code, shown = operator("show", letters["wrong_partition"]["letter"], "--raw", str(saved))
    assert (code, shown["value"]["form"], saved.read_bytes()) == (0, "JSON", stray)
    assert (shown["now"]["verdict"], shown["user_id"], shown["told"]) == ("accepted", "bo", [])
    assert operator("show", "0:999999")[1]["error"] == "NoLetterError"

    code, plan = operator("redrive", "--all")
    assert (code, plan["sent"], sent(ledger)) == (0, False, [])
    assert plan["numbers"]["would_be"] == {"accepted": 2}
    assert plan["numbers"]["passed_over"] == {
        "would be rejected again: validate.too_late": 1,
        "would be rejected again: decode.malformed_json": 1,
    }
    return letters


def test_letters_are_seen_redriven_once_and_put_away(
    ledger: Ledger, operator: Operator, tmp_path: Path
) -> None:
    values = rejected(ledger)
    letters = look_at(ledger, operator, values["wrong_partition"], tmp_path)
    stray, too_late = letters["wrong_partition"]["letter"], letters["too_late"]["letter"]
    with ledger.worker(plan={}) as worker:
        ledger.drain(worker)
        code, done = operator("redrive", "--all", *BECAUSE)
        assert code == 0, done
        assert Counter(one.get("became") for one in done["letters"])["accepted"] == 2
        assert ledger.progress()["ada"]["streak_days"] == 2
        assert ledger.progress()["bo"]["lifetime_days"] == 1
        before = sorted(sent(ledger))
        assert len(before) == 2
        assert operator("redrive", "--all", *BECAUSE)[1]["sent"] is False
        assert sorted(sent(ledger)) == before

        code, done = operator("redrive", too_late, "--also-rejected", *BECAUSE)
        (once_more,) = done["letters"]
        assert (code, once_more["became"], once_more["rejection"]) == (1, "dead_letter", "too_late")
        (second,) = operator.listed("--rejection", "too_late", "--state", "open").values()
        assert second["letter"] != too_late
        assert second["input"] == letters["too_late"]["input"]  # that of the input, not the redrive
        shown = operator("show", second["letter"])[1]
        assert shown["rejected_as"].startswith(ledger.topic("commands"))
        assert (shown["value"]["size"], shown["now"]["reason"]) == (
            len(values["too_late"]),
            "too_late",
        )

        code, done = operator("discard", "--stage", "decode", "--stage", "validate", *BECAUSE)
        assert (code, Counter(one.get("became") for one in done["letters"])) == (0, {"applied": 2})
        ledger.drain(worker)
    after = operator.listed()
    assert Counter(row["state"] for row in after.values()) == {"redriven": 3, "discarded": 2}
    assert after[stray]["verdict"] == "accepted"
    (told,) = operator("show", stray)[1]["told"]
    assert (told["verdict"], told["actor"], told["ticket"]) == (
        *("accepted", principal_of({})),
        "O-17",
    )
    assert ledger.audited_offsets() == ledger.input_offsets()


def of_twenty_reasons(ledger: Ledger, user: str) -> None:
    """Send inputs of one user that are rejected, each for another reason."""
    key = user.encode()
    seen: set[str] = set()
    for sent_key, value, _, reason in REJECTS.values():
        if sent_key == b"good user" and value and len(value) < 10_000 and reason not in seen:
            seen.add(reason)
            own = value.replace(b"good user", key).replace(b'"bad"', b'"bad-%d"' % len(seen))
            ledger.send("completions", key, own)
    ledger.send("completions", key, plain_completion("somebody", "s", NOW_MS))
    stray = plain_completion(user, "stray", NOW_MS, tz="UTC")
    ledger.send("completions", key, stray, partition=elsewhere(ledger, user))
    credit = {"reason": "r", "ticket": "t"}
    ledger.command(user, "r1", "grant")
    ledger.command(user, "r2", "credit", local_date="2026-01-01")
    ledger.command(user, "r3", "credit", **credit)
    ledger.command(user, "r4", "credit", local_date="2001-01-01", **credit)
    ledger.command(user, "r5", "withdraw", withdraws="r5")
    ledger.command(user, "r6", "claim_key")


@pytest.mark.verify
def test_ten_thousand_letters_are_redriven_under_traffic_by_whoever_is_killed(
    ledger: Ledger, operator: Operator
) -> None:
    """Of twenty reasons: nothing is lost, nothing counts twice, and each has its new outcome."""
    users = [f"user-{n}" for n in range(500)]
    for user in users:
        of_twenty_reasons(ledger, user)
    ledger.flush()
    with ledger.worker(plan={}) as worker:
        ledger.drain(worker)
        letters = operator.listed()
        reasons = Counter(row["reason"] for row in letters.values())
        assert len(reasons) == 20 and set(reasons.values()) == {500}, reasons
        words = ("redrive", "--all", "--also-rejected", "--limit", "20000", *BECAUSE)
        killed = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli.main", "deadletters", *words, "--rate", "200"],
            cwd=ROOT,
            env=ledger.environment() | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        with practising(ledger, users_per_s=50) as practised:
            ledger.wait_for(lambda: len(requests_in(ledger)) >= 300)
            killed.kill()
            killed.wait(10)
            ledger.drain(worker)
            _, done = operator(*words, "--rate", "1000")
        ledger.drain(worker)
    became = Counter(one.get("became") for one in done["letters"])
    assert 0 < became.total() < 10_000 and not became.keys() & {"not_read_back", "not_sent"}
    requests = requests_in(ledger)
    assert len(requests) == len(set(requests)) == len(letters)

    after = operator.listed()
    states = {place: after.pop(place) for place in letters}
    assert {row["state"] for row in states.values()} == {"redriven"}
    verdicts = Counter((row["reason"], row["verdict"], row["rejection"]) for row in states.values())
    assert verdicts == {
        (reason, "accepted", None)
        if reason == "wrong_partition"
        else (reason, "dead_letter", reason): 500
        for reason in reasons
    }
    assert Counter(row["reason"] for row in after.values()) == reasons - Counter(
        wrong_partition=500
    )
    assert len({row["input"] for row in after.values()}) == len(after)
    progress = ledger.progress()
    assert all(progress[user]["lifetime_days"] == 1 for user in users)
    assert progress.keys() == {*users, *practised}
    assert ledger.audited_offsets() == ledger.input_offsets()
    assert operator("redrive", *list(letters)[:100], *BECAUSE)[1]["sent"] is False


def requests_in(ledger: Ledger) -> list[str]:
    """The ids of the redrives in the topic of commands."""
    return [one for one in sent(ledger) if one.startswith("redrive-")]
