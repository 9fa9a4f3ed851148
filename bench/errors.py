"""What can go wrong with a benchmark.

Owns: its errors. Does not own: the pipeline's own (pipeline/errors.py).
Invariant: a run that ends without one of these measured right results.
"""

from pipeline.errors import AwawayError


class BenchError(AwawayError):
    """A benchmark could not be run.

    Operator action: read the log that the message names; `--keep` leaves the folder.
    """


class PeerDiedError(BenchError):
    """A peer ended by itself, or did not finish in time.

    Operator action: the message ends with the tail of its log.
    """


class WrongResultError(BenchError):
    """A peer was quick but wrong: its outputs are not what the input comes to.

    Operator action: mend the peer, or the pipeline; its figures are worthless until then.
    """
