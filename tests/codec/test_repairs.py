"""The bytes of a repair: what is encoded comes back, and whatever else comes is none."""

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.codec.repairs import FORMAT, decode_repair, encode_repair
from pipeline.core.dateline import DatelineWindow
from pipeline.core.repair import Repair, WindowRecords
from pipeline.core.seen_filter import SeenFilter
from pipeline.core.sets import Sets
from pipeline.core.state import EMPTY, Unlocked, UserState

USER = "ann\u00e9"
OWNER = USER.encode() + b"\0"
STATE = UserState(
    revision=17,
    digest="0123456789abcdef",
    sets=Sets(
        practised=((20_500, 3), (20_505, 9)),
        bridged=((20_503, 1),),
        credits=(("r-1", 20_504),),
        revocations=(("r-2", -1),),
        withdrawals=(("r-3", "r-2"),),
        claims=(("r-4", "key-1"),),
        unlocked=(("bindu", ((0, 2),)),),
    ),
    portals=(Unlocked(0, "bindu", 20_500, 1_771_600_000_000, "5c" * 32),),
    granted=("key-1", "key-2"),
    tz="Europe/Berlin",
    tz_at=1_772_346_600_123,
    tz_id="c-1",
    dateline=DatelineWindow(((20_513, 1, 2, -3, 4),), (20_514,)),
    frame_published=9,
    checked_days=13,
    checked_policy="2026-06",
    seen_filter=SeenFilter(1_771_600_000_000, b"\x00\xff", b"", 80_000),
)
WINDOW: WindowRecords = (
    (b"i" + OWNER + b"c-1", b"\x00\xff"),
    (b"s" + OWNER + b"s-1", b""),
    (b"o" + OWNER + bytes(8), None),
)
REPAIR = Repair(16, "fedcba9876543210", STATE, WINDOW)
PAYLOAD = encode_repair(REPAIR)


@pytest.mark.parametrize("repair", [REPAIR, Repair(0, EMPTY.digest, EMPTY)])
def test_a_repair_comes_back_as_it_was(repair: Repair) -> None:
    decoded = decode_repair(encode_repair(repair), USER)
    assert decoded == repair
    assert isinstance(decoded, Repair)
    assert encode_repair(decoded) == encode_repair(repair)


def test_its_layout() -> None:
    assert PAYLOAD[:1] == FORMAT == b"\x01"
    revision, digest, state, window = msgspec.msgpack.decode(PAYLOAD[1:])
    assert (revision, digest, state[0]) == (16, "fedcba9876543210", 17)
    assert tuple(tuple(record) for record in window) == WINDOW


def test_the_window_may_be_left_out() -> None:
    without = FORMAT + msgspec.msgpack.encode([16, "fedcba9876543210", STATE])
    assert decode_repair(without, USER) == Repair(16, "fedcba9876543210", STATE)


def test_what_ends_before_its_end_or_goes_on_after_it_is_none() -> None:
    for length in range(len(PAYLOAD)):
        assert decode_repair(PAYLOAD[:length], USER) is None
    assert decode_repair(PAYLOAD + b"\xc0", USER) is None


@pytest.mark.parametrize(
    "payload",
    [
        None,
        b"",
        FORMAT,
        b"\x02" + PAYLOAD[1:],
        PAYLOAD[1:],
        FORMAT + PAYLOAD,
        FORMAT + b"\xc1",
        FORMAT + msgspec.msgpack.encode({"revision": 16}),
        FORMAT + msgspec.msgpack.encode([]),
        FORMAT + msgspec.msgpack.encode(["16", "", STATE]),
        FORMAT + msgspec.msgpack.encode([16, None, STATE]),
        FORMAT + msgspec.msgpack.encode([16, "", None]),
        FORMAT + msgspec.msgpack.encode([16, "", STATE, [["text", b""]]]),
        FORMAT + msgspec.msgpack.encode([16, "", STATE, [[b"key"]]]),
        PAYLOAD.replace(b"Europe/Berlin", b"Europe/Berli\xff"),  # no UTF-8
    ],
)
def test_other_bytes_are_none(payload: bytes | None) -> None:
    assert decode_repair(payload, USER) is None


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"i",
        OWNER,
        b"iann\0c-1",
        b"iannette\0c-1",
        b"i" + USER.encode(),
        b"i" + USER.encode() + b"x\0c-1",
        b"ii" + OWNER + b"c-1",
    ],
)
@pytest.mark.parametrize("value", [b"theirs", None])
def test_one_that_writes_to_another_users_window_is_none(key: bytes, value: bytes | None) -> None:
    repair = Repair(16, "", STATE, (*WINDOW, (key, value)))
    assert decode_repair(encode_repair(repair), USER) is None


def test_it_is_a_repair_of_the_user_whose_window_it_is() -> None:
    assert decode_repair(PAYLOAD, "ann") is None
    assert decode_repair(PAYLOAD, USER + "x") is None
    assert decode_repair(PAYLOAD, USER) == REPAIR


@given(st.binary(max_size=200), st.text(st.characters(codec="utf-8"), max_size=20))
@example(b"", "")
def test_any_bytes_are_a_repair_or_none(payload: bytes, user_id: str) -> None:
    for tried in (payload, FORMAT + payload):
        assert isinstance(decode_repair(tried, user_id), Repair | None)


@given(st.integers(0, len(PAYLOAD) - 1), st.binary(max_size=9), st.integers(0, 9))
def test_so_are_those_of_a_repair_with_some_of_them_changed(
    at: int, put: bytes, removed: int
) -> None:
    decoded = decode_repair(PAYLOAD[:at] + put + PAYLOAD[at + removed :], USER)
    assert isinstance(decoded, Repair | None)
    if decoded is not None:
        assert all(key[1:].startswith(OWNER) for key, _ in decoded.window)
