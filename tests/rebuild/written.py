"""Folders of rebuilds as a rebuild writes them, for whoever reads them.

Owns: one rebuild with its steps and its diff.
Does not own: the form of the files (pipeline/ops/rebuilds.py, rebuild_diffs.py), expectations.
"""

from collections import Counter
from pathlib import Path
from typing import Any, Final

import msgspec

from pipeline.ops.rebuild_diffs import Diff, Figures, Parting, ShownDifference, diff_lines
from pipeline.ops.rebuilds import Rebuild, Step
from tests.api.scene import DAY, NOON

NAME: Final = "rb-20261201-ab12"
DIGEST: Final = "0123456789abcdef"
PARTING: Final = Parting("state", 4_711, "awaway.completions", 17, "aaaa", "bbbb")
STARTED: Final = Step(NOON, "ada@example", "start", "", "", NAME, {0: 7}, NOON + 5, "found 1 user")
APPROVED: Final = Step(
    NOON + 9, "bea", "approve", "the disk lied", "OPS-7", NAME, {0: 9}, NOON + 99, "changed 1 user"
)


def differing(user_id: str, why: str = "state", **fields: Any) -> ShownDifference:
    """A user whose last date but one is missing."""
    given: dict[str, Any] = {
        "user_id": user_id,
        "partition": 0,
        "why": why,
        "before": Figures(7, 3, 12, 20, 3, 3, 12),
        "after": Figures(8, 13, 13, 21, 4, 4, 13),
        "dates_added": ((DAY, 1),),
        "dates_removed": (),
        "portals_missed": ("0/seed-of-life",),
        "window_records": 2,
        "parting": PARTING,
        "summary": "cd" * 16,
    }
    return ShownDifference(**(given | fields))


def write(data_dir: Path, *users: ShownDifference, name: str = NAME, **fields: Any) -> Path:
    """Write a rebuild that was compared, and return its folder."""
    folder = data_dir / "rebuilds" / "awaway.blue" / name
    folder.mkdir(parents=True)
    given: dict[str, Any] = {
        "id": name,
        "group": "awaway.blue",
        "state": "compared",
        "partitions": [0, 1, 2],
        "user_id": None,
        "tries_policy": False,
        "began": NOON,
        "steps": [STARTED],
        "digest": DIGEST,
        "differing": dict(Counter(user.why for user in users)),
    }
    (folder / "rebuild.json").write_bytes(msgspec.json.encode(Rebuild(**(given | fields))))
    (folder / "diff.jsonl").write_bytes(diff_lines(Diff(name, DIGEST, list(users))))
    return folder
