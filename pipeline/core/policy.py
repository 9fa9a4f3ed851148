"""The policy file.

Owns: the form of `policy.yaml`, and every reason to refuse one.
Does not own: what the rules are once they are accepted (rulebook.py).
Invariant: what `load_policy` returns is coherent; nothing downstream checks it again.
"""

import re
from datetime import date, datetime
from itertools import pairwise
from typing import Any, Final

import msgspec
import yaml

from pipeline.core.calendar import DAY_MS, date_of, instant_of
from pipeline.core.errors import PolicyError
from pipeline.core.rulebook import (
    SESSION_MS_CEILING,
    SESSION_MS_FLOOR,
    Policy,
    PolicyBook,
    Portal,
    check_figures,
)

__all__ = ["Policy", "PolicyBook", "PolicyError", "Portal", "check_figures", "load_policy"]

CYCLE_DAYS_MAX: Final = 108
"""Most days of a cycle: one for each frame that can be drawn."""

CLOCK_AHEAD_S_MAX: Final = 366 * 86_400
CLOCK_AHEAD_S: Final = 86_400
"""Default of clock_ahead_s_max, in seconds."""

TEXT_CHARS_MAX: Final = 1_000_000
_SLUG: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_DAY_START: Final = re.compile(r"([01][0-9]):([0-5][0-9])")
_DAY_START_MINUTES_MAX: Final = 720
_NAME_CHARS_MAX: Final = 64
_TITLE_CHARS_MAX: Final = 120


class _Form(msgspec.Struct, forbid_unknown_fields=True):
    """What both levels of the file share: a field that is not known is a mistake."""


class _PortalForm(_Form):
    day: int
    slug: str
    title: str
    figure: str
    keys: int


class _VersionForm(_Form):
    version: str
    effective_from: datetime
    day_start: str
    late_days: int
    skew_tolerance_s: int
    future_skew_s: int
    session_s_min: int
    session_s_max: int
    portals: list[_PortalForm]
    clock_ahead_s_max: int = CLOCK_AHEAD_S
    bridge_shift: bool = False


class _FileForm(_Form):
    cycle_days: int
    earliest_date: date
    window_days: int
    versions: list[_VersionForm]


