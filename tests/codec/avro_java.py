"""Avro's own reader, in Java: what it makes of pairs of schemas.

Owns: its files' pins (java/artifacts.lock), compiling java/ReadPairs.java, one process for many
pairs, its answers in our form. Does not own: the pairs, what is expected of them.

The Java runtime of the local stack has no compiler, so Eclipse's is among the files. After a change
of versions: `python -m tests.codec.avro_java` writes the pins again.
"""

import json
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from jgo.maven import MavenContext

from pipeline.dev.local import artifacts, pinning

COORDINATES: Final = ("org.apache.avro:avro:1.12.1", "org.eclipse.jdt:ecj:3.43.0")
NEEDED: Final = (
    "avro",
    "ecj",
    "jackson-annotations",
    "jackson-core",
    "jackson-databind",
    "slf4j-api",
)
"""Of what these depend on, what reading uses; the rest is for compressed files of records."""

_FOLDER: Final = Path(__file__).parent / "java"
_LOCK_FILE: Final = _FOLDER / "artifacts.lock"
_COMPILE_TIMEOUT_S: Final = 180
_READ_TIMEOUT_S: Final = 600


def java_answers(pairs: Iterable[tuple[Any, Any, bytes]], work: Path) -> list[dict[str, Any]]:
    """What Java reads.

    Args:
        pairs: a writer's schema, a reader's, and a body.
        work: a folder of the caller's, for the compiled class.

    Returns:
        For each pair a dictionary with `value` (as `as_told` gives it) or `error`.
    """
    java = str(artifacts.find_java())
    pins = artifacts.read_pins(_LOCK_FILE.read_text())
    files = artifacts.fetch(pins, "Avro's Java library", lambda *_: None)
    jars = [str(path) for path in files if not path.name.startswith("ecj")]
    compiler = next(str(path) for path in files if path.name.startswith("ecj"))
    class_path = ":".join([str(work), *jars])
    options = ["-source", "17", "-target", "17", "-d", str(work), "-cp", class_path]
    source = str(_FOLDER / "ReadPairs.java")
    _run([java, "-jar", compiler, *options, source], b"", _COMPILE_TIMEOUT_S)
    lines = [
        json.dumps({"writer": writer, "reader": reader, "body": body.hex()})
        for writer, reader, body in pairs
    ]
    read = [java, "-XX:TieredStopAtLevel=1", "-cp", class_path, "ReadPairs"]
    answers = _run(read, "\n".join(lines).encode(), _READ_TIMEOUT_S).splitlines()
    if len(answers) != len(lines):
        raise RuntimeError(f"{len(answers)} answers to {len(lines)} pairs")
    return [json.loads(answer) for answer in answers]


def _run(command: Sequence[str], given: bytes, timeout_s: float) -> bytes:
    done = subprocess.run(command, input=given, capture_output=True, timeout=timeout_s, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.decode(errors="replace")[-2_000:])
    return done.stdout


def as_java(value: Any) -> Any:
    """A value of ours in the words of the Java program: each begins with its kind."""
    if isinstance(value, list):
        return [as_java(one) for one in value]
    if isinstance(value, dict):
        return {key: as_java(one) for key, one in value.items()}
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return f"float {struct.unpack('>Q', struct.pack('>d', value))[0]:x}"
    if isinstance(value, bytes):
        return f"bytes {value.hex()}"
    return f"{'int' if isinstance(value, int) else 'text'} {value}"


def main() -> None:
    """Resolve the files and pin them."""
    with tempfile.TemporaryDirectory(prefix="awaway-pinning-") as folder:
        context = MavenContext(repo_cache=Path(folder))
        wanted = [context.create_dependency(one) for one in COORDINATES]
        given, needed = context.resolver.resolve(wanted)
        found = [dependency.artifact for dependency in (*given, *needed)]
        lines = {pinning.pin(one) for one in found if one.artifactId in NEEDED}
    header = "# Avro's Java library and a Java compiler, for tests: SHA-256, size in bytes, name.\n"
    in_order = sorted(lines, key=lambda line: line.split()[2])
    _LOCK_FILE.write_text(header + "".join(f"{line}\n" for line in in_order))


if __name__ == "__main__":
    main()
