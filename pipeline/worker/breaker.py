"""The breaker: stops a worker whose fold raises for too many events.

Owns: how many are too many.
Does not own: what a failed event costs (processing.py makes it a dead letter).
Invariant: a few events that meet a bug do not stop a worker; a bad release does not turn its input
into dead letters.
"""

from typing import Final

from pipeline.errors import AwawayError

BREAKER_INPUTS: Final = 1_000
"""The breaker counts over this many inputs, then starts anew."""

BREAKER_FAILURES_MAX: Final = 100
"""The worker stops when the fold raises for more inputs than this within `BREAKER_INPUTS`."""


class TooManyFoldFailuresError(AwawayError):
    """The fold raised for so many events that the release must be at fault, not the data.

    Operator action: roll back to the last good release; the dead letters of stage `fold` hold the
    events and their tracebacks, and can be redriven afterwards.
    """


class Breaker:
    """Counts inputs and those of them that the fold raised for."""

    def __init__(self) -> None:
        self._inputs = self._failures = 0

    def count(self, inputs: int, failures: int) -> None:
        """Count those of one batch.

        Raises:
            TooManyFoldFailuresError: the batch must not be committed.
        """
        self._inputs += inputs
        self._failures += failures
        if self._failures > BREAKER_FAILURES_MAX:
            raise TooManyFoldFailuresError(
                f"the fold raised for {self._failures} of the last {self._inputs} inputs",
                fix="roll back to the last good release; see the dead letters of stage fold",
            )
        if self._inputs >= BREAKER_INPUTS:
            self._inputs = self._failures = 0
