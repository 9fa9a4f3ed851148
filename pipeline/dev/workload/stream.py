"""An endless stream of completions and commands, with more mistakes in it than life has.

Owns: who is next, and how often which mistake is made.
Does not own: the mistakes themselves (reports.py, commands.py, garbage.py, oddities.py), the rate
and the sending, which the caller has.
Invariants: the records are a function of the arguments and of how many were asked for, but for
their instants, which move with `at_ms`. The verdicts on a user's reports are left open, as sessions
may overlap by chance; for all other records they are known.

The people are the demo's. They practise at any minute of the last days, whatever their habits, and
their phones send each session now.
"""

from random import Random
from typing import Final

import msgspec

from pipeline.dev.workload import oddities
from pipeline.dev.workload.commands import CommandContext, corrections
from pipeline.dev.workload.garbage import KINDS, LARGE, NEED_AVRO, garbage
from pipeline.dev.workload.ground_truth import InputRecord
from pipeline.dev.workload.people import DAY_MS, MINUTE_MS, PRACTICES, Person, Session, make_person
from pipeline.dev.workload.reports import Device, Limits, Mistakes, make_device, reports
from pipeline.dev.workload.template import Template
from pipeline.dev.workload.wire import Wire

OFTEN: Final = Mistakes(exact=0.04, twin=0.02, collision=0.02, overlap=0.01, too_late=0.0)
GARBAGE: Final = 0.06
ODD: Final = 0.01
CORRECTED: Final = 0.02
"""Shares of the turns that bring garbage, an oddity, a correction by support; else a session."""

SPAN_DAYS: Final = 13
"""Days back over which the sessions are spread."""

MONTH_DAYS: Final = 30


class Stream:
    """The records, a few at a time.

    Args:
        seed: of all choices.
        users: 1 and up.
        limits: the policy's bounds.
        wire: how records become bytes. Without newer schemas it is taken to write JSON only, and
            what needs Avro is left out.
    """

    def __init__(self, seed: int, users: int, limits: Limits, wire: Wire) -> None:
        self._rng = Random(seed)
        self._seed = seed
        self._limits = limits
        self._wire = wire
        self._users = users
        self._known: dict[int, tuple[Person, Device]] = {}
        self._asked = 0
        left_out = set(LARGE)
        if wire.partitions == 1:
            left_out.add("wrong_partition")
        if not wire.newer_completions:
            left_out |= NEED_AVRO
        self._garbage = [kind for kind in KINDS if kind not in left_out]
        newer = {f"newer_{what}" for what in oddities.NEWER_WRITERS}
        self._odd = [k for k in oddities.KINDS if k not in newer or wire.newer_completions]

    def next(self, at_ms: int) -> list[InputRecord]:
        """Return what one user's clients, or support, send next: one record or several, in order.

        Args:
            at_ms: the instant of sending, in ms since the epoch.
        """
        rng = self._rng
        self._asked += 1
        person, device = self._user(rng.randrange(self._users), at_ms)
        luck = rng.random()
        if luck < GARBAGE:
            template = Template(person.user_id, "stranger", at_ms, self._limits, self._wire)
            return [garbage(rng.choice(self._garbage), template, rng)]
        luck -= GARBAGE
        if luck < ODD:
            kind = rng.choice(self._odd)
            user_id = oddities.user_of(kind, f"{self._seed}-{self._asked}")
            template = Template(user_id, "stranger", at_ms, self._limits, self._wire)
            return [oddities.oddity(kind, template, rng)]
        if luck < ODD + CORRECTED:
            context = CommandContext(person.user_id, (at_ms - 2 * DAY_MS, at_ms), (), self._wire)
            asked = corrections(rng.choice(("credit", "credit", "revoke")), context, rng)
            return [msgspec.structs.replace(one, append_time_ms=at_ms) for one in asked]
        end_ms = at_ms - rng.randrange(SPAN_DAYS) * DAY_MS - rng.randrange(5, 600) * MINUTE_MS
        start_ms = end_ms - rng.randrange(5, 40) * MINUTE_MS
        session = Session(start_ms, end_ms, person.home, rng.choice(PRACTICES))
        now = msgspec.structs.replace(device, sends_at_ms=at_ms)
        sent = reports(person.user_id, [session], now, self._limits, self._wire, rng)
        return [msgspec.structs.replace(one, verdict="") for one in sent]

    def _user(self, number: int, at_ms: int) -> tuple[Person, Device]:
        found = self._known.get(number)
        if found is None:
            rng = Random(f"{self._seed}/{number}")
            month = (at_ms - MONTH_DAYS * DAY_MS, at_ms)
            person = make_person(number, MONTH_DAYS, rng)
            device = make_device(
                month, self._limits, rng, newer=tuple(self._wire.newer_completions)
            )
            device = msgspec.structs.replace(device, mistakes=OFTEN)
            found = self._known[number] = (person, device)
        return found
