"""The outputs against the oracle, and both against the ground truth.

Owns: every check of a run, the count of differences by kind, examples of them for people.
Does not own: reading (plain_reader.py), what is expected (expected.py).
Invariant: a run is right only if every count is 0; each kind of difference has a count, also when
it is 0.
"""

from collections import Counter, defaultdict
from hashlib import sha256
from typing import Any, Final

import msgspec

from pipeline.core.enumerations import CHANGING
from pipeline.core.geometry.catalogue import GoldenCatalogue
from pipeline.core.geometry.cycle import LAST_FRAMES
from pipeline.dev.demo.alerts import alert_differences
from pipeline.dev.demo.causes import coordinates_of
from pipeline.dev.demo.expected import (
    REASONS,
    days,
    expected_audit,
    expected_progress,
    shown_progress,
)
from pipeline.dev.demo.outputs import Outputs, Seen, where
from pipeline.dev.demo.sending import Sent
from pipeline.dev.oracle import Judgement, Rules, Unlock, UserModel
from pipeline.dev.oracle.events import Coordinates
from pipeline.dev.oracle.users import unlock_id

KINDS: Final = (
    "inputs_unaudited", "inputs_audited_again", "audit_chain_breaks", "verdicts_wrong",
    "verdicts_not_planted", "audit_entries_wrong", "dead_letters_missing", "dead_letters_extra",
    "dead_letters_altered", "reasons_wrong", "rejections_wrong", "alerts_missing", "alerts_extra",
    "alerts_wrong", "portals_missing", "portals_extra", "portals_wrong", "audited_unlocks_wrong",
    "users_wrong", "geometry_wrong", "assets_unknown", "early_reads_gone",
    "rebuild_wrong",
)  # fmt: skip
EXAMPLES_MAX: Final = 3
_HASH_BYTES: Final = 32
_HASH_LENGTH: Final = bytes([_HASH_BYTES << 1])
"""Avro's length of a field of 32 bytes."""


class Differences(msgspec.Struct):
    """What is not as it ought to be.

    Attributes:
        counts: by kind, all of `KINDS`.
        examples: the first few of each kind, as sentences.
    """

    counts: Counter[str] = msgspec.field(default_factory=lambda: Counter(dict.fromkeys(KINDS, 0)))
    examples: list[str] = msgspec.field(default_factory=list)

    def note(self, kind: str, what: str) -> None:
        """Count one difference of `kind`."""
        self.counts[kind] += 1
        if self.counts[kind] <= EXAMPLES_MAX:
            self.examples.append(f"{kind}: {what}")

    @property
    def total(self) -> int:
        """All of them; 0 when the run is right."""
        return sum(self.counts.values())


def compare(
    outputs: Outputs, sent: dict[Coordinates, Sent], judgement: Judgement, rules: Rules
) -> Differences:
    """Compare everything.

    Args:
        outputs: everything the pipeline wrote.
        sent: the log, with what was meant by each record.
        judgement: the oracle's, of that log.
    """
    found = Differences()
    _compare_audit(outputs, sent, judgement, found)
    _compare_chains(outputs, found)
    _compare_dead_letters(outputs, sent, judgement, found)
    for kind, what in alert_differences(outputs.alerts, judgement.verdicts, outputs.kinds):
        found.note(kind, what)
    _compare_portals(outputs, judgement, found)
    _compare_users(outputs, judgement, rules, found)
    _compare_geometry(outputs, judgement, found)
    _compare_assets(outputs, found)
    return found


def compare_early_reads(seen: Seen, outputs: Outputs, found: Differences) -> None:
    """Check that what a consumer read while the worker ran is what is there now."""
    final = {where(message): message.value() for message, _ in outputs.audit}
    for coordinates, (value, _) in seen.items():
        if final.get(coordinates) != value:
            found.note("early_reads_gone", f"audit {coordinates} was read while the worker ran")


