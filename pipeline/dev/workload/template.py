"""A single valid completion, to be changed in one point.

Owns: the completion, its key and its time.
Does not own: what is changed in it (garbage.py, oddities.py).
"""

from random import Random
from typing import Any

import msgspec

from pipeline.core.records import PracticeCompleted
from pipeline.dev.workload.ground_truth import InputRecord
from pipeline.dev.workload.people import MINUTE_MS
from pipeline.dev.workload.reports import Limits
from pipeline.dev.workload.wire import Wire


class Template(msgspec.Struct, frozen=True):
    """Whose completion it is, when it is appended, and the policy's bounds.

    Attributes:
        stranger: another user's id, for a key that is not the user's.
    """

    user_id: str
    stranger: str
    append_time_ms: int
    limits: Limits
    wire: Wire

    def completion(self, rng: Random, **changes: Any) -> PracticeCompleted:
        """Return a completion that is valid but for `changes`."""
        completed = self.append_time_ms - rng.randrange(500, 5_000)
        valid = PracticeCompleted(
            completion_id=f"g-{rng.getrandbits(64):016x}",
            user_id=self.user_id,
            session_id=f"h-{rng.getrandbits(64):016x}",
            practice="silence",
            started_at=completed - 10 * MINUTE_MS,
            completed_at=completed,
            tz="Europe/Berlin",
        )
        return msgspec.structs.replace(valid, **changes)

    def send(self, value: bytes | None, **changes: Any) -> InputRecord:
        """Return `value` as a record under the user's own key, to be refused but for `changes`."""
        record = InputRecord(
            kind="completions",
            partition=None,
            key=self.user_id.encode(),
            value=value,
            append_time_ms=self.append_time_ms,
            headers=(),
            verdict="dead_letter",
        )
        return msgspec.structs.replace(record, **changes)
