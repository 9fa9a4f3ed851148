"""`awaway worker`: the pipeline's process, from its settings to its exit code.

Owns: the command's options, what listens before the worker starts, what is logged at start and
end, and that the process ends in time.
Does not own: how the worker is wired and runs (worker/app.py), settings (settings/worker.py).
Invariants: health answers before anything is connected; an error that ends the worker is a log line
with its fix; after a signal the process ends within `stop_timeout_s` and `_EXIT_EXTRA_S`, whatever
hangs.
"""

import gc
import os
import platform
import signal
from contextlib import nullcontext
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pipeline import clock
from pipeline.cli.configuration import ConfigOption, ShowConfigOption, show_settings
from pipeline.cli.output import Output, OutputOption
from pipeline.errors import EXIT_FAILED, EXIT_OK, AwawayError, ConfigError
from pipeline.hard_exit import exit_hard, exit_hard_after

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from pipeline.observability.prometheus import WorkerMetrics
    from pipeline.settings.worker import Settings
    from pipeline.worker.app import Hooks
    from pipeline.worker.lag import LagProbe
    from pipeline.worker.telemetry import Telemetry

_EXIT_EXTRA_S: Final = 2.0
"""How much longer than `stop_timeout_s` the process may take to end by itself."""


def command(
    *,
    config: ConfigOption = None,
    slot: Annotated[
        int | None,
        typer.Option(help="Number of this worker among its peers; two never share one."),
    ] = None,
    http_port: Annotated[
        int | None, typer.Option(help="Port of probes and metrics; 0 takes a free one.")
    ] = None,
    show_config: ShowConfigOption = False,
    check: Annotated[
        bool, typer.Option("--check", help="Check brokers, topics, schemas, assets; then exit.")
    ] = False,
    output: OutputOption = Output.TEXT,
) -> int:
    """Run the pipeline until it is stopped.

    Reads completions and commands from Kafka, and publishes portals, progress, geometry, alerts,
    dead letters and audit entries, exactly once. It creates no topic, schema or figure: they must
    exist (`awaway topics apply`, `awaway schemas register`, `awaway assets publish`), and the
    worker names what is missing.

    Settings come from options, then AWAWAY_... variables, then the file, then defaults;
    docs/CONFIGURATION.md lists them. Logs go to stderr. /livez, /readyz, /startupz and /metrics are
    served on http_port.

    After SIGTERM or Ctrl-C the worker commits its open transaction and exits with 0; a second
    signal ends it at once. Neither loses or repeats anything. Exit codes: 0 stopped, 1 failed,
    2 usage.
    """
    gc.disable()  # it takes a sixth of the imports' time; the engine's thread collects later
    from pipeline.settings.load import load_settings, unknown_variables  # noqa: PLC0415 - slow

    settings = load_settings(config, slot=slot, http_port=http_port)
    if show_config:
        show_settings(settings, output)
        return EXIT_OK
    from pipeline.observability.logs import configure_logging  # noqa: PLC0415 - slow to import

    configure_logging(settings.log_format, settings.log_level)
    # Until the event loop handles signals: nothing is connected yet, so there is nothing to stop.
    signal.signal(signal.SIGTERM, lambda *_: exit_hard(EXIT_OK))
    code = _run(settings, unknown_variables(os.environ), check_only=check)
    # Nothing is left to do, and the interpreter's own exit takes a second. The next worker of this
    # slot waits for the end of this process, and the slot's partitions wait with it.
    return exit_hard(code)


