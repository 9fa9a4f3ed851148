"""Pages without a browser: what they show and escape, who may see them, how they are bounded.

The application is the real one over a store that is filled by hand (tests/api/scene.py).
"""

import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from pipeline.api.console.heatmap import OUTSIDE, Cell, years_of
from pipeline.api.console.people import PAGE
from pipeline.api.console.rendering import HTMX_VERSION, ago, link, static_files
from pipeline.api.console.sampling import buckets, grown, quantile, reading_of
from pipeline.api.console.watch import EVENTS_MAX, KINDS, Watch
from pipeline.api.http.auth import COOKIE, Expected, Guard, Verifier
from pipeline.api.http.token_keys import secret_keys
from pipeline.api.live.events import Streamed
from pipeline.api.outcomes.rows import Entry
from pipeline.api.reads.views import Day
from pipeline.core.reading import DayKind
from pipeline.core.records import (
    AuditEntry,
    Dates,
    PortalReached,
    Run,
)
from pipeline.observability.api_prometheus import ApiMetrics
from tests.api.scene import DAY, NOON, person
from tests.console.pages import audited, scene

SECRET = "s" * 32


async def test_the_search_is_by_prefix_and_one_page_at_a_time(tmp_path: Path) -> None:
    one = scene(tmp_path)
    one.put(*(person(f"ann{number:03}") for number in range(PAGE + 3)), person("bob"))
    page = (await one.get("/console", "q=ann")).body.decode()
    assert page.count('class="card person"') == PAGE
    assert "bob" not in page
    more = re.search(r'href="(/console\?q=ann&amp;after=ann023)"', page)
    assert more is not None
    rest = await one.get("/console", "q=ann&after=ann023", hx_request="true")
    assert rest.body.decode().count('class="card person"') == 3
    assert "<html" not in rest.body.decode()
    nobody = (await one.get("/console", "q=Ann")).body.decode()
    assert "Nobody’s id begins with “Ann”" in nobody


async def test_whatever_an_id_holds_is_escaped(tmp_path: Path) -> None:
    one = scene(tmp_path)
    evil = '"><script>alert(1)</script>/../?a=b#c&d'
    one.put(person(evil))
    found = (await one.get("/console")).body.decode()
    address = link("user", id=evil).replace("&", "&amp;")
    assert f'href="{address}"' in found
    page = (await one.get("/console/user", address.partition("?")[2])).body.decode()
    assert "<script>alert" not in found + page
    assert "&lt;script&gt;alert(1)" in page


async def test_a_page_shows_the_person_and_the_coordinates_of_each_record(tmp_path: Path) -> None:
    entries = [Entry("audit", 2, 70 + n, NOON - n, audited(n)) for n in range(20)]
    one = scene(tmp_path, entries)
    portal = PortalReached(0, "bindu", DAY - 2, NOON, "ab" * 32)
    dates = Dates((Run(DAY - 2, 3),), (Run(DAY - 3, 1),), (Run(DAY - 9, 1),), (Run(DAY - 8, 1),))
    one.put(person("ann", days=3, portals=(portal,), dates=dates))
    answer = await one.get("/console/user", "id=ann")
    page = answer.body.decode()
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert not re.search(r"<script>|<style|style=|onclick=", page)
    assert "Today counts already" in page
    for kind in ("practised", "bridged", "credited", "revoked", "nothing"):
        assert re.search(rf'class="cell {kind}[ "]', page), kind
    assert "reached Bindu" in page
    assert 'title="awaway.completions[0]@0">completions[0]@0' in page
    assert 'title="awaway.audit[2]@70">audit[2]@70' in page
    assert page.count('<tr>\n  <td class="when">') == 12  # and the rest on demand
    rest = await one.get("/console/history", "user=ann&name=audit&before=3132", hx_request="true")
    assert rest.body.decode().count("<tr>") == 8


