"""The month: the same for the same seed, and its ground truth."""

from collections import Counter
from random import Random

import msgspec
import pytest

from pipeline.dev.demo.expected import REASONS
from pipeline.dev.oracle import Judgement, Reader, UserModel, judge
from pipeline.dev.workload import oddities
from pipeline.dev.workload.commands import REFUSED
from pipeline.dev.workload.garbage import KINDS, NOISE_BYTES
from pipeline.dev.workload.ground_truth import DUPLICATES, tally
from pipeline.dev.workload.people import PRACTICES, ROLES, ROLES_EVERY
from pipeline.dev.workload.reports import make_device
from tests.demo.month import END_MS, PARTITIONS, SCHEMAS, limits, log_of, make, rules


def test_the_same_seed_makes_the_same_bytes() -> None:
    assert make(30, seed=5) == make(30, seed=5)
    assert make(30, seed=5) != make(30, seed=6)


def test_a_larger_crowd_holds_the_smaller_one() -> None:
    of_the_smaller = {r.value for r in make(20, seed=5) if not r.garbage}
    assert of_the_smaller <= {r.value for r in make(40, seed=5)}


def test_records_come_in_order_and_end_with_the_month() -> None:
    stamps = [record.append_time_ms for record in make(40, seed=3)]
    assert stamps == sorted(stamps)
    assert stamps[-1] < END_MS
    assert stamps[0] > END_MS - 32 * 86_400_000


def test_every_kind_and_every_verdict_are_among_it() -> None:
    truth = tally(make(500, seed=1))
    # A repair that came too late is sent by a rebuild, and is no mistake of a client.
    assert set(truth.garbage) == {*KINDS, *REFUSED} == REASONS.keys() - {"outdated_repair"}
    assert set(truth.odd) == set(oddities.KINDS)
    words = {"accepted", *DUPLICATES, "applied", "repeated", "dead_letter"}
    assert {word for word, count in truth.verdicts.items() if count} == words
    assert truth.records == truth.completions + truth.commands


def test_both_formats_and_a_megabyte_of_noise_are_among_it() -> None:
    values = [record.value or b"" for record in make(40, seed=1) if not record.garbage]
    starts = Counter(value[:1] for value in values)
    assert starts[b"{"] > len(values) // 4
    assert starts[b"\0"] > len(values) // 4
    noise = [r.value for r in make(40, seed=1) if r.garbage == "noise"]
    assert [len(value or b"") for value in noise] == [NOISE_BYTES]


def test_one_partition_has_no_wrong_one() -> None:
    truth = tally(make(10, seed=1, partitions=1))
    assert "wrong_partition" not in truth.garbage


@pytest.mark.parametrize("seed", range(3))
def test_the_oracle_agrees_with_the_ground_truth(seed: int) -> None:
    sent = log_of(make(150, seed))
    log = [one.logged for one in sent.values()]
    judgement = judge(log, rules(), Reader(SCHEMAS), PARTITIONS)
    for coordinates, one in sent.items():
        verdict = judgement.verdicts[coordinates]
        assert verdict.word == one.meant.verdict, (coordinates, one.meant.garbage, verdict)
    assert sum(len(user.bridged) for user in judgement.users.values()) > 0


def _of(role: str, judgement: Judgement) -> list[UserModel]:
    numbers = [n for n, name in ROLES.items() if name == role]
    users = [f"seeker-{n + 100 * k:05d}" for k in range(4) for n in numbers]
    return [judgement.users[user_id] for user_id in users]


def test_everyone_with_a_role_plays_it() -> None:
    sent = log_of(make(4 * ROLES_EVERY, seed=2))
    judgement = judge([one.logged for one in sent.values()], rules(), Reader(SCHEMAS), PARTITIONS)
    assert sum(len(user.bridged) for user in _of("eastward", judgement)) >= 3
    assert all(not user.bridged for user in _of("stays_home", judgement))
    assert all(user.zone for user in _of("credits", judgement))
    assert all(user.zone is None and user.credited for user in _of("credits_nowhere", judgement))
    assert all(user.revoked & user.credited for user in _of("revoked", judgement))
    three_weeks_ms = 20 * 86_400_000
    for user in _of("retreat", judgement):
        assert max(one.append_time_ms - one.end_ms for one in user.counted) > three_weeks_ms
    counted = {user.user_id for user in _of("counts_sessions", judgement)}
    errors = Counter(
        verdict.user_id
        for verdict in judgement.verdicts.values()
        for alert in verdict.alerts
        if alert.word == "twin" and alert.originals[0].severity == "error"
    )
    assert all(errors[user_id] > 10 for user_id in counted)


def test_the_crowd_names_zones_and_practices_in_many_ways() -> None:
    records = make(300, seed=1)
    judgement = judge(
        [one.logged for one in log_of(records).values()], rules(), Reader(SCHEMAS), PARTITIONS
    )
    alerts = Counter(
        alert.word for verdict in judgement.verdicts.values() for alert in verdict.alerts
    )
    assert alerts["assumed_zone"] > 50
    values = b"".join(one.value or b"" for one in records if one.garbage != "noise")
    for name in (b"US/Pacific-New", b"UTC+0", b'"GMT', b"Etc/Unknown", *map(str.encode, PRACTICES)):
        assert name in values, name


@pytest.mark.parametrize("length", [1, 3, 90])
def test_other_lengths_of_a_month(length: int) -> None:
    sent = log_of(make(20, 1, length=length))
    log = [one.logged for one in sent.values()]
    judgement = judge(log, rules(), Reader(SCHEMAS), PARTITIONS)
    verdicts = Counter(verdict.word for verdict in judgement.verdicts.values())
    assert verdicts == tally(one.meant for one in sent.values()).verdicts


def test_peoples_clocks_are_ahead_but_never_too_far() -> None:
    bounds, month = limits(), (END_MS - 30 * 86_400_000, END_MS)
    cap = bounds.clock_ahead_ms_max
    devices = [make_device(month, bounds, Random(n)) for n in range(3_000)]
    assert cap / 2 < max(device.ahead_ms for device in devices) <= cap
    tight = msgspec.structs.replace(bounds, clock_ahead_ms_max=bounds.skew_tolerance_ms)
    assert max(make_device(month, tight, Random(n)).ahead_ms for n in range(3_000)) == 0
