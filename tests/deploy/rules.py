"""What must hold for each service of compose.yaml, a rule a function: it yields what is wrong, or nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from tests.deploy.compose_file import ROOT, Project, mounts, seconds, secrets

Rule = Callable[[Project, str], Iterator[str]]
RULES: dict[str, Rule] = {}

STAGES = tuple(row["name"] for row in yaml.safe_load((ROOT / "config.yaml").read_text())["filters"])
PRODUCTION = ("prepare", "orchestrator", *STAGES)
ONCE = ("prepare", "operator", "s3-keys", "s3-bucket")
GRACE = max(
    yaml.safe_load((ROOT / path).read_text())["global"]["grace"] for path in ("config.yaml", "simulator/demo.yaml")
)

SECRETS = {
    "board": {"orchestrator"},
    "gpg": {"decryptor"},
    "grin": {"downloader", "orchestrator", "operator"},
    "store": {"uploader", "operator"},
}
# The demo's own, in volumes: who reads and who makes them. Who wrote a configuration would command all others.
SECRET_VOLUMES = {
    "demo-config": ({"prepare", "orchestrator", "operator", *STAGES}, {"simulator"}),
    "demo-gpg": ({"decryptor"}, {"simulator"}),
    "demo-grin": ({"downloader", "orchestrator", "operator"}, {"simulator"}),
    "s3-keys": ({"uploader", "operator", "s3"}, {"s3-keys"}),
}
NETWORKS = {
    **dict.fromkeys(("prepare", "s3-keys"), frozenset[str]()),
    **dict.fromkeys(("decryptor", "extractor", "modifier", "prometheus"), frozenset({"metrics"})),
    **dict.fromkeys(("orchestrator", "downloader", "uploader", "grafana"), frozenset({"metrics", "outside"})),
    **dict.fromkeys(("operator", "simulator", "s3", "s3-bucket"), frozenset({"outside"})),
}
PORTS = {"orchestrator": "127.0.0.1:8080:8080", "grafana": "127.0.0.1:3000:3000"}
OURS = "${GRIN_PIPELINE_REGISTRY:-grin-pipeline}/NAME:${GRIN_PIPELINE_TAG:-latest}"
IMAGES = {"prepare": "orchestrator", "operator": "orchestrator", "s3-keys": "simulator"}
# Whoever waits for whom; True: also where the other is not part of the project.
_STAGE_GATES = {("prepare", "service_completed_successfully", False), ("orchestrator", "service_healthy", False)}
GATES: dict[str, set[tuple[str, str, bool]]] = {
    **dict.fromkeys(STAGES, _STAGE_GATES),
    "prepare": {("simulator", "service_healthy", True)},
    "orchestrator": {("simulator", "service_healthy", True), ("prepare", "service_completed_successfully", False)},
    "uploader": {*_STAGE_GATES, ("s3-bucket", "service_completed_successfully", True)},
    "grafana": {("prometheus", "service_healthy", False)},
    "s3": {("s3-keys", "service_completed_successfully", False)},
    "s3-bucket": {("s3", "service_healthy", False)},
}
_OF_THE_HOST = ("network_mode", "pid", "ipc", "uts", "userns_mode", "cgroup")
_OPENINGS = (
    "privileged",
    "cap_add",
    "devices",
    "device_cgroup_rules",
    "sysctls",
    "group_add",
    "gpus",
    "external_links",
)
_SECRET_WORDS = re.compile(r"SECRET|PASSWORD|PASSPHRASE|TOKEN|CREDENTIAL|(^|_)KEY", re.IGNORECASE)


def rule(check: Rule) -> Rule:
    """Enters a rule under its function's name."""
    RULES[check.__name__] = check
    return check


def _service(project: Project, name: str) -> dict[str, Any]:
    return project.services[name]


@rule
def read_only(project: Project, name: str) -> Iterator[str]:
    """The root file system is read-only."""
    if _service(project, name).get("read_only") is not True:
        yield "the root file system can be written to"


