"""Whether a ledger is exact: its outputs against its raw inputs, judged by the oracle.

Owns: what was read (`Evidence`), and what is wrong with it (`Findings`): every input audited once
(H), unlocks as multisets (A), one dead letter or alert for each verdict that asks for one, every
user's progress, order (B), unbroken audit chains, and what a reader saw on the way (E).
Does not own: reading the local stores (stores.py), whether anything hangs (run.py).
Invariant: a pure function of the evidence, so that the checks themselves can be tried on evidence
that was tampered with.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

from chaos.ledger import INPUTS, ROOT, Ledger, Output
from chaos.watch import checksum
from pipeline.core.audit import Link, genesis, verify
from pipeline.core.errors import CoreError
from pipeline.dev.demo.expected import expected_progress, shown_progress
from pipeline.dev.oracle import Judgement, Logged, Reader, Rules, judge, load_rules
from pipeline.dev.oracle.events import Coordinates

HASH_BYTES: Final = 32
FRAME_BYTES: Final = 5
CHANGING: Final = ("accepted", "overlap", "applied")
"""Verdicts after which a user is another."""

READ: Final = ("audit", "portals", "progress", "deadletters", "reconciliation")


@dataclass
class Evidence:
    """What the topics say.

    Attributes:
        inputs: the raw records of both topics, without order.
        outputs: by topic name, in the order of partition and offset.
        seen: what a reader saw on the way, by coordinates; None when nobody watched.
    """

    prefix: str
    partitions: int
    inputs: list[Logged]
    outputs: dict[str, list[Output]]
    seen: dict[Coordinates, int] | None = None

    def repairs(self) -> set[Coordinates]:
        """The repairs among the commands: a rebuild sent them, and the oracle knows of none."""
        return {
            one.coordinates
            for one in self.inputs
            if one.kind == "commands" and b'"kind":"repair"' in (one.value or b"")
        }

    def applied_repairs(self) -> Counter[str]:
        """How many repairs of each user were applied."""
        repairs = self.repairs()
        return Counter(
            one.value["user_id"]
            for one in self.outputs["audit"]
            if one.value["verdict"] == "applied" and _cause(self, one) in repairs
        )

    def verdicts(self) -> dict[Coordinates, str]:
        """What the audit says of each input."""
        return {_cause(self, one): one.value["verdict"] for one in self.outputs["audit"]}


@dataclass
class Findings:
    """What is wrong, one line each; empty when nothing is."""

    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    wrong_state: list[str] = field(default_factory=list)

    def compare(self, what: str, due: Iterable[Any], reported: Iterable[Any]) -> None:
        """Two multisets that should be equal."""
        wanted, found = Counter(due), Counter(reported)
        self.lost += [f"{what}: {one}" for one in (wanted - found).elements()]
        self.duplicated += [f"{what}: {one}" for one in (found - wanted).elements()]


def gather(ledger: Ledger) -> Evidence:
    """Read everything."""
    return Evidence(
        ledger.prefix,
        ledger.partitions,
        logged_inputs(ledger),
        {name: ledger.read(name) for name in READ},
    )


def logged_inputs(ledger: Ledger) -> list[Logged]:
    """The committed records of the input topics."""
    return [
        Logged(
            name,
            record.partition(),
            record.offset(),
            record.timestamp()[1],
            record.key(),
            record.value(),
        )
        for name in INPUTS
        for record in ledger.raw(name)
    ]


def policy() -> Rules:
    """The rules, as the oracle reads them."""
    return load_rules((ROOT / "policy.yaml").read_text(encoding="utf-8"))


def examine(evidence: Evidence, rules: Rules) -> tuple[Findings, Judgement]:
    """Compare what was told with what the oracle says; returns its answer, too."""
    findings = Findings()
    causes = [_cause(evidence, entry) for entry in evidence.outputs["audit"]]
    findings.compare("audit entry", (one.coordinates for one in evidence.inputs), causes)
    judgement = _judged(evidence, causes, rules)
    _check_verdicts(evidence, judgement, findings)
    findings.compare(
        "portal",
        (
            (user_id, unlock.lap, unlock.slug)
            for user_id, user in judgement.users.items()
            for unlock in user.unlocks.values()
        ),
        (
            (one.value["user_id"], one.value["lap"], one.value["portal"])
            for one in evidence.outputs["portals"]
        ),
    )
    _check_progress(evidence, judgement, rules, findings)
    _check_order(evidence, causes, findings)
    _check_chains(evidence, findings)
    _check_seen(evidence, findings)
    return findings, judgement


def _cause(evidence: Evidence, output: Output) -> Coordinates:
    cause = output.value["cause"]
    return cause["topic"].removeprefix(evidence.prefix), cause["partition"], cause["offset"]


def _judged(evidence: Evidence, causes: list[Coordinates], rules: Rules) -> Judgement:
    """The oracle's answer, given the inputs in the order in which the audit says they came."""
    order = {coordinates: number for number, coordinates in reversed(list(enumerate(causes)))}
    last = len(order)
    repairs = evidence.repairs()
    judged = [one for one in evidence.inputs if one.coordinates not in repairs]
    log = sorted(judged, key=lambda one: (one.partition, order.get(one.coordinates, last)))
    return judge(log, rules, Reader({}), evidence.partitions)


