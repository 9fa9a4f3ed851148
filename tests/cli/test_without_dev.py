"""The command in the container image: the package pipeline.dev is not there."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from pipeline.cli.main import COMMANDS, DEVELOPMENT

ROOT = Path(__file__).parents[2]
IMPORT_ALL = """
import pathlib, pkgutil, sys
import pipeline
for module in pkgutil.walk_packages(pipeline.__path__, "pipeline."):
    __import__(module.name)
print(pathlib.Path(pipeline.__file__).parent)
print(*(name for name in sys.modules if name.startswith("pipeline.")))
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the image has of the package."""
    folder = tmp_path_factory.mktemp("image")
    ignored = shutil.ignore_patterns("dev", "__pycache__")
    shutil.copytree(ROOT / "pipeline", folder / "pipeline", ignore=ignored)
    return folder


def python(image: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it on the copy and the installed packages; without site, which knows the checkout."""
    path = os.pathsep.join([str(image), sysconfig.get_path("purelib")])
    return subprocess.run(
        [sys.executable, "-S", *arguments],
        cwd=image,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_image_leaves_the_package_out() -> None:
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert kept.index("!pipeline") < kept.index("pipeline/dev")  # the last match decides


def test_every_other_module_is_importable(image: Path) -> None:
    ran = python(image, "-c", IMPORT_ALL)
    assert ran.returncode == 0, ran.stderr
    where, names = ran.stdout.strip().splitlines()
    assert Path(where) == (image / "pipeline").resolve()
    assert {"pipeline.worker.app", "pipeline.api.wiring"} <= set(names.split())


def test_the_other_commands_are_there_and_listed_alone(image: Path) -> None:
    listed = python(image, "-m", "pipeline.cli.main", "--help")
    assert listed.returncode == 0, listed.stderr
    found = [line.split()[1] for line in listed.stdout.splitlines() if line.startswith("│ ")]
    assert [name for name in found if name in COMMANDS] == [
        name for name in COMMANDS if name not in DEVELOPMENT
    ]
    worker = python(image, "-m", "pipeline.cli.main", "worker", "--help")
    assert worker.returncode == 0, worker.stderr
    assert "Usage: awaway worker" in worker.stdout


@pytest.mark.parametrize("name", sorted(DEVELOPMENT))
def test_a_command_that_is_not_there_says_so(image: Path, name: str) -> None:
    ran = python(image, "-m", "pipeline.cli.main", name, "--help")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert f"`awaway {name}` is not installed here" in ran.stderr
    assert "checkout of the repository" in ran.stderr
    done = python(image, "-m", "pipeline.cli.main", name, "-o", "json")
    assert json.loads(done.stdout)["exit_code"] == 2
