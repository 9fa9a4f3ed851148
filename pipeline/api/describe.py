"""Writes docs/openapi.json, the API's description.

Owns: the file. Does not own: its content (openapi.py and the routes).
Invariant: the text depends on the code alone, so a test can compare it with the committed file.
`python -m pipeline.api.describe docs` writes it.
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


class _Unused:
    """Stands in for every dependency, as routes use theirs only when a request comes."""

    def __getattr__(self, name: str) -> Any:
        return self


def openapi_page() -> str:
    """Return the text of docs/openapi.json."""
    described = described_routes(cast(Dependencies, _Unused()))
    return encode_document(document(described, version("awaway"))).decode()


if __name__ == "__main__":
    (Path(sys.argv[1]) / FILE).write_text(openapi_page(), encoding="utf-8")
