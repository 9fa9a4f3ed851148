"""The codec's JSON and the oracle's, fed the same bytes.

What clients were seen to write, put together anew and damaged a little.
"""

import json
from random import Random
from typing import Any

import pytest

from pipeline.codec import json_inputs
from pipeline.codec.errors import DecodeError
from pipeline.dev.oracle import Reader
from pipeline.dev.oracle.reading import UnreadableError

READER = Reader({})
INSTANTS = (
    "2026-06-15T14:00+02:00", "2026-06-15T14:00:00.1239999+0200", "2026-06-15 14:00:00+02",
    "2016-12-31T23:59:60Z", "2026-06-15T05:29:60+05:30", "2026-06-15T12:00:60Z",
    "2026-06-15t12:00z", "2026-06-15T12:00:00,5Z", "2026-W01-1T00:00Z", "2026-06-15T24:00:00Z",
    "2026-06-15T12:00:00", "2026-06-15T12:60Z", "2026-02-30T12:00Z", "2026-06-15T12:00:00+24:00",
    "2026-06-15T12:00:00-23:59", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59",
    "1969-12-31T23:59:59.9999Z", "2026-06-15T12:00:00\u221202:00",
    "2026-06-15T12:00:00.1234567890Z",
    "２026-06-15T12:00:00Z", "2026-06-15T12:00.5Z", "20260615T120000Z", "2026-06-15T12:00:00+0260",
)  # fmt: skip
TEXTS = ("a", "é", "\ud83d", "\ude00\ud83d", "\U0001f600", "x" * 256, "x" * 257, "", "\x00", '"')
RAW = (
    "62", "1.50", "1e3", "-0", "1E+5", "9" * 1_024, "9" * 1_025, "true", "null", "[]", "{}",
    '{"a":1,"a":2}', "NaN", "-Infinity", "01", "1.", ".5", "+1", '"x', "nul", "1e999", "/**/1",
    "[1,]", "'a'", '"\x7f"', '"\t"', "[NaN]", "[" * 99 + "]" * 99, '{"a":' * 100 + "1" + "}" * 100,
)  # fmt: skip
FINE = {
    "completion_id": "c",
    "user_id": "u",
    "session_id": "s",
    "practice": "p",
    "started_at": "2026-06-15T11:00:00Z",
    "completed_at": "2026-06-15T14:00:00+02:00",
    "tz": "UTC",
}


def _quoted(text: str, rng: Random) -> str:
    halved = any("\ud800" <= char <= "\udfff" for char in text)
    return json.dumps(text, ensure_ascii=halved or rng.random() < 0.5)


def _name(name: str, rng: Random) -> str:
    if rng.random() < 0.95:
        return json.dumps(name)
    at = rng.randrange(len(name))
    return f'"{name[:at]}\\u{ord(name[at]):04x}{name[at + 1 :]}"'


def _context(rng: Random) -> str:
    names = rng.choices(("a", "b", "\ud83d", "\ufffd", "k" * 128, "k" * 129), k=rng.randrange(4))
    if rng.random() < 0.1:
        names = [f"k{n}" for n in range(rng.choice((64, 65)))]
    labels = (_quoted(rng.choice(TEXTS), rng), rng.choice(RAW), '"calm"', '"calm"')
    said = (f"{_name(name, rng)}:{rng.choice(labels)}" for name in names)
    return f"{{{','.join(said)}}}"


def _value(rng: Random) -> bytes:
    fields = [(name, _quoted(text, rng)) for name, text in FINE.items()]
    for _ in range(rng.choice((0, 1, 1, 1, 2))):
        other = rng.choice(("device_id", "app_version", "sent_at", "context", "mood", "Tz"))
        at = rng.randrange(len(fields))
        name = fields[at][0]
        match rng.randrange(7):
            case 0:
                fields[at] = (name, _quoted(rng.choice(TEXTS), rng))
            case 1:
                fields[at] = (name, rng.choice(RAW))
            case 2:
                said = rng.choice(("started_at", "completed_at", "sent_at"))
                fields = [field for field in fields if field[0] != said]
                fields.append((said, _quoted(rng.choice(INSTANTS), rng)))
            case 3:
                fields.append((other, rng.choice(RAW)))
            case 4:
                fields.append((other, _quoted(rng.choice(TEXTS), rng)))
            case 5:
                fields.append(("context", _context(rng)))
            case _:
                fields.append(fields[at])
    rng.shuffle(fields)
    text = ",".join(f"{_name(name, rng)}:{said}" for name, said in fields)
    value = f"{{{text}}}{rng.choice(('', '', ' ', '{}'))}".encode()
    if rng.random() < 0.05:
        at = rng.randrange(1, len(value))
        value = value[:at] + rng.randbytes(1) + value[at + 1 :]
    return value


def _by_the_codec(value: bytes) -> Any:
    try:
        read = json_inputs.completion(value)
    except DecodeError:
        return None
    ids = (read.completion_id, read.user_id, read.session_id, read.practice, read.tz)
    return ids, read.started_at, read.completed_at, read.sent_at, read.offset_minutes, read.context


def _by_the_oracle(value: bytes) -> Any:
    try:
        read = READER.completion(value)
        context = READER._fields(value).context()
    except UnreadableError:
        return None
    ids = (read.completion_id, read.user_id, read.session_id, read.practice, read.tz)
    instants = (read.started_at_ms, read.completed_at_ms, read.sent_at_ms, read.offset_minutes)
    return ids, *instants, context


@pytest.mark.parametrize("seed", range(4))
def test_codec_and_oracle_read_the_same(seed: int) -> None:
    rng = Random(seed)
    taken = 0
    for _ in range(3_000):
        value = _value(rng)
        read = _by_the_codec(value)
        assert read == _by_the_oracle(value), value
        taken += read is not None
    assert 500 < taken < 2_500
