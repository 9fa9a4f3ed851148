"""`awaway api`: the API's process, from its settings to its exit code.

Owns: the command's options, what it says at start and end.
Does not own: how it is put together and serves (api/), settings (api.py).
Invariants: an error that ends it is a log line with its fix; after a signal it is gone within
`api_stop_timeout_s` and a little, come what may.
"""

import asyncio
import os
import platform
import threading
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from pipeline import clock
from pipeline.cli.output import Output, OutputOption, print_json
from pipeline.errors import EXIT_FAILED, EXIT_OK, AwawayError, ConfigError
from pipeline.hard_exit import leave

if TYPE_CHECKING:
    from pipeline.settings.api import ApiSettings

_LEAVE_EXTRA_S: Final = 20.0
"""After the graceful stop's time services get this much longer to end."""


def command(
    *,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="YAML file of settings; else AWAWAY_CONFIG's."),
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.")] = None,
    show_config: Annotated[
        bool, typer.Option("--show-config", help="Print the settings, secrets masked, and leave.")
    ] = False,
    output: OutputOption = Output.TEXT,
) -> int:
    """Serve what the pipeline knows of its users, until it is stopped.

    Reads the topic of progress into a store of its own on disk, answers from it, and keeps it up
    to date; workers and brokers may be away meanwhile. /v1/openapi.json says what it answers;
    /livez, /readyz, /startupz and /metrics are on the same port. It listens on loopback unless
    AWAWAY_API_HOST says otherwise, and asks for tokens unless AWAWAY_API_AUTH_OFF=true.

    Settings come from options, then AWAWAY_... variables, then the file, then defaults;
    docs/CONFIGURATION.md lists them. Logs go to stderr.

    SIGTERM and Ctrl-C end requests in hand and leave with 0; a second signal leaves at once. Exit
    codes: 0 stopped, 1 failed, 2 usage.
    """
    from pipeline.settings.api import ApiSettings  # noqa: PLC0415 - slow to import
    from pipeline.settings.load import load_settings_of, unknown_variables  # noqa: PLC0415

    settings = load_settings_of(ApiSettings, config, api_port=port)
    if show_config:
        _show(settings, output)
        return EXIT_OK
    from pipeline.observability.logs import configure_logging  # noqa: PLC0415 - slow to import

    configure_logging(settings.log_format, settings.log_level)
    return _run(settings, unknown_variables(os.environ))


def _show(settings: "ApiSettings", output: Output) -> None:
    if output is Output.JSON:
        print_json(settings.shown())
        return
    import yaml  # noqa: PLC0415 - only needed here

    typer.echo(yaml.safe_dump(settings.shown(), sort_keys=False, allow_unicode=True), nl=False)


def _run(settings: "ApiSettings", complaints: list[str]) -> NoReturn:
    import structlog  # noqa: PLC0415 - slow to import

    from pipeline.api.server import serve  # noqa: PLC0415 - slow to import
    from pipeline.api.wiring import build  # noqa: PLC0415
    from pipeline.core.errors import CoreError  # noqa: PLC0415

    log = structlog.get_logger("awaway.api")
    for complaint in complaints:
        log.warning("a variable was not understood", reason=complaint)

    def listening(address: str) -> None:
        log.info(
            "serving",
            address=address,
            version=version("awaway"),
            python=platform.python_version(),
            brokers=settings.bootstrap_servers,
            topic=settings.topic("progress"),
            data=str(settings.data_dir),
        )

    async def main() -> None:
        built = build(settings, clock.now_ms)
        stopping = built.deps.stopping
        watch = asyncio.ensure_future(_leave_in_time(stopping, settings))
        try:
            await serve(built.app, built.services, settings, stopping, listening)
        finally:
            watch.cancel()

    try:
        asyncio.run(main())
    except CoreError as error:
        fix = f"mend {settings.policy_file}"
        raise ConfigError("the policy was refused", why=str(error), fix=fix) from error
    except AwawayError as error:
        log.error("failed", error=type(error).__name__, reason=str(error), fix=error.fix)
        raise
    log.info("stopped")
    leave(EXIT_OK)


async def _leave_in_time(stopping: asyncio.Event, settings: "ApiSettings") -> None:
    """End the process although something hangs; nothing is lost by it."""
    await stopping.wait()
    last = threading.Timer(settings.api_stop_timeout_s + _LEAVE_EXTRA_S, leave, (EXIT_FAILED,))
    last.daemon = True
    last.start()
