"""What can go wrong with a demonstration.

Owns: the demo's errors. Does not own: those of the parts that it uses.
"""

from pipeline.errors import AwawayError


class DemoError(AwawayError):
    """The demonstration could not be carried out.

    Operator action: as the message says; `awaway demo --keep` leaves everything up for a look.
    """


class DemoStalledError(DemoError):
    """The worker runs but its lag does not shrink.

    Operator action: read the worker's log; its end is in the message, its path in `log_path`.
    """


class WorkerEndedError(DemoError):
    """The worker ended by itself, or did not stop when it was asked to.

    Operator action: read the worker's log; its end is in the message, its path in `log_path`.
    """


class ConsoleNotStartedError(DemoError):
    """The console over a demonstration that is kept did not come up.

    **Operator action**: read the log that the message names; `awaway api` over the run's topics
    starts it by hand, as the demo says.
    """
