"""What must hold for each workload beyond `restricted`, a rule a function: it yields what is wrong, or nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.kubernetes.player.reading import quantity
from tests.kubernetes.workloads import ORCHESTRATOR, STAGE, Document, component, containers, in_line, labels, name, pod

Rule = Callable[[Document], Iterator[str]]
RULES: dict[str, Rule] = {}

SECRETS = {
    "board": {"orchestrator"},
    "gpg": {"decryptor", "simulator"},
    "grin": {"downloader", "orchestrator", "audit", "simulator"},
    "store": {"uploader", "audit"},
}
# Path of liveness, path of readiness, and the port that the image listens on.
PROBES = {
    STAGE: ("/healthz", "/readyz", 8000),
    ORCHESTRATOR: ("/healthz", "/readyz", 8080),
    "simulator": ("/_simulator/queue", "/_simulator/queue", 8000),
}
CLAIM, CONFIG = "grin-pipeline-data", "/etc/grin-pipeline/config.yaml"
_SECRETS = "/etc/grin-pipeline/secrets/"
_HASH = r"-[a-z0-9]{10}"
_IMAGE = re.compile(r"(?P<name>grin-pipeline/[a-z0-9-]+):(?P<tag>\d+\.\d+\.\d+)")
_SECRET_WORDS = re.compile(r"SECRET|PASSWORD|PASSPHRASE|TOKEN|CREDENTIAL|(^|[_-])KEY", re.IGNORECASE)


def rule(check: Rule) -> Rule:
    """Enters a rule under its function's name."""
    RULES[check.__name__] = check
    return check


def line(check: Rule) -> Rule:
    """A rule that is only for those that work on the board all the time."""
    return _only(in_line, check)


def board(check: Rule) -> Rule:
    """A rule that is for whoever has to do with the board, if once."""
    return _only(lambda workload: in_line(workload) or on_board(workload), check)


def _only(concerned: Callable[[Document], bool], check: Rule) -> Rule:
    def among(workload: Document) -> Iterator[str]:
        if concerned(workload):
            yield from check(workload)

    RULES[check.__name__] = among
    return among


def reads_a_secret(key: str, value: object) -> bool:
    """Whether an entry of the environment is a secret; where one lies is none."""
    return bool(_SECRET_WORDS.search(key)) and not str(value).startswith("/")


def mounts(container: Document) -> list[Document]:
    """A container's mounts."""
    return list(container.get("volumeMounts") or ())


def on_board(workload: Document) -> bool:
    """Whether any container has the board, or something else, at its place."""
    return any(mount["mountPath"] == "/data" for one in containers(workload) for mount in mounts(one))


def _volumes(workload: Document, kind: str) -> dict[str, Document]:
    return {volume["name"]: volume[kind] for volume in pod(workload).get("volumes") or () if kind in volume}


def _main(workload: Document) -> Document:
    return next(one for one in pod(workload)["containers"] if one["name"] == "main")


@rule
def numeric_user(workload: Document) -> Iterator[str]:
    """User and group are numbers above those of the system's own; volumes are given to the group, once."""
    common = pod(workload).get("securityContext") or {}
    for one in containers(workload):
        own = {**common, **(one.get("securityContext") or {})}
        for key in ("runAsUser", "runAsGroup"):
            if not (isinstance(own.get(key), int) and own[key] >= 1000):
                yield f"{one['name']}: {key} is {own.get(key)}"
    if common.get("fsGroup") != common.get("runAsGroup"):
        yield "volumes are another group's"
    if common.get("fsGroupChangePolicy") != "OnRootMismatch":
        yield "every start changes the owner of every file"


@rule
def read_only_root(workload: Document) -> Iterator[str]:
    """The root file system is read-only."""
    for one in containers(workload):
        if (one.get("securityContext") or {}).get("readOnlyRootFilesystem") is not True:
            yield f"{one['name']} can write to its root"


@rule
def scratch(workload: Document) -> Iterator[str]:
    """What can be written besides the claim has an end to it; every container has a /tmp, the line's in memory."""
    empty = _volumes(workload, "emptyDir")
    yield from (f"{key} grows without end" for key, volume in empty.items() if not (volume or {}).get("sizeLimit"))
    for one in containers(workload):
        there = [
            empty[mount["name"]] for mount in mounts(one) if mount["mountPath"] == "/tmp" and mount["name"] in empty
        ]
        if len(there) != 1 or (in_line(workload) and there[0].get("medium") != "Memory"):
            yield f"{one['name']} has no /tmp, or one on the node's disk"


