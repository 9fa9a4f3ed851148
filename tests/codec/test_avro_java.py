"""The reader held to Avro's own, in Java, by generated pairs of schemas and values.

Owns: Java's result of each pair, and where it deviates from the specification.
Does not own: the pairs (avro_pairs.py), the Java process (avro_java.py).
"""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.codec.avro_java import as_java, java_answers
from tests.codec.avro_pairs import Pair, pairs
from tests.codec.test_avro_pairs import REFUSED, ours

PAIRS = 1_500


def drawn(count: int) -> list[Pair]:
    found: list[Pair] = []

    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(pairs())
    def collect(pair: Pair) -> None:
        found.append(pair)

    collect()
    return found


@pytest.mark.verify
def test_pairs_are_read_as_java_reads_them(tmp_path: Path) -> None:
    found = drawn(PAIRS)
    bodies = [pair.body(sized=n % 2 == 1) for n, pair in enumerate(found)]
    asked = [
        (pair.writer_json, pair.reader_json, body) for pair, body in zip(found, bodies, strict=True)
    ]
    for pair, body, answer in zip(found, bodies, java_answers(asked, tmp_path), strict=True):
        read = ours(pair, body)
        java_value = answer.get("value", REFUSED)
        assert java_value == (read if read == REFUSED else as_java(read)), f"{pair}\n{answer}"
