"""What `awaway validate` says where the program itself is at fault: as the worker would."""

from pipeline.core.records import Command, PracticeCompleted
from pipeline.ops.validate.verdicts import Entry, Validator
from tests.ops.test_cases import WORLD

NOON = 1_783_504_800_000


class Faulty:
    """A decoder with a fault."""

    ignored_fields = 0

    def decode_completion(self, value: bytes | None) -> PracticeCompleted:
        raise ZeroDivisionError("1/0")

    def decode_command(self, value: bytes | None) -> Command:
        return Command("r1", "ada", "credit", "support", "ill", "T-1", 20_640)


def test_a_fault_costs_its_own_input_alone_and_has_the_workers_reason() -> None:
    validator = Validator(WORLD, Faulty())
    one = validator.judge(Entry("one", "completions", NOON, b"{}"))
    assert (one.verdict, one.stage, one.reason) == ("dead_letter", "decode", "zero_division_error")
    assert one.policy_version == WORLD.policies.at(NOON).version
    validator.left.users["ada"] = None  # type: ignore[assignment]
    one = validator.judge(Entry("one", "commands", NOON, b"{}"))
    assert (one.verdict, one.stage, one.reason) == ("dead_letter", "fold", "attribute_error")