@rule
def no_token(workload: Document) -> Iterator[str]:
    """No pod can speak with the cluster."""
    if pod(workload).get("automountServiceAccountToken") is not False:
        yield "it is given a token"
    for key, volume in _volumes(workload, "projected").items():
        if any("serviceAccountToken" in source for source in volume.get("sources", ())):
            yield f"{key} is a token"


@rule
def no_service_links(workload: Document) -> Iterator[str]:
    """The namespace's Services add nothing to the environment, from which the configuration is read."""
    if pod(workload).get("enableServiceLinks") is not False:
        yield "Services add to its environment"


@rule
def resources(workload: Document) -> Iterator[str]:
    """Every container says what it needs, and is held to what it may take."""
    for one in containers(workload):
        said = one.get("resources") or {}
        for key in ("cpu", "memory"):
            least, most = (said.get(which, {}).get(key) for which in ("requests", "limits"))
            if least is None or most is None:
                yield f"{one['name']} has no request or no limit of {key}"
            elif quantity(least) > quantity(most):
                yield f"{one['name']} asks for more {key} than it may take"


@rule
def probes(workload: Document) -> Iterator[str]:
    """Whatever serves is asked at the port it listens on: whether it has started, lives, and is ready."""
    if workload["kind"] != "Deployment":
        return
    alive, ready, port = PROBES.get(component(workload), ("", "", 0))
    main = _main(workload)
    named = {entry.get("name"): entry["containerPort"] for entry in main.get("ports") or ()}
    for kind, path in (("startup", alive), ("liveness", alive), ("readiness", ready)):
        asked = (main.get(f"{kind}Probe") or {}).get("httpGet") or {}
        if asked.get("path") != path or named.get(asked.get("port"), asked.get("port")) != port:
            yield f"{kind} is not asked by {path} at port {port}"
        yield from _patience(kind, main.get(f"{kind}Probe") or {}, on_board(workload))


def _patience(kind: str, probe: Document, waits_for_a_volume: bool) -> Iterator[str]:
    """An answer on a busy node may take seconds, a start a minute; a volume that fails over is waited for by all."""
    least = {"startup": 60, "liveness": 30, "readiness": 0}[kind]
    if waits_for_a_volume and kind != "readiness":
        least = 600
    if probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3) < least or probe.get("timeoutSeconds", 1) < 5:
        yield f"{kind} gives up too soon"


@rule
def secrets_for_those_who_need_them(workload: Document) -> Iterator[str]:
    """A secret is there only where it is used: in one container, as files at its usual place, read-only."""
    given = {}
    for key, volume in _volumes(workload, "secret").items():
        secret = re.sub(rf"^grin-pipeline-(\w+?)({_HASH})?$", r"\1", volume["secretName"])
        given[secret] = key
    wanted = {secret for secret, readers in SECRETS.items() if _who(workload) in readers}
    if set(given) != wanted:
        yield f"secrets are {sorted(given)}, needed are {sorted(wanted)}"
    for one in containers(workload):
        for mount in mounts(one):
            for secret in (secret for secret, key in given.items() if key == mount["name"]):
                if one["name"] != "main" or mount["mountPath"] != _SECRETS + secret or not mount.get("readOnly"):
                    yield f"{one['name']} has {secret} at {mount['mountPath']}, or can write to it"


def _who(workload: Document) -> str:
    return labels(workload).get("app.kubernetes.io/name", name(workload))


@rule
def secret_modes(workload: Document) -> Iterator[str]:
    """A secret's file is for its user and group only."""
    for key, volume in _volumes(workload, "secret").items():
        modes = [volume.get("defaultMode", 0o644), *(item.get("mode", 0) for item in volume.get("items") or ())]
        if any(mode & 0o337 for mode in modes):
            yield f"{key} can be read by everybody, or written to"


@rule
def no_secret_in_the_environment(workload: Document) -> Iterator[str]:
    """Environment and arguments, which everybody who may look at a pod sees, name at most where a secret lies."""
    for one in containers(workload):
        for entry in one.get("env") or ():
            if "secretKeyRef" in (entry.get("valueFrom") or {}) or reads_a_secret(entry["name"], entry.get("value")):
                yield f"{one['name']}: {entry['name']} is a secret"
        if any("secretRef" in source for source in one.get("envFrom") or ()):
            yield f"{one['name']}: a whole Secret is in the environment"
        for word in (*(one.get("command") or ()), *(one.get("args") or ())):
            key, separator, value = word.partition("=")
            if separator and reads_a_secret(key, value):
                yield f"{one['name']}: {key} is a secret"


