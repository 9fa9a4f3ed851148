"""Fixtures of the API's tests: one ledger, worker and API for all of them (tests/sharing.py)."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.dev.local.stack import LocalStack
from pipeline.ops.assets.catalogue import open_store, publish
from tests.api.serving import Served, serving
from tests.integration.ledger import Ledger


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published catalogue: one folder for all tests of a process."""
    folder = tmp_path_factory.mktemp("assets")
    publish(open_store(str(folder), create=True))
    return folder


@pytest.fixture(scope="package")
def served(
    stack: LocalStack, tmp_path_factory: pytest.TempPathFactory, published: Path
) -> Iterator[Served]:
    """An API with a worker behind it; tests use users of their own."""
    prefix = f"t{uuid.uuid4().hex[:8]}."
    ledger = Ledger(stack, prefix, tmp_path_factory.mktemp("served"), published)
    ledger.set_up()
    try:
        worker = ledger.start_worker()
        settings = {"API_BODY_BYTES_MAX": "65536", "API_STREAM_HEARTBEAT_S": "0.5"}
        with serving(ledger, API_BATCH_RECORDS_MAX="20", **settings) as running:
            ledger.drain(worker)
            yield running
    finally:
        ledger.close()
