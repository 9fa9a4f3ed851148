"""The page of figures that were reached.

Owns: one self-contained HTML file: no script, no other file, no address.
Does not own: the figures, which are the published assets as they are.
Invariant: what comes from records is escaped, except the assets, whose bytes are checked by their
hashes.
"""

from collections import Counter
from hashlib import sha256
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any, Final

import msgspec

from pipeline.core.enumerations import COUNTED
from pipeline.core.geometry.catalogue import object_key
from pipeline.dev.demo.errors import DemoError
from pipeline.dev.demo.expected import spelled
from pipeline.dev.demo.outputs import Decoded, Outputs
from pipeline.dev.demo.stage import Stage
from pipeline.dev.oracle import load_rules

SHOWN_OF_EACH_KIND: Final = 2
_KINDS: Final = ("revoked", "practised", "bridged", "credited")
"""In the order in which one hides another."""
_SAID: Final = ("practised", "bridged", "credited", "revoked")


class Reached(msgspec.Struct, frozen=True):
    """A portal with the people who passed it.

    Attributes:
        day: of the cycle. people: how many; 1 and up. keys: granted to all of them.
        first: who passed it first. asset_id: the figure as it was shown to them.
    """

    title: str
    day: int
    lap: int
    people: int
    keys: int
    first: str
    asset_id: str


def write_page(path: Path, outputs: Outputs, stage: Stage, days: int) -> Path:
    """Write the page and return its path.

    Args:
        days: how many were simulated, 1 and up.

    Raises:
        DemoError: an asset is not what its id says.
    """
    portals = load_rules(stage.policy).policies[-1].portals
    reached = reached_portals(outputs.portals)
    people = len(outputs.progress)
    unlocked = {record["portal"] for record in outputs.portals}
    ahead = [p.slug.replace("-", " ") for p in portals if p.slug not in unlocked]
    parts = [
        _head(outputs, people, days),
        _totals(outputs),
        "<h2>Figures that were reached</h2>"
        "<p>Each completes on the day of its portal, for everybody who has practised so many days "
        "in a row. People see it in one of twelve variants of colour and turn.</p>",
        '<ul class="figures">',
        *(_figure(one, people, Path(stage.settings.assets_url)) for one in reached),
        "</ul>",
        _ahead(ahead),
        _months(outputs, days),
        _foot(),
    ]
    style = resources.files("pipeline.dev.demo").joinpath("page.css").read_text(encoding="utf-8")
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_spelled_days(days)} of practice</title>\n<style>\n{style}</style>\n"
        "</head>\n<body>\n" + "\n".join(part for part in parts if part) + "\n</body>\n</html>\n"
    )
    path.write_text(page, encoding="utf-8")
    return path.resolve()


def reached_portals(records: list[Decoded]) -> list[Reached]:
    """Return every portal that somebody passed, by lap and day; `records` are of the topic of
    portals.
    """
    by_portal: dict[tuple[int, int, str], list[Decoded]] = {}
    for record in records:
        key = (record["lap"], record["cycle_day"], record["title"])
        by_portal.setdefault(key, []).append(record)
    reached = []
    for (lap, day, title), found in sorted(by_portal.items()):
        first = min(found, key=lambda record: (record["unlocked_at"], record["user_id"]))
        keys = sum(len(record["field_keys"]) for record in found)
        reached.append(
            Reached(title, day, lap, len(found), keys, first["user_id"], first["asset_id"])
        )
    return reached


def _spelled_days(days: int) -> str:
    return "1 day" if days == 1 else f"{days} days"


def _head(outputs: Outputs, people: int, days: int) -> str:
    counted = sum(entry["verdict"] in COUNTED for _, entry in outputs.audit)
    return (
        f"<header><h1>{_spelled_days(days)} of practice</h1>"
        f'<p class="lead">{people:,} people sat down {counted:,} times. This is what their streaks '
        "unlocked, as the pipeline told it: each portal once, for ever.</p></header>\n<main>"
    )


def _totals(outputs: Outputs) -> str:
    longest = max((record["longest_days"] for record in outputs.progress.values()), default=0)
    totals: list[tuple[str, int]] = [
        ("portals unlocked", len(outputs.portals)),
        ("field keys granted", sum(len(r["keys"]["granted"]) for r in outputs.progress.values())),
        ("figures drawn", len({record["asset_id"] for record in outputs.figures()})),
        ("days, longest streak", longest),
        ("repeats and overlaps noticed", len(outputs.alerts)),
        ("records put aside", len(outputs.dead_letters)),
    ]
    cells = "".join(f"<div><dt>{name}</dt><dd>{count:,}</dd></div>" for name, count in totals)
    return f'<dl class="totals">{cells}</dl>'


