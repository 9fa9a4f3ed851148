"""Settings: where they come from, what is refused, and that no secret is shown."""

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from pipeline.errors import ConfigError
from pipeline.settings.load import CONFIG_VARIABLE, load_settings, unknown_variables
from pipeline.settings.worker import Settings

SECRET = "hunter2-and-more"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("AWAWAY_"):
            monkeypatch.delenv(name)


def write(folder: Path, text: str) -> Path:
    path = folder / "awaway.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_are_a_worker_on_this_machine() -> None:
    settings = load_settings()
    assert settings.bootstrap_servers == "127.0.0.1:9092"
    assert settings.group_id == "awaway.blue"
    assert settings.transactional_id == "awaway.blue-0"
    assert settings.topic("completions") == "awaway.completions"
    assert settings.http_host == "127.0.0.1"
    assert settings.development is False


def test_option_beats_variable_beats_file_beats_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "slot: 1\nhttp_port: 1111\ngeneration: green\n")
    monkeypatch.setenv("AWAWAY_SLOT", "2")
    monkeypatch.setenv("AWAWAY_HTTP_PORT", "2222")
    settings = load_settings(path, slot=3)
    assert (settings.slot, settings.http_port, settings.generation) == (3, 2222, "green")
    assert settings.batch_records_max == 10_000


def test_an_option_that_was_not_said_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWAWAY_SLOT", "2")
    assert load_settings(slot=None).slot == 2


def test_the_variable_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONFIG_VARIABLE, str(write(tmp_path, "slot: 7\n")))
    assert load_settings().slot == 7


def test_client_settings_merge_key_by_key_from_file_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "kafka: {sasl.username: u, sasl.password: from-file}\n")
    monkeypatch.setenv("AWAWAY_KAFKA__SASL_PASSWORD", SECRET)
    monkeypatch.setenv("AWAWAY_KAFKA", '{"security.protocol": "SASL_SSL"}')
    settings = load_settings(path)
    assert settings.kafka_client() == {
        "bootstrap.servers": "127.0.0.1:9092",
        "sasl.username": "u",
        "sasl.password": SECRET,
        "security.protocol": "SASL_SSL",
    }


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWAWAY_KAFKA__SASL_PASSWORD", SECRET)
    monkeypatch.setenv("AWAWAY_KAFKA__SSL_KEY_PEM", SECRET)
    monkeypatch.setenv("AWAWAY_REGISTRY_USER", "reader")
    monkeypatch.setenv("AWAWAY_REGISTRY_PASSWORD", SECRET)
    settings = load_settings()
    for shown in (repr(settings), str(settings), str(settings.shown()), settings.model_dump_json()):
        assert SECRET not in shown
    assert settings.shown()["kafka"]["sasl.password"] == "**********"
    assert isinstance(settings.kafka["ssl.key.pem"], SecretStr)
    assert settings.registry_client()["basic.auth.user.info"] == f"reader:{SECRET}"


def test_a_registry_without_a_password_is_asked_without_one() -> None:
    assert load_settings().registry_client() == {"url": "http://127.0.0.1:8081"}


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("AWAWAY_SLOT", "first", "AWAWAY_SLOT: Input should be a valid integer"),
        ("AWAWAY_HTTP_PORT", "70000", "AWAWAY_HTTP_PORT: Input should be less than or equal"),
        ("AWAWAY_BOOTSTRAP_SERVERS", "kafka", "AWAWAY_BOOTSTRAP_SERVERS: String should match"),
        ("AWAWAY_REGISTRY_URL", f"http://u:{SECRET}@host", "AWAWAY_REGISTRY_URL: String should"),
        ("AWAWAY_KAFKA__GROUP_ID", "mine", "AWAWAY_KAFKA: group.id is set by the engine"),
        ("AWAWAY_KAFKA", SECRET, 'error parsing value for field "kafka"'),
        ("AWAWAY_LOG_LEVEL", "loud", "AWAWAY_LOG_LEVEL: Input should be 'debug', 'info'"),
        ("AWAWAY_REGISTRY_PASSWORD", SECRET, "registry_user and registry_password go together"),
        ("AWAWAY_SESSION_TIMEOUT_MS", "6000", None),
        ("AWAWAY_TRANSACTION_TIMEOUT_MS", "10000", "transaction_timeout_ms must be below"),
        ("AWAWAY_TRANSACTION_TIMEOUT_MS", "1500", "batch_ms_max must be at most half"),
        ("AWAWAY_MAX_POLL_INTERVAL_MS", "10000", "max_poll_interval_ms must be above"),
        ("AWAWAY_GENERATION", "Blue!", "AWAWAY_GENERATION: String should match"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str | None
) -> None:
    monkeypatch.setenv(variable, value)
    if said is None:
        load_settings()
        return
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert said in str(caught.value)
    assert SECRET not in f"{caught.value} {caught.value.fix} {caught.value.as_dict()}"


def test_all_mistakes_are_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWAWAY_SLOT", "-1")
    path = write(tmp_path, "log_format: pretty\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(path, http_port=-5)
    assert "AWAWAY_SLOT: " in str(caught.value)
    assert f"log_format in {path}: " in str(caught.value)
    assert "--http-port: " in str(caught.value)


def test_a_key_with_dots_and_with_underscores_is_given_twice() -> None:
    with pytest.raises(ConfigError, match=r"sasl\.username is given twice"):
        load_settings(kafka={"sasl.username": "a", "sasl_username": "b"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("slott: 1\n", "unknown setting 'slott'; did you mean slot?"),
        ("slot: 1\nslot: 2\n", "line 2"),
        ("- slot\n", "is not a mapping"),
        ("slot: [1\n", "is not valid YAML in line"),
        ("slot: \x00\n", "is not valid YAML"),
        ("slot: !!python/object:os.system 1\n", "is not valid YAML"),
        ("? [a, b]\n: 1\n", "is not valid YAML"),
    ],
)
def test_a_bad_file_is_refused_with_the_place(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, "# nothing\n")) == load_settings()


def test_a_missing_large_or_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load_settings(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="larger than"):
        load_settings(write(tmp_path, "#" * (1 << 20) + "\n"))
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"slot: \xff")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load_settings(path)


def test_variables_that_set_nothing_are_told_but_not_those_of_kubernetes() -> None:
    warnings = unknown_variables(
        {
            "AWAWAY_BOOTSTRAP_SERVER": "x",
            "AWAWAY_KAFKA__SASL_PASSWORD": "x",
            "AWAWAY_CONFIG": "x",
            "AWAWAY_WORKER_SERVICE_HOST": "10.0.0.1",
            "AWAWAY_WORKER_PORT_8080_TCP_ADDR": "10.0.0.1",
            "AWAWAY_WORKER_PORT": "tcp://10.0.0.1:8080",
            "PATH": "x",
        }
    )
    assert warnings == [
        "AWAWAY_BOOTSTRAP_SERVER sets nothing; did you mean AWAWAY_BOOTSTRAP_SERVERS?"
    ]


def test_every_setting_is_documented_and_in_a_group() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert isinstance(field.json_schema_extra, dict), name
        assert field.json_schema_extra["group"], name
