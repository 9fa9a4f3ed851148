"""The README's promises: its snippets run, its commands and links exist."""

import contextlib
import io
import re
from pathlib import Path

import pytest
from confluent_kafka import Consumer

from pipeline.cli.main import COMMANDS
from pipeline.dev.local.stack import LocalStack
from pipeline.ops.assets.catalogue import open_store, publish
from tests.integration.ledger import Ledger

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


def snippet(name: str) -> str:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- snippet: {name} -->\n```python\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


def test_what_is_published_comes_out_as_a_portal(
    stack: LocalStack, topic_prefix: str, tmp_path: Path
) -> None:
    assets = tmp_path / "assets"
    publish(open_store(str(assets), create=True))
    ledger = Ledger(stack, topic_prefix, tmp_path, assets)
    ledger.set_up()

    def here(code: str) -> str:
        for shown, real in (
            ("127.0.0.1:9092", stack.bootstrap_servers),
            ("http://127.0.0.1:8081/apis/ccompat/v7", stack.registry_url),
            ("awaway.", topic_prefix),
            ("my-service", f"{topic_prefix}readme"),
            ("poll(30)", "poll(5)"),
        ):
            code = code.replace(shown, real)
        return code

    names: dict[str, object] = {}
    with ledger.worker() as worker:
        exec(compile(here(snippet("publish")), "publish", "exec"), names)
        exec(compile(here(snippet("command")), "command", "exec"), names)
        ledger.wait_for(lambda: len(ledger.input_offsets()) == 2)
        ledger.drain(worker)
    assert ledger.progress()["ada"]["streak_days"] == 2
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(here(snippet("consume")), "consume", "exec"), names)
    consumer = names["consumer"]
    assert isinstance(consumer, Consumer)
    consumer.close()
    ledger.close()
    assert printed.getvalue() == "ada reached Bindu on day 1\n"


def test_its_commands_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks_and_spans = re.findall(r"```console(.*?)```|`([^`\n]+)`", text, re.DOTALL)
    code = "\n".join("".join(found) for found in blocks_and_spans)
    commands = re.findall(r"\bawaway ([a-z]+)", code)
    assert "worker" in commands
    assert set(commands) <= set(COMMANDS)
    targets = re.findall(r"\bmake ([a-z-]+)", code)
    assert {"demo", "test"} <= set(targets)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in link:
            assert (page.parent / link).exists(), link