def _figure(one: Reached, people: int, assets: Path) -> str:
    data = (assets / object_key(one.asset_id)).read_bytes()
    if sha256(data).hexdigest() != one.asset_id:
        raise DemoError("an asset is not what its id says", why=one.asset_id)
    lap = f", lap {one.lap + 1}" if one.lap else ""
    share = 100 * one.people / max(people, 1)
    keys = f"{one.keys:,} field keys" if one.keys != 1 else "1 field key"
    return (
        f"<li><figure>{data.decode()}<figcaption><h3>{escape(one.title)}</h3>"
        f"<p>Day {one.day}{lap}: <strong>{one.people:,}</strong> of {people:,} people, {keys}. "
        f"As drawn for {escape(one.first)}, the first.</p>"
        f'<div class="share" aria-hidden="true"><span style="width:{share:.1f}%"></span></div>'
        "</figcaption></figure></li>"
    )


def _ahead(slugs: list[str]) -> str:
    if not slugs:
        return ""
    return f'<p class="ahead">Still ahead: {escape(", ".join(slugs))}.</p>'


def _months(outputs: Outputs, days: int) -> str:
    records = list(outputs.progress.values())
    last = max((record["last_local_date"] or 0 for record in records), default=0)
    strips = [strip_of(record, last - days, last) for record in records]
    chosen = telling_strips(strips)
    if not chosen:
        return ""
    legend = "".join(
        f'<li><i class="{kind}" aria-hidden="true"></i>{text}</li>'
        for kind, text in (
            ("practised", "practised"),
            ("bridged", "bridged: lost to the date line"),
            ("credited", "credited by support"),
            ("revoked", "revoked by support"),
        )
    )
    return (
        "<h2>Some of their days</h2>"
        "<p>Streaks come from sets of dates. Travel, credits and revocations all end in the same "
        "picture, in whatever order they arrive.</p>"
        f'<ul class="legend">{legend}</ul><ul class="months">{"".join(map(_strip, chosen))}</ul>'
    )


class Strip(msgspec.Struct, frozen=True):
    """One user's month: what made each date count, "" where nothing did."""

    user_id: str
    place: str
    longest_days: int
    kinds: tuple[str, ...]


def strip_of(record: Decoded, first: int, last: int) -> Strip:
    """Return the dates from `first` to `last` of a progress record."""
    dates = {kind: set(spelled(record["dates"][kind])) for kind in _KINDS}
    kinds = tuple(
        next((kind for kind in _KINDS if day in dates[kind]), "") for day in range(first, last + 1)
    )
    return Strip(record["user_id"], _place(record), record["longest_days"], kinds)


def telling_strips(strips: list[Strip]) -> list[Strip]:
    """Return a few that show every kind of date there is, those that show most of them first."""

    def variety(strip: Strip) -> tuple[int, int, str]:
        return (-len(set(strip.kinds)), strip.kinds.count(""), strip.user_id)

    chosen: dict[str, Strip] = {}
    for kind in ("bridged", "credited", "revoked"):
        having = sorted((s for s in strips if kind in s.kinds), key=variety)
        for strip in having[:SHOWN_OF_EACH_KIND]:
            chosen[strip.user_id] = strip
    return sorted(chosen.values(), key=variety)


def _strip(strip: Strip) -> str:
    counts = Counter(strip.kinds)
    cells = "".join(f'<i class="{kind}"></i>' if kind else "<i></i>" for kind in strip.kinds)
    said = ", ".join(f"{counts[kind]} {kind}" for kind in _SAID if counts[kind])
    return (
        f"<li><p><b>{escape(strip.user_id)}</b> in {escape(strip.place)}: {said}. Longest streak "
        f"{strip.longest_days} days.</p>"
        f'<div class="days" aria-hidden="true">{cells}</div></li>'
    )


def _place(record: dict[str, Any]) -> str:
    return str(record["tz"]).rpartition("/")[2].replace("_", " ")


def _foot() -> str:
    return (
        "</main>\n<footer>The people are made up; the pipeline, its Kafka and its schema registry "
        "were real. Each drawing is the published asset, byte for byte; its name is the SHA-256 of "
        "those bytes.</footer>"
    )
