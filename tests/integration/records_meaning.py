"""What the docs of the schemas say, computed again from the inputs.

Owns: the formulas that the docs give (ids, digest, hashes, framing), and what policy.yaml and the
catalogue's files say of days, portals and pictures.
Does not own: which field is held to what (records_tables.py, records_of_users.py).
Invariant: nothing here calls the pipeline's code, but for the oracle.
"""

import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import uuid5

import msgspec
import yaml

from chaos.ledger import Output
from pipeline.core.enumerations import REQUEST_KINDS
from pipeline.dev.oracle import Completion, Logged, Progress, SupportCommand, Unlock, UserModel
from pipeline.dev.oracle.model import about_of
from pipeline.dev.oracle.rules import Policy
from tests.integration.records_scene import NAMESPACE, Scene, Step, catalogue_in

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ONE_DAY = timedelta(days=1)
FRAMING_BYTES = 5
VARIANTS = 12
FIGURES = {
    1: "bindu",
    3: "vesica-piscis",
    7: "tripod-of-life",
    13: "seed-of-life",
    21: "egg-of-life",
    30: "flower-of-life",
    40: "fruit-of-life",
    51: "metatrons-cube",
    62: "merkaba",
    73: "platonic-solids",
    84: "tree-of-life",
    96: "golden-spiral",
    108: "sri-yantra",
}
"""By their last frames."""


@dataclass(frozen=True)
class Published:
    """One published record with all that its fields can be held to.

    Attributes:
        step: the input that it names as its cause. nth: among the records of that input there.
    """

    scene: Scene
    step: Step
    output: Output
    nth: int

    @property
    def value(self) -> dict[str, Any]:
        """The record as the plain consumer decoded it."""
        return self.output.value

    @property
    def at(self) -> datetime:
        """Append time of the input."""
        return instant_of(self.step.logged)

    @property
    def policy(self) -> Policy:
        """In force at the input's append."""
        return self.scene.rules.at(self.step.logged.append_time_ms)

    @property
    def judged_by(self) -> Policy:
        """In force at the input's append; of a redrive, at that of the original record."""
        event = self.step.event
        if self.step.judged is event or not isinstance(event, SupportCommand):
            return self.policy
        assert event.carried_at_ms is not None
        return self.scene.rules.at(event.carried_at_ms)

    @property
    def user(self) -> UserModel:
        """After the input."""
        assert self.step.after is not None
        return self.step.after

    @property
    def shown(self) -> Progress:
        """The user's progress after the input, at its append."""
        return self.user.progress(self.step.logged.append_time_ms, self.policy)

    @property
    def completion(self) -> Completion:
        """The input, or what it redrives, of a record that only completions cause."""
        assert isinstance(self.step.judged, Completion)
        return self.step.judged

    @property
    def unlock(self) -> Unlock:
        """What a record of a portal is about."""
        return unlocks_of(self.step)[self.nth]

    def picture(self, frame: int) -> str:
        """The id of a frame in the user's variant, as the catalogue's file lists it."""
        return catalogue_in(self.scene.ledger.assets)[1][frame - 1][variant_of(self.user.user_id)]


def instant_of(logged: Logged) -> datetime:
    """Append time of an input, as the plain consumer has instants."""
    return EPOCH + timedelta(milliseconds=logged.append_time_ms)


def unlocks_of(step: Step) -> list[Unlock]:
    """The portals that an input unlocked, in the order in which the run passes them."""
    found = step.after.unlocks.values() if step.after is not None and step.is_change else ()
    return [one for one in found if one.coordinates == step.logged.coordinates]


def uuid_of(*parts: object) -> str:
    """A version-5 UUID of what the docs say is joined by slashes."""
    return str(uuid5(NAMESPACE, "/".join(map(str, parts))))


def event_id(record: Published) -> str:
    """The completion_id or request_id; empty where the rules did not get to read it."""
    event = record.step.event
    if event is None:
        return ""
    return event.completion_id if isinstance(event, Completion) else event.request_id


def schema_id_of(value: bytes | None) -> int | None:
    """Bytes 1 to 4 of a value that begins with a zero byte and has them."""
    if value is None or len(value) < FRAMING_BYTES or value[0] != 0:
        return None
    return int.from_bytes(value[1:FRAMING_BYTES], "big", signed=True)


def variant_of(user_id: str) -> int:
    """CRC-32 of the user id modulo 12."""
    return zlib.crc32(user_id.encode()) % VARIANTS


def runs(dates: Iterable[date]) -> list[tuple[date, int]]:
    """The first date and the length of each run, in order."""
    found: list[tuple[date, int]] = []
    for one in sorted(set(dates)):
        if found and found[-1][0] + found[-1][1] * ONE_DAY == one:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((one, 1))
    return found


def digest_of(user: UserModel) -> str:
    """BLAKE2b of the MessagePack array that the doc of digest_before lists."""
    laps: dict[str, set[date]] = {}
    for lap, slug in user.unlocks:
        laps.setdefault(slug, set()).add(EPOCH.date() + lap * ONE_DAY)
    numbers = msgspec.msgpack.encode(
        [
            _numbers(user.practised),
            _numbers(user.bridges),
            *(_requests(user, kind) for kind in REQUEST_KINDS),
            [[slug, _numbers(of)] for slug, of in sorted(laps.items())],
        ]
    )
    return hashlib.blake2b(numbers, digest_size=8).hexdigest()


def _numbers(dates: Iterable[date]) -> list[list[int]]:
    return [[(start - EPOCH.date()).days, length] for start, length in runs(dates)]


def _requests(user: UserModel, kind: str) -> list[list[Any]]:
    return sorted([one.request_id, _plain(one)] for one in user.commands if one.kind == kind)


def _plain(command: SupportCommand) -> int | str | None:
    about = about_of(command)
    return (about - EPOCH.date()).days if isinstance(about, date) else about


@lru_cache(maxsize=8)
def _versions(policy_text: str) -> dict[str, Any]:
    return {one["version"]: one for one in yaml.safe_load(policy_text)["versions"]}


def portal_row(record: Published, slug: str) -> dict[str, Any]:
    """One portal of the policy in force, as the policy file has it."""
    rows: list[dict[str, Any]] = _versions(record.scene.policy_text)[record.policy.version][
        "portals"
    ]
    (found,) = [row for row in rows if row["slug"] == slug]
    return found


def figure_of(frame: int) -> str:
    """The figure that a frame belongs to."""
    return next(figure for last, figure in FIGURES.items() if frame <= last)


def frames_of(record: Published) -> list[tuple[int, date]]:
    """Frame and date of each geometry record that the input causes, the current one last."""
    if not record.step.is_change:
        return []
    shown = record.shown
    found = [(one.day, one.reached_on) for one in unlocks_of(record.step)]
    if shown.streak_safe_until is None:
        return found
    current = (shown.cycle_day, shown.streak_safe_until - ONE_DAY)
    if current in found:
        found.remove(current)
    elif shown.cycle_day == record.step.frame_before:
        return found
    return [*found, current]
