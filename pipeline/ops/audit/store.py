"""Signed checkpoints in an object store, where none is ever overwritten.

Owns: an object for each checkpoint: its name, creating it, reading all.
Does not own: opening a store (ops/assets/catalogue.py), what a checkpoint says (signed.py).
Invariants: an object is only ever created; whoever creates that of a number first has the number.
A store that can lock objects (S3: versioning with Object Lock) keeps them from deletion, too, and
that is the operator's to switch on.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import ObjectStore

from pipeline.errors import AwawayError
from pipeline.ops.assets.catalogue import REQUESTS_AT_ONCE, AssetsMissingError, open_store
from pipeline.ops.audit.sightings import Sighting
from pipeline.ops.audit.signed import LINE_CHARS_MAX, SignedCheckpoint, parse

FOLDER: Final = "audit-checkpoints"


class CheckpointStoreError(AwawayError):
    """The store of checkpoints could not be opened, read or written.

    Operator action: check the URL, the credentials in the environment and the network, then run the
    command again; it goes on where it stopped.
    """


class CheckpointTakenError(AwawayError):
    """Another checkpoint has the number already.

    Operator action: if two signers run, stop one and run the command again; else find out who
    writes to the store: `awaway audit verify --checkpoints` shows what is wrong.
    """


class CheckpointStore:
    """The checkpoints of a store.

    Args:
        url: a folder or a URL, as `open_store` takes it.
        create: make a folder that is not there.

    Raises:
        CheckpointStoreError: it cannot be opened.
    """

    def __init__(self, url: str, *, create: bool = False) -> None:
        self._url = url
        try:
            with _errors(url):
                self._store: ObjectStore = open_store(url, create=create)
        except AssetsMissingError as error:
            raise CheckpointStoreError(
                f"there is no folder {url} with checkpoints",
                fix="name the store that `awaway audit checkpoint` writes to",
            ) from error

    def add(self, checkpoint: SignedCheckpoint) -> None:
        """Create a checkpoint's object; one that is there must be the same.

        Raises:
            CheckpointTakenError: it is another. CheckpointStoreError: the store failed.
        """
        name, line = _name(checkpoint), f"{checkpoint.line}\n".encode()
        with _errors(name):
            try:
                obstore.put(self._store, name, line, mode="create")
                return
            except AlreadyExistsError:
                found = bytes(obstore.get(self._store, name).bytes())
        if found != line:
            raise CheckpointTakenError(
                f"{name} holds another checkpoint",
                why=found[:LINE_CHARS_MAX].decode(errors="replace").strip(),
                fix="if two signers run, stop one; `awaway audit verify --checkpoints` shows more",
            )

    def checkpoints(self, known: Iterable[Sighting] = ()) -> list[Sighting]:
        """Every line of the store.

        Args:
            known: lines of the topic; an object of the name and size of one is not read. Who
                verifies gives none.

        Raises:
            CheckpointStoreError: the store failed.
        """
        parsed = {one.line: parse(one.line) for one in known}
        lines = {_name(one): line for line, one in parsed.items() if one is not None}

        def read(item: tuple[str, int]) -> Sighting:
            name, size = item
            line = lines.get(name)
            if line is None or len(line) + 1 != size:
                content = bytes(obstore.get(self._store, name).bytes())
                line = content.decode(errors="replace").removesuffix("\n")
            return Sighting(line, "store", f"object {name}")

        with _errors(self._url), ThreadPoolExecutor(REQUESTS_AT_ONCE, "checkpoints") as pool:
            there = sorted(
                (str(meta["path"]), int(meta["size"]))
                for page in obstore.list(self._store, FOLDER)
                for meta in page
            )
            return list(pool.map(read, there))


def _name(checkpoint: SignedCheckpoint) -> str:
    """The object's name; numbers have as many digits, so that names sort like them."""
    one = checkpoint
    return f"{FOLDER}/{one.topic}/{one.generation}/{one.partition}/{one.number:012d}"


@contextmanager
def _errors(subject: str) -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        raise CheckpointStoreError(
            f"the store of checkpoints failed at {subject}",
            why=str(error).partition("\n")[0],
            fix="check the URL, the credentials and the network, then run it again",
        ) from error