def _compare_audit(
    outputs: Outputs, sent: dict[Coordinates, Sent], judgement: Judgement, found: Differences
) -> None:
    entries: defaultdict[Coordinates, list[dict[str, Any]]] = defaultdict(list)
    for _, entry in outputs.audit:
        entries[coordinates_of(entry["cause"], outputs.kinds)].append(entry)
    for coordinates in entries.keys() - sent.keys():
        found.note("inputs_audited_again", f"{coordinates} is no input of this run")
    for coordinates, one in sent.items():
        audited = entries.get(coordinates, [])
        if not audited:
            found.note("inputs_unaudited", f"{coordinates} has no audit entry")
            continue
        if len(audited) > 1:
            found.note("inputs_audited_again", f"{coordinates} has {len(audited)} audit entries")
        verdict, entry = judgement.verdicts[coordinates], audited[0]
        if entry["verdict"] != verdict.word:
            found.note(
                "verdicts_wrong",
                f"{coordinates} is {verdict.word} {verdict.category}, told as {entry['verdict']}",
            )
        else:
            ought = expected_audit(verdict)
            for name in (name for name in ought if entry[name] != ought[name]):
                found.note(
                    "audit_entries_wrong",
                    f"{coordinates}: {name} is {entry[name]}, ought to be {ought[name]}",
                )
        if verdict.word != one.meant.verdict:
            found.note(
                "verdicts_not_planted",
                f"{coordinates} was planted as {one.meant.verdict} {one.meant.garbage}, the oracle "
                f"calls it {verdict.word} {verdict.category}",
            )


def _compare_chains(outputs: Outputs, found: Differences) -> None:
    """Check that each partition's entries are numbered without gaps and linked by their hashes."""
    heads: dict[int, tuple[int, bytes]] = {}
    for message, entry in outputs.audit:
        partition = entry["partition"]
        start = (0, _genesis(entry["generation"], partition))
        sequence, prev_hash = heads.get(partition, start)
        value = message.value() or b""
        body = value[5 : -_HASH_BYTES - 1]
        sound = (
            entry["sequence"] == sequence
            and entry["prev_hash"] == prev_hash
            and value[-_HASH_BYTES - 1 :] == _HASH_LENGTH + entry["hash"]
            and entry["hash"] == sha256(prev_hash + body).digest()
        )
        if not sound:
            found.note("audit_chain_breaks", f"partition {partition} at {entry['sequence']}")
        heads[partition] = (entry["sequence"] + 1, entry["hash"])


def _genesis(generation: str, partition: int) -> bytes:
    """What the first entry of a chain has for the hash before it."""
    return sha256(f"awaway/audit/{generation}/{partition}".encode()).digest()


def _compare_dead_letters(
    outputs: Outputs, sent: dict[Coordinates, Sent], judgement: Judgement, found: Differences
) -> None:
    letters: dict[Coordinates, dict[str, Any]] = {}
    for letter in outputs.dead_letters:
        coordinates = coordinates_of(letter["cause"], outputs.kinds)
        verdict = judgement.verdicts.get(coordinates)
        if coordinates in letters or verdict is None or verdict.word != "dead_letter":
            found.note("dead_letters_extra", f"{coordinates}: {letter['reason']}")
        letters[coordinates] = letter
    for _, entry in outputs.audit:
        coordinates = coordinates_of(entry["cause"], outputs.kinds)
        rejection = letters[coordinates]["reason"] if coordinates in letters else None
        if entry["rejection"] != rejection:
            found.note(
                "rejections_wrong",
                f"{coordinates} is audited as {entry['rejection']}, not {rejection}",
            )
    for coordinates, verdict in judgement.verdicts.items():
        if verdict.word != "dead_letter":
            continue
        published = letters.get(coordinates)
        if published is None:
            found.note("dead_letters_missing", f"{coordinates}: {verdict.category}")
            continue
        original = sent[coordinates]
        raw = (original.logged.key, original.logged.value, original.logged.append_time_ms)
        headers = [(header["key"], header["value"]) for header in published["headers"]]
        if (
            published["key"],
            published["value"],
            published["append_time"],
        ) != raw or headers != original.headers:
            found.note("dead_letters_altered", f"{coordinates} is not the record that was sent")
        if published["reason"] not in REASONS.get(original.meant.garbage, ()):
            found.note(
                "reasons_wrong",
                f"{coordinates} was {original.meant.garbage}, told as {published['reason']}",
            )


