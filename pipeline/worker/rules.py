"""What a processor applies to every batch.

Owns: the rules as values, and the core's two folds as their default.
Does not own: applying them (processing.py), making them (app.py).
Invariant: they are the same for a worker's whole life.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.codec.inputs import InputDecoder
from pipeline.core.fold import Outcome, World, fold_command, fold_completion
from pipeline.ops.skips import Skips

FoldCompletion = Callable[..., Outcome]
FoldCommand = Callable[..., Outcome]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a processor applies.

    Attributes:
        world: policy, catalogue, generation.
        decoder: of inputs.
        partitions: of the input topics.
        collapse: write one progress and one state record for each user and batch, the last.
        tzdata_version: recorded with each audit entry.
        dead_letter_bytes_max: of a record of the topic of dead letters.
        begin: is told which batch is decoded next: topic, partition, newest append time.
        skips: inputs that an operator has put aside.
        fold_completion, fold_command: the core's.
    """

    world: World
    decoder: InputDecoder
    partitions: int
    collapse: bool
    tzdata_version: str
    dead_letter_bytes_max: int
    begin: Callable[[str, int, int], None] = lambda _topic, _partition, _append_time: None
    skips: Skips = field(default_factory=dict)
    fold_completion: FoldCompletion = fold_completion
    fold_command: FoldCommand = fold_command