async def test_decades_are_drawn_two_years_at_a_time(tmp_path: Path) -> None:
    one = scene(tmp_path)
    one.put(person("ann", days=4_000))
    page = (await one.get("/console/user", "id=ann")).body.decode()
    assert re.findall(r"<caption>(\d+):", page) == ["2026", "2025"]
    assert 'href="/console/user?id=ann&amp;until=2024#calendar"' in page
    older = (await one.get("/console/user", "id=ann&until=2016")).body.decode()
    assert re.findall(r"<caption>(\d+):", older) == ["2016", "2015"]
    assert "Earlier years" not in older
    assert (await one.get("/console/user", "id=ann&until=x")).status == 400


async def test_somebody_unknown_still_has_a_history(tmp_path: Path) -> None:
    one = scene(tmp_path, [Entry("audit", 0, 1, NOON, audited(1, verdict="dead_letter"))])
    answer = await one.get("/console/user", "id=zoe")
    assert answer.status == 404
    assert "Nothing was published about this id" in answer.body.decode()
    assert "dead letter" in answer.body.decode()
    assert (await one.get("/console/user", "id=")).status == 400


def guarded() -> Guard:
    return Guard(Verifier(secret_keys(SECRET), Expected("i", "awaway"), lambda: NOON / 1000))


