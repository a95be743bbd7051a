"""compose.yaml, held service by service to what a deployment may be; no engine is needed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from common import config
from tests.deploy.compose_file import ROOT, Project, mounts, secrets
from tests.deploy.rules import NETWORKS, RULES, STAGES

PROJECT = Project.read()
SERVICES = sorted(PROJECT.services)

# A rule, and what a careless change would do that it must find: where, and the value there; None takes it away.
WEAKENED: list[tuple[str, str, object]] = [
    ("read_only", "decryptor.read_only", False),
    ("read_only", "prometheus.read_only", None),
    ("capabilities", "extractor.cap_drop", ["NET_RAW"]),
    ("capabilities", "uploader.cap_drop", None),
    ("privileges", "modifier.security_opt", None),
    ("privileges", "modifier.security_opt", ["no-new-privileges:true", "seccomp=unconfined"]),
    ("user", "downloader.user", None),
    ("user", "downloader.user", "root"),
    ("user", "grafana.user", "0:472"),
    ("scratch", "decryptor.tmpfs", ["/tmp:mode=1777"]),
    ("scratch", "decryptor.tmpfs", ["/tmp:size=256m,mode=1777", "/app:size=1m,mode=1777"]),
    ("limits", "extractor.mem_limit", None),
    ("limits", "extractor.pids_limit", -1),
    ("stopping", "orchestrator.stop_grace_period", None),
    ("stopping", "uploader.stop_grace_period", "25s"),
    ("restarts", "uploader.restart", "no"),
    ("restarts", "prepare.restart", "always"),
    ("log_limits", "orchestrator.logging", None),
    ("log_limits", "orchestrator.logging", {"driver": "json-file"}),
    ("apart_from_the_host", "modifier.privileged", True),
    ("apart_from_the_host", "modifier.cap_add", ["SYS_ADMIN"]),
    ("apart_from_the_host", "modifier.devices", ["/dev/fuse"]),
    ("apart_from_the_host", "modifier.network_mode", "host"),
    ("apart_from_the_host", "modifier.pid", "host"),
    ("apart_from_the_host", "orchestrator.volumes", ["/var/run/docker.sock:/var/run/docker.sock:ro"]),
    ("apart_from_the_host", "orchestrator.volumes", ["./config.yaml:/etc/grin-pipeline/config.yaml"]),
    (
        "secrets_for_those_who_need_them",
        "modifier.secrets",
        [{"source": "gpg", "target": "/etc/grin-pipeline/secrets/gpg"}],
    ),
    ("secrets_for_those_who_need_them", "decryptor.secrets", None),
    ("secrets_for_those_who_need_them", "decryptor.secrets", [{"source": "gpg", "target": "/data/gpg"}]),
    ("demo_secrets", "uploader.volumes", ["s3-keys:/run/s3:ro", "demo-gpg:/run/demo/gpg:ro"]),
    ("demo_secrets", "decryptor.volumes", ["demo-gpg:/run/demo/gpg"]),
    ("demo_secrets", "extractor.volumes", ["demo-config:/run/demo/config"]),
    ("no_secret_in_the_environment", "uploader.environment", {"AWS_SECRET_ACCESS_KEY": "abc"}),
    ("no_secret_in_the_environment", "decryptor.environment", {"GPG_PASSPHRASE": "${PASSPHRASE:-}"}),
    ("networks", "decryptor.networks", ["metrics", "outside"]),
    ("networks", "modifier.networks", None),
    ("networks", "prepare.network_mode", None),
    ("published", "orchestrator.ports", ["8080:8080"]),
    ("published", "prometheus.ports", ["127.0.0.1:9090:9090"]),
    ("images", "prometheus.image", "prom/prometheus:latest"),
    ("images", "prometheus.image", "prom/prometheus"),
    ("images", "decryptor.image", "grin-pipeline/decryptor:latest"),
    ("images", "decryptor.image", "${GRIN_PIPELINE_REGISTRY:-grin-pipeline}/extractor:${GRIN_PIPELINE_TAG:-latest}"),
    ("builds", "prepare.pull_policy", None),
    ("builds", "decryptor.build.args.STAGE", "extractor"),
    ("builds", "uploader.build", None),
    ("health", "downloader.healthcheck", {"disable": True}),
    ("health", "grafana.healthcheck", None),
    ("health", "prepare.healthcheck", None),
    ("gates", "decryptor.depends_on", None),
    ("gates", "decryptor.depends_on.orchestrator.condition", "service_started"),
    ("gates", "prepare.depends_on.simulator.required", True),
    ("one_volume", "decryptor.volumes", ["data:/data/pipeline", "books:/data/processing", "demo:/demo"]),
    ("one_volume", "decryptor.volumes", ["data:/data", "books:/data/processing", "demo:/demo"]),
    ("profiles", "uploader.profiles", ["objects"]),
    ("profiles", "simulator.profiles", None),
]


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("name", sorted(RULES))
def test_every_service_keeps_to_every_rule(name: str, service: str) -> None:
    """No service of the file breaks a rule of a hardened deployment."""
    assert list(RULES[name](PROJECT, service)) == []


@pytest.mark.parametrize(("name", "place", "value"), WEAKENED)
def test_a_weakened_file_is_found_out(name: str, place: str, value: object) -> None:
    """The rule that should find a careless change of one service finds it, and only there."""
    weakened = PROJECT.changed(f"services.{place}", value)
    broken = [service for service in SERVICES if list(RULES[name](weakened, service))]
    assert broken == [place.partition(".")[0]]


def test_every_rule_can_fail() -> None:
    """There is at least one weakened file for each rule."""
    assert {name for name, _, _ in WEAKENED} == set(RULES)


def test_the_stages_are_the_same_everywhere() -> None:
    """Both configurations, the services of compose.yaml and the folders in services/ have the same stages."""
    shown = yaml.safe_load((ROOT / "simulator" / "demo.yaml").read_text())["filters"]
    folders = {path.parent.name for path in (ROOT / "services").glob("*/stage.py")}
    waiting = {name for name, service in PROJECT.services.items() if "orchestrator" in service.get("depends_on", {})}
    assert tuple(row["name"] for row in shown) == STAGES
    assert set(STAGES) == folders == waiting


def test_the_metrics_network_leads_nowhere() -> None:
    """The network that decryptor, extractor and modifier are on is internal, and every network is one of ours."""
    networks = PROJECT.whole["networks"]
    # No address of the host's in it: an internal network would still lead to what the host serves.
    inhibited = {"com.docker.network.bridge.inhibit_ipv4": "true"}
    assert networks["metrics"] == {"internal": True, "driver_opts": inhibited}
    assert set(networks) == set().union(*NETWORKS.values())
    assert not any((network or {}).get("external") for network in networks.values())


def test_every_volume_and_secret_is_declared_and_used() -> None:
    """Nothing is mounted that the file does not declare, and nothing is declared in vain."""
    services = PROJECT.services.values()
    used = {source for service in services for source, _, _ in mounts(service) if not source.startswith(".")}
    assert used == set(PROJECT.whole["volumes"])
    assert {name for service in services for name in secrets(service)} == set(PROJECT.whole["secrets"])
    for name, secret in PROJECT.whole["secrets"].items():
        assert secret == {"file": f"./secrets/{name}"}
        assert (ROOT / "secrets" / name / ".gitkeep").exists(), "a clone without secrets can be started"


@pytest.mark.parametrize(
    ("file", "place"), [("config.yaml", "/data"), ("simulator/demo.yaml", "/demo")], ids=["library", "demo"]
)
def test_board_and_books_are_on_one_volume(file: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the containers every bucket, the working files and the finished books are on one mount."""
    for key, value in PROJECT.services["orchestrator"]["environment"].items():
        monkeypatch.setenv(key, value)
    settings = config.load(ROOT / file, classes=None)
    common, rows = settings.global_, settings.filters
    places = [common.pipeline_dir, common.processing_bucket, *(row.input_pipe for row in rows), rows[-1].output_pipe]
    assert [path for path in [*places, Path(str(common.done_bucket))] if not path.is_relative_to(place)] == []


