"""The consumers' page says what there is: topics, settings, commands that fit."""

import ast
import re

import yaml

from pipeline.settings.worker import Settings
from tests.consumers.page import PAGE, installed, snippet

ROOT = PAGE.parents[1]


def test_names_every_output_topic() -> None:
    topics = yaml.safe_load((ROOT / "topics.yaml").read_text(encoding="utf-8"))
    outputs = {
        f"{topics['prefix']}{topic['name']}"
        for topic in topics["topics"]
        if topic["kind"] == "output"
    }
    named = set(re.findall(r"`(awaway\.[a-z]+)`", PAGE.read_text(encoding="utf-8")))
    assert outputs <= named


def test_says_the_isolation_level_before_anything_else_in_every_snippet() -> None:
    for name, level in (
        ("java", '"isolation.level", "read_committed"'),
        ("python", '"isolation.level": "read_committed"'),
        ("franz-go", "kgo.FetchIsolationLevel(kgo.ReadCommitted())"),
        ("kafkajs", "readUncommitted: false"),
    ):
        assert snippet(name).count(level) == 1, name


def test_its_python_compiles() -> None:
    ast.parse(snippet("python"))


def test_names_exact_versions() -> None:
    for name in ("java", "python", "franz-go", "kafkajs"):
        packages = installed(name)
        assert packages
        for package in packages:
            assert re.search(r"(:|==|@v?)\d+\.\d+\.\d+$", package), package


def test_python_is_shown_with_the_version_that_the_pipeline_itself_is_held_to() -> None:
    (package,) = installed("python")
    version = package.partition("==")[2]
    locked = (ROOT / "requirements" / "runtime.txt").read_text(encoding="utf-8")
    assert f"\nconfluent-kafka=={version} " in locked


def test_names_the_compression_that_is_the_default() -> None:
    assert Settings.model_fields["compression"].default == "lz4"
    assert "Workers compress with LZ4" in PAGE.read_text(encoding="utf-8")