def _run(settings: "Settings", complaints: list[str], *, check_only: bool) -> int:
    import structlog  # noqa: PLC0415 - slow to import

    from pipeline.core.errors import CoreError  # noqa: PLC0415
    from pipeline.observability.health import Health, HealthServer  # noqa: PLC0415
    from pipeline.observability.metrics import WorkerState  # noqa: PLC0415
    from pipeline.observability.prometheus import WorkerMetrics  # noqa: PLC0415
    from pipeline.worker.app import create_app, run_worker, store_root  # noqa: PLC0415 - slow to import
    from pipeline.worker.telemetry import Telemetry  # noqa: PLC0415

    log = structlog.get_logger("awaway.worker")
    metrics = WorkerMetrics(clock.now_ms)
    telemetry = Telemetry(metrics, clock.now_ms, store_root(settings))
    health = Health(metrics, settings.stall_timeout_s)
    with HealthServer(settings.http_host, settings.http_port, health, metrics.registry) as server:
        host, port = server.address
        log.info(
            "starting",
            version=version("awaway"),
            python=platform.python_version(),
            generation=settings.generation,
            slot=settings.slot,
            group=settings.group_id,
            brokers=settings.bootstrap_servers,
            data=str(store_root(settings)),
            health=f"http://{host}:{port}/readyz",
        )
        for complaint in complaints:
            log.warning("a variable was not understood", reason=complaint)
        metrics.state_changed(WorkerState.CHECKING)
        try:
            _describe(settings, metrics)
            hooks = _hooks(settings, telemetry)
            if check_only:
                create_app(settings, hooks).make_engine()
                log.info("all is in order")
                return EXIT_OK
            with _lag_probe(settings, telemetry, metrics), _scrub(settings, telemetry, metrics):
                code = run_worker(settings, hooks)
        except CoreError as error:
            metrics.state_changed(WorkerState.FAILED)
            fix = f"correct {settings.policy_file}"
            raise ConfigError("the policy was refused", why=str(error), fix=fix) from error
        except AwawayError as error:
            metrics.state_changed(WorkerState.FAILED)
            log.error("failed", error=type(error).__name__, reason=str(error), fix=error.fix)
            raise
        if code != EXIT_OK:
            log.error("did not stop in time", stop_timeout_s=settings.stop_timeout_s)
        else:
            log.info("stopped")
        return code


def _describe(settings: "Settings", metrics: "WorkerMetrics") -> None:
    """Set the metrics that say what runs."""
    from pipeline.core.geometry.catalogue import GENERATOR_VERSION  # noqa: PLC0415
    from pipeline.settings.load import read_policy  # noqa: PLC0415 - slow to import

    book = read_policy(settings)
    metrics.expect_portals(book.keys_max)
    metrics.describe_build(
        version=version("awaway"),
        generation=settings.generation,
        slot=str(settings.slot),
        policy_version=book.at(clock.now_ms()).version,
        generator_version=GENERATOR_VERSION,
    )


def _hooks(settings: "Settings", telemetry: "Telemetry") -> "Hooks":
    from pipeline.worker.app import Hooks  # noqa: PLC0415 - slow to import

    def stopping() -> None:
        telemetry.stopping()
        exit_hard_after(settings.stop_timeout_s + _EXIT_EXTRA_S, EXIT_FAILED)

    return Hooks(
        observer=telemetry,
        folded=telemetry.folded,
        checked=telemetry.checked,
        stopping=stopping,
    )


def _lag_probe(
    settings: "Settings", telemetry: "Telemetry", metrics: "WorkerMetrics"
) -> "LagProbe":
    from pipeline.worker.app import INPUTS  # noqa: PLC0415 - slow to import
    from pipeline.worker.lag import BrokerOffsets, LagProbe  # noqa: PLC0415

    topics = [settings.topic(name) for name in INPUTS]
    source = BrokerOffsets(settings.kafka_client(), settings.group_id)
    return LagProbe(source, topics, telemetry, metrics, clock.now_ms)


def _scrub(
    settings: "Settings", telemetry: "Telemetry", metrics: "WorkerMetrics"
) -> "AbstractContextManager[object]":
    """The scrub in the background, where there is to be one."""
    if not settings.scrub_records_per_s:
        return nullcontext()
    from pipeline.engine.pages import Pages  # noqa: PLC0415 - slow to import
    from pipeline.worker.app import store_root, users_table  # noqa: PLC0415
    from pipeline.worker.scrubbing import Scrubber  # noqa: PLC0415

    pages = telemetry.pages = Pages(users_table(settings))
    folder = store_root(settings) / "scrub"
    per_s = settings.scrub_records_per_s
    return Scrubber(settings.kafka_client(), pages, folder, per_s, telemetry, metrics)
