"""Dead letters as an operator sees them.

Owns: a letter and its place, the ids of the requests about it, which letters are wanted.
Does not own: reading them (log.py), what was done about them (handled.py), their bytes for a person
(readable.py).
Invariants: a letter's number follows from its place and from the input that it is of, so letters of
a topic that was made again have others; the ids of the requests about a letter follow from its
number, so to ask for the same twice is to ask once.
"""

import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from pipeline.codec.errors import DecodeError
from pipeline.core.enumerations import CommandKind, PublishedStage
from pipeline.core.records import Command, DeadLetter, Header, Instant, RecordCoordinates
from pipeline.core.texts import is_id
from pipeline.errors import UsageError
from pipeline.ops.validate.verdicts import Topic

State: TypeAlias = Literal["open", "redriven", "discarded"]
"""What was done about a letter. A letter that was discarded and then redriven is redriven."""

STATES: Final[tuple[State, ...]] = ("open", "redriven", "discarded")

About: TypeAlias = Literal["redrive", "discard"]
"""What a request about a letter asks for."""

CUT: Final = "The input is too large for a dead letter and only its beginning is here"
"""With this the detail begins of a letter that has not all of its input (codec/dead_letters.py)."""

KINDS: Final[Mapping[About, CommandKind]] = {"redrive": "redrive", "discard": "operation"}
"""The kind of command that asks for it. Anything else may have such an id, too: a completion's id
is its user's choice, and is no request about a letter."""

_id_of: Final = re.compile(r"(redrive|discard)-\d{1,10}-\d{1,19}-([0-9a-f]{16})").fullmatch
_coordinates: Final = re.compile(r"(.{1,300})\[(\d{1,10})\]@(\d{1,19})").fullmatch
_place_of: Final = re.compile(r"(\d{1,10}):(\d{1,19})").fullmatch


