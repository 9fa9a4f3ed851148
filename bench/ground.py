"""What all peers of a run stand on.

Owns: the addresses and the folder, the environment of the two JSON peers.
Does not own: starting the servers (pipeline/dev/local), the pipeline's own settings (ours.py).
Invariant: every peer of a run gets the same bytes from the same broker, in a topic of its own.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.loading import PARTITIONS
from bench.peer import Peer

RAW_LOOP: Final = (sys.executable, "-m", "bench.raw_loop")
FAUST_NAIVE: Final = (
    *(sys.executable, "-m", "bench.faust_naive"),
    *("worker", "--loglevel=warn", "--without-web"),  # else one port for all there are, open to all
)
FAUST_EVENTS_PER_S_MIN: Final = 40.0
EVENTS_PER_S_MIN: Final = 1_000.0


@dataclass(frozen=True)
class Ground:
    """One broker, one registry, one folder."""

    bootstrap: str
    registry_url: str
    folder: Path


def json_peer_topics(prefix: str) -> list[str]:
    """What a JSON peer reads and writes, but for the changelogs that Faust makes itself."""
    names = ("completions", "progress", "portals", "streak-changelog", "seen-changelog")
    return [f"{prefix}{name}" for name in names]


def json_peer(name: str, ground: Ground, prefix: str, events: int) -> Peer:
    """A peer on `<prefix>completions`.

    Args:
        name: raw_loop, raw_loop_stdlib or faust_naive.
    """
    faust = name == "faust_naive"
    group = f"{prefix}{name}"
    return Peer(
        name=name,
        argv=FAUST_NAIVE if faust else RAW_LOOP,
        env={
            "BENCH_BOOTSTRAP": ground.bootstrap,
            "BENCH_GROUP": group,
            "BENCH_INPUT": f"{prefix}completions",
            "BENCH_OUTPUT_PREFIX": prefix,
            "BENCH_DATA_DIR": str(ground.folder / f"{prefix}data"),
            "BENCH_PARTITIONS": str(PARTITIONS),
            "BENCH_JSON": "stdlib" if name == "raw_loop_stdlib" else "msgspec",
        },
        group=group,
        topic=f"{prefix}completions",
        events=events,
        events_per_s_min=FAUST_EVENTS_PER_S_MIN if faust else EVENTS_PER_S_MIN,
    )