@pytest.mark.parametrize("service", ["orchestrator", "downloader", "decryptor"])
def test_secrets_are_where_the_configuration_looks(service: str) -> None:
    """Passphrase and credentials of config.yaml are files in the folders that the services are given."""
    environment = PROJECT.services[service]["environment"]
    own = "/etc/grin-pipeline/config.yaml"
    assert own in environment["GRIN_PIPELINE_CONFIG"].split(":")
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    files = {"gpg": raw["global"]["gpg_passphrase_file"], "grin": raw["grin"]["credentials_file"]}
    files["board"] = raw["board"]["action_token_file"]
    for name, target in secrets(PROJECT.services[service]).items():
        assert (Path(own).parent / files[name]).parent == Path(target)


def test_every_setting_of_the_file_is_in_the_example() -> None:
    """.env.example names every variable of compose.yaml with its default, and none that is not there."""
    written = (ROOT / "compose.yaml").read_text()
    code = "\n".join(line for line in written.splitlines() if not line.lstrip().startswith("#"))
    used = dict(re.findall(r"\$\{(\w+)(?::-([^}]*))?\}", code))
    example = dict(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=(\S*)", (ROOT / ".env.example").read_text(), re.MULTILINE))
    compose_s_own = {name for name in example if name.startswith("COMPOSE_")}
    assert {name: value for name, value in example.items() if name not in compose_s_own} == used


def _has_compose() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0


def _as_compose_reads_it(*profiles: str) -> dict[str, Any]:
    if not _has_compose():
        if os.environ.get("REQUIRE_ENGINE"):
            pytest.fail("REQUIRE_ENGINE is set, but there is no docker compose.")
        pytest.skip("THERE IS NO DOCKER COMPOSE: how it reads the file was not compared.")
    command = ["docker", "compose", "--env-file", "/dev/null", *(f"--profile={name}" for name in profiles)]
    told = subprocess.run(
        [*command, "config", "--format", "json"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    services: dict[str, Any] = json.loads(told.stdout)["services"]
    return services


def test_compose_reads_the_file_as_these_tests_do() -> None:
    """What Compose itself makes of the file, with its anchors, merges and variables, is what the rules were held to."""
    told = _as_compose_reads_it("*")
    assert sorted(told) == SERVICES
    same = ("image", "user", "read_only", "cap_drop", "security_opt", "restart", "tmpfs", "pids_limit", "command")
    for name, service in PROJECT.services.items():
        for key in same:
            assert told[name].get(key) == service.get(key), f"{name}: {key}"
        assert secrets(told[name]) == secrets(service)
        assert sorted(told[name].get("networks", {})) == sorted(service.get("networks", []))
        seen = [(volume["target"], volume.get("read_only", False)) for volume in told[name].get("volumes", [])]
        assert seen == [(target, is_read_only) for _, target, is_read_only in mounts(service)]


def test_production_alone_is_a_whole_project() -> None:
    """Without any profile Compose accepts the file, and starts the line and nothing of the demo."""
    assert sorted(_as_compose_reads_it()) == sorted(["prepare", "orchestrator", *STAGES])
