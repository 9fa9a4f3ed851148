"""The Faust agents: one for each input topic, both over one processor.

Owns: that a batch is done when, and only when, it was processed as a whole.
Does not own: what processing is (processing.py), the transaction around it (engine/).
Invariant: an exception fails its batch, so that the transaction aborts; the agent goes on.
"""

from collections.abc import AsyncIterator, Callable

from pipeline.engine.batch import Batch
from pipeline.worker.processing import Processor


class Agents:
    """The agents' functions; the first line of a docstring is the agent's help in Faust's commands.

    Attributes:
        processor: takes every batch. Set when the engine is made, which is before the first batch:
            Faust wants its agents declared earlier, when there are no brokers and no registry yet.
    """

    processor: Processor

    async def completions(self, batches: AsyncIterator[Batch]) -> None:
        """Validate and de-duplicate completions; keep streaks, unlock portals, draw figures."""
        async for batch in batches:
            _take(batch, self.processor.completions)

    async def commands(self, batches: AsyncIterator[Batch]) -> None:
        """Apply credits, revocations, withdrawals and key claims."""
        async for batch in batches:
            _take(batch, self.processor.commands)


def _take(batch: Batch, process: Callable[[Batch], None]) -> None:
    """Process a batch, and tell the engine how that ended."""
    try:
        process(batch)
    except Exception as error:  # noqa: BLE001 — passed to the engine, which aborts and reports it
        batch.fail(error)
    else:
        batch.done()
