"""All inputs through one worker, and the log read again beside what was published.

Owns: sending act by act, the skips, the scene's own last policy; each input with its user before
and after it, as the oracle has them; the outputs by the input that they name as their cause.
Does not own: the inputs (records_cast.py), what the records ought to say (records_meaning.py).
Invariant: the order within a partition is the audit's; everything else comes from the inputs.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid5

from chaos.judge import logged_inputs
from chaos.ledger import INPUTS, OUTPUTS, Output
from pipeline.dev.oracle import (
    Completion,
    Judgement,
    Logged,
    Reader,
    Rules,
    SupportCommand,
    UserModel,
    Verdict,
    judge,
    judge_read,
    load_rules,
)
from pipeline.dev.oracle.events import Coordinates
from pipeline.ops.skips import Skip, SkipTopic
from tests.integration.ledger import ROOT, Ledger
from tests.integration.records_cast import ACTS, PARTITIONS, POISON, Cast, Sent, cast
from tests.integration.records_operators import add_operators

NAMESPACE: Final = UUID("8f0c5a9e-2f4b-5d57-9a0e-6b1d4c7e3a21")
SKIPPED: Final = ("eva@operations", "it ends the decoder", "O-12")
"""Actor, reason and ticket."""


@dataclass(frozen=True)
class Step:
    """One input and what came of it.

    Attributes:
        event: None where the rules did not get to it.
        verdict: the oracle's; None where the worker was made to fail or to pass it over.
        before, after: of the user; None without one.
        frame_before: the last frame that the user was shown before, 0 for none.
    """

    logged: Logged
    sent: Sent
    event: Completion | SupportCommand | None
    verdict: Verdict | None
    before: UserModel | None
    after: UserModel | None
    frame_before: int

    @property
    def is_change(self) -> bool:
        """Whether it changed the user."""
        if isinstance(self.event, SupportCommand) and self.event.kind == "operation":
            return False
        return self.verdict is not None and self.verdict.word in ("accepted", "overlap", "applied")

    @property
    def judged(self) -> Completion | SupportCommand | None:
        """The event; of a redrive what it carries, where that can be read."""
        event = self.event
        if not isinstance(event, SupportCommand) or event.kind != "redrive":
            return event
        carried = event.carried
        return event if carried is None or isinstance(carried, str) else carried


@dataclass(frozen=True)
class Scene:
    """Everything there is to hold records to.

    Attributes:
        policy_text: of the policy file that the worker was given.
        steps: by where the input lies, in the order of the audit.
        outputs: by topic, in the order of partition and offset.
    """

    ledger: Ledger
    policy_text: str
    rules: Rules
    steps: dict[Coordinates, Step]
    outputs: dict[str, list[Output]]

    def coordinates(self, cause: dict[str, Any]) -> Coordinates:
        """Where the input of a cause lies."""
        topic = cause["topic"].removeprefix(self.ledger.prefix)
        return topic, cause["partition"], cause["offset"]

    def caused(self, name: str) -> dict[Coordinates, list[Output]]:
        """The records of an output topic, by their input."""
        found: defaultdict[Coordinates, list[Output]] = defaultdict(list)
        for output in self.outputs[name]:
            found[self.coordinates(output.value["cause"])].append(output)
        return found


def play(ledger: Ledger) -> Scene:
    """Send every act to one worker, each when the one before is done, and read it all."""
    text = _with_another_last_portal((ROOT / "policy.yaml").read_text(encoding="utf-8"))
    policy_file = ledger.folder / "policy.yaml"
    policy_file.write_text(text, encoding="utf-8")
    played = cast(
        {name: _schema_id(ledger, name) for name in INPUTS},
        lambda name: str(uuid5(NAMESPACE, name)),
    )
    add_operators(played)
    sent = _send(ledger, played, 0)
    _put_aside(ledger, [coordinates for coordinates, one in sent.items() if one.is_skipped])
    settings = {"POLICY_FILE": str(policy_file), "COLLAPSE": "false"}
    with ledger.worker(plan={"poison": POISON}, **settings) as worker:
        ledger.drain(worker)
        for act in range(1, len(ACTS)):
            sent |= _send(ledger, played, act)
            ledger.drain(worker)
    assert "aborted" not in ledger.log()
    outputs = {name: ledger.read(name) for name in OUTPUTS}
    rules = load_rules(text)
    scene = Scene(ledger, text, rules, {}, outputs)
    order = [scene.coordinates(entry.value["cause"]) for entry in outputs["audit"]]
    return replace(scene, steps=dict(_followed(ledger, rules, order, sent)))


def _with_another_last_portal(text: str) -> str:
    """A policy that counts in the fifth act: one more version, and day 108 opens another portal.

    So one date may reach day 108 in two laps that were not unlocked before: under one policy, no
    single date makes a run of less than 108 days one of 216.
    """
    last = text[text.rindex('  - version: "') :]
    portal = "slug: sri-yantra, title: Sri Yantra, figure: sri-yantra, keys: 3"
    other = "slug: second-yantra, title: Second Yantra, figure: sri-yantra, keys: 1"
    assert portal in last
    version, _, rules = last.replace(portal, other).partition("day_start")
    assert version.count("2026-06") == 2
    return text + version.replace("2026-06", "2026-09") + "day_start" + rules


def _schema_id(ledger: Ledger, name: str) -> int:
    found = ledger.registry.get_latest_version(f"{ledger.topic(name)}-value").schema_id
    assert found is not None
    return found


def _send(ledger: Ledger, played: Cast, act: int) -> dict[Coordinates, Sent]:
    found: dict[Coordinates, Sent] = {}

    def lies(one: Sent) -> Callable[[Any, Any], None]:
        def delivered(error: Any, message: Any) -> None:
            assert error is None
            found[one.topic, message.partition(), message.offset()] = one

        return delivered

    for one in played.inputs:
        if one.act == act:
            ledger.producer.produce(
                ledger.topic(one.topic),
                one.value,
                one.key,
                partition=one.partition,
                timestamp=one.append_time_ms,
                headers=list(one.headers),
                on_delivery=lies(one),
            )
    ledger.flush()
    return found


def _put_aside(ledger: Ledger, skipped: list[Coordinates]) -> None:
    topic = SkipTopic({"bootstrap.servers": ledger.bootstrap}, ledger.prefix, ledger.group)
    for name, partition, offset in skipped:
        topic.add(Skip(ledger.topic(name), partition, offset, *SKIPPED, asked_at=0))


def _followed(
    ledger: Ledger, rules: Rules, order: list[Coordinates], sent: dict[Coordinates, Sent]
) -> Iterator[tuple[Coordinates, Step]]:
    """Each input in the audit's order, with its user before and after."""
    logged = {one.coordinates: one for one in logged_inputs(ledger)}
    assert logged.keys() == sent.keys()
    reader = Reader({_schema_id(ledger, name): _input_schema(name) for name in INPUTS})
    judgement = Judgement()
    last_frames: dict[str, int] = {}
    for coordinates in order:
        record, one = logged[coordinates], sent[coordinates]
        event = None if one.is_skipped else _read(record, reader, rules)
        verdict = None
        before = after = None
        frame_before = 0 if event is None else last_frames.get(event.user_id, 0)
        if event is not None and not (one.wrong and one.wrong.stage == "fold"):
            user_id = event.user_id
            before = _copied(judgement.users.get(user_id) or UserModel(user_id))
            verdict = judge_read(judgement, event, coordinates, record.append_time_ms, rules)
            after = _copied(judgement.users.get(user_id) or before)
        step = Step(record, one, event, verdict, before, after, frame_before)
        if after is not None and step.is_change:
            shown = after.progress(record.append_time_ms, rules.at(record.append_time_ms))
            last_frames[after.user_id] = shown.cycle_day or frame_before
        yield coordinates, step


