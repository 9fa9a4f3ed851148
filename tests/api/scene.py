"""The reads of the API over a store of a test's own, without a broker and a server.

Owns: a store that is filled by hand, a clock that is set by hand, requests as ASGI has them.
Does not own: what is expected.
Invariant: the application is the real one, with every layer but the server.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, cast

import msgspec
from starlette.middleware import Middleware

from pipeline.api.app import Application
from pipeline.api.console.dependencies import ConsoleDependencies
from pipeline.api.figures import Pictures
from pipeline.api.http.auth import Guard
from pipeline.api.http.limits_and_headers import LimitsAndHeaders, headers_of
from pipeline.api.reads.freshness import Freshness
from pipeline.api.reads.materialise import Materialiser
from pipeline.api.reads.store import Change, Identity, ProgressStore
from pipeline.api.reads.user_read import Reads
from pipeline.api.reads.views import Views
from pipeline.codec.avro import AvroEncoder
from pipeline.codec.schemas import load_schemas
from pipeline.core.calendar import DAY_MS
from pipeline.core.geometry.catalogue import GoldenCatalogue
from pipeline.core.policy import load_policy
from pipeline.core.records import Cause, Dates, Keys, ProgressUpdated, Run
from pipeline.observability.api_prometheus import ApiMetrics
from pipeline.ops.delivery.watch import DeliveryWatch
from pipeline.settings.api import ApiSettings

ROOT = Path(__file__).parents[2]
SCHEMA = load_schemas(ROOT / "schemas")["ProgressUpdated"]
ENCODER = AvroEncoder(SCHEMA, 1)
DAY = 20_780
HOUR_MS = 3_600_000
NOON = DAY * DAY_MS + 12 * HOUR_MS
IDENTITY = Identity("t.progress", "uuid", 2)


@dataclass(frozen=True)
class Answered:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes
    names: tuple[str, ...] = ()

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


class Nothing:
    """Stands in for the dependencies that reads do not use; says no to whatever it is asked."""

    def __bool__(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        return self


@dataclass
class Scene:
    """One API."""

    folder: Path
    now_ms: int = NOON
    wait_ms_max: int = 200
    answers_max: int = 10
    guard: Guard = field(default_factory=lambda: Guard(None))
    given: dict[str, Any] = field(default_factory=dict)
    """Dependencies of a test's own, by name."""

    within: Sequence[Middleware] = (
        Middleware(LimitsAndHeaders, body_bytes_max=1_000, request_s_max=5.0),
    )

    def __post_init__(self) -> None:
        settings = ApiSettings(
            api_wait_ms_max=self.wait_ms_max, api_waiting_max=2, api_answers_max=self.answers_max
        )
        policies = load_policy((ROOT / "policy.yaml").read_text())
        catalogue = GoldenCatalogue()
        self.metrics = ApiMetrics()
        self.store = ProgressStore(self.folder, 8 << 20)
        self.store.replace(IDENTITY, "")
        self.source = Materialiser(
            self.store, _never, SCHEMA, lambda _: SCHEMA.tree, self.metrics, self.clock
        )
        self.source.freshness = Freshness(2, None)
        self.source._learn(1)
        self.offset = 0
        views = Views(policies, catalogue)
        reads = Reads(settings, self.source, policies, views, self.metrics, self.clock)
        deps = ConsoleDependencies(
            settings=settings,
            now_ms=self.clock,
            catalogue=catalogue,
            policies=policies,
            authorize=self.guard.authorize,
            metrics=self.metrics,
            source=self.source,
            reads=reads,
            pictures=Pictures(catalogue, 1, 1 << 20, self.metrics),
            stopping=asyncio.Event(),
            **(
                {
                    name: cast(Any, Nothing())
                    for name in (
                        *("access", "completions", "commands", "adjuster"),
                        *("outcomes", "live", "inputs", "watch", "sampler", "letters"),
                    )
                }
                | {"delivery": DeliveryWatch.of({}, {}, self.clock)}
                | self.given
            ),
        )
        self.app = Application(deps, self.within, headers_of(()))

    def clock(self) -> int:
        """The time of day."""
        return self.now_ms

    def put(self, *records: ProgressUpdated) -> None:
        """As if they had been read from the topic."""
        changes = []
        for record in records:
            user = record.user_id.encode()
            value = ENCODER.encode(record)
            changes.append(Change(user, 0, self.offset, record.revision, 0, value))
            self.offset += 1
        applied = self.store.apply(changes, {0: self.offset})
        for listener in self.source.listeners:
            listener(applied.users)
        self.source.freshness.moved({0: self.offset})

    def catch_up(self) -> None:
        """As if the broker had said that this is all."""
        self.source.freshness.note_ends({0: self.offset, 1: 0}, self.now_ms)

    async def get(
        self, path: str, query: str = "", method: str = "GET", **headers: str
    ) -> Answered:
        """One request; in header names `_` stands for `-`."""
        return await self.ask(method, path, query, b"", headers)

    async def ask(
        self, method: str, path: str, query: str, body: bytes, headers: Mapping[str, str]
    ) -> Answered:
        """The same with a body."""
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        named = [(n.replace("_", "-").encode(), v.encode()) for n, v in headers.items()]
        scope = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(),
            "root_path": "", "query_string": query.encode(), "headers": named,
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "scheme": "http",
        }  # fmt: skip
        await self.app(scope, receive, send)
        shown = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        content = b"".join(message.get("body", b"") for message in sent[1:])
        names = tuple(name.decode() for name, _ in sent[0]["headers"])
        return Answered(sent[0]["status"], shown, content, names)


def person(
    user_id: str = "ann", revision: int = 1, days: int = 3, end: int = DAY, **fields: Any
) -> ProgressUpdated:
    """A user with one run of `days` that ended on `end`."""
    whole = ProgressUpdated(
        user_id=user_id,
        revision=revision,
        streak_days=days,
        longest_days=days,
        lifetime_days=days,
        lap=0,
        cycle_day=days,
        last_local_date=end,
        streak_safe_until=end + 1,
        tz="UTC",
        dates=Dates((Run(end - days + 1, days),)),
        portals=(),
        keys=Keys(),
        field_keys_pending=0,
        figure="vesica-piscis",
        frame=days,
        variant=3,
        asset_id="5c" * 32,
        policy_version="2026-01",
        generation="blue",
        updated_at=NOON,
        cause=Cause("t.completions", 0, 0, "c"),
    )
    return msgspec.structs.replace(whole, **fields)


def _never() -> NoReturn:
    raise AssertionError("nothing is read from a topic here")
