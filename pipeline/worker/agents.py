"""The Faust agents: one for each input topic.

Owns: that a batch is done when, and only when, it was processed whole.
Does not own: what processing is (processing.py), the transaction around it (engine/).
Invariant: an exception fails its batch, so that the transaction aborts; the agent goes on.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

from pipeline.engine.batch import Batch

Process = Callable[[Batch], None]


def add_agent(app: Any, name: str, topic: Any, process: Process) -> None:
    """Declare the agent of an input topic.

    Args:
        app: the Faust app.
        name, process: of the agent; the first line of the function's docstring is its help.
        topic: the Faust topic that it consumes.
    """

    async def consume(batches: AsyncIterator[Batch]) -> None:
        async for batch in batches:
            take(batch, process)

    consume.__doc__ = process.__doc__
    consume.__qualname__ = consume.__name__ = name
    app.agent(topic, name=name)(consume)


def take(batch: Batch, process: Process) -> None:
    """Process a batch and say how it went."""
    try:
        process(batch)
    except Exception as error:  # noqa: BLE001 — told to the engine, which aborts and names it
        batch.fail(error)
    else:
        batch.done()
