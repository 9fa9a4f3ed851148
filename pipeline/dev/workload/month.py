"""A month of practice, as people live it.

Owns: how many people, pieces of garbage and oddities there are, and the order in which all of it is
appended.
Does not own: what one person does (people.py), reports (reports.py) or asks for (commands.py).
Invariants: the same arguments give the same records, byte for byte; no clock is read; no record is
stamped after the end of the month; a larger crowd holds the smaller one.
"""

from datetime import timedelta
from random import Random
from typing import Final

import msgspec

from pipeline.dev.workload import oddities
from pipeline.dev.workload.commands import (
    REFUSED,
    Claimable,
    CommandContext,
    commands_about,
    refused,
)
from pipeline.dev.workload.garbage import KINDS, NOISE_RECORDS_MAX, garbage
from pipeline.dev.workload.ground_truth import InputRecord
from pipeline.dev.workload.people import DAY_MS, make_person, sessions
from pipeline.dev.workload.reports import Limits, make_device, reports
from pipeline.dev.workload.template import Template
from pipeline.dev.workload.wire import EPOCH, Wire

USERS_PER_GARBAGE: Final = 500
"""Number of users for each piece of garbage and each oddity of a kind; there is at least one."""


class Month(msgspec.Struct, frozen=True):
    """What to make.

    Attributes:
        users, days: 1 and up.
        seed: another one gives other people and another month.
        end_ms: end of the month, in ms since the epoch; the last record is stamped before it.
    """

    users: int
    days: int
    seed: int
    end_ms: int

    @property
    def span(self) -> tuple[int, int]:
        """The month as (from, before), in ms since the epoch."""
        return (self.end_ms - self.days * DAY_MS, self.end_ms)


def generate(
    month: Month, limits: Limits, claimable: tuple[Claimable, ...], wire: Wire
) -> list[InputRecord]:
    """Return the month's records in the order in which they are to be appended: stamps ascend.

    Args:
        limits: the policy's bounds.
        claimable: portals of the first lap, with at least one.
        wire: how records become bytes.
    """
    records: list[InputRecord] = []
    for number in range(month.users):
        records.extend(_one_user(number, month, limits, claimable, wire))
    records.extend(_garbage(month, limits, claimable, wire))
    records.extend(_oddities(month, limits, wire))
    records = [record for record in records if record.append_time_ms < month.end_ms]
    records.sort(key=lambda record: record.append_time_ms)
    return records


def _one_user(
    number: int, month: Month, limits: Limits, claimable: tuple[Claimable, ...], wire: Wire
) -> list[InputRecord]:
    rng = Random(f"{month.seed}/{number}")
    person = make_person(number, month.days, rng)
    first = (EPOCH + timedelta(milliseconds=month.span[0])).date()
    lived = sessions(person, first, month.days + 1, rng)
    device = make_device(month.span, limits, rng, person.role, tuple(wire.newer_completions))
    sent = reports(person.user_id, lived, device, limits, wire, rng)
    context = CommandContext(person.user_id, month.span, claimable, wire)
    return sent + commands_about(context, rng, person.role)


def _garbage(
    month: Month, limits: Limits, claimable: tuple[Claimable, ...], wire: Wire
) -> list[InputRecord]:
    rng = Random(f"{month.seed}/garbage")
    of_each = max(1, month.users // USERS_PER_GARBAGE)
    found = []

    def someone() -> str:
        return f"seeker-{rng.randrange(month.users):05d}"

    for kind in KINDS:
        if kind == "wrong_partition" and wire.partitions == 1:
            continue
        for _ in range(min(of_each, NOISE_RECORDS_MAX) if kind == "noise" else of_each):
            template = Template(someone(), "stranger", rng.randrange(*month.span), limits, wire)
            found.append(garbage(kind, template, rng))
    for kind in REFUSED:
        for _ in range(of_each):
            context = CommandContext(someone(), month.span, claimable, wire)
            found.append(refused(kind, context, rng.randrange(*month.span), rng))
    return found


def _oddities(month: Month, limits: Limits, wire: Wire) -> list[InputRecord]:
    rng = Random(f"{month.seed}/oddities")
    found = []
    for kind in oddities.KINDS:
        for number in range(max(1, month.users // USERS_PER_GARBAGE)):
            user_id = oddities.user_of(kind, str(number))
            template = Template(user_id, "stranger", rng.randrange(*month.span), limits, wire)
            found.append(oddities.oddity(kind, template, rng))
    return found
