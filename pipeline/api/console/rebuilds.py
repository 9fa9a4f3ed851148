"""The console's pages about rebuilds: which there are, and whom one would change.

Owns: what the two pages show, and in which words.
Does not own: the folder that they read (ops/rebuilds.py, ops/rebuild_diffs.py), who may see them
(gate.py), approving, which is a command line: `awaway rebuild approve` (cli/rebuild.py).
Invariants: they only read; a page costs a page, however many users differ; files are read on a
thread, so that a slow disk holds up no reads.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from pipeline.api.console.charts import bar
from pipeline.api.console.history import Tone, place
from pipeline.api.console.rendering import Pages
from pipeline.api.dependencies import Dependencies
from pipeline.api.http.auth import Principal
from pipeline.api.http.problems import ProblemError
from pipeline.api.http.queries import number_of
from pipeline.api.reads.views import asset
from pipeline.errors import AwawayError, UsageError
from pipeline.ops.rebuild_diffs import (
    WHY,
    DiffPage,
    Figures,
    Named,
    Parting,
    ShownDifference,
    diff_page,
    spelled,
)
from pipeline.ops.rebuilds import (
    Progress,
    Rebuild,
    all_of,
    approval,
    folder_of,
    next_step,
    progress_in,
    rebuild_in,
    root_of,
)

PAGE: Final = 25
"""Users of a page."""

_AGAIN: Final = "load this page again"
_AT_MAX: Final = 1 << 50
TONES: Final[Mapping[str, Tone]] = {
    "replaying": "notice", "compared": "notice", "repairing": "bad", "approved": "good",
}  # fmt: skip
"""The tones of a rebuild's states; others are quiet."""

_FIGURES: Final = (
    ("Streak", "streak_days"),
    ("Longest", "longest_days"),
    ("Lifetime", "lifetime_days"),
    ("Portals", "portals"),
    ("Field Keys", "keys"),
)


class Replayed(msgspec.Struct, frozen=True):
    """How far a partition is."""

    progress: Progress
    drawing: Markup


class Cause(msgspec.Struct, frozen=True):
    """Why users differ, and how many."""

    why: str
    text: str
    users: int


class Changed(msgspec.Struct, frozen=True):
    """A user who would change.

    Attributes:
        figures: name, now, then; of those that differ.
        frames: the drawn figure now and then: its name, day and address; empty where it stays.
        portals: that would be unlocked, for ever.
        parting: where the user's log first differs from the replay; None where it never does.
        source: the place of that input.
    """

    user_id: str
    partition: int
    why: str
    figures: Sequence[tuple[str, int, int]]
    frames: Sequence[tuple[str, int, str]]
    added: str
    removed: str
    portals: Sequence[str]
    window_records: int
    parting: Parting | None
    source: str


class Shown(msgspec.Struct, frozen=True):
    """One rebuild's page.

    Attributes:
        command: that approves what is shown; empty where there is nothing to approve.
        digest: of the diff that is shown; empty before the first.
        is_outdated: another comparison has begun since.
    """

    rebuild: Rebuild
    replayed: Sequence[Replayed]
    causes: Sequence[Cause]
    users: Sequence[Changed]
    next_at: int
    digest: str
    command: str
    todo: str
    is_outdated: bool


