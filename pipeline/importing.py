"""Imports of what is slow to import, beside the others.

Owns: starting them.
Does not own: who needs what; an import that fails here fails again where it is needed.
Invariant: what is named imports neither another named module nor anything of ours. Then no two
threads ever wait for each other's modules, of which Python would show one half made.

Why: an import holds the interpreter, but for reading files, loading libraries and making TLS
contexts, and these are a part of a process's start that others can wait beside. What a worker's
restart costs is mostly its start (docs/BOUNDS.md).
"""

import contextlib
import threading
from importlib import import_module
from typing import Final

SLOW_IN_A_WORKER: Final = ("aiohttp", "confluent_kafka.schema_registry")
"""Faust's web client makes two TLS contexts, the registry's client brings all of OAuth."""


def import_beside(*names: str) -> None:
    """Begin to import modules, each in a thread; whoever imports one meanwhile waits for it.

    A process that ends waits for the threads: an import must not be cut off by the end of the
    interpreter.
    """
    for name in names:
        threading.Thread(target=_import, args=(name,), name=f"import {name}").start()


def _import(name: str) -> None:
    with contextlib.suppress(ImportError):
        import_module(name)
