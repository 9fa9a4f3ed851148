"""Repairs on their way: what becomes of each user costs nobody else anything."""

from pathlib import Path
from typing import Any, cast

from msgspec.structs import replace

from pipeline.codec.schemas import load_schemas
from pipeline.core.enumerations import PublishedVerdict
from pipeline.core.records import RecordCoordinates
from pipeline.core.repair import Repair
from pipeline.core.sets import Sets, digest_of
from pipeline.core.state import EMPTY
from pipeline.ops.adjust.send import Corrections, Effect
from pipeline.ops.rebuild_diffs import Figures
from pipeline.rebuild.compare import UserDifference
from pipeline.rebuild.partition import PartitionRebuild
from pipeline.rebuild.repairs import Order, Sender, Undo, put_right
from tests.api.scene import ROOT

NONE = Figures(0, 0, 0, 0, 0, 0, 0)


class Answering(Corrections):
    """Corrections whose records reach no broker, and are answered as a worker would."""

    def __init__(self, rejections: dict[str, str]) -> None:
        schemas = load_schemas(ROOT / "schemas")
        super().__init__({"bootstrap.servers": "127.0.0.1:1"}, "t.", schemas, cast(Any, None))
        self._rejections = rejections
        self.sent: list[str] = []

    def poll(self, wait_s: float = 0.0) -> list[Effect]:
        found = []
        for one in list(self.pending.values()):
            user_id = one.command.user_id
            self.sent.append(user_id)
            rejection = self._rejections.get(user_id)
            verdict: PublishedVerdict = "dead_letter" if rejection else "applied"
            place = RecordCoordinates("t.commands", 0, len(self.sent))
            name = one.command.request_id
            found.append(Effect(name, user_id, place, verdict, rejection, 1, (), 0.0, 0.0))
            self.forget(one)
        return found


class Compared:
    """A partition in which some users differ until somebody repairs them."""

    def __init__(self, differences: list[UserDifference], right: list[str]) -> None:
        self._differences = differences
        self._right = right

    def catch_up(self) -> None:
        """Nothing comes."""

    def differences(self) -> list[UserDifference]:
        return [one for one in self._differences if one.user_id not in self._right]


def differing(user_id: str, window_bytes: int = 0) -> UserDifference:
    sets = Sets(practised=((1, 1),))
    window = ((b"o" + user_id.encode() + b"\0c", b"x" * window_bytes),)
    repair = Repair(0, EMPTY.digest, replace(EMPTY, sets=sets, digest=digest_of(sets)), window)
    return UserDifference(
        user_id, 0, NONE, NONE, (), (), (), None, 0, None, repair, EMPTY, "summary"
    )


def test_a_repair_that_is_too_large_for_a_command_costs_its_user_alone(tmp_path: Path) -> None:
    users = ["ann", "ben", "cy", "di"]
    differences = [differing(name, 3 << 20 if name == "ben" else 9) for name in users]
    corrections = Answering({"cy": "bad_repair"})
    sender = Sender(corrections, Order("rb-1", "bea", "the disk lied", "OPS-7"))
    compared = cast(PartitionRebuild, Compared(differences, corrections.sent))
    result = put_right(compared, users, sender, Undo(tmp_path / "undo-0"))
    assert sorted(result.repaired) == ["ann", "di"]
    assert set(result.failed) == {"ben", "cy"}
    assert "MSG_SIZE_TOO_LARGE" in result.failed["ben"] or "too large" in result.failed["ben"]
    assert result.failed["cy"] == "bad_repair"
    assert result.attempts == 1
    assert corrections.sent == ["ann", "cy", "di"]


def test_a_user_who_changes_all_the_time_is_named_and_the_others_are_right(tmp_path: Path) -> None:
    differences = [differing("ann"), differing("ben")]
    corrections = Answering({"ben": "state_changed"})
    sender = Sender(corrections, Order("rb-1", "bea", "the disk lied", "OPS-7"))
    compared = cast(PartitionRebuild, Compared(differences, []))
    result = put_right(compared, ["ann", "ben"], sender, Undo(tmp_path / "undo-0"))
    assert result.repaired == ["ann"]
    assert set(result.failed) == {"ben"}
    assert "changes all the time" in result.failed["ben"]
