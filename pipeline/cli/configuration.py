"""The options that choose and print a process's settings, for every command that has them.

Owns: `--config`, `--show-config`, how settings are printed.
Does not own: the settings and where they come from (settings/).
Invariant: secrets are printed as asterisks.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.output import Output, print_json

if TYPE_CHECKING:
    from pipeline.settings.worker import Settings

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="YAML file of settings; default: AWAWAY_CONFIG."),
]
ShowConfigOption = Annotated[
    bool, typer.Option("--show-config", help="Print the settings, secrets masked, and exit.")
]


def show_settings(settings: "Settings", output: Output) -> None:
    """Print every setting, as YAML or as one JSON object."""
    if output is Output.JSON:
        print_json(settings.shown())
        return
    import yaml  # noqa: PLC0415 - only needed here

    typer.echo(yaml.safe_dump(settings.shown(), sort_keys=False, allow_unicode=True), nl=False)
