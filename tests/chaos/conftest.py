"""Fixtures of the chaos tests: the integration tests' own."""

from tests.integration.conftest import assets, ledger

__all__ = ["assets", "ledger"]
