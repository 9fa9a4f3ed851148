"""What support and the rewards service ask for.

Owns: credits, revocations, withdrawals and claims, some of them sent twice; dates that are credited
to people who never practised; commands that must be refused.
Does not own: completions (reports.py).
Invariant: each command's verdict is known beforehand, whatever the order of the two topics.
"""

from random import Random
from typing import Any, Final
from uuid import UUID

import msgspec

from pipeline.core.records import Command
from pipeline.dev.workload.ground_truth import InputRecord
from pipeline.dev.workload.people import DAY_MS, HOMES, MINUTE_MS, Role
from pipeline.dev.workload.wire import Wire, json_command

CLAIMER: Final = 0.12
CREDITED: Final = 0.04
REVOKED: Final = 0.015
"""Shares of the people who claim keys, who get credits, whose dates are revoked."""

WITHDRAWN: Final = 0.3
SAYS_ZONE: Final = 0.2
"""Shares of the corrections that are withdrawn, that name a zone."""

REPEATED: Final = 0.1
"""Share of the commands that are sent twice."""

IMPORTED_DAYS: Final = 5


class Claimable(msgspec.Struct, frozen=True):
    """A portal of the first lap, and how many keys (0 and up) it grants."""

    slug: str
    keys: int


class CommandContext(msgspec.Struct, frozen=True):
    """The user whom commands are about, when they are sent, and what they may claim.

    Attributes:
        month: (from, before) in ms since the epoch.
        claimable: portals whose keys can be claimed, granted yet or not.
    """

    user_id: str
    month: tuple[int, int]
    claimable: tuple[Claimable, ...]
    wire: Wire


def commands_about(context: CommandContext, rng: Random, role: Role = "") -> list[InputRecord]:
    """Return every command about one user, in no order."""
    asked: list[tuple[Command, int]] = []
    if role in ("credits", "credits_nowhere"):
        asked.extend(_imported(context, rng, with_zone=role == "credits"))
    if role == "revoked":
        asked.extend(_revoked_and_credited(context, rng))
    if rng.random() < CLAIMER:
        asked.extend(_claims(context, rng))
    if rng.random() < CREDITED:
        asked.extend(_corrections("credit", context, rng))
    if rng.random() < REVOKED:
        asked.extend(_corrections("revoke", context, rng))
    return _sent(context, asked, rng)


def corrections(kind: str, context: CommandContext, rng: Random) -> list[InputRecord]:
    """Return one or two commands of `kind`, credit or revoke, with what withdraws them."""
    return _sent(context, _corrections(kind, context, rng), rng)


def _sent(
    context: CommandContext, asked: list[tuple[Command, int]], rng: Random
) -> list[InputRecord]:
    sent = []
    for command, at_ms in asked:
        sent.append(_to_send(context, command, at_ms, "applied", rng))
        if rng.random() < REPEATED:
            again = at_ms + rng.randrange(MINUTE_MS, DAY_MS)
            sent.append(_to_send(context, command, again, "repeated", rng))
    return sent


def _claims(context: CommandContext, rng: Random) -> list[tuple[Command, int]]:
    asked = []
    for portal in rng.sample(context.claimable, rng.randrange(1, len(context.claimable) + 1)):
        for i in range(portal.keys):
            command = Command(
                request_id=f"r-{rng.getrandbits(64):016x}",
                user_id=context.user_id,
                kind="claim_key",
                actor="rewards",
                key_id=context.wire.key_id(context.user_id, 0, portal.slug, i),
            )
            asked.append((command, rng.randrange(*context.month)))
    return asked


def _corrections(kind: str, context: CommandContext, rng: Random) -> list[tuple[Command, int]]:
    asked = []
    for _ in range(rng.randrange(1, 3)):
        at_ms = rng.randrange(*context.month)
        local_date = at_ms // DAY_MS - rng.randrange(0, 20)
        correction = _correction(kind, local_date, context, rng)
        asked.append((correction, at_ms))
        if rng.random() < WITHDRAWN:
            withdrawal = Command(
                request_id=f"r-{rng.getrandbits(64):016x}",
                user_id=context.user_id,
                kind="withdraw",
                actor="support:lea",
                reason="asked for the wrong date",
                ticket=correction.ticket,
                withdraws=correction.request_id,
            )
            asked.append((withdrawal, at_ms + rng.randrange(-DAY_MS, DAY_MS)))
    return asked


