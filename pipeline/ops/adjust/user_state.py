"""The state of users as the log has it, for a preview.

Owns: which topics say what, how their records become a state.
Does not own: what a state is (core/state.py), what a progress stands for (ops/validate/state.py).
Invariants: it reads committed records in no group, and only the partitions of the users that are
asked for; the ids of requests are those of the log, so a repeat is known and a withdrawal finds
what it cancels.

A published progress says everything about a user but which requests are behind it. The topic
`commands` has those. It is read rather than the audit, because it is short (the audit has every
completion, too, and no key ids), and because the fold of a request depends on nothing else: what
was rejected then is rejected again here.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec
from confluent_kafka import Message
from msgspec.structs import replace

from pipeline.codec.errors import DecodeError
from pipeline.codec.inputs import InputDecoder
from pipeline.codec.partitioner import partition_of
from pipeline.codec.published import PublishedReader, WriterSchemas
from pipeline.codec.schemas import Schema
from pipeline.core.commands import Request, examine_command, grown_by
from pipeline.core.records import Command, Instant, ProgressUpdated
from pipeline.core.redrive import examine_payload, examine_redrive
from pipeline.core.rulebook import PolicyBook
from pipeline.core.sets import Sets, digest_of, withdrawn
from pipeline.core.state import EMPTY, UserState
from pipeline.errors import AwawayError
from pipeline.kafka.committed_log import LOG_LEVEL
from pipeline.kafka.errors import UnreadableLogError
from pipeline.kafka.ranges import SILENCE_S_MAX, read_ranges
from pipeline.kafka.reader import Partition, Reader
from pipeline.ops.progress import Say
from pipeline.ops.validate.state import state_of


class SentCommand(msgspec.Struct, frozen=True):
    """A command in the log. append_time: by which it is judged, ms since 1970."""

    command: Command
    append_time: Instant


class KeyNotClaimedError(AwawayError):
    """There is no claim, or more than one, that a key could be returned by.

    **Operator action**: as the message says; a claim is withdrawn by its request id.
    """


def user_state_of(
    progress: ProgressUpdated | None, sent: Iterable[SentCommand], book: PolicyBook
) -> UserState:
    """Return the state that a progress and the user's commands stand for.

    Args:
        progress: the user's last; None when there is none.
        sent: the user's commands, in the order of the log. One that no worker has processed yet
            counts as if it had been: whoever sent it is waiting for that.

    A date or claim that the progress shows and that no command in the log explains stays, under an
    id that nobody can name.
    """
    state = EMPTY if progress is None else state_of(progress)
    shown = state.sets
    sets = replace(shown, credits=(), revocations=(), withdrawals=(), claims=())
    for one in sent:
        request = examine_command(one.command, state, one.append_time, book)
        grown = grown_by(sets, request) if isinstance(request, Request) else None
        sets = grown if isinstance(grown, Sets) else sets
    sets = replace(
        sets,
        credits=_with_unexplained(sets.credits, shown.credits),
        revocations=_with_unexplained(sets.revocations, shown.revocations),
        claims=_with_unexplained(sets.claims, shown.claims),
    )
    return replace(state, sets=sets, digest=digest_of(sets))


_About = TypeVar("_About", str, int)


def _with_unexplained(
    known: tuple[tuple[str, _About], ...], shown: tuple[tuple[str, _About], ...]
) -> tuple[tuple[str, _About], ...]:
    """Return also the requests that are shown without any in the log that is about the same."""
    explained = {about for _, about in known}
    merged = list(known)
    merged += [one for one in shown if one[1] not in explained]
    return tuple(sorted(merged))


def claim_of(state: UserState, key_id: str, request_id: str) -> str:
    """Return the request that claimed a key, which is what returning the key withdraws.

    The log of commands tells it: the audit says that a key was claimed, and not which one.

    Args:
        request_id: of the return. Asked for the second time, it returns what it returned.

    Raises:
        KeyNotClaimedError: no claim of the key holds, or several do.
    """
    claims = {request for request, key in state.sets.claims if key == key_id}
    earlier = dict(state.sets.withdrawals).get(request_id)
    if earlier in claims:
        return str(earlier)
    held = sorted(claims - withdrawn(state.sets))
    if len(held) == 1:
        return held[0]
    if held:
        raise KeyNotClaimedError(
            f"the key was claimed {len(held)} times",
            why=f"by the requests {', '.join(held)}; it is returned when none of them holds",
            fix="withdraw each of them: `awaway adjust withdraw USER REQUEST`",
        )
    was = "the claim was withdrawn" if claims else "no request of this user claimed it"
    raise KeyNotClaimedError(
        f"the key {key_id} is not claimed", why=was, fix="`awaway explain USER` shows what was done"
    )


class UserStates:
    """Reads users' states from the log.

    Args:
        client: librdkafka settings that reach the cluster.
        prefix: of the topics.
        schemas: ours, by record name. writer_schema: the schema of an id, by the registry.
        book: the policy, which says which commands were valid.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        prefix: str,
        schemas: Mapping[str, Schema],
        writer_schema: WriterSchemas,
        book: PolicyBook,
    ) -> None:
        self._client = {
            "log_level": LOG_LEVEL,
            "fetch.wait.max.ms": 50,
            **client,
            "client.id": "awaway-adjust",
            "fetch.message.max.bytes": 16 << 20,
        }
        self._progress = f"{prefix}progress"
        self._commands = f"{prefix}commands"
        self._published = PublishedReader(
            ProgressUpdated, schemas["ProgressUpdated"], writer_schema
        )
        self._inputs = InputDecoder(schemas, writer_schema)
        self._book = book

    def read(self, user_ids: Collection[str], say: Say) -> dict[str, UserState]:
        """The state of each user; `EMPTY` of those that nothing is known of.

        Args:
            say: told how far it is.

        Raises:
            UnreadableLogError: the brokers do not answer, or a topic is not there.
            RegistryError: a schema is not known.
            NotPublishedError: a progress is none.
        """
        users = {user_id.encode("utf-8", "surrogatepass"): user_id for user_id in user_ids}
        progress: dict[str, bytes | None] = {}
        sent: dict[str, list[SentCommand]] = defaultdict(list)
        with Reader(self._client, "awaway-adjust") as reader:
            partitions = self._partitions_of(reader, users)
            for message in _all(reader, partitions, say):
                user_id = users.get(message.key() or b"")
                if user_id is None:
                    continue
                if message.topic() == self._progress:
                    progress[user_id] = message.value()
                elif command := self._command(message, user_id):
                    sent[user_id].append(command)
        return {
            user_id: user_state_of(self._published_in(progress.get(user_id)), its, self._book)
            for user_id in user_ids
            for its in (sent[user_id],)
        }

    def _partitions_of(self, reader: Reader, users: Iterable[bytes]) -> list[Partition]:
        topics = (self._progress, self._commands)
        there = reader.partitions(topics)
        homes = {partition_of(key, len(there) // len(topics)) for key in users}
        return [one for one in there if one[1] in homes]

    def _published_in(self, value: bytes | None) -> ProgressUpdated | None:
        return None if value is None else self._published.read(value)

    def _command(self, message: Message, user_id: str) -> SentCommand | None:
        """What the worker would fold, redriven or not; None where it would refuse to."""
        append_time = message.timestamp()[1]
        try:
            command = self._inputs.decode_command(message.value())
            if command.kind == "redrive":
                return redriven_in(command, append_time, self._inputs.decode_command)
        except DecodeError:
            return None
        return SentCommand(command, append_time) if command.user_id == user_id else None


def redriven_in(
    redrive: Command, append_time: Instant, decode: Callable[[bytes | None], Command]
) -> SentCommand | None:
    """Return the command that a redrive carries; None where it carries none that is carried out.

    Args:
        append_time: of the redrive.
        decode: a command's value; raises DecodeError.
    """
    judged_at = redrive.payload_append_time
    is_sound = examine_redrive(redrive, append_time) is None
    if judged_at is None or redrive.payload_topic != "commands" or not is_sound:
        return None
    command = decode(redrive.payload)
    is_taken = examine_payload(redrive, command) is None
    return SentCommand(command, judged_at) if is_taken else None


def _all(reader: Reader, partitions: list[Partition], say: Say) -> Iterator[Message]:
    """Every committed record of some partitions, up to the ends of now."""
    starts, ends = reader.starts(partitions), reader.ends(partitions)
    stuck = yield from read_ranges(
        reader,
        {one: (starts[one], ends[one]) for one in partitions},
        lambda done, total: say("reading progress and commands", done, total),
    )
    if stuck:
        raise UnreadableLogError(
            "progress and commands could not be read to their ends",
            why=f"nothing came for {SILENCE_S_MAX:.0f} s of {sorted(stuck)}",
        )
