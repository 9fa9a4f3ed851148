"""A real worker and a real API on a ledger of their own, as clients see them.

Owns: the API's process, tokens that it takes, HTTP against it.
Does not own: topics, inputs and workers (tests/integration/ledger.py), expectations.
"""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.integration.ledger import ROOT, Ledger, iso

ISSUER = "https://issuer.example"
AUDIENCE = "awaway"
KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC_PEM = KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


def token(subject: str, kind: str | None = None, **claims: Any) -> str:
    """A token that the API takes; a user's unless `kind` says otherwise."""
    now = int(time.time())
    content = {"sub": subject, "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 600}
    if kind is not None:
        content["awaway_kind"] = kind
    return jwt.encode(content | claims, KEY, algorithm="ES256")


def completion(user_id: str, completion_id: str, **fields: Any) -> dict[str, Any]:
    """A completion of twenty minutes that ended a moment ago."""
    ended = datetime.now(UTC) - timedelta(minutes=1)
    end_ms = int(fields.pop("at", ended).timestamp() * 1000)
    return {
        "completion_id": completion_id,
        "user_id": user_id,
        "session_id": f"session of {completion_id}",
        "practice": "breath",
        "started_at": iso(end_ms - 1_200_000),
        "completed_at": iso(end_ms),
        "tz": "Europe/Berlin",
    } | fields


@dataclass
class Served:
    """A running API."""

    ledger: Ledger
    process: subprocess.Popen[bytes]
    log_path: Path
    base: str = ""
    clients: list[httpx2.Client] = field(default_factory=list)
    log_start: int = 0
    is_asked: bool = False

    def log(self) -> str:
        """What it wrote so far; not what others wrote into the same log before."""
        return self.log_path.read_bytes()[self.log_start :].decode(errors="replace")

    def client(self, subject: str, kind: str | None = None, **claims: Any) -> httpx2.Client:
        """A client with a token."""
        headers = {"Authorization": f"Bearer {token(subject, kind, **claims)}"}
        made = httpx2.Client(base_url=self.base, headers=headers, timeout=20)
        self.clients.append(made)
        return made

    def status(self, client: httpx2.Client, url: str) -> dict[str, Any]:
        """A completion's status once it is not pending."""
        found: dict[str, Any] = {}

        def is_decided() -> bool:
            nonlocal found
            answer = client.get(url)
            found = answer.json()
            return answer.status_code == 200 and found["status"] != "pending"

        self.ledger.wait_for(is_decided)
        return found

    def ask_to_stop(self) -> None:
        """SIGTERM, once: a second one would end it at once."""
        if not self.is_asked:
            self.process.send_signal(signal.SIGTERM)
        self.is_asked = True

    def stop(self) -> int:
        """Stop gracefully; returns the exit code."""
        for each in self.clients:
            each.close()
        self.ask_to_stop()
        return self.process.wait(40)

    def streams(self) -> int:
        """How many clients of live streams it says that it has."""
        with urllib.request.urlopen(f"{self.base}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        line = next(li for li in text.splitlines() if li.startswith("awaway_api_stream_clients "))
        return int(float(line.split()[1]))


@contextmanager
def serving(ledger: Ledger, **settings: Any) -> Iterator[Served]:
    """An API on a ledger; at the end it is stopped, and must exit with 0."""
    keys = ledger.folder / "keys.pem"
    keys.write_bytes(PUBLIC_PEM)
    given = {
        "API_PORT": "0",
        "API_AUTH_ISSUER": ISSUER,
        "API_AUTH_KEYS_FILE": str(keys),
        "LOG_FORMAT": "json",
        "DATA_DIR": str(ledger.folder / "api"),
    } | settings
    log_path = ledger.folder / "api.log"
    with log_path.open("ab") as log:
        log_start = log.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli.main", "api"],
            cwd=ROOT,
            env=ledger.environment(**given) | {"PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
        )
    served = Served(ledger, process, log_path, log_start=log_start)
    try:
        ledger.wait_for(lambda: _is_ready(served))
        yield served
        assert served.stop() == 0, served.log()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)


def _is_ready(served: Served) -> bool:
    assert served.process.poll() is None, served.log()
    if not served.base:
        for line in served.log().splitlines():
            if line.startswith("{") and '"address"' in line:
                served.base = json.loads(line)["address"]
    if not served.base:
        return False
    try:
        return httpx2.get(f"{served.base}/readyz", timeout=5).status_code == 200
    except httpx2.HTTPError:
        return False
