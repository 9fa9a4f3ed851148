"""What production starts from: it parses, fits its schemas, and agrees with the code."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from pipeline.api.http.access import make_access
from pipeline.ops.strict_yaml import parse_yaml
from pipeline.ops.topics.file import Target, load_topics
from pipeline.settings.api import ApiSettings
from pipeline.settings.load import load_settings_of
from pipeline.settings.worker import ENV_PREFIX, Settings

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
PROMETHEUS = ROOT / "deploy" / "prometheus"
COMPOSE = ROOT / "docker-compose.yml"
CORE_KINDS = {"v1", "apps/v1", "batch/v1", "policy/v1", "networking.k8s.io/v1"}


def documents(path: Path) -> list[dict[str, Any]]:
    texts = re.split(r"^---$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [made for made in map(parse_yaml, texts) if made]


def kubernetes_objects() -> list[dict[str, Any]]:
    files = sorted(KUBERNETES.glob("*.yaml"))
    assert files
    return [made for path in files if path.name != "kustomization.yaml" for made in documents(path)]


def of_kind(kind: str, name: str = "awaway-worker") -> dict[str, Any]:
    """One object; kinds of which there is one for the whole pipeline are called `awaway`."""
    (found,) = [
        made
        for made in kubernetes_objects()
        if made["kind"] == kind and made["metadata"]["name"] in (name, "awaway")
    ]
    return found


def compose() -> dict[str, Any]:
    loaded = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "deploy" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Kubernetes.


@pytest.mark.parametrize(
    "made", kubernetes_objects(), ids=lambda made: f"{made['kind']}-{made['metadata']['name']}"
)
def test_each_object_is_valid(made: dict[str, Any]) -> None:
    assert made["metadata"]["name"]
    if made["apiVersion"] in CORE_KINDS:
        kubernetes_validate.validate(made, "1.34", strict=True)
    else:
        assert made["spec"]
    if made["kind"] != "Namespace":
        assert made["metadata"]["namespace"] == "awaway"


def test_the_validator_does_refuse() -> None:
    wrong = of_kind("StatefulSet") | {"spec": {"replicas": "two"}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.34", strict=True)


def test_kustomization_lists_every_file() -> None:
    (made,) = documents(KUBERNETES / "kustomization.yaml")
    files = {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(made["resources"]) == files


def test_generated_objects_are_up_to_date(generate: ModuleType) -> None:
    fix = "run `python deploy/generate.py`"
    topics = (KUBERNETES / "kafkatopics.yaml").read_text(encoding="utf-8")
    assert topics == generate.kafka_topics(), fix
    objectives = (PROMETHEUS / "awaway.slo.rules.yml").read_text(encoding="utf-8")
    assert objectives == generate.slo_rules(), fix
    rule = (KUBERNETES / "prometheusrule.yaml").read_text(encoding="utf-8")
    assert rule == generate.prometheus_rule(""), fix


def test_every_topic_has_its_object() -> None:
    wanted = {topic.name for topic in load_topics(ROOT / "topics.yaml").wanted(Target())}
    made = {
        made["spec"]["topicName"] for made in kubernetes_objects() if made["kind"] == "KafkaTopic"
    }
    assert made == wanted


def test_runbook_links_can_be_made_absolute(generate: ModuleType) -> None:
    text = generate.prometheus_rule("https://host/repository/")
    assert "runbook_url: https://host/repository/docs/runbooks/worker-down.md" in text


def check_probes(container: dict[str, Any]) -> None:
    probes = {name: container[name]["httpGet"]["path"] for name in container if "Probe" in name}
    assert probes == {
        "startupProbe": "/startupz",
        "livenessProbe": "/livez",
        "readinessProbe": "/readyz",
    }


def test_the_slot_is_the_ordinal_and_the_grace_period_outlasts_the_stop() -> None:
    pod = of_kind("StatefulSet")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (slot,) = [entry for entry in container["env"] if entry["name"] == "AWAWAY_SLOT"]
    path = slot["valueFrom"]["fieldRef"]["fieldPath"]
    assert path == "metadata.labels['apps.kubernetes.io/pod-index']"
    stop_s = Settings.model_fields["stop_timeout_s"].default
    assert pod["terminationGracePeriodSeconds"] > stop_s
    assert pod["enableServiceLinks"] is False
    check_probes(container)


def test_scaling_stays_within_the_partitions_and_follows_the_group() -> None:
    spec = of_kind("ScaledObject")["spec"]
    settings = Settings()
    topics = load_topics(ROOT / "topics.yaml")
    assert spec["maxReplicaCount"] <= topics.partitions
    assert spec["minReplicaCount"] <= of_kind("StatefulSet")["spec"]["replicas"]
    trigger = spec["triggers"][0]["metadata"]
    assert trigger["consumerGroup"] == settings.group_id
    assert trigger["topic"] == settings.topic("completions")


@pytest.mark.parametrize("name", ["awaway-worker", "awaway-api"])
def test_labels_select_the_pods(name: str) -> None:
    labels = of_kind("StatefulSet", name)["spec"]["template"]["metadata"]["labels"]
    selectors = [
        of_kind("StatefulSet", name)["spec"]["selector"]["matchLabels"],
        of_kind("Service", name)["spec"]["selector"],
        of_kind("PodDisruptionBudget", name)["spec"]["selector"]["matchLabels"],
        of_kind("NetworkPolicy", name)["spec"]["podSelector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
    monitored = of_kind("ServiceMonitor", name)["spec"]["selector"]["matchLabels"]
    assert monitored.items() <= of_kind("Service", name)["metadata"]["labels"].items()


def test_the_api_is_reached_where_it_listens_and_stops_in_time() -> None:
    settings = ApiSettings.model_fields
    pod = of_kind("StatefulSet", "awaway-api")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (port,) = container["ports"]
    (served,) = of_kind("Service", "awaway-api")["spec"]["ports"]
    allowed = of_kind("NetworkPolicy", "awaway-api")["spec"]["ingress"][0]["ports"][0]["port"]
    assert (port["name"], port["containerPort"]) == ("http", settings["api_port"].default)
    assert (served["port"], served["targetPort"], allowed) == (8090, "http", 8090)
    pause_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > pause_s + settings["api_stop_timeout_s"].default
    assert pod["enableServiceLinks"] is False
    check_probes(container)


def test_the_api_starts_with_what_the_objects_say(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("awaway", "awaway-api"):
        (made,) = [
            one
            for one in kubernetes_objects()
            if one["kind"] == "ConfigMap" and one["metadata"]["name"] == name
        ]
        for variable, value in made["data"].items():
            monkeypatch.setenv(variable, value)
    settings = load_settings_of(ApiSettings)
    make_access(settings, lambda: 0)
    assert not settings.api_auth_off
    workers = of_kind("StatefulSet")
    count = workers["spec"]["replicas"]
    service = workers["spec"]["serviceName"]
    assert settings.api_console_worker_urls == [
        f"http://awaway-worker-{number}.{service}:8080/metrics" for number in range(count)
    ]
    peers = of_kind("NetworkPolicy")["spec"]["ingress"][0]["from"]
    labels = of_kind("StatefulSet", "awaway-api")["spec"]["template"]["metadata"]["labels"]
    assert {"podSelector": {"matchLabels": labels}} in peers


# Settings that deploy files name exist.


def named_settings() -> set[str]:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "deploy").rglob("*.yaml")]
    texts.append((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    texts.append((ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8"))
    return set(re.findall(r"\bAWAWAY_[A-Z_]*[A-Z]\b", "\n".join(texts)))


def test_every_variable_is_a_setting() -> None:
    named = named_settings()
    assert {"AWAWAY_SLOT", "AWAWAY_BOOTSTRAP_SERVERS"} <= named
    known = {ENV_PREFIX + name.upper() for name in ApiSettings.model_fields}
    assert {name for name in named if name.split("__")[0] not in known} == set()


# Compose and the image.


def repeated_keys(node: yaml.Node | None) -> list[str]:
    """Keys that a mapping has twice; merge keys count as one name each."""
    if isinstance(node, yaml.SequenceNode):
        return [key for item in node.value for key in repeated_keys(item)]
    if not isinstance(node, yaml.MappingNode):
        return []
    names = [key.value for key, _ in node.value]
    inside = [key for _, value in node.value for key in repeated_keys(value)]
    return [name for name in set(names) if names.count(name) > 1] + inside


def test_compose_says_nothing_twice() -> None:
    assert repeated_keys(yaml.compose("a: {b: 1}\na: 2\n")) == ["a"]
    assert repeated_keys(yaml.compose(COMPOSE.read_text(encoding="utf-8"))) == []


def test_compose_names_what_it_uses() -> None:
    made = compose()
    services = made["services"]
    ours = {"setup", "worker-0", "worker-1", "api"}
    assert {"kafka", "registry", "prometheus", *ours} == set(services)
    for name, service in services.items():
        assert "image" in service, name
        tag = service["image"].rpartition(":")[2]
        assert re.match(r"v?\d", tag), f"{name} is not pinned"
        for needed in service.get("depends_on", {}):
            assert needed in services
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in made["volumes"] or (ROOT / source).exists(), volume
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name} listens beyond this machine"
        if name != "setup":
            assert service["healthcheck"]["test"][0] == "CMD", name


def test_the_worker_waits_for_the_setup_and_slots_differ() -> None:
    services = compose()["services"]
    workers = [services["worker-0"], services["worker-1"]]
    slots = [worker["environment"]["AWAWAY_SLOT"] for worker in workers]
    assert slots == [0, 1]
    for worker in workers:
        waits = worker["depends_on"]["setup"]["condition"]
        assert waits == "service_completed_successfully"
    volumes = [worker["volumes"][0] for worker in workers]
    assert volumes[0] != volumes[1]


def test_compose_runs_the_brokers_that_the_engine_wants() -> None:
    kafka = compose()["services"]["kafka"]
    assert kafka["image"] == "apache/kafka:4.3.1"
    environment = kafka["environment"]
    assert environment["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    sweep = "KAFKA_TRANSACTION_ABORT_TIMED_OUT_TRANSACTION_CLEANUP_INTERVAL_MS"
    assert environment[sweep] == 1000
    assert compose()["services"]["registry"]["image"].endswith(":3.3.3")


def test_the_image_is_pinned_hashed_and_unprivileged() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert len(bases) == 2
    assert all(re.fullmatch(r"python:3\.11\.\d+-slim-[a-z]+", base) for base in bases)
    assert "--no-deps --require-hashes -r requirements/runtime.txt" in text
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    for copied in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for name in copied.split():
            assert (ROOT / name).exists(), name
    pod = of_kind("StatefulSet")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsUser"] == 10001


def test_the_image_build_sees_what_it_copies() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    for copied in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for name in copied.split():
            assert f"!{name.split('/')[0]}" in ignored
