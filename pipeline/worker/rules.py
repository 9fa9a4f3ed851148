"""The rules that a processor applies to every batch.

Owns: the rules as values; the core's two folds are their default.
Does not own: applying them (processing.py), making them (app.py).
Invariant: they do not change during a worker's life.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.codec.inputs import InputDecoder
from pipeline.core.fold import Outcome, World, fold_command, fold_completion, fold_repair
from pipeline.ops.skips import Skips

FoldCompletion = Callable[..., Outcome]
FoldCommand = Callable[..., Outcome]
FoldRepair = Callable[..., Outcome]


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a processor.

    Attributes:
        world: policy, catalogue, generation.
        decoder: decodes inputs.
        partitions: how many each input topic has.
        collapse: write only the last progress and state record of each user and batch.
        tzdata_version: recorded in each audit entry.
        dead_letter_bytes_max: max bytes of a record of the topic `deadletters`.
        begin: is called before a batch is decoded: topic, partition, newest append time.
        skips: inputs that an operator has workers skip.
        fold_completion, fold_command, fold_repair: the core's, unless a test or a rebuild replaces
            them.
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
    fold_repair: FoldRepair = fold_repair
