"""`awaway worker`: the pipeline's process, from its settings to its exit code.

Owns: the command's options, what is listening before the worker starts, what it says at start and
end, and that it ends in time.
Does not own: how the worker is put together and runs (app.py), settings (worker.py).
Invariants: health answers before anything is connected; an error that ends the worker is a log line
with its fix; after a signal it is gone within `stop_timeout_s` and a little, come what may.
"""

import gc
import os
import platform
import signal
import threading
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pipeline import clock
from pipeline.cli.output import Output, OutputOption, print_json
from pipeline.errors import EXIT_FAILED, EXIT_OK, AwawayError, ConfigError
from pipeline.hard_exit import leave

if TYPE_CHECKING:
    from pipeline.observability.prometheus import WorkerMetrics
    from pipeline.settings.worker import Settings
    from pipeline.worker.app import Hooks
    from pipeline.worker.lag import LagProbe
    from pipeline.worker.telemetry import Telemetry

_LEAVE_EXTRA_S: Final = 2.0
"""After the graceful stop's time the process gets this much longer to wind down by itself."""


def command(
    *,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="YAML file of settings; else AWAWAY_CONFIG's."),
    ] = None,
    slot: Annotated[
        int | None, typer.Option(help="Stable place among the workers; two never share one.")
    ] = None,
    http_port: Annotated[
        int | None, typer.Option(help="Port of health and metrics; 0 takes a free one.")
    ] = None,
    show_config: Annotated[
        bool, typer.Option("--show-config", help="Print the settings, secrets masked, and leave.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Check brokers, topics, schemas, assets; then leave.")
    ] = False,
    output: OutputOption = Output.TEXT,
) -> int:
    """Run the pipeline until it is stopped.

    Reads completions and commands from Kafka, and publishes portals, progress, geometry, alerts,
    dead letters and audit entries, exactly once. It makes nothing: topics, schemas and figures
    must be there (`awaway topics apply`, `awaway schemas register`, `awaway assets publish`), and
    it says what is missing.

    Settings come from options, then AWAWAY_... variables, then the file, then defaults;
    docs/CONFIGURATION.md lists them. Logs go to stderr. /livez, /readyz, /startupz and /metrics are
    on http_port.

    SIGTERM and Ctrl-C finish the transaction in hand and leave with 0; a second signal leaves at
    once. Neither loses or repeats anything. Exit codes: 0 stopped, 1 failed, 2 usage.
    """
    gc.disable()  # it takes a sixth of the imports' time; the engine's thread takes it over
    from pipeline.settings.load import load_settings, unknown_variables  # noqa: PLC0415 - slow

    settings = load_settings(config, slot=slot, http_port=http_port)
    if show_config:
        _show(settings, output)
        return EXIT_OK
    from pipeline.observability.logs import configure_logging  # noqa: PLC0415 - slow to import

    configure_logging(settings.log_format, settings.log_level)
    # Until the event loop listens to signals: nothing is connected yet, so there is nothing to end.
    signal.signal(signal.SIGTERM, lambda *_: leave(EXIT_OK))
    code = _run(settings, unknown_variables(os.environ), check_only=check)
    # Nothing is left to be done, and taking the interpreter apart takes a second. Whoever runs next
    # in this slot waits for our end, and this slot's partitions with it.
    return leave(code)


def _show(settings: "Settings", output: Output) -> None:
    if output is Output.JSON:
        print_json(settings.shown())
        return
    import yaml  # noqa: PLC0415 - only needed here

    typer.echo(yaml.safe_dump(settings.shown(), sort_keys=False, allow_unicode=True), nl=False)


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
            with _lag_probe(settings, telemetry, metrics):
                code = run_worker(settings, hooks)
        except CoreError as error:
            metrics.state_changed(WorkerState.FAILED)
            fix = f"mend {settings.policy_file}"
            raise ConfigError("the policy was refused", why=str(error), fix=fix) from error
        except AwawayError as error:
            metrics.state_changed(WorkerState.FAILED)
            log.error("failed", error=type(error).__name__, reason=str(error), fix=error.fix)
            raise
        if code != EXIT_OK:
            log.error("it did not stop within its time", stop_timeout_s=settings.stop_timeout_s)
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
        last = threading.Timer(settings.stop_timeout_s + _LEAVE_EXTRA_S, leave, (EXIT_FAILED,))
        last.daemon = True
        last.start()

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
