"""The console over a demonstration that is kept.

Owns: starting the API over a run's topics, the small process that ends it with the stack, and who
that is.
Does not own: the API and its console (api/), the stack (local/).
Invariants: the API listens on loopback alone, as it asks for no token. It never outlives the
stack: its guardian ends it as soon as the stack's supervisor is gone, however that went, and on
Linux the kernel ends it with its guardian. What fails to start leaves no process behind, and a
demo's folder has one console at most.

Run as `python -m pipeline.dev.demo.console guard PID STARTED`, which name the supervisor, or as
`python -m pipeline.dev.demo.console end ROOT`, which ends the console of the demo in a folder.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec

from pipeline.dev.demo.errors import ConsoleNotStartedError
from pipeline.dev.demo.worker_process import environment
from pipeline.dev.local.ports import LOOPBACK
from pipeline.dev.local.process import ProcessId, dying_with_parent, end, identify
from pipeline.dev.local.stack import LocalStack
from pipeline.dev.local.state import Layout, read_state, write_whole
from pipeline.settings.worker import ENV_PREFIX, Settings

START_S_MAX: Final = 90.0
_STOP_S_MAX: Final = 30.0
_POLL_S: Final = 0.25
_LOG_LINES_SHOWN: Final = 8
_RECORD: Final = "console.json"
"""In a demo's folder: the console's guardian, once and for all."""


def start_console(settings: Settings, run_dir: Path, stack: LocalStack) -> str:
    """Start the API over a run, to end with its stack; an earlier run's console ends first.

    Args:
        settings: of the run's worker.
        run_dir: where its data and log go.
        stack: is up, and stays up after this process. Its folder is in the demo's.

    Returns:
        The console's address, which answers.

    Raises:
        ConsoleNotStartedError: it did not come up.
    """
    state = read_state(Layout(stack.root))
    if state is None:
        raise ConsoleNotStartedError("the stack is down", fix="run the demo again")
    given = {
        "api_auth_off": "true",
        "api_host": LOOPBACK,
        "api_port": "0",  # the API's own port is for one that asks for tokens
        "data_dir": str(run_dir / "api"),
        "log_format": "json",
    }
    named = {ENV_PREFIX + name.upper(): value for name, value in given.items()}
    log_path = run_dir / "api.log"
    root = stack.root.parent
    end_console(root)
    supervisor = state.supervisor
    with log_path.open("ab") as log:
        guardian = subprocess.Popen(
            [
                *(sys.executable, "-m", "pipeline.dev.demo.console", "guard"),
                *(str(supervisor.pid), supervisor.started),
            ],
            env=environment(settings) | named,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    is_up = False
    try:
        started = identify(guardian.pid)
        if started is not None:
            write_whole(root / _RECORD, started)
        address = await_address(guardian, log_path)
        is_up = True
        return f"{address}/console"
    finally:
        process = None if is_up else identify(guardian.pid)
        if process is not None:
            end(process, _STOP_S_MAX)


def end_console(root: Path) -> None:
    """End the console that a demo left behind, and wait until it has ended.

    Args:
        root: the demo's folder. Where nothing is written down, or another process has the number
            since, nothing is ended.
    """
    record = root / _RECORD
    try:
        left = msgspec.json.decode(record.read_bytes(), type=ProcessId)
    except (OSError, msgspec.DecodeError):
        return
    # The guardian has as long for the API as it may take, and a little more for itself.
    end(left, _STOP_S_MAX + 1)
    record.unlink(missing_ok=True)


def await_address(guardian: "subprocess.Popen[bytes]", log_path: Path) -> str:
    """Return where an API answers, once it has loaded what there is.

    Args:
        guardian: the API, or who runs it. log_path: of its log, in JSON.

    Raises:
        ConsoleNotStartedError: it did not come up.
    """
    deadline_s = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline_s and guardian.poll() is None:
        events = _events(log_path)
        # What was loaded can be looked at; until then pages would say that they are loading.
        address = next((each["address"] for each in events if "address" in each), None)
        if address is not None and any(each.get("event") == "loaded" for each in events):
            return str(address)
        time.sleep(_POLL_S)
    lines = log_path.read_text(encoding="utf-8", errors="replace").splitlines()
    raise ConsoleNotStartedError(
        "the console did not start",
        why="\n".join(line[:400] for line in lines[-_LOG_LINES_SHOWN:]),
        fix=f"see {log_path}",
        log_path=str(log_path),
    )


def _events(log_path: Path) -> list[dict[str, object]]:
    """The whole lines of a log that are JSON objects."""
    found = []
    for line in log_path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            found.append(event)
    return found


def guard(supervisor: ProcessId) -> int:
    """Run the API until the stack is gone, or this process is told to end.

    Returns:
        The API's exit code.
    """
    is_told_to_end = False

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_told_to_end
        is_told_to_end = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)
    api = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli.main", "api"],
        stdin=subprocess.DEVNULL,
        preexec_fn=dying_with_parent(),  # noqa: PLW1509 - this process has one thread
    )
    while api.poll() is None and supervisor.alive and not is_told_to_end:
        time.sleep(_POLL_S)
    if api.poll() is None:
        api.terminate()
        try:
            api.wait(_STOP_S_MAX)
        except subprocess.TimeoutExpired:
            api.kill()
    return api.wait()


if __name__ == "__main__":
    if sys.argv[1] == "end":
        end_console(Path(sys.argv[2]))
    else:
        os.chdir("/")  # the folder that it was started in may go
        sys.exit(guard(ProcessId(int(sys.argv[2]), sys.argv[3])))
