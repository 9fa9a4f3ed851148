"""Steps in the audit: once in each partition, before anything else, and not again."""

from typing import Any, cast

import pytest

from pipeline.core.records import Command, RecordCoordinates
from pipeline.ops.adjust.send import Corrections, Effect, NotSentError, Pending
from pipeline.ops.rebuilds import Rebuild, Step
from pipeline.rebuild.operations import NotAuditedError, enter


class Log:
    """Corrections over a log that is a list, and may refuse a partition."""

    def __init__(self, refused: int = -1, verdict: str = "applied") -> None:
        self.pending: dict[str, Pending] = {}
        self.commands: list[tuple[int, Command]] = []
        self._refused = refused
        self._verdict: Any = verdict

    def send(self, command: Command, _stamp: int, partition: int) -> None:
        one = Pending(command, 0.0)
        if partition == self._refused:
            one.error = "not authorized"
        else:
            self.commands.append((partition, command))
            one.place = RecordCoordinates("t.commands", partition, 40 + len(self.commands))
        self.pending[command.request_id] = one

    def poll(self) -> list[Effect]:
        found = []
        for name, one in list(self.pending.items()):
            if one.place is not None:
                rejection = None if self._verdict == "applied" else "unknown_kind"
                effect = Effect(name, "", one.place, self._verdict, rejection, 0, (), 0.0, 0.0)
                found.append(effect)
                del self.pending[name]
        return found


def rebuild_of(step: Step) -> Rebuild:
    return Rebuild("rb-1", "t.blue", "compared", [0, 3, 7], None, False, 1, [step])


def entered(log: Log, rebuild: Rebuild, *, is_awaited: bool = True) -> list[dict[int, int]]:
    """Enter the last step; return the places that were known when it was written down."""
    noted: list[dict[int, int]] = []
    enter(
        cast(Corrections, log),
        rebuild,
        [0, 3, 7],
        0,
        lambda: noted.append(dict(rebuild.steps[-1].places)),
        is_awaited=is_awaited,
    )
    return noted


def test_a_step_is_one_operation_in_each_partition_and_is_not_sent_again() -> None:
    step = Step(5, "bea", "approve", "the disk lied", "OPS-7", "rb-1: diff 12ab, 3 users")
    rebuild, log = rebuild_of(step), Log()
    assert entered(log, rebuild) == [{0: 41, 3: 42, 7: 43}]
    assert [partition for partition, _ in log.commands] == [0, 3, 7]
    for partition, command in log.commands:
        assert command.kind == "operation"
        assert (command.actor, command.reason, command.ticket) == ("bea", "the disk lied", "OPS-7")
        assert command.operation == "rebuild.approve"
        assert command.subject == "rb-1: diff 12ab, 3 users"
        assert command.request_id == f"rb-1-0-approve-{partition}"
    entered(log, rebuild)
    assert len(log.commands) == 3


def test_what_one_partition_refuses_is_sent_again_there_alone() -> None:
    rebuild = rebuild_of(Step(5, "bea", "start", "", "", "rb-1"))
    with pytest.raises(NotSentError) as caught:
        entered(Log(refused=3), rebuild, is_awaited=False)
    assert "not authorized" in caught.value.why
    assert sorted(rebuild.steps[0].places) == [0, 7]
    again = Log()
    assert entered(again, rebuild) == [{0: 41, 3: 41, 7: 42}]
    assert [command.request_id for _, command in again.commands] == ["rb-1-0-start-3"]


def test_a_step_that_a_worker_refuses_is_not_done() -> None:
    rebuild = rebuild_of(Step(5, "bea", "approve", "why", "OPS-7", "rb-1"))
    with pytest.raises(NotAuditedError) as caught:
        entered(Log(verdict="dead_letter"), rebuild)
    assert "unknown_kind" in caught.value.what
    assert rebuild.steps[0].places == {}  # so it is asked again, and not gone on with


def test_the_same_step_goes_on_and_any_other_is_a_new_one() -> None:
    def asked(**fields: Any) -> Step:
        given: dict[str, Any] = {
            "at": 9,
            "actor": "bea",
            "what": "approve",
            "reason": "why",
            "ticket": "OPS-7",
            "about": "rb-1: diff 12ab, 3 users",
        }
        return Step(**(given | fields))

    before = asked(at=5, places={0: 1})
    assert before.is_cut_short(asked())
    for field in ("actor", "what", "reason", "ticket", "about"):
        assert not before.is_cut_short(asked(**{field: "another"})), field
    assert not asked(ended=7).is_cut_short(asked())
