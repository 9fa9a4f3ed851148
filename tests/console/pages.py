"""Pages over a store that is filled by hand and an index of a test's own.

Owns: the index's stand-in, audit entries by what matters of them.
Does not own: the application, which is the real one (tests/api/scene.py).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from pipeline.api.console.sampling import Sampler
from pipeline.api.console.watch import Watch
from pipeline.api.outcomes.latest_rows import LatestRows
from pipeline.api.outcomes.rows import Entry
from pipeline.core.records import AuditEntry, Cause
from pipeline.observability.api_prometheus import ApiMetrics
from tests.api.scene import DAY, NOON, Scene


def audited(number: int, **fields: Any) -> AuditEntry:
    given: dict[str, Any] = {
        "audit_id": f"id{number}",
        "generation": "blue",
        "partition": 0,
        "sequence": number,
        "user_id": "ann",
        "action": "completion",
        "actor": "user",
        "reason": None,
        "ticket": None,
        "verdict": "accepted",
        "local_date": DAY,
        "unlock_ids": (),
        "digest_before": "aa",
        "digest_after": "bb",
        "revision": number,
        "policy_version": "2026-01",
        "tzdata_version": "2026a",
        "append_time": NOON,
        "cause": Cause("awaway.completions", 0, number, f"c{number}"),
        "rejection": None,
        "tz": "UTC",
        "tz_assumed": False,
        "revoked_by": (),
        "prev_hash": b"",
        "hash": b"",
    }
    return AuditEntry(**(given | fields))


class Empty:
    """A database."""

    def items(self, from_key: bytes) -> Iterator[Any]:
        """Nothing."""
        return iter(())


class Index:
    """Outcomes of a test's own."""

    complete_at_ms = NOON
    latest_rows = LatestRows(cast(Any, Empty()), lambda: NOON)

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        self.entries = list(entries)

    def of_user(
        self, user_id: str, topics: Sequence[str] = (), *, before: bytes = b"", limit: int = 100
    ) -> tuple[list[Entry], bytes]:
        """As Outcomes has it; a place is a number as text."""
        start = int(before or b"0")
        found = [one for one in self.entries if not topics or one.topic in topics]
        more = str(start + limit).encode() if len(found) > start + limit else b""
        return found[start : start + limit], more


def scene(tmp_path: Path, entries: Sequence[Entry] = (), **fields: Any) -> Scene:
    watch = Watch("awaway.", None, lambda: NOON)  # type: ignore[arg-type] # nothing is streamed here
    given = {"outcomes": Index(entries), "watch": watch, "sampler": Sampler(ApiMetrics(), [])}
    given |= fields.pop("given", {})
    made = Scene(tmp_path, given=given, **fields)
    made.catch_up()
    return made
