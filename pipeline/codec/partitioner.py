"""The partition that a key belongs to, as Kafka's own clients compute it.

Owns: murmur2 as Java's Kafka producer computes it, and key → partition.
Does not own: what becomes of a record in the wrong partition (inputs.py, engine/).
Invariant: the same answer as Java's default partitioner and librdkafka's `murmur2_random` for a key
that is not null.
Source of the formula: `org.apache.kafka.common.utils.Utils.murmur2`, `Utils.toPositive`.
"""

from functools import lru_cache
from typing import Final

OF_ITS_KEY: Final = -1
"""What a producer is given as the partition of a record that goes where its key belongs; it is
librdkafka's PARTITION_UA."""

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF
_CACHED_MAX: Final = 131_072


def murmur2(key: bytes) -> int:
    """Return Java's murmur2 of a key, unsigned.

    Args:
        key: any bytes; the work grows with their number.

    Returns:
        0 to 2³² − 1 (Java prints the same bits as a signed number).
    """
    length = len(key)
    h = _SEED ^ length
    whole = length & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(key[at : at + 4], "little") * _M & _MASK
        h = h * _M & _MASK ^ (k ^ k >> 24) * _M & _MASK
    if length & 3:
        h = (h ^ int.from_bytes(key[whole:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


@lru_cache(maxsize=_CACHED_MAX)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a key; the last `_CACHED_MAX` answers are kept.

    Args:
        key: not null.
        partitions: of the topic, 1 and up.

    Returns:
        0 to partitions − 1.
    """
    return (murmur2(key) & 0x7FFFFFFF) % partitions