@rule
def images(workload: Document) -> Iterator[str]:
    """Images are the line's own, of one release; the doctor is the orchestrator's."""
    for one in containers(workload):
        found = _IMAGE.fullmatch(one["image"])
        wanted = ORCHESTRATOR if one["name"] == "doctor" or workload["kind"] != "Deployment" else _who(workload)
        if not found or found["name"] != f"grin-pipeline/{wanted}":
            yield f"{one['name']} runs {one['image']}"


@line
def replaced(workload: Document) -> Iterator[str]:
    """Stages are replaced one by one, with nobody missing, and whoever scales them decides; the orchestrator is one."""
    spec = workload["spec"]
    strategy = spec.get("strategy", {})
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    wanted: tuple[Any, int | None] = ({"type": "Recreate"}, 1)
    if component(workload) == STAGE:
        wanted = (rolling, None)
    if (strategy, spec.get("replicas")) != wanted:
        yield f"it is replaced by {strategy}, with {spec.get('replicas')} replicas"
    if component(workload) == STAGE and spec.get("minReadySeconds", 0) < 10:
        yield "it replaces others before it has had a book"


@line
def spread(workload: Document) -> Iterator[str]:
    """Workers of a stage are spread over the nodes, where there are several."""
    for one in pod(workload).get("topologySpreadConstraints", ()):
        selected = one["labelSelector"]["matchLabels"].items() <= labels(workload).items()
        apart = set(one.get("matchLabelKeys", ())) == {"app.kubernetes.io/name", "pod-template-hash"}
        if one["topologyKey"] == "kubernetes.io/hostname" and selected and apart:
            if one["whenUnsatisfiable"] != "ScheduleAnyway":
                yield "a worker waits although there is room"
            return
    if component(workload) == STAGE:
        yield "its workers may all be on one node"


@board
def one_volume(workload: Document) -> Iterator[str]:
    """The board and the books are on one mount, whole, since a move of a book is one rename."""
    claims = _volumes(workload, "persistentVolumeClaim")
    if [claim["claimName"] for claim in claims.values()] != [CLAIM]:
        yield f"claims are {claims}"
    for one in containers(workload):
        at = [mount for mount in mounts(one) if mount["name"] in claims or mount["mountPath"].startswith("/data")]
        if at != [{"name": next(iter(claims), None), "mountPath": "/data"}]:
            yield f"{one['name']} has {at}"


@board
def configuration(workload: Document) -> Iterator[str]:
    """Every container reads the one configuration, and cannot write to it."""
    maps = _volumes(workload, "configMap")
    for one in containers(workload):
        at = [mount for mount in mounts(one) if mount["mountPath"] == CONFIG]
        wanted = {"mountPath": CONFIG, "subPath": "config.yaml", "readOnly": True}
        if [{**mount, "name": mount["name"] in maps} for mount in at] != [{**wanted, "name": True}]:
            yield f"{one['name']} has no configuration, or can write to it"
        if not any("configMapRef" in source for source in one.get("envFrom") or ()):
            yield f"{one['name']} does not see the settings"


@line
def doctor_first(workload: Document) -> Iterator[str]:
    """Nothing works on a volume that the doctor has not tried."""
    first = next(iter(pod(workload).get("initContainers") or ()), {})
    how = "--prepare" if component(workload) == ORCHESTRATOR else "--brief"
    if first.get("args") != ["doctor", "--no-stages", how] or first.get("restartPolicy"):
        yield "the volume is not tried first"


@rule
def accounts(workload: Document) -> Iterator[str]:
    """Who writes to the store has an account of its own, which a cloud can give a role; the others have none."""
    wanted = "uploader" if _who(workload) in SECRETS["store"] else None
    if pod(workload).get("serviceAccountName") != wanted:
        yield f"its account is {pod(workload).get('serviceAccountName')}"


@rule
def jobs(workload: Document) -> Iterator[str]:
    """A job runs when a person asks, one at a time, says what it found, and is not begun anew for that."""
    if workload["kind"] == "CronJob":
        spec = workload["spec"]
        once = (spec.get("suspend"), spec.get("concurrencyPolicy"), spec["jobTemplate"]["spec"].get("backoffLimit"))
        if once != (True, "Forbid", 0) or pod(workload).get("restartPolicy") != "Never":
            yield "it starts by itself, beside itself, or anew"
        if not _main(workload).get("args"):
            yield "it does what the image does without arguments"
