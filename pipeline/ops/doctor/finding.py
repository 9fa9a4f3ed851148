"""What a check is given, and what it finds.

Owns: the form of a finding, the levels, the bounds that separate them.
Does not own: the checks, in which order they run (run.py), how findings are shown (the command).
Invariant: a finding that is not ok says what to do; none holds a secret.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import msgspec

from pipeline.ops.topics.file import Target, TopicsFile, load_topics
from pipeline.settings.worker import Settings

Level = Literal["ok", "warn", "fail", "skipped"]
"""`skipped` is not known: something that the check needs is away, or must not be asked."""

REQUEST_S: Final = 3.0
"""Seconds that one question of a check may take."""


class Finding(msgspec.Struct, frozen=True):
    """What one check found; `advice` says what to do, and is empty where there is nothing to do."""

    check: str
    level: Level
    said: str
    advice: str = ""


@dataclass(frozen=True)
class Bounds:
    """From which values on something is wrong.

    Attributes:
        disk_free_bytes: less than this is a failure, less than four times as much a warning.
        clock_warn_ms, clock_fail_ms: how much clocks may differ. A whole second is lost to the form
            in which the registry tells the time.
        lag_ms: how old an input may become before the workers have taken it, as the alert has it.
    """

    disk_free_bytes: int = 1 << 30
    clock_warn_ms: int = 5_000
    clock_fail_ms: int = 60_000
    lag_ms: int = 60_000


@dataclass(frozen=True)
class Subject:
    """What is examined.

    Attributes:
        settings: as the processes have them.
        now_ms: the time of day, ms since the epoch.
    """

    settings: Settings
    now_ms: Callable[[], int]
    bounds: Bounds

    @property
    def client(self) -> dict[str, str | int | float | bool]:
        """librdkafka settings that reach the cluster, of clients that log nothing."""
        return {"log_level": 0, **self.settings.kafka_client()}

    @property
    def target(self) -> Target:
        """Which topics of the file these settings mean."""
        return Target(self.settings.topic_prefix, generation=self.settings.generation)

    @cached_property
    def topics(self) -> TopicsFile:
        """topics.yaml.

        Raises:
            TopicsFileError: it cannot be read, or says what cannot be.
        """
        return load_topics(self.settings.topics_file)

    def clock_level(self, difference_ms: int) -> Level:
        """How bad it is that two clocks differ by so much."""
        if abs(difference_ms) > self.bounds.clock_fail_ms:
            return "fail"
        return "warn" if abs(difference_ms) > self.bounds.clock_warn_ms else "ok"
