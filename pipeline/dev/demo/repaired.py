"""What repairs change in the oracle's answer, which knows no repair.

Owns: the verdict of each repair, the revisions after it, the portals that it told.
Does not own: the oracle, the comparison (comparing.py).
Invariant: a repair changes nothing that follows from the inputs: it is one revision more, and a
portal that was missed because of the damage is told by it, as of then.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import msgspec

from pipeline.dev.demo.causes import coordinates_of
from pipeline.dev.demo.outputs import Decoded, Outputs
from pipeline.dev.demo.sending import Sent
from pipeline.dev.oracle import Judgement, Logged, Rules, Verdict
from pipeline.dev.oracle.events import Coordinates, SupportCommand
from pipeline.dev.oracle.users import unlock_id

OPERATION = "operation"
"""The action of a rebuild's step, which is about no user."""

OUTDATED = "outdated_repair"
"""A repair of a user who changed before it came; it must have no effect."""

JudgeAgain = Callable[[list[Logged]], Judgement]
"""The oracle, for a part of the log."""


def take_in_repairs(
    repairs: list[Sent],
    outputs: Outputs,
    sent: dict[Coordinates, Sent],
    judgement: Judgement,
    oracle: tuple[JudgeAgain, Rules],
) -> dict[Coordinates, Sent]:
    """Change the oracle's answer by what repairs do.

    Args:
        repairs: as they lie in the log, with the steps of their rebuilds.
        sent: the log without them.
        judgement: of `sent`; changed in place.

    Returns:
        The log with them. Of each repair the audit says whether it applied.
    """
    found = {one.logged.coordinates: one for one in repairs}
    applied: Counter[str] = Counter()
    revisions: Counter[str] = Counter()
    logs: dict[str, list[Logged]] = {}
    hit = {(one.logged.key or b"").decode() for one in repairs}
    whole = dict(sent)
    ended: set[str] = set()
    for _, entry in outputs.audit:
        coordinates = coordinates_of(entry["cause"], outputs.kinds)
        user_id = entry["user_id"]
        repair = found.get(coordinates)
        if repair is not None and entry["action"] == OPERATION:
            judgement.verdicts[coordinates] = Verdict("applied")
            continue
        if user_id not in hit:
            continue
        if repair is None:
            if coordinates in judgement.verdicts:
                verdict = judgement.verdicts[coordinates]
                revisions[user_id] = max(revisions[user_id], verdict.revision)
                shifted = replace(verdict, revision=verdict.revision + applied[user_id])
                judgement.verdicts[coordinates] = shifted
                logs.setdefault(user_id, []).append(sent[coordinates].logged)
                if judgement.users[user_id].last_change == coordinates:
                    ended.add(user_id)
            continue
        is_applied = entry["verdict"] == "applied"
        applied[user_id] += is_applied
        judgement.verdicts[coordinates] = Verdict(
            "applied" if is_applied else "dead_letter",
            "" if is_applied else OUTDATED,
            user_id=user_id,
            revision=revisions[user_id] + applied[user_id],
        )
        if is_applied:
            _apply(repair, entry, judgement, logs.get(user_id, []), oracle)
            if user_id in ended:
                user = judgement.users[user_id]
                user.last_change = coordinates
                user.last_change_ms = repair.logged.append_time_ms
        else:
            meant = msgspec.structs.replace(repair.meant, verdict="dead_letter", garbage=OUTDATED)
            repair = msgspec.structs.replace(repair, meant=meant)
        whole[coordinates] = repair
    return {**whole, **{one: found[one] for one in found.keys() - whole.keys()}}


def _apply(
    repair: Sent,
    entry: Decoded,
    judgement: Judgement,
    log: list[Logged],
    oracle: tuple[JudgeAgain, Rules],
) -> None:
    user_id = entry["user_id"]
    user, at_ms = judgement.users[user_id], repair.logged.append_time_ms
    # A command that no rule of the oracle asks for: it counts as a change, and as nothing else.
    user.commands.append(SupportCommand(str(repair.logged.coordinates), user_id, "repair", ""))
    told = set(entry["unlock_ids"])
    if told:
        judge_again, rules = oracle
        by_then = judge_again(log).users[user_id]
        shown = by_then.progress(at_ms, rules.at(at_ms))
        for portal, unlock in user.unlocks.items():
            if portal in by_then.unlocks and unlock_id(user_id, *portal) in told:
                user.unlocks[portal] = replace(
                    unlock,
                    unlocked_at_ms=at_ms,
                    coordinates=repair.logged.coordinates,
                    shown=shown,
                    keys_pending=len(by_then.keys_pending),
                    tz=by_then.tz,
                )
