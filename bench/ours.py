"""Peer: this pipeline, whole, started as an operator would start it.

Owns: the commands and the environment by which a worker is made ready and run on a prefix of its
own.
Does not own: anything that the worker does; settings that are not named here have their defaults.
Invariant: what is measured is `awaway worker` itself, with a group, topics, changelogs, registry
subjects, folder and audit chain of its own in each run.
"""

import os
import random
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from fastavro import parse_schema, schemaless_reader
from fastavro.schema import load_schema

from bench.errors import BenchError
from bench.ground import Ground
from bench.peer import Peer, PeerProcess
from pipeline.dev.local.ports import choose

GENERATION: Final = "bench"
COMMAND: Final = (sys.executable, "-m", "pipeline.cli.main")
PREPARATION: Final = (
    ("topics", "apply", "--yes"),
    ("schemas", "register"),
    ("assets", "publish"),
)
PREPARE_TIMEOUT_S: Final = 180.0
READY_TIMEOUT_S: Final = 60.0
FRAME_BYTES: Final = 5
"""Magic byte and schema id before the Avro body."""


def environment(ground: Ground, prefix: str, *, collapse: bool) -> dict[str, str]:
    """The worker's settings for one run. `prefix` names its topics and its group."""
    return {
        "AWAWAY_BOOTSTRAP_SERVERS": ground.bootstrap,
        "AWAWAY_REGISTRY_URL": ground.registry_url,
        "AWAWAY_TOPIC_PREFIX": prefix,
        "AWAWAY_GENERATION": GENERATION,
        "AWAWAY_DATA_DIR": str(ground.folder / f"{prefix}data"),
        "AWAWAY_ASSETS_URL": str(ground.folder / "assets"),
        "AWAWAY_DEVELOPMENT_BROKER": "true",
        "AWAWAY_COLLAPSE": str(collapse).lower(),
        "AWAWAY_HTTP_PORT": str(_free_port()),
        "AWAWAY_LOG_FORMAT": "json",
    }


def prepare(env: Mapping[str, str]) -> None:
    """Topics, schemas and assets, by the commands that an operator uses.

    Raises:
        BenchError: a command failed; with what it said.
    """
    for arguments in PREPARATION:
        done = subprocess.run(
            [*COMMAND, *arguments],
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=PREPARE_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            raise BenchError(
                f"`awaway {' '.join(arguments)}` failed", why=f"{done.stdout}{done.stderr}".strip()
            )


def worker_peer(
    name: str, prefix: str, env: Mapping[str, str], events: int, workers: int = 1
) -> Peer:
    """The worker as a peer; its topics must be there and loaded.

    Args:
        workers: how many share the partitions, 1 and up, each with a slot and a folder of its own.
    """
    return Peer(
        name=name,
        argv=[*COMMAND, "worker"],
        env=env,
        group=f"{prefix}{GENERATION}",
        topic=f"{prefix}completions",
        events=events,
        more=[
            {
                "AWAWAY_SLOT": str(slot),
                "AWAWAY_DATA_DIR": f"{env['AWAWAY_DATA_DIR']}-{slot}",
                "AWAWAY_HTTP_PORT": str(_free_port()),
            }
            for slot in range(1, workers)
        ],
    )


def await_ready(worker: PeerProcess, env: Mapping[str, str]) -> None:
    """Wait until the worker has its partitions and their state.

    Raises:
        PeerDiedError: it ended, or was not ready in time.
    """
    url = f"http://127.0.0.1:{env['AWAWAY_HTTP_PORT']}/readyz"
    deadline = time.monotonic() + READY_TIMEOUT_S
    while True:
        worker.check_alive()
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass  # not listening yet, or 503 (an HTTPError is an OSError): ask again
        if time.monotonic() > deadline:
            raise worker.died(f"was not ready in {READY_TIMEOUT_S:.0f} s")
        time.sleep(0.1)


def progress_decoder(schemas: Path = Path("schemas")) -> Callable[[bytes], Any]:
    """A function from a framed progress record to a mapping of its fields."""
    schema = parse_schema(load_schema(str(schemas / "ProgressUpdated.avsc")))

    def decode(value: bytes) -> Any:
        body = BytesIO(value)
        body.seek(FRAME_BYTES)
        return schemaless_reader(body, schema, None)

    return decode


def _free_port() -> int:
    (port,) = choose(1, random.Random())
    return port
