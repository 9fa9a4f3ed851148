"""A small load for a ledger under fault: some of the stream that chaos runs send, all at once.

Owns: how much is sent. Does not own: what must follow from it, which the oracle says.
"""

from chaos.load import new_stream
from chaos.sender import produce
from pipeline.clock import now_ms
from tests.integration.ledger import Ledger


def send_load(ledger: Ledger, *, seed: int, events: int, users: int = 60) -> None:
    """Send what `events` turns of a stream bring, each at least one record."""
    stream = new_stream(ledger, seed, users)
    for _ in range(events):
        for record in stream.next(now_ms()):
            produce(ledger, ledger.producer, record)
    ledger.flush()