def _compare_portals(outputs: Outputs, judgement: Judgement, found: Differences) -> None:
    due = {
        (user_id, one.lap, one.slug): one
        for user_id, user in judgement.users.items()
        for one in user.unlocks.values()
    }
    published = Counter((one["user_id"], one["lap"], one["portal"]) for one in outputs.portals)
    for portal in sorted((Counter(due.keys()) - published).elements()):
        found.note("portals_missing", f"{portal} was not told")
    for portal in sorted((published - Counter(due.keys())).elements()):
        found.note("portals_extra", f"{portal} was told once too often")
    for record in outputs.portals:
        key = (record["user_id"], record["lap"], record["portal"])
        one = due.get(key)
        if one is None:
            continue
        said = _published_of(record, outputs.kinds)
        ought = _ought_to_say(record["user_id"], one)
        names = [name for name in ought if said[name] != ought[name]]
        if names:
            found.note("portals_wrong", f"{key} says {names[0]} {said[names[0]]}")
    by_coordinates: defaultdict[Coordinates, list[str]] = defaultdict(list)
    for user_id, user in judgement.users.items():
        for one in user.unlocks.values():
            by_coordinates[one.coordinates].append(unlock_id(user_id, one.lap, one.slug))
    for _, entry in outputs.audit:
        coordinates = coordinates_of(entry["cause"], outputs.kinds)
        if entry["unlock_ids"] != by_coordinates.get(coordinates, []):
            found.note("audited_unlocks_wrong", f"{coordinates} says {entry['unlock_ids']}")


def _published_of(record: dict[str, Any], kinds: dict[str, str]) -> dict[str, Any]:
    ahead = record["next_portal"]
    return record | {
        "cause": coordinates_of(record["cause"], kinds),
        "next_portal": ahead and (ahead["slug"], ahead["days_away"]),
    }


def _ought_to_say(user_id: str, one: Unlock) -> dict[str, Any]:
    """Return what a portal's record has to say, by its field names."""
    return {
        "unlock_id": unlock_id(user_id, one.lap, one.slug),
        "cycle_day": one.day,
        "streak_days": one.shown.streak_days,
        "longest_days": one.shown.longest_days,
        "lifetime_days": one.shown.lifetime_days,
        "reached_on": days(one.reached_on),
        "tz": one.tz,
        "field_keys": list(one.keys),
        "field_keys_pending": one.keys_pending,
        "next_portal": one.shown.next_portal,
        "unlocked_at": one.unlocked_at_ms,
        "cause": one.coordinates,
    }


def _compare_users(
    outputs: Outputs, judgement: Judgement, rules: Rules, found: Differences
) -> None:
    for user_id in outputs.progress.keys() | judgement.users.keys():
        record, user = outputs.progress.get(user_id), judgement.users.get(user_id)
        wrong = _wrong_with(record, user, rules, outputs.kinds)
        if wrong:
            found.note("users_wrong", f"{user_id}: {wrong}")


def _wrong_with(
    record: dict[str, Any] | None, user: UserModel | None, rules: Rules, kinds: dict[str, str]
) -> str:
    if record is None:
        return "has no progress record"
    if user is None:
        return "never did anything that counts, but has a progress record"
    shown = shown_progress(record)
    due = expected_progress(user, rules, user.last_change_ms)
    names = [name for name in due if shown[name] != due[name]]
    if names:
        return f"{names[0]} is {shown[names[0]]}, ought to be {due[names[0]]}"
    if (record["updated_at"], coordinates_of(record["cause"], kinds)) != (
        user.last_change_ms,
        user.last_change,
    ):
        return f"was last changed by {user.last_change}, not by {record['cause']}"
    return ""


def _compare_geometry(outputs: Outputs, judgement: Judgement, found: Differences) -> None:
    """Check that each completed figure was told once, and that the last frame is the present."""
    published: Counter[tuple[Coordinates, int]] = Counter()
    last: dict[str, int] = {}
    for record in outputs.geometry:
        published[coordinates_of(record["cause"], outputs.kinds), record["frame"]] += 1
        last[record["user_id"]] = record["frame"]
    for shown, count in published.items():
        if count > 1 or judgement.verdicts[shown[0]].word not in CHANGING:
            found.note("geometry_wrong", f"{shown} was told {count} times")
    for user_id, user in judgement.users.items():
        for one in user.unlocks.values():
            if one.day in LAST_FRAMES and not published[one.coordinates, one.day]:
                found.note("geometry_wrong", f"{user_id} was not told of frame {one.day}")
    for user_id, record in outputs.progress.items():
        if record["frame"] and record["frame"] != last.get(user_id):
            found.note("geometry_wrong", f"{user_id} stands at another frame than was told last")


def _compare_assets(outputs: Outputs, found: Differences) -> None:
    """Check each asset id against the published catalogue: frame and variant must be its own."""
    catalogue = GoldenCatalogue()
    for record in outputs.figures():
        frame, variant = record["frame"], catalogue.variant_of(record["user_id"])
        if record["asset_id"] != catalogue.asset_id(frame, variant):
            found.note("assets_unknown", f"{record['user_id']}, frame {frame}")
