"""The programs of docs/CONSUMING.md, run as they are printed, against a worker's own topics."""

import copy
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fastavro
import pytest

from pipeline.dev.local.stack import LocalStack
from pipeline.ops.assets.catalogue import open_store, publish
from tests.codec.samples import SAMPLES, SCHEMAS, fastavro_body, plain
from tests.consumers import scene
from tests.consumers.page import here, installed, snippet
from tests.consumers.running import printed
from tests.consumers.toolchains import Go, Java, Node, Program
from tests.integration.ledger import Ledger

pytestmark = [pytest.mark.verify, pytest.mark.timeout(1800)]

PROGRAMS = Path(__file__).parent / "programs"
UNCOMMITTED = {
    "java": ('"read_committed"', '"read_uncommitted"'),
    "python": ('"read_committed"', '"read_uncommitted"'),
    "franz-go": ("kgo.ReadCommitted()", "kgo.ReadUncommitted()"),
    "kafkajs": ("readUncommitted: false", "readUncommitted: true"),
}

Build = Callable[[str, str], Program]
"""From a name and a client's code to what can be started."""


@pytest.fixture(scope="module")
def ledger(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    folder = tmp_path_factory.mktemp("ledger")
    publish(open_store(str(folder / "assets"), create=True))
    laid = Ledger(stack, f"consumers-{folder.parent.name}.", folder, folder / "assets")
    laid.set_up()
    scene.lay(laid)
    yield laid
    laid.close()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    return Node(tmp_path_factory.mktemp("node"), [*installed("kafkajs"), "avsc@5.7.9"])


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> Go:
    goavro = "github.com/linkedin/goavro/v2@v2.15.0"
    return Go(tmp_path_factory.mktemp("go"), [*installed("franz-go"), goavro])


@pytest.fixture(scope="module")
def java(tmp_path_factory: pytest.TempPathFactory) -> Java:
    return Java(tmp_path_factory.mktemp("java"), installed("java"))


@pytest.fixture
def build(request: pytest.FixtureRequest, tmp_path: Path) -> Build:
    """How programs of any of the clients are made; asks only for the toolchain that is needed."""

    def built(client: str, code: str) -> Program:
        name = request.node.originalname.removeprefix("test_")
        if client == "python":
            (tmp_path / "consume.py").write_text(code)
            return Program((sys.executable, "consume.py"), tmp_path)
        if client == "java":
            # Two classes of one name are kept apart by their folders.
            java: Java = request.getfixturevalue("java")
            renamed = code.replace("class Consume", f"class {name.title().replace('_', '')}")
            return java.program(name.title().replace("_", ""), renamed)
        toolchain: Node | Go = request.getfixturevalue({"kafkajs": "node"}.get(client, "go"))
        return toolchain.program(name, code)

    return built


@pytest.mark.parametrize("client", UNCOMMITTED)
def test_reads_what_a_plain_consumer_reads(client: str, ledger: Ledger, build: Build) -> None:
    lines = scene.expected(ledger)
    assert f"{scene.FORGOTTEN} is to be forgotten" in lines
    assert any(line.endswith("safe until -") for line in lines)
    group = f"{ledger.prefix}{client}"
    code = here(snippet(client), ledger.stack, ledger.prefix, group)
    assert printed(build(client, code), len(lines)) == lines


@pytest.mark.parametrize("client", UNCOMMITTED)
def test_sees_what_was_aborted_when_it_reads_uncommitted(
    client: str, ledger: Ledger, build: Build
) -> None:
    lines = scene.expected(ledger)
    shown, changed = UNCOMMITTED[client]
    code = here(snippet(client), ledger.stack, ledger.prefix, f"{ledger.prefix}{client}-all")
    assert shown in code
    seen = printed(build(client, code.replace(shown, changed)), len(lines) + 2)
    assert len(seen) == len(lines) + 2
    assert [line[:3] for line in seen if line not in lines] == ["xxx", "xxx"]


def test_kafkajs_without_a_codec_stops_and_says_why(ledger: Ledger, build: Build) -> None:
    code = here(snippet("kafkajs"), ledger.stack, ledger.prefix, f"{ledger.prefix}no-codec")
    codec = "CompressionCodecs[CompressionTypes.LZ4]"
    assert code.count(codec) == 1
    program = build("kafkajs", code.replace(codec, "globalThis.unused"))
    done = subprocess.run(
        program.command,
        cwd=program.folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "KafkaJSNotImplemented: LZ4 compression not implemented" in done.stdout + done.stderr


def request_of_samples() -> dict[str, Any]:
    """What the programs of `programs/` take: every sample, and an entry with a verdict to come."""
    records = [
        {
            "name": type(sample).__name__,
            "schema": SCHEMAS[type(sample).__name__].tree,
            "body": fastavro_body(SCHEMAS[type(sample).__name__], plain(sample)).hex(),
        }
        for sample in SAMPLES
    ]
    reader = SCHEMAS["AuditEntry"].tree
    writer = copy.deepcopy(reader)
    verdict = next(field for field in writer["fields"] if field["name"] == "verdict")
    verdict["type"]["symbols"].append("paused")
    (entry,) = (sample for sample in SAMPLES if type(sample).__name__ == "AuditEntry")
    body = io.BytesIO()
    schema = fastavro.parse_schema(writer)
    fastavro.schemaless_writer(body, schema, plain(entry) | {"verdict": "paused"})
    newer = {"writer": writer, "reader": reader, "body": body.getvalue().hex(), "field": "verdict"}
    return {"records": records, "newer": newer}


@pytest.mark.parametrize(
    ("toolchain", "source", "libraries"),
    [
        ("node", "roundtrip.mjs", {"avsc"}),
        ("go", "roundtrip.go", {"hamba", "goavro"}),
        ("java", "Roundtrip.java", {"avro"}),
    ],
)
def test_other_libraries_decode_the_samples_and_write_the_same_bytes(
    toolchain: str, source: str, libraries: set[str], request: pytest.FixtureRequest
) -> None:
    kind: Node | Go | Java = request.getfixturevalue(toolchain)
    program = kind.program(Path(source).stem, (PROGRAMS / source).read_text())
    asked = request_of_samples()
    done = subprocess.run(
        program.command,
        cwd=program.folder,
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert set(answers) == libraries
    for library, answer in answers.items():
        for record in asked["records"]:
            assert same(record, bytes.fromhex(answer["again"][record["name"]])), library
        assert answer["as_written"] == "paused"
        # goavro has no reader's schema.
        assert answer.get("resolved") == (None if library == "goavro" else "unknown"), library


def same(record: dict[str, Any], again: bytes) -> bool:
    """Whether the bytes are the record's; a map's entries may come in any order."""
    if record["name"] != "PracticeCompleted":
        return again == bytes.fromhex(record["body"])
    schema = fastavro.parse_schema(record["schema"])
    once, twice = (
        fastavro.schemaless_reader(io.BytesIO(body), schema, schema)
        for body in (bytes.fromhex(record["body"]), again)
    )
    return bool(once == twice)


def test_what_it_needs_is_skipped_not_failed_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    for kind in (Node, Go):
        with pytest.raises(pytest.skip.Exception, match="not installed"):
            kind(tmp_path, [])
