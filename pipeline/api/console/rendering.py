"""Renders templates to answers.

Owns: the template environment, what every template can use, how values are written, static files.
Does not own: what a page shows (the modules beside this one), who may see it (gate.py).
Invariants: everything in a page is escaped; there is no inline script or style, as the API's
content security policy allows neither; a static file's address changes with its bytes, so it may be
cached for ever.
"""

import hashlib
from collections.abc import Callable
from datetime import UTC, date, datetime
from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote, urlencode

import jinja2
from starlette.requests import Request
from starlette.responses import Response

from pipeline.api.console.health import seconds
from pipeline.api.console.heatmap import spelled_date
from pipeline.api.http.auth import ANYBODY, OPERATE, Principal
from pipeline.clock import length_text
from pipeline.core.texts import ID_CHARS_MAX

HERE: Final = "pipeline.api.console"
"""The package that has the templates and the static files."""

AT: Final = "/console"
"""Path of the console's root."""

HTMX_VERSION: Final = "2.0.11"
"""Version of static/htmx.min.js, which is unchanged; its licence is beside it."""

_MEDIA: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_KEPT: Final = "public, max-age=31536000, immutable"
_DIGEST_CHARS: Final = 12


class StaticFile:
    """One file that pages name.

    Attributes:
        address: path of its URL.
        content: its bytes.
    """

    def __init__(self, name: str, content: bytes) -> None:
        digest = hashlib.sha256(content).hexdigest()[:_DIGEST_CHARS]
        self.address = f"{AT}/static/{digest}/{name}"
        self.content = content
        self.media = next(m for end, m in _MEDIA.items() if name.endswith(end))

    def response(self) -> Response:
        """Answer with the file."""
        return Response(self.content, headers={"Cache-Control": _KEPT}, media_type=self.media)


def static_files() -> dict[str, StaticFile]:
    """Read every static file of the package, by name."""
    found = {}
    for each in (files(HERE) / "static").iterdir():
        if any(each.name.endswith(end) for end in _MEDIA):
            found[each.name] = StaticFile(each.name, each.read_bytes())
    return found


class Pages:
    """Renders pages.

    Args:
        prefix: the prefix of the topics; places are shown without it.
        now_ms: the time of day, ms since the epoch.
    """

    def __init__(self, prefix: str, now_ms: Callable[[], int]) -> None:
        self.static = static_files()
        self._now_ms = now_ms
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader(HERE),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {
            "instant": instant,
            "ago": self._ago,
            "day": spelled_date,
            "count": lambda number: f"{number:,}",
            "seconds": seconds,
            "span": length_text,
            "short": lambda place: str(place).removeprefix(prefix),
            "plural": lambda number, word: f"{number:,} {word}{'' if number == 1 else 's'}",
        }
        self._templates.globals |= {
            "at": AT,
            "id_length": 2 * ID_CHARS_MAX,  # browsers count UTF-16: two for some characters
            "link": link,
            "prefix": prefix,
            "static": {name: one.address for name, one in self.static.items()},
        }

    def render(
        self,
        template: str,
        request: Request,
        principal: Principal | None,
        status: int = 200,
        **shown: Any,
    ) -> Response:
        """Render a page, or a part of one.

        Args:
            principal: the viewer; None on the pages that anybody may see.
            shown: the values that the template uses.
        """
        text = self._templates.get_template(template).render(
            principal=principal,
            is_open=principal is ANYBODY,
            may_operate=principal is not None and OPERATE in principal.scopes,
            is_part="hx-request" in request.headers,
            path=request.url.path,
            **shown,
        )
        headers = {"Vary": "HX-Request"}
        return Response(text, status, headers, "text/html")

    def _ago(self, instant_ms: int) -> str:
        return ago(self._now_ms() - instant_ms)


def instant(instant_ms: int) -> str:
    """Write an instant for a person, in UTC."""
    moment = datetime.fromtimestamp(instant_ms / 1000, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def ago(past_ms: int) -> str:
    """Write roughly how long ago something was.

    Args:
        past_ms: ms since then; a negative number is now.
    """
    return f"{length_text(past_ms)} ago" if past_ms >= 1_000 else "now"


def link(page: str, **query: str | int | date | None) -> str:
    """Return the address of a page.

    Args:
        page: its path below the console's root; empty: the root itself.
        query: the parameters; None and empty values are left out.
    """
    given = {name: str(value) for name, value in query.items() if value not in (None, "")}
    address = f"{AT}/{page}" if page else AT
    return f"{address}?{urlencode(given, quote_via=quote)}" if given else address
