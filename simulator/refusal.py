"""What the simulated broker answers when it does not do what was asked.

Owns: the answers' names. Does not own: what a client makes of them (producer.py, consumers.py).
"""

from typing import Final

FENCED: Final = "INVALID_PRODUCER_EPOCH"
BAD_STATE: Final = "INVALID_TXN_STATE"
CONCURRENT: Final = "CONCURRENT_TRANSACTIONS"
UNSTABLE: Final = "UNSTABLE_OFFSET_COMMIT"
ILLEGAL_GENERATION: Final = "ILLEGAL_GENERATION"
UNKNOWN_MEMBER: Final = "UNKNOWN_MEMBER_ID"
FENCED_MEMBER: Final = "FENCED_INSTANCE_ID"
REBALANCING: Final = "REBALANCE_IN_PROGRESS"

TRY_AGAIN: Final = frozenset({CONCURRENT, UNSTABLE})


class RefusedError(Exception):
    """The broker did not do it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class UnansweredError(Exception):
    """No answer came for as long as the client waits; what was asked may have been done, or may be
    done later."""
