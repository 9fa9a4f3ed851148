"""`awaway api`: the API's process, from its settings to its exit code.

Owns: the command's options, what is logged at start and end, and that the process ends in time.
Does not own: how the API is wired and serves (api/), settings (settings/api.py).
Invariants: an error that ends it is a log line with its fix; after a signal the process ends within
`api_stop_timeout_s` and `_EXIT_EXTRA_S`, whatever hangs.
"""

import asyncio
import os
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from pipeline import clock
from pipeline.cli.configuration import ConfigOption, ShowConfigOption, show_settings
from pipeline.cli.output import Output, OutputOption
from pipeline.errors import EXIT_FAILED, EXIT_OK, AwawayError, ConfigError
from pipeline.hard_exit import exit_hard, exit_hard_after

if TYPE_CHECKING:
    from pipeline.settings.api import ApiSettings

_EXIT_EXTRA_S: Final = 20.0
"""How much longer than `api_stop_timeout_s` the services may take to end."""


def command(
    *,
    config: ConfigOption = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.")] = None,
    show_config: ShowConfigOption = False,
    output: OutputOption = Output.TEXT,
) -> int:
    """Serve what the pipeline knows of its users, until it is stopped.

    Reads the progress topic into a store of its own on disk, keeps it up to date, and answers from
    it, also while workers and brokers are down. /v1/openapi.json describes the API; /livez,
    /readyz, /startupz and /metrics are on the same port. It listens on loopback unless
    AWAWAY_API_HOST is set, and requires tokens unless AWAWAY_API_AUTH_OFF=true.

    Settings come from options, then AWAWAY_... variables, then the file, then defaults;
    docs/CONFIGURATION.md lists them. Logs go to stderr.

    After SIGTERM or Ctrl-C the API finishes the open requests and exits with 0; a second signal
    ends it at once. Exit codes: 0 stopped, 1 failed, 2 usage.
    """
    from pipeline.settings.api import ApiSettings  # noqa: PLC0415 - slow to import
    from pipeline.settings.load import load_settings_of, unknown_variables  # noqa: PLC0415

    settings = load_settings_of(ApiSettings, config, api_port=port)
    if show_config:
        show_settings(settings, output)
        return EXIT_OK
    from pipeline.observability.logs import configure_logging  # noqa: PLC0415 - slow to import

    configure_logging(settings.log_format, settings.log_level)
    return _run(settings, unknown_variables(os.environ))


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
        watch = asyncio.ensure_future(_exit_in_time(stopping, settings))
        try:
            await serve(built.app, built.services, settings, stopping, listening)
        finally:
            watch.cancel()

    try:
        asyncio.run(main())
    except CoreError as error:
        fix = f"correct {settings.policy_file}"
        raise ConfigError("the policy was refused", why=str(error), fix=fix) from error
    except AwawayError as error:
        log.error("failed", error=type(error).__name__, reason=str(error), fix=error.fix)
        raise
    log.info("stopped")
    exit_hard(EXIT_OK)


async def _exit_in_time(stopping: asyncio.Event, settings: "ApiSettings") -> None:
    """End the process even if something hangs; nothing is lost by that."""
    await stopping.wait()
    exit_hard_after(settings.api_stop_timeout_s + _EXIT_EXTRA_S, EXIT_FAILED)
