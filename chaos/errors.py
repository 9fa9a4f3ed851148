"""What can go wrong with a chaos run itself.

Owns: its errors. Does not own: what the pipeline did wrong, which is counted (judge.py).
Invariant: a run that ends with one of these says nothing about the pipeline.
"""

from pipeline.errors import AwawayError


class ChaosError(AwawayError):
    """A run could not be set up, or its ledger could not be read.

    Operator action: read the message; `--keep` leaves the folder with the logs of broker and
    workers.
    """


class OverdueError(ChaosError):
    """Something that was waited for did not come.

    Operator action: the message names it, and ends with the tail of the worker's log.
    """