def made_token(kind: str) -> str:
    content = {"sub": "sam", "iss": "i", "aud": "awaway", "awaway_kind": kind}
    return jwt.encode(content | {"exp": NOON // 1000 + 60}, SECRET, algorithm="HS256")


@pytest.mark.parametrize("kind", ["support", "operator", "user", "service"])
async def test_pages_are_for_support_and_operators(tmp_path: Path, kind: str) -> None:
    one = scene(tmp_path, guard=guarded())
    one.put(person("ann"))
    may = kind in ("support", "operator")
    for page in ("", "/user", "/live", "/health", "/explain", "/history", "/live/events"):
        outside = await one.get(f"/console{page}", "id=ann&user=ann")
        assert outside.status == 303, page
        assert outside.headers["location"].startswith("/console/sign-in?next=%2Fconsole")
        cookie = f"{COOKIE.decode()}={made_token(kind)}"
        if not page.endswith("events"):
            inside = await one.get(f"/console{page}", "id=ann&name=audit&user=", cookie=cookie)
            assert (inside.status != 403) == may, page
    part = await one.get("/console/health", hx_request="true")
    assert part.headers["hx-redirect"].startswith("/console/sign-in")


async def test_open_says_so_on_every_page(tmp_path: Path) -> None:
    one = scene(tmp_path)
    for page in ("", "/live", "/health", "/explain"):
        assert "Authorisation is off" in (await one.get(f"/console{page}")).body.decode()


async def test_the_front_door_leads_to_the_console(tmp_path: Path) -> None:
    answer = await scene(tmp_path).get("/")
    assert (answer.status, answer.headers["location"]) == (303, "/console")


async def test_static_files_are_kept_for_ever_and_found_by_their_content(tmp_path: Path) -> None:
    one = scene(tmp_path)
    files = static_files()
    assert {"console.css", "console.js", "theme.js", "htmx.min.js", "mark.svg"} == set(files)
    assert f'version:"{HTMX_VERSION}"'.encode() in files["htmx.min.js"].content
    answer = await one.get(files["console.css"].address)
    assert (answer.status, answer.body) == (200, files["console.css"].content)
    assert "immutable" in answer.headers["cache-control"]
    assert (await one.get("/console/static/000000000000/console.css")).status == 404


def test_a_year_has_a_row_for_each_weekday_and_its_runs_deepen() -> None:
    first = date(2025, 12, 30)
    days = [Day(first + timedelta(n), DayKind.PRACTISED, True, n + 1) for n in range(60)] + [
        Day(first + timedelta(60), DayKind.NOTHING, False, 0)
    ]
    today = first + timedelta(60)
    newer, older = years_of(days, {first: "Bindu"}, today)
    assert (newer.year, older.year) == (2026, 2025)
    cells = {c.date: c for _, row in newer.rows for c in row if isinstance(c, Cell)}
    assert len(cells) == 59
    assert [cells[first + timedelta(n)].level for n in (5, 6, 19, 20, 49, 50, 60)] == [
        1, 2, 2, 3, 3, 4, 0,
    ]  # fmt: skip
    assert cells[today].is_today and "today" in cells[today].name
    for row, (_, line) in enumerate(newer.rows):
        assert all(c.date.weekday() == row for c in line if isinstance(c, Cell))
        assert len(line) == sum(month.columns for month in newer.months)
    outside = [c for _, row in newer.rows for c in row if c == OUTSIDE]
    assert len(outside) == 365 - 59
    assert older.summary == "2025: 2 practised"


def test_the_watch_is_bounded_and_tells_what_is_gone() -> None:
    watch = Watch("awaway.", None, lambda: NOON)  # type: ignore[arg-type] # nothing is streamed here
    everything = frozenset(KINDS)
    for number in range(EVENTS_MAX + 10):
        verdict = "exact" if number % 2 else "accepted"
        watch.indexed("ann" if number % 3 else "bob", Entry(*_at(number, verdict)))
    found, end, left_out = watch.since(5, everything, "", 50)
    assert (len(found), end) == (50, EVENTS_MAX + 10)
    assert left_out == EVENTS_MAX - 50 + 5  # 6 to 10 are gone; the rest are too many
    assert watch.since(end, everything, "", 50) == ([], end, 0)
    assert {one.user for one in watch.last(everything, "bob", 9)} == {"bob"}
    assert watch.last(frozenset({"portal"}), "", 9) == []
    assert watch.number_of(watch.place(7)) == 7
    assert watch.number_of("other-7") == watch.number_of("") == 0
    row = watch.line_of(found[-1])
    assert row is not None and row.source == f"awaway.completions[0]@{EVENTS_MAX + 9}"


def test_the_watch_begins_with_what_was_there_in_the_order_of_time() -> None:
    watch = Watch("awaway.", None, lambda: NOON)  # type: ignore[arg-type] # nothing is told here
    watch.begin([("ann", Entry(*_at(1, "accepted"))), ("bob", Entry(*_at(2, "exact")))])
    for partition in (0, 1):
        for number in range(EVENTS_MAX):
            time_ms = NOON - 10 * EVENTS_MAX + 2 * number + partition
            watch.streamed(b"cy", partition, Streamed(0, number, time_ms, b""))
    everything = frozenset(KINDS)
    assert {one.kind for one in watch.last(everything, "", 9)} == {"audit"}
    watch.streamed_to_end()
    _, end, _ = watch.since(0, everything, "", 1)
    kept = [one.time_ms for one in watch.last(frozenset({"progress"}), "", 2 * EVENTS_MAX)]
    assert kept == list(range(NOON - 9 * EVENTS_MAX, NOON - 8 * EVENTS_MAX))
    watch.streamed(b"di", 0, Streamed(2, 0, NOON, b""))
    assert [one.user for one in watch.since(end, everything, "", 9)[0]] == ["di"]
    assert len(watch.last(frozenset({"audit"}), "", 9)) == 2


def _at(number: int, verdict: str) -> tuple[str, int, int, int, AuditEntry]:
    return "audit", 0, number, NOON, audited(number, verdict=verdict)


def test_rates_survive_a_counter_that_begins_anew_and_quantiles_are_bounds() -> None:
    before: Any = {"awaway_x_total": {(("a", "1"),): 10.0, (("a", "2"),): 5.0}}
    after: Any = {"awaway_x_total": {(("a", "1"),): 4.0, (("a", "2"),): 8.0}}
    assert grown(before, after, "awaway_x_total", a="1") == 4
    assert grown(before, after, "awaway_x_total", a="2") == 3
    metrics = ApiMetrics()
    metrics.readable([NOON - 400] * 98 + [NOON - 3_000] * 2, NOON)
    cumulative = buckets(reading_of(metrics.collect()), "awaway_api_append_to_readable_seconds")
    assert quantile(cumulative, 0.5) == 0.5
    assert quantile(cumulative, 0.99) == 5.0
    assert quantile([], 0.5) is None


@pytest.mark.parametrize(
    ("past_ms", "said"), [(-5, "now"), (999, "now"), (61_000, "1 min ago"), (3e8, "3.0 d ago")]
)
def test_ages_are_rough(past_ms: int, said: str) -> None:
    assert ago(int(past_ms)) == said.replace(".0", "")