def _input_schema(name: str) -> dict[str, Any]:
    record = {"completions": "PracticeCompleted", "commands": "Command"}[name]
    text = (ROOT / "schemas" / f"{record}.avsc").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def _read(record: Logged, reader: Reader, rules: Rules) -> Completion | SupportCommand | None:
    """The event; None where the oracle, too, rejects the record before it reads it."""
    alone = judge([record], rules, reader, PARTITIONS).verdicts[record.coordinates]
    if alone.word == "dead_letter" and alone.category in UNREAD:
        return None
    return (reader.completion if record.kind == "completions" else reader.command)(record.value)


UNREAD: Final = frozenset(
    {"no_key", "wrong_partition", "key_not_user", "empty", "noise", "unknown_schema", "bad_avro"}
    | {"wrong_type"}
)
"""The oracle's words for what it does not read."""


def _copied(user: UserModel) -> UserModel:
    return replace(
        user,
        counted=list(user.counted),
        commands=list(user.commands),
        unlocks=dict(user.unlocks),
        bridges=set(user.bridges),
    )


@lru_cache(maxsize=1)
def catalogue_in(assets: Path) -> tuple[str, list[list[str]]]:
    """The generator's version and the ids of the pictures by frame and variant, from the disk."""
    (file,) = (assets / "catalogue").iterdir()
    listed = json.loads(file.read_text(encoding="utf-8"))
    return file.stem, [[asset[0] for asset in row] for row in listed["frames"]]