@rule
def capabilities(project: Project, name: str) -> Iterator[str]:
    """No capability is left."""
    if _service(project, name).get("cap_drop") != ["ALL"]:
        yield "not every capability is dropped"


@rule
def privileges(project: Project, name: str) -> Iterator[str]:
    """No program gains rights, and no profile of the engine is switched off."""
    if _service(project, name).get("security_opt") != ["no-new-privileges:true"]:
        yield "security_opt is not no-new-privileges alone"


@rule
def user(project: Project, name: str) -> Iterator[str]:
    """The user is a number, and not root's."""
    if not re.fullmatch(r"[1-9]\d*:\d+", str(_service(project, name).get("user"))):
        yield "the user is root, or is not given by number"


@rule
def scratch(project: Project, name: str) -> Iterator[str]:
    """What can be written besides volumes is /tmp, with an end to it."""
    for line in _service(project, name).get("tmpfs", []):
        if not re.fullmatch(r"/tmp:size=\d+m,mode=1777", line):
            yield f"tmpfs {line} is elsewhere or has no limit"


@rule
def limits(project: Project, name: str) -> Iterator[str]:
    """Memory and processes are limited."""
    service = _service(project, name)
    if not re.fullmatch(r"[1-9]\d*[mg]", str(service.get("mem_limit"))):
        yield "memory has no limit"
    if not 0 < service.get("pids_limit", 0) <= 500:
        yield "processes have no limit"


@rule
def stopping(project: Project, name: str) -> Iterator[str]:
    """Whoever works on books is given longer to stop than its own grace; nobody is left to the engine's ten seconds."""
    given = _service(project, name).get("stop_grace_period")
    if given is None:
        yield "no grace period is given"
    elif name in PRODUCTION and seconds(given) <= GRACE + 5:
        yield f"{given} is hardly longer than the workers' own grace of {GRACE} seconds"


@rule
def restarts(project: Project, name: str) -> Iterator[str]:
    """What serves is started again after a crash; what runs once is not."""
    wanted = "no" if name in ONCE else "always"
    if _service(project, name).get("restart") != wanted:
        yield f"restart is not {wanted}"


@rule
def log_limits(project: Project, name: str) -> Iterator[str]:
    """Logs are rotated: months of work do not fill the disk."""
    logging = _service(project, name).get("logging", {})
    if logging.get("driver") != "json-file" or not {"max-size", "max-file"} <= set(logging.get("options", {})):
        yield "logs grow without end"


@rule
def apart_from_the_host(project: Project, name: str) -> Iterator[str]:
    """Nothing of the host's own is shared: no name space, device or socket, no folder that can be written to."""
    service = _service(project, name)
    yield from (f"{key} is set" for key in _OPENINGS if service.get(key))
    for key in _OF_THE_HOST:
        if service.get(key) not in ((None, "none") if key == "network_mode" else (None,)):
            yield f"{key} is {service[key]}"
    for source, _, is_read_only in mounts(service):
        if source.startswith(("/", "~", "..")):
            yield f"{source} of the host is mounted"
        if source.startswith(".") and not is_read_only:
            yield f"{source} can be written to"


@rule
def secrets_for_those_who_need_them(project: Project, name: str) -> Iterator[str]:
    """A secret is there only where it is used, as a file at its usual place."""
    given = secrets(_service(project, name))
    wanted = {secret for secret, readers in SECRETS.items() if name in readers}
    if set(given) != wanted:
        yield f"secrets are {sorted(given)}, needed are {sorted(wanted)}"
    for secret, target in given.items():
        if target != f"/etc/grin-pipeline/secrets/{secret}":
            yield f"{secret} lies in {target}"


@rule
def demo_secrets(project: Project, name: str) -> Iterator[str]:
    """The demo's secrets are held as strictly as a library's."""
    given = {source: is_read_only for source, _, is_read_only in mounts(_service(project, name))}
    for volume, (readers, makers) in SECRET_VOLUMES.items():
        if (volume in given) != (name in readers | makers):
            yield f"{volume} is there and not needed, or needed and not there"
        elif volume in given and given[volume] != (name in readers):
            yield f"{volume} can be written to by a reader, or not by its maker"


