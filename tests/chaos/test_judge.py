"""The judge can be trusted: what is tampered with is counted, and nothing else is."""

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from chaos.judge import Evidence, Findings, examine, gather, policy
from chaos.ledger import Output
from chaos.stores import check_stores
from chaos.watch import checksum
from pipeline.dev.demo.expected import expected_progress
from pipeline.dev.oracle import Logged, Reader, judge
from pipeline.dev.oracle.partition import home
from pipeline.dev.workload.people import DAY_MS, MINUTE_MS
from pipeline.dev.workload.wire import plain_completion
from tests.integration.exactness import local_state
from tests.integration.ledger import Ledger

NOW = datetime.now(UTC)
OUTPUTS = ("audit", "portals", "deadletters", "reconciliation")


def counts(findings: Findings) -> tuple[int, int, int]:
    return len(findings.lost), len(findings.duplicated), len(findings.wrong_state)


def seen_of(evidence: Evidence) -> dict[tuple[str, int, int], int]:
    """What a reader saw that read everything."""
    return {
        (f"{evidence.prefix}{name}", one.partition, one.offset): checksum(one.key, one.raw)
        for name, outputs in evidence.outputs.items()
        for one in outputs
    }


def drop(evidence: Evidence, name: str) -> None:
    evidence.outputs[name].pop()


def repeat(evidence: Evidence, name: str) -> None:
    evidence.outputs[name].append(copy.deepcopy(evidence.outputs[name][-1]))


def forget_an_input(evidence: Evidence, _: str) -> None:
    evidence.inputs.pop()


@pytest.mark.verify
def test_what_is_tampered_with_is_counted(ledger: Ledger) -> None:
    for day in range(8):
        ledger.complete("ada", f"c{day}", NOW - timedelta(days=day, hours=1))
    ledger.complete("ada", "c0", NOW - timedelta(hours=1))
    ledger.send("completions", b"ada", b"noise")
    ledger.flush()
    with ledger.worker(plan={}) as worker:
        ledger.drain(worker)
    whole = gather(ledger)
    assert counts(examine(whole, policy())[0]) == (0, 0, 0)
    whole.seen = seen_of(whole)
    assert counts(examine(whole, policy())[0]) == (0, 0, 0)
    whole.seen = None

    def tampered(change: Callable[[Evidence, str], None], name: str) -> tuple[int, int, int]:
        evidence = copy.deepcopy(whole)
        change(evidence, name)
        return counts(examine(evidence, policy())[0])

    for name in OUTPUTS:
        lost, duplicated, _ = tampered(drop, name)
        assert (lost, duplicated) == (1, 0), name
        lost, duplicated, _ = tampered(repeat, name)
        assert (lost, duplicated) == (0, 1), name
    assert tampered(repeat, "progress") == (0, 0, 1)  # a revision that came twice
    _, duplicated, _ = tampered(forget_an_input, "")
    assert duplicated >= 1  # an audit entry of nothing

    evidence = copy.deepcopy(whole)
    evidence.outputs["progress"][-1].value["longest_days"] = 7
    assert counts(examine(evidence, policy())[0]) == (0, 0, 1)
    evidence = copy.deepcopy(whole)
    evidence.outputs["audit"][3].value["verdict"] = "twin"
    assert counts(examine(evidence, policy())[0]) == (0, 0, 1)
    evidence = copy.deepcopy(whole)
    entry = evidence.outputs["audit"][3]
    evidence.outputs["audit"][3] = replace(entry, raw=entry.raw.replace(b"ada", b"bob"))
    assert counts(examine(evidence, policy())[0]) == (0, 0, 1)
    evidence = copy.deepcopy(whole)
    evidence.seen = seen_of(whole)
    evidence.seen.popitem()
    evidence.seen[f"{ledger.prefix}audit", 0, 10_000] = 1
    assert counts(examine(evidence, policy())[0]) == (0, 0, 2)


def test_a_store_that_is_not_its_changelog_is_found(ledger: Ledger) -> None:
    ledger.complete("ada", "c1", NOW)
    ledger.flush()
    with ledger.worker(plan={}) as worker:
        ledger.drain(worker)
    data = ledger.folder / "data"
    assert any(local_state(data, ledger))
    assert check_stores(ledger, [data]) == []
    missing = check_stores(ledger, [ledger.folder / "nowhere"])
    assert len(missing) == ledger.partitions
    assert all("no worker's store is up to date" in wrong for wrong in missing)
    ledger.producer.produce(ledger.topic("blue.streaks-changelog"), b"x", b"u", partition=0)
    ledger.flush()
    assert any("partition 0" in wrong for wrong in check_stores(ledger, [data]))


@pytest.mark.parametrize(
    "due, reported, lost, duplicated", [([1, 2], [2], 1, 0), ([1], [1, 1], 0, 1)]
)
def test_multisets(due: list[int], reported: list[int], lost: int, duplicated: int) -> None:
    findings = Findings()
    findings.compare("x", due, reported)
    assert counts(findings) == (lost, duplicated, 0)


def test_who_was_repaired_is_shown_as_of_the_repair() -> None:
    at_ms, home_of_ada = 1_795_400_000_000, home(b"ada", 4)
    repaired_ms = at_ms + 3 * DAY_MS  # when the streak of the only date is over
    done = plain_completion("ada", "c1", at_ms - MINUTE_MS)
    inputs = [
        Logged("completions", home_of_ada, 0, at_ms, b"ada", done),
        Logged("commands", home_of_ada, 0, repaired_ms, b"ada", b'{"kind":"repair"}'),
    ]
    user = judge(inputs[:1], policy(), Reader({}), 4).users["ada"]
    audit = [
        Output(
            b"ada",
            {"user_id": "ada", "verdict": verdict, "append_time": one.append_time_ms}
            | {"cause": {"topic": one.kind, "partition": home_of_ada, "offset": 0}}
            | {"sequence": number, "prev_hash": b"", "hash": b""},
            *(b"", home_of_ada, number, []),
        )
        for number, (one, verdict) in enumerate(zip(inputs, ("accepted", "applied"), strict=True))
    ]

    def wrong(shown_ms: int, revision: int) -> list[str]:
        shown = expected_progress(user, policy(), shown_ms)
        dates = {
            kind: [{"start": day, "length": 1} for day in found]
            for kind, found in shown["dates"].items()
        }
        names = ("lap", "slug", "reached_on", "unlocked_at")
        portals = [dict(zip(names, one, strict=True)) for one in shown["portals"]]
        value = shown | {"user_id": "ada", "revision": revision, "dates": dates, "portals": portals}
        outputs = dict[str, list[Output]]({name: [] for name in OUTPUTS})
        outputs |= {"audit": audit, "progress": [Output(b"ada", value, b"", home_of_ada, 0, [])]}
        findings, _ = examine(Evidence("", 4, inputs, outputs), policy())
        return [line for line in findings.wrong_state if "progress of" in line]

    assert wrong(repaired_ms, 2) == []
    assert (
        wrong(at_ms, 2) == wrong(repaired_ms, 1) == ["progress of ada is not what the oracle says"]
    )
