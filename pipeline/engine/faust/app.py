"""The Faust app that runs on the engine.

Owns: which parts of Faust the engine replaces, and how the app stops.
Does not own: agents and tables (worker/app.py), the parts themselves (transport.py, tables.py).
Invariant: the engine stops before the agents do, so that no batch waits for a stopped agent.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any

import faust
from mode import Service

from pipeline.engine.faust.tables import EngineTable, Tables
from pipeline.engine.faust.transport import SCHEME, Transport
from pipeline.engine.machine import Engine

logger = logging.getLogger(__name__)


class MicroBatches(faust.Schema):  # type: ignore[misc]
    """A Faust schema whose event value is the batch itself; Faust decodes nothing."""

    def compile(self, app: Any, **_: Any) -> Callable[..., Any]:
        """Return Faust's decoder of a topic."""
        create_event = app.create_event

        async def decode(message: Any, *, propagate: bool = False) -> Any:
            del propagate  # nothing is decoded, so nothing fails
            return create_event(None, message.value, {}, message)

        return decode


class _Boot(faust.App.BootStrategy):  # type: ignore[misc]
    """Start the engine's consumer only: no leader election, no reply consumer."""

    def kafka_consumer(self) -> Iterable[Service]:
        return [self.app.consumer]


class EngineApp(faust.App):  # type: ignore[misc]
    """A Faust app over exactly-once micro-batches.

    Args:
        app_id: name of the app.
        make_engine: makes the engine when the worker starts.
        stop_s: seconds that the current transaction may take when the worker stops.
        options: more Faust settings.
    """

    BootStrategy = _Boot

    def __init__(
        self,
        app_id: str,
        *,
        make_engine: Callable[[], Engine],
        stop_s: float = 30.0,
        **options: Any,
    ) -> None:
        super().__init__(
            app_id,
            broker=f"{SCHEME}://engine",
            Table=EngineTable,
            TableManager=Tables,
            web_enabled=False,
            web_bind="127.0.0.1",  # `faust worker` may turn it on; it needs no token
            topic_disable_leader=True,
            topic_allow_declare=False,
            stream_wait_empty=False,
            version=1,
            **options,
        )
        self.make_engine = make_engine
        self.stop_s = stop_s
        self.failure: BaseException | None = None
        self.on_engine_failure: Callable[[BaseException], None] = _ignore

    def _new_transport(self) -> Transport:
        return Transport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> Transport:
        return Transport(self.conf.broker_producer, self)

    def _create_directories(self) -> None:
        """Create nothing: the stores are the engine's."""

    async def engine_failed(self, error: BaseException) -> None:
        """End the worker with the error that ended the engine's thread."""
        self.failure = error
        self.on_engine_failure(error)
        await self.crash(error)

    async def stop(self) -> None:
        """Stop gracefully: finish the current transaction first, then stop everything else."""
        if self._consumer is not None:
            await self._consumer.stop_engine()
        await super().stop()


def _ignore(error: BaseException) -> None:
    logger.error("engine failed: %s", error)
