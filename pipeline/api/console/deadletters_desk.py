"""What the console's pages of dead letters know and do.

Owns: the states of letters by the API's index, what would now happen to a letter, sending what an
operator confirmed and waiting for what becomes of it.
Does not own: letters (ops/deadletters), the pages (deadletters.py), verdicts (ingest/preview.py).
Invariants: a page costs a page, however many letters there are; whoever reads the log waits for a
turn; what was sent is found by the ids of its requests, which follow from the letters, so a form
that is sent twice asks once.

The index goes back as far as the API's history, so a letter that was redriven before that is shown
as open. To redrive it again is harmless: it cannot count twice.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, ParamSpec, TypeVar

from starlette.datastructures import Headers

from pipeline.api.console.dependencies import ConsoleDependencies
from pipeline.api.http.problems import ProblemError
from pipeline.api.ingest.preview import Preview
from pipeline.api.ingest.producing import BusyError, NotAcknowledgedError, RecordRefusedError
from pipeline.api.ingest.tracing import record_headers
from pipeline.api.reads.turns import TooManyWaitError, Turns
from pipeline.codec.errors import RegistryError
from pipeline.codec.inputs import InputDecoder
from pipeline.core.outcome import World
from pipeline.core.records import AuditEntry, Command
from pipeline.kafka.errors import UnreadableLogError
from pipeline.ops.adjust.request import encoded
from pipeline.ops.deadletters.forecast import entry_of
from pipeline.ops.deadletters.handled import OPEN, Handled
from pipeline.ops.deadletters.letters import About, Letter, Place, Wanted, is_about
from pipeline.ops.deadletters.log import NoLetterError
from pipeline.ops.deadletters.pages import LetterPage, read_page
from pipeline.ops.deadletters.plan import Chosen
from pipeline.ops.validate.verdicts import Said

PAGE: Final = 25
"""Letters of a page, and most that go with one form."""

WAIT_S_MAX: Final = 5.0
"""Most seconds that a form waits for what becomes of its letters."""

_POLL_S: Final = 0.1
P = ParamSpec("P")
T = TypeVar("T")


class LetterDesk:
    """Reads, judges and sends for the pages."""

    def __init__(self, deps: ConsoleDependencies) -> None:
        self._deps = deps
        self._turns = Turns()
        self._preview = Preview(
            World(deps.policies, deps.catalogue),
            deps.source,
            deps.outcomes,
            deps.inputs,
            deps.now_ms,
        )

    @property
    def decoder(self) -> InputDecoder:
        """The worker's, for inputs of any form."""
        return self._deps.letters.decoder

    async def page(self, wanted: Wanted, cursor: str) -> LetterPage:
        """Read a page of letters, the newest first.

        Raises:
            ProblemError: 503, the log cannot be read at the moment.
        """
        return await self._read(read_page, self._deps.letters, wanted, cursor, PAGE)

    async def at(self, places: Sequence[Place]) -> list[Letter]:
        """Read letters by their places.

        Raises:
            ProblemError: 404, one is not there; 503, the log cannot be read at the moment.
        """
        try:
            found = await self._read(self._deps.letters.at, places)
        except NoLetterError as error:
            raise ProblemError(404, "no-such-letter", "No such dead letter", str(error)) from error
        return [found[place] for place in places]

    async def judge(self, letters: Sequence[Letter]) -> list[Said]:
        """Say what would be said of each letter's input now, if all were redriven in this order.

        Raises:
            ProblemError: 503, the users' states or the log cannot be read at the moment.
        """
        if not self._deps.source.is_usable:
            raise _not_readable("the store of progress is not loaded yet")
        return await self._read(self._judge, letters)

    def _judge(self, letters: Sequence[Letter]) -> list[Said]:
        users = dict.fromkeys(user for one in letters if (user := one.user_id))
        validator = self._preview.validator(list(users), self._deps.letters.decoder)
        now_ms = self._deps.now_ms()
        return [validator.judge(entry_of(one, now_ms)) for one in letters]

    async def _read(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await self._turns.take(call, *args, **kwargs)
        except TooManyWaitError:
            raise _not_readable("too many pages of dead letters are being read") from None
        except (UnreadableLogError, RegistryError) as error:
            raise _not_readable(str(error)) from error

    def handled(self, letter: Letter) -> Handled:
        """Tell what was done about a letter, by the index."""
        redriven = self._entry(letter, "redrive")
        if redriven is not None:
            return Handled("redriven", redriven.verdict, redriven.rejection)
        discarded = self._entry(letter, "discard")
        is_discarded = discarded is not None and discarded.verdict == "applied"
        return Handled("discarded") if is_discarded else OPEN

    def chosen(self, letters: Sequence[Letter]) -> Chosen:
        """Return letters with what was done about each."""
        return Chosen([(one, self.handled(one)) for one in letters], are_named=True)

    def _entry(self, letter: Letter, about: About) -> AuditEntry | None:
        """Find the first audit entry of a request about a letter."""
        user_id = letter.user_id if about == "redrive" else ""
        entries = self._deps.outcomes.of_completion(user_id, letter.request_id(about))
        found = [
            one.record
            for one in entries
            if isinstance(one.record, AuditEntry)
            and is_about(one.record.action, one.record.cause.id)
        ]
        return min(found, key=lambda one: one.cause.offset, default=None)

    async def send(
        self,
        commands: Sequence[tuple[Command, int, Letter]],
        headers: Headers,
        principal: str,
    ) -> int:
        """Send commands about letters, and wait for what becomes of them.

        Args:
            commands: each with its partition, −1 where its key decides, and with its letter.

        Returns:
            How many had no effect in time; they take effect when a worker reaches them.

        Raises:
            ProblemError: 429 or 503, not all were acknowledged; to send them again is safe.
        """
        producer = self._deps.commands
        values = [encoded(command) for command, _, _ in commands]
        try:
            producer.check_room(len(values), sum(map(len, values)))
            sent = [
                producer.send(
                    command.user_id.encode(), value, record_headers(headers, principal), partition
                )
                for (command, partition, _), value in zip(commands, values, strict=True)
            ]
            await asyncio.gather(*sent)
        except BusyError as error:
            raise _not_sent(error, 429) from error
        except (NotAcknowledgedError, RecordRefusedError) as error:
            raise _not_sent(error, 503) from error
        waiting = [letter for _, _, letter in commands]
        deadline_s = asyncio.get_running_loop().time() + WAIT_S_MAX
        while waiting and asyncio.get_running_loop().time() < deadline_s:
            await asyncio.sleep(_POLL_S)
            waiting = [one for one in waiting if self.handled(one) is OPEN]
        return len(waiting)


def _not_readable(why: str) -> ProblemError:
    return ProblemError(
        503, "not-readable", "The log cannot be read", why, headers={"Retry-After": "2"}
    )


def _not_sent(error: Exception, status: int) -> ProblemError:
    return ProblemError(
        status,
        "not-acknowledged",
        "Not acknowledged",
        f"{error}; some may have been sent: send the form again, nothing is done twice",
        headers={"Retry-After": "2"},
    )
