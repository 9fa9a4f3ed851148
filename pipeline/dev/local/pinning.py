"""Writing the pins of the servers' files.

Owns: which versions of Kafka and the registry there are, and turning them into artifacts.lock.
Does not own: reading the pins and fetching by them (artifacts.py).
Invariant: the same versions give the same lock file, byte for byte.

Run as `python -m pipeline.dev.local.pinning`, that is `make lock-jars`, after a change of versions.
"""

import hashlib
import tempfile
from pathlib import Path

from jgo.maven import Artifact, MavenContext

KAFKA_COORDINATES = ("org.apache.kafka:kafka_2.13:4.3.1", "org.slf4j:slf4j-simple:1.7.36")
REGISTRY_COORDINATES = ("io.apicurio", "apicurio-registry-app", "3.3.3")
LOCK_FILE = Path(__file__).with_name("artifacts.lock")

_HEADER = """\
# The files of the local Kafka and registry, from the Java world's central repository:
# SHA-256, size in bytes, coordinates. Written by `make lock-jars`.
"""


def resolve(context: MavenContext) -> tuple[Artifact, ...]:
    """All files that the two servers need.

    Args:
        context: where to look.

    Returns:
        Kafka with everything it depends on when it runs, and the registry's one archive.
    """
    wanted = [context.create_dependency(coordinates) for coordinates in KAFKA_COORDINATES]
    given, needed = context.resolver.resolve(wanted)
    group, artifact, version = REGISTRY_COORDINATES
    registry = context.project(group, artifact).at_version(version)
    archive = registry.artifact(classifier="all", packaging="tar.gz")
    return (*(dependency.artifact for dependency in given + needed), archive)


def pin(artifact: Artifact) -> str:
    """One line of the lock file, from the file itself, which is fetched when it is not there."""
    content = artifact.resolve().read_bytes()
    parts = [artifact.groupId, artifact.artifactId, artifact.version, artifact.packaging]
    coordinates = ":".join([*parts, *filter(None, [artifact.classifier])])
    return f"{hashlib.sha256(content).hexdigest()} {len(content)} {coordinates}"


def main() -> None:
    """Resolve, fetch into a folder of its own, and replace the lock file."""
    with tempfile.TemporaryDirectory(prefix="awaway-pinning-") as folder:
        lines = {pin(artifact) for artifact in resolve(MavenContext(repo_cache=Path(folder)))}
    in_order = sorted(lines, key=lambda line: line.split()[2])
    LOCK_FILE.write_text(_HEADER + "".join(f"{line}\n" for line in in_order))


if __name__ == "__main__":
    main()
