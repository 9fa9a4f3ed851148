"""What all commands of `awaway adjust` need.

Owns: the options that they share, putting together what reads and sends.
Does not own: the commands (adjust.py, adjust_many.py), what they call (ops/adjust).
Invariant: who asks is whom the brokers take the client for.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from datetime import date

    from pipeline.ops.adjust.send import Corrections
    from pipeline.ops.adjust.user_state import UserStates

DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Show what would change, and send nothing.")
]


class Desk:
    """Everything that a correction needs of the world.

    Args:
        config: file of settings.
    """

    def __init__(self, config: Path | None) -> None:
        from pipeline.codec.registry import SchemaResolver, connect  # noqa: PLC0415 - slow
        from pipeline.codec.schemas import load_schemas  # noqa: PLC0415 - slow to import
        from pipeline.core.geometry.catalogue import GoldenCatalogue  # noqa: PLC0415
        from pipeline.core.outcome import World  # noqa: PLC0415 - the same
        from pipeline.kafka.principal import principal_of  # noqa: PLC0415 - the same
        from pipeline.settings.load import load_settings, read_policy  # noqa: PLC0415

        settings = load_settings(config)
        self._log = (
            settings.kafka_client(),
            settings.topic_prefix,
            load_schemas(settings.schemas_dir),
            SchemaResolver(connect(settings.registry_client())).writer_schema,
        )
        self.actor = principal_of(settings.kafka_client())
        catalogue = GoldenCatalogue(settings.assets_url)
        self.world = World(read_policy(settings), catalogue, settings.generation)

    def states(self) -> "UserStates":
        """Reads users' states."""
        from pipeline.ops.adjust.user_state import UserStates  # noqa: PLC0415 - slow to import

        return UserStates(*self._log, self.world.policies)

    def corrections(self) -> "Corrections":
        """Sends, and reads back."""
        from pipeline.ops.adjust.send import Corrections  # noqa: PLC0415 - slow to import

        return Corrections(*self._log)


def date_of(text: str) -> "date":
    """A date that somebody typed."""
    from datetime import date  # noqa: PLC0415 - only needed here

    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no date", fix="write it as 2026-03-01") from None


def check_texts(*texts: str) -> None:
    """Refuse words that are not UTF-8: they could be neither sent nor kept."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{text!r} is no text", fix="give it in UTF-8") from None
