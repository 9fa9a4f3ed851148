"""The probes of supervisors and scrapers, and the API's own description.

Owns: `/livez`, `/readyz`, `/startupz`, `/metrics`, `/v1/openapi.json`.
Does not own: the values of metrics (api_prometheus.py), making the document (openapi.py).
Invariants: no token is needed, and no answer names a user. The process stays ready while the broker
is away, as reads are answered from the store. It is not ready until the index of outcomes is
complete, so that no restart forgets what became of a completion; but it does not wait for ever.
"""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Final

import msgspec
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from pipeline.api.dependencies import Dependencies
from pipeline.api.http.openapi import Answer, ApiRoute, Operation, document
from pipeline.api.reads.materialise import Materialiser, State


class Probe(msgspec.Struct, frozen=True):
    """The answer to a probe: whether it is so, and the reasons why not, one sentence each."""

    ok: bool
    reasons: list[str]


_DOCUMENT: Final = Operation(
    id="getOpenApi",
    summary="This description",
    tag="about",
    answers={200: Answer("OpenAPI 3.1.", dict[str, object])},
)


def _probe(name: str, summary: str) -> Operation:
    answers = {200: Answer("It is so.", Probe), 503: Answer("It is not.", Probe)}
    return Operation(id=name, summary=summary, tag="health", answers=answers)


def not_alive(deps: Dependencies) -> list[str]:
    """List the reasons to kill the process, as it cannot recover by itself."""
    found = not_live(deps.source)
    if deps.completions.is_dead:
        found.append("no acknowledgement of a completion is served any more; the log says why")
    if deps.commands.is_dead:
        found.append("no acknowledgement of a command is served any more; the log says why")
    return found


def not_live(source: Materialiser) -> list[str]:
    """List the reasons why this process cannot go on with reads."""
    if source.state is State.FAILED:
        return [f"the store cannot go on: {source.reason}"]
    return []


def not_ready(source: Materialiser) -> list[str]:
    """List the reasons to send reads to another process.

    While no broker answers, an old store on disk is better than none. While one answers, reads wait
    until the store is up to date, so that no restart shows a user an older record.
    """
    if source.is_loaded:
        return not_live(source)
    if not source.is_usable:
        return ["the store was never loaded", *not_live(source)]
    if source.state is State.CONNECTING and source.reason:
        return not_live(source)
    return ["the store is not up to date yet", *not_live(source)]


def index_not_ready(deps: Dependencies, waited_s: float) -> list[str]:
    """List the reasons to ask another process what became of a completion.

    Args:
        waited_s: how long this process has waited for the index, s.
    """
    is_known = deps.outcomes.complete_at_ms is not None
    is_broker_away = deps.source.state is State.CONNECTING and deps.source.reason
    if is_known or is_broker_away or waited_s > deps.settings.api_outcomes_wait_s:
        return []
    return ["the index of what became of completions is not up to date yet"]


def routes(deps: Dependencies, described: Sequence[BaseRoute]) -> list[BaseRoute]:
    """Return the routes of this module.

    Args:
        described: the routes that the document describes.
    """

    async def scrape(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(deps.metrics.registry), headers={"Content-Type": content_type})

    started_ms = deps.now_ms()

    def ready() -> list[str]:
        waited_s = (deps.now_ms() - started_ms) / 1000
        return [*not_ready(deps.source), *index_not_ready(deps, waited_s)]

    content = encode_document(document(described, version("awaway")))

    async def describe(request: Request) -> Response:
        del request
        return Response(content, media_type="application/json")

    def probe(reasons: Callable[[], list[str]]) -> Callable[[Request], object]:
        async def answer(request: Request) -> Response:
            del request
            found = reasons()
            body = msgspec.json.encode(Probe(not found, found))
            return Response(body, 503 if found else 200, media_type="application/json")

        return answer

    text = {200: Answer("Prometheus text or OpenMetrics.", media="text/plain")}
    metrics = Operation(id="getMetrics", summary="Metrics", tag="health", answers=text)
    alive, may = _probe("getLivez", "Is it alive?"), _probe("getReadyz", "May requests come?")
    started = _probe("getStartupz", "Has it begun?")
    return [
        ApiRoute("/v1/openapi.json", describe, _DOCUMENT),
        ApiRoute("/livez", probe(lambda: not_alive(deps)), alive, hidden=True),
        ApiRoute("/readyz", probe(ready), may, hidden=True),
        ApiRoute("/startupz", probe(lambda: []), started, hidden=True),
        ApiRoute("/metrics", scrape, metrics, hidden=True),
    ]


def encode_document(content: dict[str, object]) -> bytes:
    """Encode the document as it is served, and as docs/openapi.json has it."""
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"