def _correction(kind: str, local_date: int, context: CommandContext, rng: Random) -> Command:
    return Command(
        request_id=f"r-{rng.getrandbits(64):016x}",
        user_id=context.user_id,
        kind=kind,
        actor=rng.choice(("support:ana", "support:jomo", "support:lea")),
        reason="phone was lost" if kind == "credit" else "session was a test",
        ticket=f"SUP-{rng.randrange(1000, 9999)}",
        local_date=local_date,
        tz=_zone(rng) if rng.random() < SAYS_ZONE else None,
    )


def _zone(rng: Random) -> str:
    return rng.choice((rng.choice(HOMES)[0], "pacific/honolulu", "US/Pacific-New", "GMT+5:30"))


def _imported(
    context: CommandContext, rng: Random, *, with_zone: bool
) -> list[tuple[Command, int]]:
    """Return credits for the last days of somebody who comes from another app."""
    at_ms = context.month[1] - rng.randrange(MINUTE_MS, DAY_MS // 2)
    tz = _zone(rng) if with_zone else None
    asked = []
    for day in range(IMPORTED_DAYS):
        credit = _correction("credit", at_ms // DAY_MS - 1 - day, context, rng)
        asked.append((msgspec.structs.replace(credit, tz=tz), at_ms))
    return asked


def _revoked_and_credited(context: CommandContext, rng: Random) -> list[tuple[Command, int]]:
    """Return a revocation by mistake, twice, and a credit of the same date: nothing changes."""
    at_ms = context.month[1] - rng.randrange(DAY_MS // 4, DAY_MS // 2)
    local_date = at_ms // DAY_MS - 1
    return [
        (_correction(kind, local_date, context, rng), at_ms + n * MINUTE_MS)
        for n, kind in enumerate(("revoke", "revoke", "credit"))
    ]


def _to_send(
    context: CommandContext, command: Command, at_ms: int, verdict: str, rng: Random
) -> InputRecord:
    avro = rng.random() < 0.5
    return InputRecord(
        kind="commands",
        partition=None,
        key=context.user_id.encode(),
        value=context.wire.avro_command(command) if avro else json_command(command),
        append_time_ms=at_ms,
        headers=(),
        verdict=verdict,
    )


def _refusable(rng: Random, at_ms: int) -> dict[str, dict[str, Any]]:
    why = {"reason": "phone was lost", "ticket": "SUP-1"}
    return {
        "impossible_key": {"kind": "claim_key", "key_id": str(UUID(int=rng.getrandbits(128)))},
        "credit_ahead": {"kind": "credit", "local_date": at_ms // DAY_MS + 10, **why},
        "credit_too_early": {"kind": "credit", "local_date": 10, **why},
        "credit_without_date": {"kind": "credit", **why},
        "withdraws_nothing": {"kind": "withdraw", **why},
        "credit_in_no_zone": {
            "kind": "credit",
            "local_date": at_ms // DAY_MS,
            "tz": "Mars/Olympus_Mons",
            **why,
        },
    }


REFUSED: Final = tuple(_refusable(Random(0), 0))
"""The kinds of command that must be refused."""


def refused(kind: str, context: CommandContext, at_ms: int, rng: Random) -> InputRecord:
    """Return a command that is readable but must be refused; `kind` is one of `REFUSED`."""
    command = Command(
        request_id=f"r-{rng.getrandbits(64):016x}",
        user_id=context.user_id,
        actor="support:jomo",
        **_refusable(rng, at_ms)[kind],
    )
    sent = _to_send(context, command, at_ms, "dead_letter", rng)
    return msgspec.structs.replace(sent, garbage=kind)
