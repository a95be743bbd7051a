"""Pod Security Standard `restricted`, every control of `baseline` included, as Kubernetes publishes it.

A control a function: it yields what a pod would be refused for. Where releases differ, the stricter one counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.kubernetes.workloads import Document, containers, pod, template

Control = Callable[[Document], Iterator[str]]
CONTROLS: dict[str, Control] = {}

SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_syncookies",
}
VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
SELINUX = {"container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
PROFILES = {"RuntimeDefault", "Localhost"}
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"


def control(check: Control) -> Control:
    """Enters a control under its function's name."""
    CONTROLS[check.__name__] = check
    return check


def _contexts(workload: Document) -> Iterator[tuple[str, Document]]:
    """The security contexts: the pod's own, and each container's."""
    yield "the pod", pod(workload).get("securityContext") or {}
    yield from _of_containers(workload)


def _of_containers(workload: Document) -> Iterator[tuple[str, Document]]:
    for one in containers(workload):
        yield one["name"], one.get("securityContext") or {}


def _inherited(workload: Document, key: str) -> Iterator[tuple[str, Any]]:
    """What counts for each container: its own value, else the pod's."""
    common = (pod(workload).get("securityContext") or {}).get(key)
    for who, context in _of_containers(workload):
        yield who, context.get(key, common)


# --- baseline ---


@control
def host_process(workload: Document) -> Iterator[str]:
    """No container is a process of a Windows host."""
    for who, context in _contexts(workload):
        if (context.get("windowsOptions") or {}).get("hostProcess"):
            yield f"{who} is a process of the host"


@control
def host_namespaces(workload: Document) -> Iterator[str]:
    """Network, processes and shared memory of the node are not the pod's."""
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod(workload).get(key):
            yield f"{key} is set"


@control
def privileged(workload: Document) -> Iterator[str]:
    """No container is privileged."""
    for who, context in _of_containers(workload):
        if context.get("privileged"):
            yield f"{who} is privileged"


@control
def host_path_volumes(workload: Document) -> Iterator[str]:
    """No folder of the node is mounted."""
    for volume in pod(workload).get("volumes") or ():
        if "hostPath" in volume:
            yield f"{volume['name']} is a folder of the node"


@control
def host_ports(workload: Document) -> Iterator[str]:
    """No port of the node is taken."""
    for one in containers(workload):
        for port in one.get("ports") or ():
            if port.get("hostPort"):
                yield f"{one['name']} takes port {port['hostPort']} of the node"


@control
def host_probes(workload: Document) -> Iterator[str]:
    """Neither probes nor hooks let the node ask another host."""
    for one in containers(workload):
        hooks = one.get("lifecycle") or {}
        asked = [one.get(f"{kind}Probe") for kind in ("startup", "liveness", "readiness")]
        for question in (*asked, hooks.get("postStart"), hooks.get("preStop")):
            for how in ("httpGet", "tcpSocket"):
                if ((question or {}).get(how) or {}).get("host"):
                    yield f"{one['name']} has {question[how]['host']} asked"  # type: ignore[index]


@control
def apparmor(workload: Document) -> Iterator[str]:
    """AppArmor is not switched off, by a field or by an annotation."""
    for who, context in _contexts(workload):
        if (context.get("appArmorProfile") or {}).get("type", "RuntimeDefault") not in PROFILES:
            yield f"{who} has no AppArmor profile"
    for key, value in (template(workload).get("metadata", {}).get("annotations") or {}).items():
        if key.startswith(_APPARMOR) and not (value == "runtime/default" or value.startswith("localhost/")):
            yield f"{key} is {value}"


@control
def selinux(workload: Document) -> Iterator[str]:
    """The SELinux type is one of a container's; user and role are the default."""
    for who, context in _contexts(workload):
        options = context.get("seLinuxOptions") or {}
        if options.get("type") and options["type"] not in SELINUX:
            yield f"{who} has the type {options['type']}"
        if options.get("user") or options.get("role"):
            yield f"{who} has a user or a role of SELinux"


@control
def proc_mount(workload: Document) -> Iterator[str]:
    """/proc is masked as usual."""
    for who, context in _of_containers(workload):
        if context.get("procMount", "Default") != "Default":
            yield f"{who} sees all of /proc"


@control
def sysctls(workload: Document) -> Iterator[str]:
    """Only sysctls that touch nobody else are set."""
    for one in (pod(workload).get("securityContext") or {}).get("sysctls") or ():
        if one["name"] not in SYSCTLS:
            yield f"{one['name']} is set"


# --- restricted ---


@control
def volume_types(workload: Document) -> Iterator[str]:
    """Volumes are of the kinds that reach no host."""
    for volume in pod(workload).get("volumes") or ():
        if not set(volume) - {"name"} <= VOLUMES:
            yield f"{volume['name']} is of a kind that is not allowed"


@control
def privilege_escalation(workload: Document) -> Iterator[str]:
    """Every container says that no program gains rights."""
    for who, context in _of_containers(workload):
        if context.get("allowPrivilegeEscalation") is not False:
            yield f"{who} may gain rights"


@control
def non_root(workload: Document) -> Iterator[str]:
    """Root is refused for every container."""
    for who, value in _inherited(workload, "runAsNonRoot"):
        if value is not True:
            yield f"{who} may be root"


@control
def non_root_user(workload: Document) -> Iterator[str]:
    """Nobody asks for root by its number."""
    for who, context in _contexts(workload):
        if context.get("runAsUser") == 0:
            yield f"{who} is root"


@control
def seccomp(workload: Document) -> Iterator[str]:
    """A seccomp profile holds for every container, and none is without."""
    for who, value in _inherited(workload, "seccompProfile"):
        if (value or {}).get("type") not in PROFILES:
            yield f"{who} has no seccomp profile"
    if (pod(workload).get("securityContext") or {}).get("seccompProfile", {}).get("type") == "Unconfined":
        yield "the pod has no seccomp profile"


@control
def capabilities(workload: Document) -> Iterator[str]:
    """Every container drops all capabilities, and at most one for low ports comes back."""
    for who, context in _of_containers(workload):
        given = context.get("capabilities") or {}
        if "ALL" not in (given.get("drop") or ()):
            yield f"{who} does not drop every capability"
        if not set(given.get("add") or ()) <= {"NET_BIND_SERVICE"}:
            yield f"{who} adds {given['add']}"
