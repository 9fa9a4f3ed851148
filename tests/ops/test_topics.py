"""Topics as code: the plan, and a real cluster that follows it."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
import yaml
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from pipeline.dev.local.stack import LocalStack
from pipeline.ops.topics import sync as topics
from pipeline.ops.topics.plan import ClusterTopic, Permissions, SettingChange, compare
from pipeline.ops.topics.sync import PlanRefusedError, Target, TopicsError, TopicsFileError

FILE = topics.load_topics(Path(__file__).parents[2] / "topics.yaml")
NOTHING = Permissions()
READS = 60


def cluster_as_wanted(target: Target = Target()) -> dict[str, ClusterTopic]:  # noqa: B008 - frozen
    return {
        wanted.name: ClusterTopic(
            wanted.name,
            wanted.partitions,
            1,
            {**wanted.config, "segment.bytes": "1073741824"},
            frozenset(wanted.config),
        )
        for wanted in FILE.wanted(target)
    }


def altered(name: str, **changes: object) -> dict[str, ClusterTopic]:
    cluster = cluster_as_wanted()
    return cluster | {name: msgspec.structs.replace(cluster[name], **changes)}


def test_a_cluster_that_is_as_the_file_says() -> None:
    plan = compare(cluster_as_wanted(), FILE, Target(), NOTHING)
    assert (plan.changes, plan.unmanaged, plan.refusals) == ((), (), [])


def test_an_empty_cluster() -> None:
    plan = compare({}, FILE, Target(partitions=6, replication=3), NOTHING)
    assert [change.kind for change in plan.changes] == ["create"] * 12
    assert {(change.partitions, change.replication) for change in plan.changes} == {(6, 3)}
    assert plan.refusals == []


def test_a_setting_that_differs_is_lacking_or_is_too_many() -> None:
    cluster = altered("awaway.geometry")
    geometry = cluster["awaway.geometry"]
    now = msgspec.structs.replace(
        geometry,
        config={**geometry.config, "retention.ms": "5", "segment.bytes": "9"},
        own=(geometry.own | {"segment.bytes"}) - {"cleanup.policy"},
    )
    (change,) = compare(cluster | {now.name: now}, FILE, Target(), NOTHING).changes
    assert change.kind == "configure"
    assert [(s.name, s.now, s.wanted) for s in change.settings] == [
        ("cleanup.policy", "delete", "delete"),
        ("retention.ms", "5", str(90 * 86_400_000)),
        ("segment.bytes", "9", None),
    ]


def test_partitions_are_added_only_by_name_and_never_taken_away() -> None:
    fewer = altered("awaway.audit", partitions=2)
    refused = compare(fewer, FILE, Target(), NOTHING)
    assert "--add-partitions awaway.audit" in refused.refusals[0]
    allowed = compare(
        fewer, FILE, Target(), Permissions(add_partitions=frozenset({"awaway.audit"}))
    )
    assert allowed.refusals == []
    assert [(c.kind, c.partitions) for c in allowed.changes] == [("add_partitions", 4)]
    more = altered("awaway.audit", partitions=9)
    by_name = Permissions(add_partitions=frozenset({"awaway.audit"}))
    assert "cannot take any away" in compare(more, FILE, Target(), by_name).refusals[0]


def test_replicas_are_not_ours_to_move() -> None:
    plan = compare(cluster_as_wanted(), FILE, Target(replication=3), NOTHING)
    assert len(plan.refusals) == 12
    assert "kafka-reassign-partitions" in plan.refusals[0]


def test_what_the_file_does_not_have_is_left_alone_unless_named() -> None:
    cluster = cluster_as_wanted()
    for name in ("awaway.old", "other.topic"):
        cluster[name] = ClusterTopic(name, 1, 1, {}, frozenset())
    assert compare(cluster, FILE, Target(), NOTHING).unmanaged == ("awaway.old",)
    named = compare(cluster, FILE, Target(), Permissions(frozenset({"awaway.old", "awaway.gone"})))
    assert [(change.kind, change.topic) for change in named.changes] == [("delete", "awaway.old")]
    assert named.unmanaged == ()


def test_names_that_make_no_sense() -> None:
    with pytest.raises(TopicsFileError, match="would be made again"):
        compare({}, FILE, Target(), Permissions(delete=frozenset({"awaway.audit"})))
    with pytest.raises(TopicsFileError, match="is not in topics"):
        compare({}, FILE, Target(), Permissions(add_partitions=frozenset({"audit"})))


def admin_of(stack: LocalStack) -> AdminClient:
    return AdminClient({"bootstrap.servers": stack.bootstrap_servers})


def test_a_real_cluster_is_made_as_the_file_says(stack: LocalStack, topic_prefix: str) -> None:
    admin, target = admin_of(stack), Target(topic_prefix)
    planned = topics.plan(admin, FILE, target)
    assert len(planned.changes) == 12
    assert topics.plan(admin, FILE, target) == planned
    assert topics.apply(admin, FILE, target) == planned
    assert topics.plan(admin, FILE, target) == topics.Plan((), ())
    assert topics.apply(admin, FILE, target).changes == ()
    dumped = yaml.safe_load(topics.dump(admin, topic_prefix))["topics"]
    wanted = sorted(FILE.wanted(target), key=lambda one: one.name)
    assert [(t["name"], t["partitions"], t["settings"]) for t in dumped] == [
        (one.name, one.partitions, dict(sorted(one.config.items()))) for one in wanted
    ]


def test_an_apply_that_was_cut_short_is_finished(stack: LocalStack, topic_prefix: str) -> None:
    admin, target = admin_of(stack), Target(topic_prefix)
    planned = topics.plan(admin, FILE, target)
    topics.carry_out(admin, topics.Plan(planned.changes[:3], ()))
    topics.carry_out(admin, topics.Plan(planned.changes[:3], ()))
    done = topics.apply(admin, FILE, target).changes  # a broker may show the first three late
    assert set(done) >= set(planned.changes[3:])
    assert topics.plan(admin, FILE, target).changes == ()


def test_settings_follow_and_go_back(stack: LocalStack, topic_prefix: str) -> None:
    admin, target = admin_of(stack), Target(topic_prefix)
    topics.apply(admin, FILE, target)
    demo = msgspec.structs.replace(target, simulated_time=True)
    changed = {change.topic for change in topics.apply(admin, FILE, demo).changes}
    assert changed == {f"{topic_prefix}completions", f"{topic_prefix}commands"}
    assert topics.plan(admin, FILE, demo).changes == ()
    extra = topics.Change(
        "configure",
        f"{topic_prefix}audit",
        (SettingChange("segment.ms", None, "123456"),),
    )
    topics.carry_out(admin, topics.Plan((extra,), ()))
    deadline_s = time.monotonic() + 60
    while not topics.plan(admin, FILE, demo).changes:  # brokers show a change a little later
        assert time.monotonic() < deadline_s
    back = topics.apply(admin, FILE, target)
    assert {change.topic for change in back.changes} == changed | {f"{topic_prefix}audit"}
    assert topics.plan(admin, FILE, target).changes == ()


def test_partitions_and_deletes_on_a_real_cluster(stack: LocalStack, topic_prefix: str) -> None:
    admin = admin_of(stack)
    topics.apply(admin, FILE, Target(topic_prefix, 2))
    wider = Target(topic_prefix, 3)
    with pytest.raises(PlanRefusedError, match="moves users"):
        topics.apply(admin, FILE, wider)
    assert topics.plan(admin, FILE, Target(topic_prefix, 2)).changes == ()
    names = frozenset(wanted.name for wanted in FILE.wanted(wider))
    topics.apply(admin, FILE, wider, Permissions(add_partitions=names))
    assert topics.plan(admin, FILE, wider).changes == ()
    with pytest.raises(PlanRefusedError, match="cannot take any away"):
        topics.apply(admin, FILE, Target(topic_prefix, 1))
    green = Target(topic_prefix, 3, generation="green")
    made = topics.apply(admin, FILE, green)
    assert len(made.changes) == 2
    old = f"{topic_prefix}blue.seen-changelog"
    assert old in topics.plan(admin, FILE, green).unmanaged
    assert topics.plan(admin, FILE, green).changes == ()
    deleted = topics.apply(admin, FILE, green, Permissions(delete=frozenset({old})))
    assert [(change.kind, change.topic) for change in deleted.changes] == [("delete", old)]
    assert old not in topics.dump(admin, topic_prefix)


def test_topics_that_come_and_go_while_it_reads(stack: LocalStack, topic_prefix: str) -> None:
    admin, other = admin_of(stack), admin_of(stack)
    names = [f"{topic_prefix}{number}" for number in range(8)]
    is_over = threading.Event()

    def come_and_go() -> None:
        while not is_over.is_set():
            for made in other.create_topics([NewTopic(name, 1) for name in names]).values():
                made.exception()
            for gone in other.delete_topics(names).values():
                gone.exception()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(come_and_go)
        try:
            seen = [len(topics.read_cluster(admin, topic_prefix)) for _ in range(READS)]
        finally:
            is_over.set()
    assert any(seen)


def test_a_setting_that_the_broker_refuses(stack: LocalStack, topic_prefix: str) -> None:
    admin = admin_of(stack)
    topic = FILE.topic("audit")
    odd = msgspec.structs.replace(
        FILE, topics=[msgspec.structs.replace(topic, settings={"segment.ms": "-5"})]
    )
    with pytest.raises(TopicsError, match="a topic cannot be made") as caught:
        topics.apply(admin, odd, Target(topic_prefix))
    assert caught.value.fields["kafka_error"] == "INVALID_CONFIG"


def test_a_cluster_that_does_not_settle(stack: LocalStack, topic_prefix: str) -> None:
    """Time that runs past the deadline at once."""
    times = iter([0.0, 1_000.0, 2_000.0])
    admin = admin_of(stack)
    changing = FILE.wanted(Target(topic_prefix))
    assert changing
    try:
        done = topics.apply(admin, FILE, Target(topic_prefix), clock=lambda: next(times))
    except TopicsError as error:
        assert "does not show them" in error.what
    else:
        assert len(done.changes) == 12


@pytest.mark.parametrize("codec", ["zstd", "lz4", "gzip"])
def test_an_input_that_would_grow_when_it_is_read_is_refused_by_the_broker(
    stack: LocalStack, topic_prefix: str, codec: str
) -> None:
    """Kilobytes on the wire, megabytes in a consumer: one such record could stop a partition."""
    topics.apply(admin_of(stack), FILE, Target(topic_prefix))
    producer = Producer(
        {
            "bootstrap.servers": stack.bootstrap_servers,
            "compression.type": codec,
            "message.max.bytes": 50_000_000,
        }
    )
    outcomes: list[str | None] = []
    for size in (20_000_000, 1_000_000):
        producer.produce(
            f"{topic_prefix}completions",
            value=bytes(size),
            key=b"user",
            on_delivery=lambda error, _: outcomes.append(error.name() if error else None),
        )
        producer.flush(30)
    assert outcomes == ["MSG_SIZE_TOO_LARGE", None]


def test_a_broker_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.ops.topics.admin._REQUEST_TIMEOUT_S", 0.5)
    admin = AdminClient({"bootstrap.servers": "127.0.0.1:1", "log_level": 0})
    with pytest.raises(TopicsError, match="cannot be listed") as caught:
        topics.plan(admin, FILE)
    assert "AWAWAY_BOOTSTRAP_SERVERS" in caught.value.fix
