"""Checks of topics and figures before a worker starts.

Owns: what this release requires of topics, of the published assets and of its own drawing.
Does not own: the brokers' settings (broker_checks.py), schemas (codec/registry.py), partition
counts (engine/machine.py).
Invariant: checks only read.
"""

import hashlib
import time
from collections.abc import Mapping
from typing import Final

from pipeline.core.geometry.catalogue import GoldenCatalogue
from pipeline.core.geometry.cycle import FRAMES
from pipeline.core.geometry.render import Renderer
from pipeline.engine.errors import IncompatibleTopicsError
from pipeline.engine.kafka.cluster import KafkaCluster
from pipeline.ops.assets.catalogue import AssetDriftError, check, open_store
from pipeline.ops.topics.file import Target, TopicsFile
from pipeline.settings.worker import Settings

INPUT_SETTINGS: Final = {
    "message.timestamp.type": ("LogAppendTime", "clients could invent the time of their sending"),
    "compression.type": ("uncompressed", "a small record could grow beyond every limit when read"),
}
"""Setting of an input topic: the value that it must have, and what could happen otherwise."""

_FIX: Final = "awaway topics apply"


def check_topics(
    cluster: KafkaCluster, settings: Settings, topics: TopicsFile, window_ms: int
) -> int:
    """Check that every topic exists and has the settings that exactly-once needs.

    Args:
        window_ms: the policy's dedupe window, whose changelog must keep records for longer.

    Returns:
        How many partitions the topic `completions` has.

    Raises:
        IncompatibleTopicsError: it names the topics and the fix.
    """
    target = Target(prefix=settings.topic_prefix, generation=settings.generation)
    names = [wanted.name for wanted in topics.wanted(target)]
    there = cluster.partition_counts(names)
    missing = [name for name in names if name not in there]
    if missing:
        raise IncompatibleTopicsError(f"topics that are not there: {', '.join(missing)}", fix=_FIX)
    seen = settings.topic(f"{settings.generation}.seen-changelog")
    inputs = (
        [] if settings.development else [settings.topic(n) for n in ("completions", "commands")]
    )
    found = cluster.topic_settings([seen, *inputs])
    retention_ms = int(found[seen]["retention.ms"])
    if 0 <= retention_ms <= window_ms:
        raise IncompatibleTopicsError(
            f"{seen} keeps records for {retention_ms} ms, the policy remembers completions for"
            f" {window_ms} ms: a duplicate could count after a restore",
            fix="make its retention in topics.yaml longer than the policy's window_days; " + _FIX,
        )
    for name in inputs:
        _check_input(name, found[name])
    return there[settings.topic("completions")]


def _check_input(name: str, settings: Mapping[str, str]) -> None:
    for setting, (needed, otherwise) in INPUT_SETTINGS.items():
        found = settings[setting]
        if found != needed:
            raise IncompatibleTopicsError(
                f"{name} has {setting}={found}, it needs {needed}: otherwise {otherwise}",
                fix=f"{_FIX}; for a simulated month only, set AWAWAY_DEVELOPMENT=true",
            )


def check_assets(url: str) -> int:
    """Check that the whole catalogue is published; returns how many assets it has.

    Raises:
        AssetsMissingError: some are not there.
        AssetStoreError: the store cannot be read.
    """
    return check(open_store(url))


def check_drawing(catalogue: GoldenCatalogue) -> tuple[int, float]:
    """Draw every frame in one palette and compare it with the catalogue.

    Returns:
        How many frames were drawn, and in how many seconds.

    Raises:
        AssetDriftError: this build draws a frame differently, so its references would be wrong.
    """
    started = time.perf_counter()
    renderer = Renderer()
    for frame in range(1, FRAMES + 1):
        if hashlib.sha256(renderer.svg(frame, 0)).hexdigest() != catalogue.asset_id(frame, 0):
            raise AssetDriftError(
                f"frame {frame} is drawn differently from the golden list",
                fix="run the release that the catalogue was published with",
                frame=frame,
            )
    return FRAMES, time.perf_counter() - started
