"""Fixtures of the console's tests: a browser, and an API with people in it."""

import shutil
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, sync_playwright

from pipeline.dev.local.stack import LocalStack
from pipeline.ops.assets.catalogue import open_store, publish
from tests.api.serving import Served, serving
from tests.integration.ledger import Ledger

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NOW = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
"""Noon of a day that is over: its date is the same whenever a day begins."""

DAYS = 9


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium on PATH; Debian's package `chromium` has it")
    with sync_playwright() as playwright:
        # Without a sandbox: in a container there is none to be had, and all pages are ours.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def served(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An API with a worker that runs; ada practised for days, once twice and once too late."""
    assets = tmp_path_factory.mktemp("assets")
    publish(open_store(str(assets), create=True))
    prefix = f"t{uuid.uuid4().hex[:8]}."
    ledger = Ledger(stack, prefix, tmp_path_factory.mktemp("console"), assets)
    ledger.set_up()
    try:
        for days in range(DAYS, -1, -1):
            ledger.complete("ada", f"a{days}", NOW - timedelta(days=days), tz="UTC")
        ledger.complete("ada", "a1", NOW - timedelta(days=1), tz="UTC")
        ledger.complete("ada", "old", NOW - timedelta(days=90), tz="UTC")
        ledger.complete("adam <i>", "x1", NOW, tz="UTC")
        ledger.flush()
        worker = ledger.start_worker()
        with serving(ledger) as running:
            ledger.drain(worker)
            yield running
    finally:
        ledger.close()