@rule
def no_secret_in_the_environment(project: Project, name: str) -> Iterator[str]:
    """The environment, which everybody who may inspect a container sees, names at most where a secret lies."""
    for key, value in (_service(project, name).get("environment") or {}).items():
        if _SECRET_WORDS.search(key) and not str(value).startswith("/"):
            yield f"{key} is a secret"


@rule
def networks(project: Project, name: str) -> Iterator[str]:
    """Each service reaches only what it needs to reach."""
    service = _service(project, name)
    given = frozenset(service.get("networks", ["none" if service.get("network_mode") == "none" else "default"]))
    if given - {"none"} != NETWORKS.get(name):
        yield f"networks are {sorted(given)}"


@rule
def published(project: Project, name: str) -> Iterator[str]:
    """Only the board and Grafana are published, and on the loopback only."""
    wanted = [PORTS[name]] if name in PORTS else []
    if _service(project, name).get("ports", []) != wanted:
        yield f"published is {_service(project, name).get('ports')}"


@rule
def images(project: Project, name: str) -> Iterator[str]:
    """Our images are by the registry and tag of .env, others' by a version."""
    image = project.raw["services"][name]["image"]
    ours = name in PRODUCTION or name in IMAGES or name == "simulator"
    if ours and image != OURS.replace("NAME", IMAGES.get(name, name)):
        yield f"{image} is not this service's image, or not by GRIN_PIPELINE_REGISTRY and GRIN_PIPELINE_TAG"
    if not ours and not re.fullmatch(r"[a-z]+/[a-z]+:v?\d+(\.\d+)+", image):
        yield f"{image} is not of one version"


@rule
def builds(project: Project, name: str) -> Iterator[str]:
    """Each image of ours is built by one service, with its own stage; the others never fetch it from a stranger."""
    service = _service(project, name)
    builder = name in (*STAGES, "orchestrator", "simulator")
    if builder != ("build" in service):
        yield "it is built by nobody, or twice"
    if name in IMAGES and service.get("pull_policy") != "never":
        yield "another's image of the same name could be pulled"
    if name in (*STAGES, "orchestrator") and service.get("build", {}).get("args", {}).get("STAGE") != name:
        yield "another stage is built"


@rule
def health(project: Project, name: str) -> Iterator[str]:
    """What serves says how it is: ours by the image's own check, others by one in the file. What runs once does not."""
    check = _service(project, name).get("healthcheck")
    if name in ONCE:
        if check != {"disable": True}:
            yield "what runs once has a health check"
    elif name in (*PRODUCTION, "simulator"):
        if set(check or {}) - {"interval"}:
            yield "the image's own health check is replaced"
    elif not check or check["test"][0] != "CMD":
        yield "nobody knows whether it is well"


@rule
def gates(project: Project, name: str) -> Iterator[str]:
    """Nothing starts before what it needs is ready, and production starts without what only a profile has."""
    waits = _service(project, name).get("depends_on", {})
    given = {(other, how["condition"], not how.get("required", True)) for other, how in waits.items()}
    if given != GATES.get(name, set()):
        yield f"it waits for {sorted(given)}"


@rule
def one_volume(project: Project, name: str) -> Iterator[str]:
    """Whoever touches books has the whole board and the books on one mount, since a move is one rename."""
    given = mounts(_service(project, name))
    for place, source in (("/data", "data"), ("/demo", "demo")):
        under = [(found, target) for found, target, _ in given if f"{target}/".startswith(f"{place}/")]
        expected = [(source, place)] if name in (*PRODUCTION, "operator", "simulator") else []
        if under != expected:
            yield f"at {place} there is {under}"


@rule
def profiles(project: Project, name: str) -> Iterator[str]:
    """Without a profile there is a library's production, and nothing else."""
    if (name in PRODUCTION) == bool(_service(project, name).get("profiles")):
        yield "production needs a profile, or something else needs none"
