"""The page of figures: self-contained, escaped, and of what was reached."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipeline.core.geometry.catalogue import GoldenCatalogue, object_key
from pipeline.core.geometry.cycle import FIGURE_OF_FRAME
from pipeline.core.geometry.render import Renderer
from pipeline.dev.demo.errors import DemoError
from pipeline.dev.demo.page import Strip, reached_portals, strip_of, telling_strips, write_page
from pipeline.dev.demo.stage import Stage
from pipeline.ops.topics.file import load_topics
from pipeline.settings.worker import Settings
from tests.demo.month import POLICY, ROOT, Run, faultless, wire


class Seen(HTMLParser):
    """What a page holds."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "action", "srcset")]
        self.ids += [value or "" for key, value in attrs if key == "id"]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _stage(folder: Path) -> Stage:
    settings = Settings(assets_url=str(folder / "assets"))
    return Stage(folder, folder, settings, load_topics(ROOT / "topics.yaml"), POLICY, wire())


def _draw(run: Run, folder: Path) -> None:
    catalogue, renderer = GoldenCatalogue(), Renderer()
    assert FIGURE_OF_FRAME[0] == "bindu"
    for one in reached_portals(run.outputs.portals):
        path = folder / "assets" / object_key(one.asset_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(renderer.svg(one.day, catalogue.variant_of(one.first)))


def test_the_page_shows_what_was_reached_and_needs_nothing_else(tmp_path: Path) -> None:
    run = faultless()
    _draw(run, tmp_path)
    page = write_page(tmp_path / "page.html", run.outputs, _stage(tmp_path), 30)
    text = page.read_text(encoding="utf-8")
    seen = Seen()
    seen.feed(text)
    assert seen.open == []
    assert seen.addresses == []
    assert "script" not in seen.tags
    assert "url(http" not in text and "@import" not in text
    assert seen.tags.count("figure") == len(reached_portals(run.outputs.portals)) >= 5
    assert seen.tags.count("h1") == seen.tags.count("main") == 1
    assert len(seen.ids) == len(set(seen.ids))
    assert "<title>30 days of practice</title>" in text and "<h1>30 days of practice" in text
    assert "sri yantra" in text and "Still ahead" in text
    assert f"{len(run.outputs.portals):,}" in text


def test_names_are_escaped(tmp_path: Path) -> None:
    run = faultless()
    _draw(run, tmp_path)
    for portal in run.outputs.portals:
        portal["title"] = "<b>Bindu</b>"
    page = write_page(tmp_path / "page.html", run.outputs, _stage(tmp_path), 30)
    assert "<b>Bindu" not in page.read_text(encoding="utf-8")


def test_an_asset_with_other_bytes_is_refused(tmp_path: Path) -> None:
    run = faultless()
    _draw(run, tmp_path)
    for path in (tmp_path / "assets" / "svg").iterdir():
        path.write_bytes(b"<svg></svg>")
    with pytest.raises(DemoError, match="not what its id says"):
        write_page(tmp_path / "page.html", run.outputs, _stage(tmp_path), 30)


def test_portals_are_counted_and_given_to_whoever_was_first() -> None:
    first = {"lap": 0, "cycle_day": 3, "title": "Leaf", "field_keys": ["a", "b"]}
    records = [
        first | {"user_id": "bo", "unlocked_at": 20, "asset_id": "x"},
        first | {"user_id": "ana", "unlocked_at": 10, "asset_id": "y"},
        first | {"user_id": "bo", "unlocked_at": 30, "asset_id": "x", "lap": 1},
    ]
    [one, again] = reached_portals(records)
    assert (one.people, one.keys, one.first, one.asset_id) == (2, 4, "ana", "y")
    assert (again.lap, again.people) == (1, 1)


def test_a_strip_shows_what_made_each_date_count() -> None:
    dates = {
        "practised": [{"start": 10, "length": 3}],
        "bridged": [{"start": 13, "length": 1}],
        "credited": [{"start": 12, "length": 3}],
        "revoked": [{"start": 10, "length": 1}],
    }
    record = {"user_id": "ana", "tz": "America/Los_Angeles", "longest_days": 4, "dates": dates}
    strip = strip_of(record, 9, 15)
    assert strip.place == "Los Angeles"
    assert strip.kinds == ("", "revoked", "practised", "practised", "bridged", "credited", "")


def test_the_strips_that_are_shown_have_every_kind() -> None:
    plain = [Strip(f"p{n}", "Rome", 2, ("practised", "practised")) for n in range(9)]
    bridged = Strip("b", "Apia", 2, ("practised", "bridged"))
    revoked = [Strip(f"r{n}", "Oslo", 1, ("revoked", "")) for n in range(9)]
    chosen = telling_strips([*plain, bridged, *revoked])
    assert [strip.user_id for strip in chosen] == ["b", "r0", "r1"]
    assert telling_strips(plain) == []
