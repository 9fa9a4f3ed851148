"""Loading settings, and reporting what is wrong with them.

Owns: reading the configuration file, merging it with options and environment, naming every mistake;
reading the policy file that the settings name.
Does not own: the settings themselves (worker.py).
Invariants: an unknown key of the file is refused; an unknown `AWAWAY_` variable is only reported
(Kubernetes adds variables of its own); no message contains a value, as it may be a secret.
"""

import difflib
import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsError,
)

from pipeline.core.policy import load_policy
from pipeline.core.rulebook import PolicyBook
from pipeline.errors import ConfigError
from pipeline.settings.api import ApiSettings
from pipeline.settings.worker import ENV_PREFIX, Settings

CONFIG_VARIABLE: Final = "AWAWAY_CONFIG"
_ELSEWHERE: Final = frozenset(
    {CONFIG_VARIABLE, "AWAWAY_STACK_DIR", "AWAWAY_CACHE_DIR", "AWAWAY_TEST_WORKERS"}
)
"""Variables that are not settings: this module, the local stack and the tests read them."""

_FIX: Final = (
    "correct what is named; docs/CONFIGURATION.md lists every setting, "
    "`awaway worker --show-config` prints what was understood"
)
_FILE_BYTES_MAX: Final = 1 << 20
"""Max bytes of the configuration file."""

_KUBERNETES_LINK_MARKS: Final = ("_SERVICE_HOST", "_SERVICE_PORT", "_PORT_", "_TCP_", "_UDP_")
"""Parts of the names of the variables that Kubernetes adds for each Service."""

_KNOWN: Final = tuple(ApiSettings.model_fields)
"""Every setting of every process: one file and one environment serve them all."""

_Kind = TypeVar("_Kind", bound=Settings)


def load_settings(file: Path | None = None, **options: Any) -> Settings:
    """Read the settings of a worker, as `load_settings_of` does."""
    return load_settings_of(Settings, file, **options)


def load_settings_of(kind: type[_Kind], file: Path | None = None, **options: Any) -> _Kind:
    """Read settings from the options, the environment and the file.

    Args:
        kind: the settings of one process; in the file those of other processes are ignored.
        file: a YAML mapping of setting names; None takes the file that `AWAWAY_CONFIG` names.
        options: from the command line, by setting name; None where an option was not given.

    Raises:
        ConfigError: a value is refused, or the file is missing, too large or not a mapping.
    """
    named = os.environ.get(CONFIG_VARIABLE)
    path = file or (Path(named) if named else None)
    read_file = _read_file(path) if path else {}
    from_file = {name: read_file[name] for name in read_file if name in kind.model_fields}
    given = {name: value for name, value in options.items() if value is not None}

    class _Sourced(kind):  # type: ignore[valid-type, misc]
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the hook's signature
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (init_settings, env_settings, InitSettingsSource(settings_cls, from_file))

    try:
        read = _Sourced(**given)
    except ValidationError as error:
        found = [_explain(entry, given, from_file, path) for entry in error.errors()]
        raise ConfigError("; ".join(found), fix=_FIX) from None
    except SettingsError as error:
        # pydantic-settings names the field and the source, and not the value.
        raise ConfigError(str(error), fix="write a mapping as one JSON object") from None
    # The same class for every caller, so that equal settings compare equal; all is validated above.
    return kind.model_construct(read.model_fields_set, **dict(read))


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """The variables with our prefix that set nothing, with the names that were probably meant.

    Args:
        environ: as `os.environ`.

    Returns:
        One sentence for each, sorted. Variables that Kubernetes adds for a Service are left out.
    """
    known = {ENV_PREFIX + name.upper() for name in _KNOWN} | _ELSEWHERE
    found = []
    for name in sorted(environ):
        upper = name.upper()
        if not upper.startswith(ENV_PREFIX) or upper.split("__")[0] in known:
            continue
        if any(mark in upper for mark in _KUBERNETES_LINK_MARKS) or upper.endswith("_PORT"):
            continue
        found.append(f"{name} sets nothing{_meant(upper, sorted(known))}")
    return found


def read_policy(settings: Settings) -> PolicyBook:
    """The policy file.

    Raises:
        ConfigError: it cannot be read.
        PolicyError: it is incoherent; the message says how.
    """
    try:
        text = settings.policy_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{settings.policy_file} cannot be read",
            why=str(error.strerror if isinstance(error, OSError) else error),
            fix="set AWAWAY_POLICY_FILE to the policy's path",
        ) from error
    return load_policy(text)


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe loader, which refuses a key that is given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                break  # refused below, with its line
            if key in seen:
                line = key_node.start_mark.line + 1
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice, again in line {line}", None
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _read_file(path: Path) -> dict[str, Any]:
    content = _parse(path)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path} is not a mapping", fix="write lines of `name: value`")
    known = list(_KNOWN)
    for name in content:
        if name not in known:
            what = f"{path}: unknown setting {name!r}{_meant(str(name), known)}"
            raise ConfigError(what, fix=_FIX)
    kafka = content.get("kafka")
    if isinstance(kafka, dict):
        # The environment's spelling, so that the two merge key by key.
        content["kafka"] = {str(key).replace(".", "_"): value for key, value in kafka.items()}
    return content


def _parse(path: Path) -> object:
    fix = f"correct the path in {CONFIG_VARIABLE} or --config"
    try:
        if path.stat().st_size > _FILE_BYTES_MAX:
            raise ConfigError(f"{path} is larger than {_FILE_BYTES_MAX} bytes", fix=fix)
        # A subclass of the safe loader: it builds no Python objects.
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except OSError as error:
        raise ConfigError(f"cannot read {path}", why=error.strerror or "", fix=fix) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8", fix="save it as UTF-8") from None
    except yaml.MarkedYAMLError as error:
        where = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        why = error.problem or ""
        raise ConfigError(f"{path} is not valid YAML{where}", why=why, fix=_FIX) from None
    except yaml.YAMLError:
        why = "it contains control characters"
        raise ConfigError(f"{path} is not valid YAML", why=why, fix=_FIX) from None


def _meant(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return f"; did you mean {close[0]}?" if close else ""


def _explain(
    entry: Any, given: Mapping[str, Any], from_file: Mapping[str, Any], path: Path | None
) -> str:
    message = str(entry["msg"]).removeprefix("Value error, ")
    if not entry["loc"]:
        return message
    name = str(entry["loc"][0])
    inside = "".join(f".{part}" for part in entry["loc"][1:2])
    variable = ENV_PREFIX + name.upper()
    in_environment = any(key.upper().split("__")[0] == variable for key in os.environ)
    if name in given:
        source = f"--{name.replace('_', '-')}"
    elif in_environment:
        source = variable
    elif name in from_file:
        source = f"{name} in {path}"
    else:
        source = f"{variable} (default)"
    return f"{source}{inside}: {message}"
