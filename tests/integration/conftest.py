"""Fixtures of the integration tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.dev.local.stack import LocalStack
from pipeline.ops.assets.catalogue import open_store, publish
from tests.integration.ledger import Ledger


@pytest.fixture(scope="session")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published catalogue: one folder for all tests of a process."""
    folder = tmp_path_factory.mktemp("assets")
    publish(open_store(str(folder), create=True))
    return folder


@pytest.fixture
def ledger(stack: LocalStack, topic_prefix: str, tmp_path: Path, assets: Path) -> Iterator[Ledger]:
    """A ledger of the test's own, ready for inputs; its workers end with the test."""
    made = Ledger(stack, topic_prefix, tmp_path, assets)
    made.set_up()
    yield made
    made.close()