class _StrictLoader(yaml.SafeLoader):
    """YAML whose mappings name each key once and whose nodes stand where they are used."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise PolicyError(f"line {mark.line + 1}: aliases are not allowed; write it out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise PolicyError(f"line {key.start_mark.line + 1}: {name!r} is given twice")
            seen.add(name)
        return super().construct_mapping(node, deep)


def load_policy(text: str) -> PolicyBook:
    """Read a policy file.

    Args:
        text: the YAML; at most a million characters.

    Returns:
        Every version in it, checked.

    Raises:
        PolicyError: it is not YAML, not of the form, or incoherent. **Operator action**: as its
            reason.
    """
    _require(len(text) <= TEXT_CHARS_MAX, f"longer than {TEXT_CHARS_MAX} characters")
    try:
        form = msgspec.convert(yaml.load(text, _StrictLoader), _FileForm)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise PolicyError(f"cannot be read: {error}") from error
    _require(
        1 <= form.cycle_days <= CYCLE_DAYS_MAX,
        f"cycle_days is {form.cycle_days}; 1 to {CYCLE_DAYS_MAX} can be drawn",
    )
    _require(len(form.versions) > 0, "has no versions; give at least one")
    versions = tuple(_version(version, form) for version in form.versions)
    _check_order(versions)
    _check_window(form)
    return PolicyBook(versions, form.window_days * DAY_MS)


def _check_order(versions: tuple[Policy, ...]) -> None:
    _require(
        versions[0].effective_from == 0,
        f"version {versions[0].version!r} is the first and must be effective_from "
        "1970-01-01T00:00:00Z, so that some version rules every event",
    )
    for before, after in pairwise(versions):
        _require(
            before.effective_from < after.effective_from,
            f"version {after.version!r} must take effect after {before.version!r}; "
            "list them in order",
        )
    names = [policy.version for policy in versions]
    for name in names:
        _require(names.count(name) == 1, f"two versions are called {name!r}; name each once")


def _version(form: _VersionForm, file: _FileForm) -> Policy:
    where = f"version {form.version!r}"
    _require(0 < len(form.version) <= _NAME_CHARS_MAX, f"{where}: its name is empty or too long")
    _require(form.version.isprintable(), f"{where}: its name has control characters")
    _require(
        form.effective_from.tzinfo is not None,
        f"{where}: effective_from has no zone; end it with Z",
    )
    start = _DAY_START.fullmatch(form.day_start)
    minutes = int(start[1]) * 60 + int(start[2]) if start else _DAY_START_MINUTES_MAX + 1
    _require(
        minutes <= _DAY_START_MINUTES_MAX,
        f"{where}: day_start {form.day_start!r} is not a time from 00:00 to 12:00, in quotes",
    )
    _check_lengths(where, form)
    portals = _portals(where, form.portals, file.cycle_days)
    by_day: list[Portal | None] = [None] * (file.cycle_days + 1)
    for portal in portals:
        by_day[portal.day] = portal
    return Policy(
        version=form.version,
        effective_from=instant_of(form.effective_from),
        day_start_minutes=minutes,
        late_ms=form.late_days * DAY_MS,
        skew_tolerance_ms=form.skew_tolerance_s * 1000,
        clock_ahead_ms_max=form.clock_ahead_s_max * 1000,
        future_skew_ms=form.future_skew_s * 1000,
        session_ms_min=form.session_s_min * 1000,
        session_ms_max=form.session_s_max * 1000,
        portals=portals,
        cycle_days=file.cycle_days,
        earliest_date=date_of(file.earliest_date),
        by_day=tuple(by_day),
        bridge_shift=form.bridge_shift,
    )


def _check_lengths(where: str, form: _VersionForm) -> None:
    _require(1 <= form.late_days <= 366, f"{where}: late_days must be 1 to 366")
    _require(
        0 <= form.skew_tolerance_s <= form.future_skew_s <= 86_400,
        f"{where}: 0 <= skew_tolerance_s <= future_skew_s <= 86400 does not hold; a clock within "
        "the tolerance is believed, so what it says must not be too far ahead",
    )
    _require(
        form.skew_tolerance_s <= form.clock_ahead_s_max <= CLOCK_AHEAD_S_MAX,
        f"{where}: clock_ahead_s_max must be from skew_tolerance_s, {form.skew_tolerance_s}, to "
        f"{CLOCK_AHEAD_S_MAX}",
    )
    _require(
        form.session_s_min * 1000 >= SESSION_MS_FLOOR,
        f"{where}: session_s_min must be {SESSION_MS_FLOOR // 1000} or more",
    )
    _require(
        form.session_s_min < form.session_s_max <= SESSION_MS_CEILING // 1000,
        f"{where}: session_s_max must be above session_s_min and at most "
        f"{SESSION_MS_CEILING // 1000}",
    )


def _check_window(form: _FileForm) -> None:
    """Check that no completion can count twice, however late it is sent again.

    Let L, S and F be late_days, clock_ahead_s_max and future_skew_s, W the window, and let a
    completion that says that it ended at e be accepted at T. Its clock was put right by some s from
    0 to S (0 without sent_at), and it had ended by T + F even so:

        e - s <= T + F, hence e <= T + F + S.

    Until T + W it is remembered. Let the same be sent again at a later T', whatever sent_at says
    then: putting right only ever takes off, so it counts as ended at e at the latest. That is too
    late when e < T' - L; so it is for every T' > T + W when

        W >= L + S + F.

    The two may be judged by different versions, so each of the three is the most of any version.

    One day is added. A cover (dedupe.py) needs it: an accepted session had ended by T + F, clock
    put right, and what still counts after T + W ended after T + W - L and began at most a day
    before that, so it can cross nothing forgotten when W >= L + F + one day. And it lets append
    times step back by up to a day, although the window was swept up to the later one.
    """
    day_s = DAY_MS // 1000
    versions = form.versions
    needed_s = (
        max(version.late_days for version in versions) * day_s
        + max(version.clock_ahead_s_max for version in versions)
        + max(version.future_skew_s for version in versions)
        + day_s
    )
    # guard (removed): the window outlives what may come late
    _require(
        form.window_days * day_s >= needed_s,
        f"window_days is {form.window_days}, which is less than late_days + clock_ahead_s_max + "
        "future_skew_s + one day (of each the most in any version); raise it to "
        f"{-(-needed_s // day_s)}, or a completion that is sent again could count twice",
    )


def _portals(where: str, forms: list[_PortalForm], cycle_days: int) -> tuple[Portal, ...]:
    _require(len(forms) > 0, f"{where}: has no portals")
    for form in forms:
        here = f"{where}, portal {form.slug!r}"
        _require(
            len(form.slug) <= _NAME_CHARS_MAX and _SLUG.fullmatch(form.slug) is not None,
            f"{here}: a slug is lower-case words joined by hyphens, from a letter on, at most "
            f"{_NAME_CHARS_MAX} characters",
        )
        _require(
            _SLUG.fullmatch(form.figure) is not None, f"{here}: figure {form.figure!r} is no slug"
        )
        _require(
            0 < len(form.title) <= _TITLE_CHARS_MAX and form.title.isprintable(),
            f"{here}: title must have 1 to {_TITLE_CHARS_MAX} printable characters",
        )
        _require(1 <= form.day <= cycle_days, f"{here}: day {form.day} is not in 1 to {cycle_days}")
        _require(0 <= form.keys <= 16, f"{here}: keys must be 0 to 16")
    for before, after in pairwise(forms):
        _require(
            before.day < after.day,
            f"{where}, portal {after.slug!r}: day {after.day} does not come after day "
            f"{before.day}; list portals by day, one a day",
        )
    slugs = [form.slug for form in forms]
    for slug in slugs:
        _require(slugs.count(slug) == 1, f"{where}: two portals are called {slug!r}")
    return tuple(Portal(form.day, form.slug, form.title, form.figure, form.keys) for form in forms)


def _require(holds: bool, reason: str) -> None:
    if not holds:
        raise PolicyError(reason)
