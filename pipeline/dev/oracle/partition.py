"""The partition that a key belongs to.

Owns: murmur2 as Kafka's Java client computes it (org.apache.kafka.common.utils.Utils.murmur2),
written from its description.
Does not own: what happens to a record that lies elsewhere (model.py).
"""

MULTIPLIER = 0x5BD1E995
SEED = 0x9747B28C
MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Return the 32-bit unsigned hash of `data`."""
    h = SEED ^ len(data)
    whole = len(data) // 4 * 4
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * MULTIPLIER & MASK
        k ^= k >> 24
        k = k * MULTIPLIER & MASK
        h = (h * MULTIPLIER & MASK) ^ k
    rest = data[whole:]
    if rest:
        h ^= int.from_bytes(rest, "little")
        h = h * MULTIPLIER & MASK
    h ^= h >> 13
    h = h * MULTIPLIER & MASK
    return h ^ (h >> 15)


def home(key: bytes, partition_count: int) -> int:
    """Return the partition (0 and up) of `key`: the hash without its sign bit, modulo the count."""
    return (murmur2(key) & 0x7FFFFFFF) % partition_count