class Place(NamedTuple):
    """Where a letter is in its topic; written `partition:offset`."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


class Origin(msgspec.Struct, frozen=True):
    """The input behind a letter: its own, or that of the redrive which was rejected again.

    Attributes:
        topic: of the inputs, without its prefix. place: of the input itself.
        append_time: by which it is judged, ms since 1970.
        kind: of a command that can be read; empty for anything else.
    """

    topic: Topic
    place: RecordCoordinates
    append_time: Instant
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...] = ()
    input_id: str = ""
    kind: str = ""


class Letter(msgspec.Struct, frozen=True):
    """One dead letter.

    Attributes:
        topic: full name of the topic that it is in.
        published_ms: when it was published, by a worker's clock.
        origin: what a redrive sends.
    """

    topic: str
    place: Place
    published_ms: Instant
    record: DeadLetter
    origin: Origin

    @property
    def coordinates(self) -> RecordCoordinates:
        """Its own, as a command names it."""
        return RecordCoordinates(self.topic, *self.place)

    @property
    def user_id(self) -> str:
        """Whose key it has; empty where no user has such a key."""
        return user_of(self.record.key)

    @property
    def is_of_a_redrive(self) -> bool:
        """Whether its input was redriven before, and rejected again."""
        return self.record.cause.coordinates != self.origin.place

    @property
    def is_cut(self) -> bool:
        """Whether only the beginning of its input is here."""
        return self.record.detail.startswith(CUT)

    @property
    def number(self) -> int:
        """Names it for ever, 64 bits."""
        cause = self.record.cause
        name = msgspec.json.encode(
            (self.coordinates, cause.topic, cause.partition, cause.offset, self.record.append_time)
        )
        return int.from_bytes(sha256(name).digest()[:8], "big")

    def request_id(self, about: About) -> str:
        """The id of the only request of its kind about this letter."""
        return f"{about}-{self.place.partition}-{self.place.offset}-{self.number:016x}"


def user_of(key: bytes | None) -> str:
    """Whose a key is; empty where nobody can have it."""
    try:
        text = "" if key is None else key.decode()
    except UnicodeDecodeError:
        return ""
    return text if is_id(text) else ""


def request_of(request_id: str) -> tuple[About, int] | None:
    """What a request id asks for, and the number of the letter; None where it is about none."""
    found = _id_of(request_id)
    if found is None:
        return None
    return "redrive" if found[1] == "redrive" else "discard", int(found[2], 16)


def is_about(action: str, request_id: str) -> bool:
    """Whether an audit entry of an input of that id is about a request about a letter.

    A request whose fold failed is in the audit without its kind.
    """
    found = request_of(request_id)
    return found is not None and action in (KINDS[found[0]], "unknown")


def place_of(text: str) -> Place:
    """Where a letter is, as somebody typed it.

    Raises:
        UsageError: it is no `partition:offset`.
    """
    found = _place_of(text)
    if found is None or int(found[1]) >= 2**31 or int(found[2]) >= 2**63:
        raise UsageError(
            f"{text!r} is no place of a dead letter",
            fix="write it as partition:offset, such as 3:17; `awaway deadletters list` shows them",
        )
    return Place(int(found[1]), int(found[2]))


def origin_of(letter: DeadLetter, decode: Callable[[bytes | None], Command]) -> Origin:
    """The input behind a letter.

    Args:
        decode: a command's value; raises DecodeError.

    A redrive that was rejected again has the input in its payload. What cannot be read as a redrive
    is an input itself.
    """
    cause = letter.cause
    topic: Topic = "commands" if cause.topic.rpartition(".")[2] == "commands" else "completions"
    own = Origin(
        topic,
        cause.coordinates,
        letter.append_time,
        letter.key,
        letter.value,
        letter.headers,
        cause.id,
    )
    if topic == "completions":
        return own
    try:
        command = decode(letter.value)
    except DecodeError:
        return own
    if command.kind != "redrive":
        return msgspec.structs.replace(own, kind=command.kind)
    return _payload_of(command, own)


def _payload_of(redrive: Command, own: Origin) -> Origin:
    """The input that a redrive carries."""
    judged_by, place = redrive.payload_append_time, _coordinates_of(redrive.payload_cause or "")
    return Origin(
        "commands" if redrive.payload_topic == "commands" else "completions",
        place or own.place,
        own.append_time if judged_by is None else judged_by,
        own.key,
        redrive.payload,
    )


def _coordinates_of(text: str) -> RecordCoordinates | None:
    """Coordinates as a redrive names them; None where they are none."""
    found = _coordinates(text)
    return None if found is None else RecordCoordinates(found[1], int(found[2]), int(found[3]))


class Wanted(msgspec.Struct, frozen=True):
    """Which letters are wanted; what is empty or None is not asked about.

    Attributes:
        rejections: reasons, alone or as `stage.reason`.
        since_ms, until_ms: append time of the input, ms since 1970, from and before.
        topic: of the input, without its prefix.
        partitions: of the topic of dead letters.
    """

    rejections: frozenset[str] = frozenset()
    stages: frozenset[PublishedStage] = frozenset()
    since_ms: Instant | None = None
    until_ms: Instant | None = None
    user_id: str | None = None
    topic: Topic | None = None
    partitions: frozenset[int] | None = None
    states: frozenset[State] = frozenset()

    def matches(self, letter: Letter) -> bool:
        """Whether a letter is wanted, apart from its state and its partition."""
        record, origin = letter.record, letter.origin
        names = {record.reason, f"{record.stage}.{record.reason}"}
        return (
            (not self.rejections or not self.rejections.isdisjoint(names))
            and (not self.stages or record.stage in self.stages)
            and (self.since_ms is None or origin.append_time >= self.since_ms)
            and (self.until_ms is None or origin.append_time < self.until_ms)
            and (self.user_id is None or letter.user_id == self.user_id)
            and (self.topic is None or origin.topic == self.topic)
        )
