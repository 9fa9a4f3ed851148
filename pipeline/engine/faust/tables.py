"""Faust's tables and store on the engine's state.

Owns: `EngineTable`, which `app.Table` makes, its store, and the table manager that leaves recovery
to the engine.
Does not own: state and changelogs (state/store.py, batch.py, recovery/restore.py).
Invariants: a table is read and written only while an agent holds a batch, and only the partition of
that batch; Faust's own changelog producer and recovery never run.

Inside an agent `table.view(batch)` is the fast way; `table[key]` works too, for the batch that is
the value of the agent's current event.
"""

from collections.abc import Callable, Iterator
from typing import Any

import faust
from faust.stores.base import SerializedStore
from faust.streams import current_event
from faust.tables import TableManager

from pipeline.engine.batch import Batch, TableView
from pipeline.engine.state.table_spec import Entries, Stored, TableSpec, one_entry, one_record


class EngineTable(faust.Table):  # type: ignore[misc]
    """A Faust table whose state and changelog are the engine's.

    Args:
        app: the Faust app.
        prefix: the table's byte in the local stores; see `TableSpec`.
        changelog: topic name.
        expand, records, owner: see `TableSpec`.
        options: as `faust.Table` takes them (name, help, window, partitions).
    """

    def __init__(
        self,
        app: Any,
        *,
        prefix: bytes,
        changelog: str,
        expand: Callable[[bytes, bytes | None], Entries] = one_entry,
        records: Callable[[Stored], Stored] = one_record,
        owner: Callable[[bytes], bytes] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(app, key_type=bytes, value_type=bytes, **options)
        self._engine_options: dict[str, Any] = {
            "prefix": prefix,
            "changelog": changelog,
            "expand": expand,
            "records": records,
            "owner": owner,
        }

    @property
    def spec(self) -> TableSpec:
        """The table as the engine describes it; a windowed changelog expires by age, too."""
        return TableSpec(name=self.name, compacted_only=self.window is None, **self._engine_options)

    def _new_changelog_topic(self, **_: Any) -> Any:
        """The engine's changelog topic by its name; Faust neither reads nor creates it."""
        return self.app.topic(self._engine_options["changelog"], internal=False, acks=False)

    def _new_store(self) -> "Store":
        """The store on the engine, whatever Faust's settings say."""
        return Store(
            "eos://",
            self.app,
            self,
            table_name=self.name,
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
        )

    def view(self, batch: Batch) -> TableView:
        """The batch's partition of this table, inside the batch's transaction."""
        return batch.table(self.spec)

    def on_key_set(self, key: bytes, value: bytes) -> None:
        """Produce nothing: the store has written the changelog already."""
        self._sensor_on_set(self, key, value)

    def on_key_del(self, key: bytes) -> None:
        """Produce nothing: the store has written the changelog already."""
        self._sensor_on_del(self, key)

    async def on_start(self) -> None:
        """Start nothing: the engine opens stores when partitions are assigned."""


class Store(SerializedStore):  # type: ignore[misc]
    """The store behind `table[key]`, for the batch of the current event."""

    def _view(self) -> TableView:
        event = current_event()
        if event is None or not isinstance(event.message.value, Batch):
            raise RuntimeError(f"table {self.table_name!r} is used outside of an agent's batch")
        view: TableView = self.table.view(event.message.value)
        return view

    def _get(self, key: bytes) -> bytes | None:
        return self._view().get(key)

    def _set(self, key: bytes, value: bytes | None) -> None:
        self._view().put(key, value)

    def _del(self, key: bytes) -> None:
        self._view().put(key, None)

    def _contains(self, key: bytes) -> bool:
        return self._view().get(key) is not None

    def _whole(self) -> Any:
        raise NotImplementedError("a partition's state is not enumerated inside a batch")

    def _iterkeys(self) -> Iterator[bytes]:
        return iter(self._whole())

    def _itervalues(self) -> Iterator[bytes | None]:
        return iter(self._whole())

    def _iteritems(self) -> Iterator[tuple[bytes, bytes]]:
        return iter(self._whole())

    def _size(self) -> int:
        return int(self._whole())

    def _clear(self) -> None:
        self._whole()

    def reset_state(self) -> None:
        """Do nothing: only the engine deletes state."""

    async def backup_partition(self, *_: Any, **__: Any) -> None:
        """Not used: the changelogs are the backup."""

    def restore_backup(self, *_: Any, **__: Any) -> None:
        """Not used: the changelogs are the backup."""


class Tables(TableManager):  # type: ignore[misc]
    """Faust's table manager without recovery: the engine restores the tables."""

    async def on_start(self) -> None:
        """Let the conductor subscribe."""
        self._tables_finalized.set()
        self._tables_registered.set()

    async def on_stop(self) -> None:
        """Stop nothing: nothing was started."""