def _check_verdicts(evidence: Evidence, judgement: Judgement, findings: Findings) -> None:
    words = {coordinates: verdict.word for coordinates, verdict in judgement.verdicts.items()}
    repairs = evidence.repairs()
    for entry in evidence.outputs["audit"]:
        coordinates = _cause(evidence, entry)
        if coordinates in repairs and entry.value["verdict"] in ("applied", "dead_letter"):
            words[coordinates] = entry.value["verdict"]
        if entry.value["verdict"] != words.get(coordinates):
            findings.wrong_state.append(
                f"verdict on {coordinates}: {entry.value['verdict']}, not {words.get(coordinates)}"
            )
    findings.compare(
        "deadletters",
        (coordinates for coordinates, word in words.items() if word == "dead_letter"),
        (_cause(evidence, one) for one in evidence.outputs["deadletters"]),
    )
    findings.compare(
        "reconciliation",
        (
            (coordinates, alert.word)
            for coordinates, verdict in judgement.verdicts.items()
            for alert in verdict.alerts
        ),
        (
            (_cause(evidence, one), one.value["verdict"])
            for one in evidence.outputs["reconciliation"]
        ),
    )


def _check_progress(
    evidence: Evidence, judgement: Judgement, rules: Rules, findings: Findings
) -> None:
    shown = {one.value["user_id"]: plain(one.value) for one in evidence.outputs["progress"]}
    repaired, changed_ms = evidence.applied_repairs(), _last_changes(evidence)
    for user_id in shown.keys() ^ judgement.users.keys():
        findings.wrong_state.append(f"progress of {user_id}: there is none, or should be none")
    for user_id in shown.keys() & judgement.users.keys():
        user = judgement.users[user_id]
        at_ms = changed_ms[user_id] if user_id in repaired else user.last_change_ms
        expected = expected_progress(user, rules, at_ms)
        found = shown_progress(shown[user_id])
        if user_id in repaired:
            # Each repair is a revision, and a portal that was missed has the instant of its repair.
            expected["revision"] += repaired[user_id]
            expected["portals"] = sorted(one[:3] for one in expected["portals"])
            found["portals"] = sorted(one[:3] for one in found["portals"])
        if found != expected:
            findings.wrong_state.append(f"progress of {user_id} is not what the oracle says")


def _last_changes(evidence: Evidence) -> dict[str, int]:
    """When each user changed last, by the audit; a repair is a change that the oracle knows not."""
    return {
        one.value["user_id"]: plain(one.value["append_time"])
        for one in evidence.outputs["audit"]
        if one.value["verdict"] in CHANGING
    }


def _check_order(evidence: Evidence, causes: list[Coordinates], findings: Findings) -> None:
    """Inputs in the order of their offsets, and a user's revisions in theirs."""
    last: dict[tuple[str, int], int] = {}
    for topic, partition, offset in causes:
        if offset < last.get((topic, partition), -1):
            findings.wrong_state.append(f"{topic} {partition}: {offset} came after a later one")
        last[topic, partition] = offset
    revisions: dict[str, int] = {}
    for one in evidence.outputs["progress"]:
        user_id, revision = one.value["user_id"], one.value["revision"]
        if revision <= revisions.get(user_id, 0):
            findings.wrong_state.append(f"{user_id}: revision {revision} came after a later one")
        revisions[user_id] = revision


def _check_chains(evidence: Evidence, findings: Findings) -> None:
    for partition in range(evidence.partitions):
        links = [
            Link(
                entry.value["sequence"],
                entry.value["prev_hash"],
                entry.raw[FRAME_BYTES : -HASH_BYTES - 1],
                entry.value["hash"],
            )
            for entry in evidence.outputs["audit"]
            if entry.partition == partition
        ]
        try:
            whole = verify(genesis("blue", partition), links).next_sequence == len(links)
        except CoreError as error:
            findings.wrong_state.append(f"the audit chain of partition {partition}: {error}")
            continue
        if not whole:
            findings.wrong_state.append(f"the audit chain of partition {partition} has a gap")


def _check_seen(evidence: Evidence, findings: Findings) -> None:
    """What a reader saw on the way is what the log says now, no more and no less."""
    if evidence.seen is None:
        return
    final = {
        (f"{evidence.prefix}{name}", one.partition, one.offset): checksum(one.key, one.raw)
        for name, outputs in evidence.outputs.items()
        for one in outputs
    }
    topics = {topic for topic, _, _ in final}
    seen = {
        coordinates: sum_ for coordinates, sum_ in evidence.seen.items() if coordinates[0] in topics
    }
    for coordinates in _differences(final, seen):
        findings.wrong_state.append(f"{coordinates} was seen otherwise than it is now")


def _differences(
    one: Mapping[Coordinates, int], other: Mapping[Coordinates, int]
) -> list[Coordinates]:
    return sorted(
        coordinates
        for coordinates in one.keys() | other.keys()
        if one.get(coordinates) != other.get(coordinates)
    )


def plain(value: Any) -> Any:
    """A decoded record with dates as days and instants as milliseconds since 1970-01-01."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, datetime):
        return round(value.timestamp() * 1000)
    if isinstance(value, date):
        return (value - date(1970, 1, 1)).days
    return value
