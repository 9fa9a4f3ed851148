"""All checks, side by side, each bounded in time.

Owns: which checks there are, what each needs, how long each may take.
Does not own: what a check looks at (the modules beside this one), printing (cli/doctor.py).
Invariants: every check has exactly one finding, in the order of `CHECKS`, whatever it raises; all
are there within `TOTAL_S`. A check is not asked where one that it needs has failed: it would only
repeat that failure.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Final, NamedTuple

from pipeline.errors import AwawayError
from pipeline.ops.doctor import brokers, machine, records, registry, workers
from pipeline.ops.doctor.finding import Finding, Subject

NEEDED_S: Final = 4.0
"""Seconds within which a check has to answer that others need."""

TOTAL_S: Final = 8.0
"""Seconds within which every check has to answer."""

_ADVICE: Final = "ask again in a minute; if it stays so, look at the logs of what does not answer"


class Check(NamedTuple):
    """One check, and the names of those without which it makes no sense."""

    name: str
    ask: Callable[[Subject], Finding]
    needs: tuple[str, ...] = ()


CHECKS: Final = (
    Check("files", machine.files),
    Check("brokers", brokers.brokers),
    Check("credentials", brokers.credentials, ("brokers",)),
    Check("topics", brokers.topics, ("brokers", "files")),
    Check("acls", brokers.acls, ("brokers", "files")),
    Check("registry", registry.registry),
    Check("schemas", registry.schemas, ("registry", "files")),
    Check("workers", workers.workers, ("brokers",)),
    Check("lag", workers.lag, ("brokers",)),
    Check("audit", records.audit, ("brokers",)),
    Check("delivery", workers.delivery, ("brokers", "files")),
    Check("broker clock", records.broker_clock, ("brokers",)),
    Check("disk", machine.disk),
    Check("assets", machine.assets),
    Check("versions", machine.versions),
)

Answers = Mapping[str, "Future[Finding]"]


def examine(
    subject: Subject,
    checks: Sequence[Check] = CHECKS,
    say: Callable[[str, int, int], None] = lambda *_: None,
) -> list[Finding]:
    """Ask every check, and return what they found.

    Args:
        say: is told which check was waited for, and how many of how many are done.
    """
    started_s = time.monotonic()
    needed = {name for check in checks for name in check.needs}
    answers: Answers = {check.name: Future() for check in checks}
    for check in checks:
        # Daemons: one that hangs in a client must not keep the command from ending.
        threading.Thread(
            target=_answer, args=(check, subject, answers), name=check.name, daemon=True
        ).start()
    found = []
    for done, check in enumerate(checks):
        say(check.name, done, len(checks))
        bound_s = NEEDED_S if check.name in needed else TOTAL_S
        try:
            left_s = max(0.0, started_s + bound_s - time.monotonic())
            found.append(answers[check.name].result(left_s))
        except TimeoutError:
            said = f"no answer within {bound_s:.0f} s"
            found.append(Finding(check.name, "fail", said, "is the network slow? ask again"))
    return found


def _answer(check: Check, subject: Subject, answers: Answers) -> None:
    for need in check.needs:
        try:
            stands = answers[need].result(NEEDED_S).level in ("ok", "warn")
        except TimeoutError:
            stands = False
        if not stands:
            said = f"not looked at, as the check of {need} failed"
            answers[check.name].set_result(Finding(check.name, "skipped", said))
            return
    answers[check.name].set_result(_asked(check, subject))


def _asked(check: Check, subject: Subject) -> Finding:
    try:
        return check.ask(subject)
    except AwawayError as error:
        return Finding(check.name, "fail", str(error), error.fix or _ADVICE)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other checks are worth having
        said = f"unexpected {type(error).__name__}: {error}"
        return Finding(check.name, "fail", said, "this is a defect of awaway: report it")
