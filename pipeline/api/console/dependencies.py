"""What the console's pages are given.

Owns: what only the console needs.
Does not own: what the API's routes are given, too (api/dependencies.py), making it (wiring.py).
"""

from dataclasses import dataclass

from pipeline.api.console.sampling import Sampler
from pipeline.api.console.watch import Watch
from pipeline.api.dependencies import Dependencies
from pipeline.ops.deadletters.log import DeadLetterLog
from pipeline.ops.delivery.watch import DeliveryWatch


@dataclass(frozen=True, slots=True)
class ConsoleDependencies(Dependencies):
    """Everything that a page may use.

    Attributes:
        watch: the latest events of all users.
        sampler: the metrics of the last minutes.
        delivery: how far the downstream groups are.
        letters: reads dead letters.
    """

    watch: Watch
    sampler: Sampler
    delivery: DeliveryWatch
    letters: DeadLetterLog
