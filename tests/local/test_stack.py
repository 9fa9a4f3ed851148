"""The local stack on real servers: restarts, crashes, ports, and that nothing is left behind."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from pipeline.dev.local.ports import choose
from pipeline.dev.local.process import ProcessId, gone
from pipeline.dev.local.stack import LocalStack
from pipeline.dev.local.state import Layout, StackState, read_state
from pipeline.errors import PortInUseError, ServerDiedError, StackError

OWNER = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from pipeline.dev.local.stack import LocalStack
    with LocalStack(Path(sys.argv[1])):
        print("up", flush=True)
        time.sleep(300)
    """
)

# The command as a terminal starts it: what runs in the background has Ctrl-C switched off.
AWAWAY = textwrap.dedent(
    """
    import signal
    from pipeline.cli.main import main
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
    """
)


def state_of(stack: LocalStack) -> StackState:
    state = read_state(Layout(stack.root))
    assert state is not None
    return state


def processes_of(stack: LocalStack) -> list[ProcessId]:
    """The supervisor and both servers."""
    return running(state_of(stack))


def running(state: StackState) -> list[ProcessId]:
    servers = [server.process for server in state.servers if server.process is not None]
    return [state.supervisor, *servers]


def start_owner(root: Path) -> "subprocess.Popen[str]":
    """A process of its own that has entered a stack."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(root)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == "up\n"
    return owner


def publish(stack: LocalStack, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "acks": "all"})
    producer.produce(topic, value)
    assert producer.flush(20) == 0


def values_of(stack: LocalStack, topic: str, count: int) -> list[bytes]:
    consumer = Consumer(
        {
            "bootstrap.servers": stack.bootstrap_servers,
            "group.id": topic,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    values: list[bytes] = []
    deadline = time.monotonic() + 30
    while len(values) < count and time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is not None and message.error() is None:
            values.append(message.value() or b"")
    consumer.close()
    return values


def register(stack: LocalStack, subject: str) -> int:
    """Register a schema and return its id."""
    request = urllib.request.Request(
        f"{stack.registry_url}/subjects/{subject}/versions",
        json.dumps({"schema": '"string"'}).encode(),
        {"Content-Type": "application/vnd.schemaregistry.v1+json"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        found = json.load(response)
    assert isinstance(found, dict)
    return int(found["id"])


@pytest.mark.verify
def test_up_is_safe_to_repeat_and_the_data_outlives_kill_stop_and_down(
    own_stack: LocalStack,
) -> None:
    processes = processes_of(own_stack)
    assert len(processes) == 3
    assert not own_stack.up(detach=False)
    assert processes_of(own_stack) == processes
    assert LocalStack(own_stack.root).status() == own_stack.status()
    assert own_stack.status().health == "up"

    admin = AdminClient({"bootstrap.servers": own_stack.bootstrap_servers})
    admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(20)
    publish(own_stack, "kept", b"1")
    schema_id = register(own_stack, "kept-value")
    addresses = (own_stack.bootstrap_servers, own_stack.registry_url)

    own_stack.kill_kafka()
    assert own_stack.status().health == "degraded"
    own_stack.start_kafka()
    publish(own_stack, "kept", b"2")
    own_stack.stop_kafka()
    own_stack.start_kafka()
    assert own_stack.status().health == "up"
    assert (own_stack.bootstrap_servers, own_stack.registry_url) == addresses

    kafka_port, registry_port = choose(2, random.Random())
    processes = processes_of(own_stack)
    control = Path(state_of(own_stack).control)
    assert own_stack.down()
    assert not any(process.alive for process in processes)
    assert not control.parent.exists()
    assert not own_stack.down()
    with pytest.raises(StackError, match="the local stack is down"):
        _ = own_stack.bootstrap_servers

    elsewhere = LocalStack(own_stack.root, kafka_port=kafka_port, registry_port=registry_port)
    with elsewhere:
        assert elsewhere.bootstrap_servers == f"127.0.0.1:{kafka_port}"
        assert values_of(elsewhere, "kept", 2) == [b"1", b"2"]
        assert register(elsewhere, "kept-value") == schema_id


@pytest.mark.verify
def test_the_servers_end_with_a_killed_owner(tmp_path: Path) -> None:
    owner = start_owner(tmp_path / "stack")
    processes = processes_of(LocalStack(tmp_path / "stack"))
    assert all(process.alive for process in processes)
    os.kill(owner.pid, signal.SIGKILL)
    assert owner.wait(30) == -signal.SIGKILL
    assert all(gone(process, 20) for process in processes)
    assert LocalStack(tmp_path / "stack").status().health == "down"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_an_up_that_is_broken_off_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", AWAWAY, "local", "up", "--root", str(tmp_path)],
        stderr=subprocess.DEVNULL,
    )
    layout = Layout(tmp_path)
    deadline = time.monotonic() + 60
    try:
        while (state := read_state(layout)) is None or len(running(state)) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(starter.pid, number)
        assert starter.wait(30) == (130 if number == signal.SIGINT else -number)
        assert all(gone(process, 20) for process in running(state))
    finally:
        LocalStack(tmp_path).down()


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError) as raised:
            LocalStack(tmp_path / "stack", kafka_port=port).up()
    assert raised.value.fields["port"] == port
    assert str(port) in raised.value.what
    assert read_state(Layout(tmp_path / "stack")) is None


def test_a_server_that_dies_shows_the_end_of_its_log_and_leaves_nothing(tmp_path: Path) -> None:
    stack = LocalStack(tmp_path / "stack")
    broken = stack.root / "data" / "kafka"
    broken.mkdir(parents=True)
    (broken / "meta.properties").write_text("version=1\ncluster.id=x\nnode.id=7\n")
    with pytest.raises(ServerDiedError) as raised:
        stack.up(detach=False)
    assert "node id matches" in raised.value.why
    assert raised.value.fields["log_path"] == str(stack.root / "logs" / "kafka.log")
    assert stack.status().health == "down"
    orders = json.loads((stack.root / "orders.json").read_text())
    assert not Path(orders["control"]).parent.exists()
