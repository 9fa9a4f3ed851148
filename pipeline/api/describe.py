"""docs/openapi.json: the API's description as a file.

Owns: writing it. Does not own: its content (openapi.py and the routes).
Invariant: the text is a function of the code alone, so that a test can compare it with what is
committed. `python -m pipeline.api.describe docs` writes it.
"""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, cast

from pipeline.api.app import described_routes
from pipeline.api.dependencies import Dependencies
from pipeline.api.http.openapi import document
from pipeline.api.routes.probes import encode_document

FILE: Final = "openapi.json"


class _NoPart:
    """Stands in for every part: routes keep their deps, and use them when a request comes."""

    def __getattr__(self, name: str) -> Any:
        return self


def openapi_page() -> str:
    """The text of docs/openapi.json."""
    described = described_routes(cast(Dependencies, _NoPart()))
    return encode_document(document(described, version("awaway"))).decode()


if __name__ == "__main__":
    (Path(sys.argv[1]) / FILE).write_text(openapi_page(), encoding="utf-8")
