"""What a worker checks before it starts.

Owns: that topics and assets are as this release needs them.
Does not own: schemas (codec/registry.py), partition counts (engine/machine.py).
Invariant: checks only read.
"""

from pipeline.config import Settings
from pipeline.engine.errors import IncompatibleTopicsError
from pipeline.engine.kafka import KafkaCluster
from pipeline.ops.assets import check, open_store
from pipeline.ops.topics_file import Target, TopicsFile


def check_topics(cluster: KafkaCluster, settings: Settings, topics: TopicsFile) -> None:
    """Check that every topic is there and that inputs carry the broker's time.

    Raises:
        IncompatibleTopicsError: naming the topics and the mending.
    """
    target = Target(prefix=settings.topic_prefix, generation=settings.generation)
    names = [wanted.name for wanted in topics.wanted(target)]
    there = cluster.partition_counts(names)
    missing = [name for name in names if name not in there]
    if missing:
        raise IncompatibleTopicsError(
            f"topics that are not there: {', '.join(missing)}", fix="awaway topics apply"
        )
    if settings.development:
        return
    for name in (settings.topic("completions"), settings.topic("commands")):
        kind = cluster.topic_setting(name, "message.timestamp.type")
        if kind != "LogAppendTime":
            raise IncompatibleTopicsError(
                f"{name} has {kind} stamps, which clients can make up",
                fix="awaway topics apply; for a simulated month only, set AWAWAY_DEVELOPMENT=true",
            )


def check_assets(url: str) -> None:
    """Check that the whole catalogue was published.

    Raises:
        AssetsMissingError, AssetStoreError: see there.
    """
    check(open_store(url))