class Rebuilds:
    """Answers with the pages."""

    def __init__(self, deps: Dependencies, pages: Pages) -> None:
        self._deps = deps
        self._pages = pages

    async def show(self, request: Request, principal: Principal) -> Response:
        """Answer with the list of rebuilds, or with one of them.

        Raises:
            ProblemError: there is no such rebuild, or it cannot be read.
        """
        rebuild_id = request.query_params.get("id", "")
        try:
            if rebuild_id:
                return await self._one(request, principal, rebuild_id)
            return await self._all(request, principal)
        except ProblemError:
            raise
        except UsageError as error:
            raise ProblemError(
                404, "no-such-rebuild", "No such rebuild", f"{error.what}; the list has them all"
            ) from error
        except (OSError, AwawayError) as error:
            raise ProblemError(
                503, "rebuild-not-readable", "The rebuild cannot be read", str(error)
            ) from error

    async def _all(self, request: Request, principal: Principal) -> Response:
        settings = self._deps.settings
        root = root_of(settings)
        found, complaints = await asyncio.to_thread(all_of, settings)
        return self._pages.render(
            "rebuilds.html",
            request,
            principal,
            rebuilds=found,
            complaints=complaints,
            tones=TONES,
            folder=root,
        )

    async def _one(self, request: Request, principal: Principal, rebuild_id: str) -> Response:
        query = request.query_params
        user, why = query.get("user", "").strip(), query.get("why", "")
        given = {"at": query.get("at", "0")}
        at = number_of(given, "at", 0, 0, _AT_MAX)
        folder = folder_of(self._deps.settings, rebuild_id)
        shown = await asyncio.to_thread(self._read, folder, at, why, user)
        part = "rebuild_users.html" if "hx-request" in request.headers else "rebuild.html"
        return self._pages.render(
            part, request, principal, shown=shown, tones=TONES, user=user, why=why, why_texts=WHY
        )

    def _read(self, folder: Path, at: int, why: str, user: str) -> Shown:
        def wanted(one: Named) -> bool:
            return (not why or one.why == why) and (not user or one.user_id == user)

        rebuild = rebuild_in(folder)
        page = diff_page(folder, at, PAGE, wanted) or DiffPage("", [], 0)
        is_outdated = rebuild.state == "replaying" or page.digest != rebuild.digest
        may_be_approved = rebuild.state == "compared" and not is_outdated
        may_be_approved = may_be_approved and bool(rebuild.differing) and not rebuild.tries_policy
        return Shown(
            rebuild,
            [Replayed(one, _drawn(one)) for one in progress_in(folder)],
            [Cause(name, WHY.get(name, ""), n) for name, n in sorted(rebuild.differing.items())],
            [self._changed(one) for one in page.users],
            page.next_at,
            page.digest,
            approval(rebuild, page.digest) if may_be_approved else "",
            next_step(rebuild) if may_be_approved or not is_outdated else _AGAIN,
            bool(page.digest) and is_outdated,
        )

    def _changed(self, one: ShownDifference) -> Changed:
        before, after, parting = one.before, one.after, one.parting
        figures = [
            (label, getattr(before, name), getattr(after, name))
            for label, name in _FIGURES
            if getattr(before, name) != getattr(after, name)
        ]
        return Changed(
            one.user_id,
            one.partition,
            one.why,
            figures,
            [] if before.frame == after.frame else self._frames(one.user_id, before, after),
            spelled(one.dates_added),
            spelled(one.dates_removed),
            [self._titled(portal) for portal in one.portals_missed],
            one.window_records,
            parting,
            "" if parting is None else place(parting.topic, one.partition, parting.offset),
        )

    def _frames(
        self, user_id: str, before: Figures, after: Figures
    ) -> Sequence[tuple[str, int, str]]:
        catalogue = self._deps.catalogue
        variant = catalogue.variant_of(user_id)
        return [
            (catalogue.figure_of(frame), frame, asset(catalogue.asset_id(frame, variant)).svg)
            if frame
            else ("no figure", 0, "")
            for frame in (before.frame, after.frame)
        ]

    def _titled(self, portal: str) -> str:
        """Name a portal, `lap/slug`, as people do, who count laps from 1."""
        lap, _, slug = portal.partition("/")
        known = self._deps.policies.at(self._deps.now_ms()).portals
        title = next((one.title for one in known if one.slug == slug), slug)
        return title if lap == "0" else f"{title}, lap {int(lap) + 1}"


def _drawn(one: Progress) -> Markup:
    share = one.done / one.total if one.total else 1.0
    said = f"Partition {one.partition}: {one.done:,} of {one.total:,} inputs"
    return bar(share, "good" if one.done >= one.total else "notice", said)
