"""Careless changes of a render, and the rule that must find each: where, and the value there; None takes it away."""

from __future__ import annotations

_POD = "spec template spec"
_MAIN = f"{_POD} containers main"
_DOCTOR = f"{_POD} initContainers doctor"
_LEAST = {"drop": ["ALL"]}
_BARE = {"name": "debug", "image": "busybox:1.37", "securityContext": {"allowPrivilegeEscalation": False}}


def _of(workload: str, place: str) -> str:
    return f"Deployment {workload} {place}"


RESTRICTED: list[tuple[str, str, object]] = [
    ("host_process", _of("decryptor", f"{_POD} securityContext windowsOptions"), {"hostProcess": True}),
    ("host_process", _of("decryptor", f"{_DOCTOR} securityContext windowsOptions"), {"hostProcess": True}),
    ("host_namespaces", _of("extractor", f"{_POD} hostNetwork"), True),
    ("host_namespaces", _of("extractor", f"{_POD} hostPID"), True),
    ("host_namespaces", _of("extractor", f"{_POD} hostIPC"), True),
    ("privileged", _of("modifier", f"{_MAIN} securityContext privileged"), True),
    ("privileged", _of("modifier", f"{_DOCTOR} securityContext privileged"), True),
    ("host_path_volumes", _of("uploader", f"{_POD} volumes data"), {"name": "data", "hostPath": {"path": "/srv"}}),
    ("host_ports", _of("orchestrator", f"{_MAIN} ports board hostPort"), 8080),
    ("host_probes", _of("downloader", f"{_MAIN} livenessProbe httpGet host"), "127.0.0.1"),
    ("host_probes", _of("downloader", f"{_MAIN} readinessProbe httpGet host"), "10.0.0.1"),
    ("host_probes", _of("downloader", f"{_MAIN} lifecycle postStart tcpSocket"), {"host": "10.0.0.1", "port": 1}),
    ("host_probes", _of("downloader", f"{_MAIN} lifecycle preStop httpGet host"), "169.254.169.254"),
    ("host_probes", _of("downloader", f"{_MAIN} startupProbe tcpSocket"), {"host": "10.0.0.1", "port": 1}),
    ("apparmor", _of("decryptor", f"{_MAIN} securityContext appArmorProfile"), {"type": "Unconfined"}),
    (
        "apparmor",
        _of("decryptor", "spec template metadata annotations container.apparmor.security.beta.kubernetes.io/main"),
        "unconfined",
    ),
    ("selinux", _of("decryptor", f"{_POD} securityContext seLinuxOptions"), {"type": "spc_t"}),
    ("selinux", _of("decryptor", f"{_MAIN} securityContext seLinuxOptions"), {"role": "system_r"}),
    ("proc_mount", _of("extractor", f"{_MAIN} securityContext procMount"), "Unmasked"),
    ("sysctls", _of("modifier", f"{_POD} securityContext sysctls"), [{"name": "kernel.msgmax", "value": "1"}]),
    ("volume_types", _of("uploader", f"{_POD} volumes data"), {"name": "data", "nfs": {"server": "nas", "path": "/"}}),
    ("privilege_escalation", _of("downloader", f"{_MAIN} securityContext allowPrivilegeEscalation"), None),
    ("privilege_escalation", _of("orchestrator", f"{_DOCTOR} securityContext allowPrivilegeEscalation"), True),
    ("non_root", _of("decryptor", f"{_POD} securityContext runAsNonRoot"), None),
    ("non_root", _of("decryptor", f"{_DOCTOR} securityContext runAsNonRoot"), False),
    ("non_root_user", _of("extractor", f"{_POD} securityContext runAsUser"), 0),
    ("non_root_user", _of("extractor", f"{_MAIN} securityContext runAsUser"), 0),
    ("seccomp", _of("modifier", f"{_POD} securityContext seccompProfile"), None),
    ("seccomp", _of("modifier", f"{_MAIN} securityContext seccompProfile"), {"type": "Unconfined"}),
    ("capabilities", _of("uploader", f"{_MAIN} securityContext capabilities"), None),
    ("capabilities", _of("uploader", f"{_DOCTOR} securityContext capabilities drop"), ["NET_RAW"]),
    ("capabilities", _of("uploader", f"{_MAIN} securityContext capabilities"), {**_LEAST, "add": ["SYS_ADMIN"]}),
    ("capabilities", _of("uploader", f"{_POD} ephemeralContainers"), [_BARE]),
]

OURS: list[tuple[str, str, object]] = [
    ("numeric_user", _of("decryptor", f"{_POD} securityContext runAsUser"), None),
    ("numeric_user", _of("decryptor", f"{_MAIN} securityContext runAsGroup"), 0),
    ("read_only_root", _of("extractor", f"{_MAIN} securityContext readOnlyRootFilesystem"), None),
    ("read_only_root", _of("extractor", f"{_DOCTOR} securityContext readOnlyRootFilesystem"), False),
    ("scratch", _of("modifier", f"{_POD} volumes tmp emptyDir"), {"medium": "Memory"}),
    ("no_token", _of("uploader", f"{_POD} automountServiceAccountToken"), None),
    (
        "no_token",
        _of("uploader", f"{_POD} volumes +"),
        {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
    ),
    ("no_service_links", _of("downloader", f"{_POD} enableServiceLinks"), None),
    ("resources", _of("decryptor", f"{_MAIN} resources limits memory"), None),
    ("resources", _of("decryptor", f"{_DOCTOR} resources"), None),
    ("resources", _of("decryptor", f"{_MAIN} resources requests cpu"), "3"),
    ("probes", _of("extractor", f"{_MAIN} startupProbe"), None),
    ("probes", _of("extractor", f"{_MAIN} livenessProbe httpGet path"), "/readyz"),
    ("probes", _of("extractor", f"{_MAIN} readinessProbe httpGet path"), "/healthz"),
    ("probes", _of("orchestrator", f"{_MAIN} ports board containerPort"), 8000),
    (
        "secrets_for_those_who_need_them",
        _of("modifier", f"{_POD} volumes +"),
        {"name": "gpg", "secret": {"secretName": "grin-pipeline-gpg", "defaultMode": 0o440}},
    ),
    ("secrets_for_those_who_need_them", _of("decryptor", f"{_MAIN} volumeMounts gpg readOnly"), None),
    ("secrets_for_those_who_need_them", _of("decryptor", f"{_MAIN} volumeMounts gpg mountPath"), "/data/gpg"),
    (
        "secrets_for_those_who_need_them",
        _of("decryptor", f"{_DOCTOR} volumeMounts +"),
        {"name": "gpg", "mountPath": "/etc/grin-pipeline/secrets/gpg", "readOnly": True},
    ),
    ("secrets_for_those_who_need_them", _of("uploader", f"{_POD} volumes store"), None),
    ("secret_modes", _of("downloader", f"{_POD} volumes grin secret defaultMode"), None),
    ("secret_modes", _of("downloader", f"{_POD} volumes grin secret defaultMode"), 0o444),
    (
        "secret_modes",
        _of("downloader", f"{_POD} volumes grin secret items"),
        [{"key": "credentials.json", "path": "credentials.json", "mode": 0o644}],
    ),
    (
        "no_secret_in_the_environment",
        _of("uploader", f"{_MAIN} env"),
        [{"name": "AWS_SECRET_ACCESS_KEY", "value": "abc"}],
    ),
    (
        "no_secret_in_the_environment",
        _of("decryptor", f"{_MAIN} env"),
        [{"name": "PHRASE", "valueFrom": {"secretKeyRef": {"name": "grin-pipeline-gpg", "key": "passphrase.asc"}}}],
    ),
    ("no_secret_in_the_environment", _of("uploader", f"{_MAIN} envFrom +"), {"secretRef": {"name": "any"}}),
    ("no_secret_in_the_environment", _of("uploader", f"{_MAIN} args"), ["--secret-key=abc"]),
    ("images", _of("decryptor", f"{_MAIN} image"), "grin-pipeline/decryptor:latest"),
    ("images", _of("decryptor", f"{_MAIN} image"), "grin-pipeline/extractor:0.1.0"),
    ("images", _of("decryptor", f"{_DOCTOR} image"), "grin-pipeline/orchestrator"),
    ("replaced", _of("modifier", "spec replicas"), 1),
    ("replaced", _of("modifier", "spec strategy rollingUpdate maxUnavailable"), 1),
    ("replaced", _of("modifier", "spec strategy"), None),
    ("replaced", _of("orchestrator", "spec replicas"), 2),
    ("replaced", _of("orchestrator", "spec strategy"), None),
    ("spread", _of("extractor", f"{_POD} topologySpreadConstraints"), None),
    ("spread", _of("extractor", f"{_POD} topologySpreadConstraints 0 matchLabelKeys"), None),
    ("spread", _of("extractor", f"{_POD} topologySpreadConstraints 0 whenUnsatisfiable"), "DoNotSchedule"),
    ("spread", _of("extractor", f"{_POD} topologySpreadConstraints 0 topologyKey"), "topology.kubernetes.io/zone"),
    ("spread", _of("extractor", f"{_POD} topologySpreadConstraints 0 labelSelector matchLabels"), {"app": "any"}),
    ("one_volume", _of("decryptor", f"{_MAIN} volumeMounts data subPath"), "board"),
    ("one_volume", _of("decryptor", f"{_DOCTOR} volumeMounts data mountPath"), "/volume"),
    ("one_volume", _of("decryptor", f"{_MAIN} volumeMounts +"), {"name": "tmp", "mountPath": "/data/processing"}),
    (
        "one_volume",
        _of("decryptor", f"{_POD} volumes +"),
        {"name": "books", "persistentVolumeClaim": {"claimName": "books"}},
    ),
    ("configuration", _of("uploader", f"{_MAIN} volumeMounts config readOnly"), None),
    ("configuration", _of("uploader", f"{_MAIN} volumeMounts config"), None),
    ("configuration", _of("uploader", f"{_MAIN} volumeMounts config name"), "tmp"),
    ("configuration", _of("uploader", f"{_DOCTOR} envFrom"), None),
    ("doctor_first", _of("downloader", f"{_POD} initContainers"), None),
]

REFERENCES: list[tuple[str, str, object]] = [
    ("once", "Service orchestrator kind", "Deployment"),
    ("one_namespace", "Service orchestrator metadata namespace", "default"),
    ("one_namespace", "Namespace grin-pipeline metadata name", "other"),
    ("one_namespace", "Namespace grin-pipeline kind", "Project"),
    ("pod_references", "ServiceAccount uploader metadata name", "writer"),
    ("pod_references", "PersistentVolumeClaim grin-pipeline-data metadata name", "data"),
    ("pod_references", _of("decryptor", f"{_POD} volumes gpg secret secretName"), "gpg"),
    ("pod_references", _of("decryptor", f"{_POD} volumes config configMap name"), "grin-pipeline-config"),
    ("pod_references", "ConfigMap grin-pipeline-settings metadata name", "settings"),
    ("pod_references", "ConfigMap grin-pipeline-config data", {"config.yml": ""}),
    (
        "pod_references",
        _of("decryptor", f"{_MAIN} env"),
        [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}],
    ),
    ("mounted", _of("decryptor", f"{_POD} volumes gpg"), None),
    ("mounted", _of("decryptor", f"{_POD} volumes +"), {"name": "tmp", "emptyDir": {}}),
    ("mounted", _of("decryptor", f"{_MAIN} volumeMounts gpg"), None),
    ("mounted", _of("decryptor", f"{_MAIN} volumeMounts gpg mountPath"), "/tmp"),
    ("probed_ports", _of("extractor", f"{_MAIN} ports"), None),
    ("probed_ports", _of("extractor", f"{_MAIN} startupProbe httpGet port"), "http"),
    ("probed_ports", _of("extractor", f"{_MAIN} livenessProbe httpGet port"), 8080),
    ("probed_ports", _of("extractor", f"{_MAIN} readinessProbe httpGet port"), "board"),
    ("own_pods", _of("modifier", "spec selector matchLabels"), {"app.kubernetes.io/component": "stage"}),
    ("own_pods", _of("modifier", "spec template metadata labels app.kubernetes.io/name"), "extractor"),
    ("own_pods", _of("modifier", f"{_POD} topologySpreadConstraints 0 labelSelector matchLabels"), {"app": "modifier"}),
    ("services", "Service orchestrator spec selector", {"app.kubernetes.io/name": "board"}),
    ("services", "Service orchestrator spec selector", {"app.kubernetes.io/component": "stage"}),
    ("services", "Service orchestrator spec ports board targetPort", "metrics"),
    ("selectors", "PodDisruptionBudget uploader spec selector matchLabels", {"app.kubernetes.io/name": "store"}),
    ("selectors", "NetworkPolicy grin spec podSelector matchExpressions 0 values", ["download"]),
    ("selectors", "NetworkPolicy metrics spec ingress 0 ports 0 port", "figures"),
]

POLICIES: list[tuple[str, str, object]] = [
    ("deny_all", "NetworkPolicy deny-all spec podSelector", {"matchLabels": {"app.kubernetes.io/component": "stage"}}),
    ("deny_all", "NetworkPolicy deny-all spec policyTypes", ["Ingress"]),
    ("deny_all", "NetworkPolicy deny-all spec egress", [{}]),
    ("outside", "NetworkPolicy grin spec podSelector", {}),
    ("outside", "NetworkPolicy grin spec podSelector matchExpressions 0 values +", "decryptor"),
    ("outside", "NetworkPolicy grin spec egress 1 ports", None),
    ("outside", "NetworkPolicy grin spec egress 1 ports +", {"protocol": "TCP", "port": 80}),
    ("outside", "NetworkPolicy grin spec egress 1 to", None),
    ("outside", "NetworkPolicy grin spec egress 0 to 0 podSelector", None),
    ("outside", "NetworkPolicy grin spec egress +", {"to": [{"podSelector": {}}]}),
    ("nothing_inside", "NetworkPolicy grin spec egress 1 to 0 ipBlock except", None),
    ("nothing_inside", "NetworkPolicy grin spec egress 1 to 0 ipBlock except 4", "169.254.170.0/24"),
    ("nothing_inside", "NetworkPolicy grin spec egress 1 to 1 ipBlock cidr", "::/0"),
    ("visitors", "NetworkPolicy metrics spec ingress 0 from", None),
    ("visitors", "NetworkPolicy metrics spec ingress 0 from 0", {"podSelector": {}}),
    ("visitors", "NetworkPolicy metrics spec ingress 0 from 0 namespaceSelector", {}),
    ("visitors", "NetworkPolicy metrics spec ingress 0 ports", None),
    ("visitors", "NetworkPolicy metrics spec ingress 0 ports +", {"protocol": "TCP", "port": 22}),
    ("visitors", "NetworkPolicy metrics spec podSelector matchExpressions 0 values", ["stage"]),
    ("enforced", "Namespace grin-pipeline metadata labels pod-security.kubernetes.io/enforce", "baseline"),
    ("enforced", "Namespace grin-pipeline metadata labels pod-security.kubernetes.io/warn", None),
    ("enforced", "Namespace grin-pipeline metadata labels pod-security.kubernetes.io/audit", "privileged"),
    ("drains", "PodDisruptionBudget modifier spec maxUnavailable", 0),
    ("drains", "PodDisruptionBudget modifier spec maxUnavailable", "100%"),
    ("drains", "PodDisruptionBudget modifier spec unhealthyPodEvictionPolicy", None),
    ("drains", "PodDisruptionBudget modifier spec selector matchLabels", {"app.kubernetes.io/component": "stage"}),
    ("grace", _of("decryptor", f"{_POD} terminationGracePeriodSeconds"), 30),
    ("grace", _of("orchestrator", f"{_POD} terminationGracePeriodSeconds"), 5),
    ("grace", "ConfigMap grin-pipeline-settings data GRIN_PIPELINE_GLOBAL__GRACE", "60"),
    ("no_secret_in_the_settings", "ConfigMap grin-pipeline-settings data GRIN_PIPELINE_GLOBAL__GPG_PASSPHRASE", "abc"),
]

# Of the demo, and of components that the default does not have.
ELSEWHERE: list[tuple[str, tuple[str, ...], str, object]] = [
    ("simulated", ("demo",), "NetworkPolicy simulator spec policyTypes", ["Ingress"]),
    ("simulated", ("demo",), "NetworkPolicy simulator spec ingress 0 from 0 podSelector matchExpressions", []),
    ("simulated", ("demo",), "NetworkPolicy simulator spec ingress", [{}]),
    ("outside", ("demo", "network-policies"), "NetworkPolicy to-simulator spec egress 0 ports", None),
    ("outside", ("demo", "network-policies"), "NetworkPolicy to-simulator spec egress 0 to 0 podSelector", {}),
    ("selectors", ("demo",), "NetworkPolicy to-simulator spec egress 0 to 0 podSelector matchLabels", {"app": "grin"}),
    ("selectors", ("demo",), "NetworkPolicy to-simulator spec egress 0 ports 0 port", "https"),
    ("scaled", ("k8s", "autoscaling"), "ScaledObject decryptor spec scaleTargetRef name", "decrypter"),
    ("scaled", ("k8s", "autoscaling"), "ScaledObject decryptor spec scaleTargetRef name", "extractor"),
    ("scaled", ("k8s", "autoscaling"), "ScaledObject decryptor spec scaleTargetRef kind", "StatefulSet"),
    ("scaled", ("k8s", "autoscaling"), _of("decryptor", "spec replicas"), 1),
    ("grace", ("k8s", "autoscaling"), "ConfigMap grin-pipeline-autoscaling data GRIN_PIPELINE_GLOBAL__GRACE", "630"),
    ("outside", ("k8s", "s3"), "NetworkPolicy store spec podSelector matchExpressions 0 values +", "modifier"),
    ("outside", ("k8s", "s3"), "NetworkPolicy store spec egress 1 ports 0 port", 9000),
    ("nothing_inside", ("k8s", "s3"), "NetworkPolicy store spec egress 1 to 0 ipBlock except 1", "10.96.0.0/12"),
    ("selectors", ("k8s", "s3"), "NetworkPolicy store spec podSelector matchExpressions 0 values", ["upload"]),
    ("pod_references", ("k8s", "s3"), "CronJob audit spec jobTemplate spec template spec serviceAccountName", "audit"),
    ("selectors", ("k8s", "monitoring"), "PodMonitor grin-stages spec podMetricsEndpoints 0 port", "board"),
    ("selectors", ("k8s", "monitoring"), "PodMonitor grin-stages spec selector matchLabels", {"app": "stage"}),
    ("vaulted", ("k8s", "external-secrets"), "ExternalSecret grin-pipeline-gpg spec target name", "gpg"),
    ("vaulted", ("k8s", "external-secrets"), "ExternalSecret grin-pipeline-gpg spec data 0 secretKey", "passphrase"),
    ("grace", ("k8s", "autoscaling"), _of("decryptor", f"{_POD} terminationGracePeriodSeconds"), 45),
]

_JOB = "CronJob audit spec jobTemplate spec template spec"
JOBS: list[tuple[str, str, object]] = [
    ("one_volume", f"{_JOB} containers main volumeMounts data subPath", "pipeline"),
    ("configuration", f"{_JOB} containers main volumeMounts config readOnly", None),
    ("secrets_for_those_who_need_them", f"{_JOB} volumes store", None),
    ("images", f"{_JOB} containers main image", "grin-pipeline/uploader:0.1.0"),
    ("no_secret_in_the_environment", f"{_JOB} containers main env 0 value", "AKIA"),
    ("capabilities", f"{_JOB} containers main securityContext capabilities", None),
]

# What the published standard lets be: a control that refused it would be another standard's.
ALLOWED: list[tuple[str, object]] = [
    *(
        (f"{_POD} securityContext sysctls", [{"name": one, "value": "1"}])
        for one in (
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
        )
    ),
    *(
        (f"{_POD} volumes +", {"name": "more", kind: {}})
        for kind in (
            "configMap",
            "csi",
            "downwardAPI",
            "emptyDir",
            "ephemeral",
            "persistentVolumeClaim",
            "projected",
            "secret",
        )
    ),
    *(
        (f"{_MAIN} securityContext seLinuxOptions", {"type": kind, "level": "s0:c1"})
        for kind in (
            "container_t",
            "container_init_t",
            "container_kvm_t",
            "container_engine_t",
            "",
        )
    ),
    (f"{_MAIN} securityContext appArmorProfile", {"type": "Localhost", "localhostProfile": "own"}),
    ("spec template metadata annotations container.apparmor.security.beta.kubernetes.io/main", "localhost/own"),
    ("spec template metadata annotations container.apparmor.security.beta.kubernetes.io/main", "runtime/default"),
    (f"{_MAIN} securityContext seccompProfile", {"type": "Localhost", "localhostProfile": "own.json"}),
    (f"{_MAIN} securityContext capabilities add", ["NET_BIND_SERVICE"]),
    (f"{_MAIN} securityContext procMount", "Default"),
    (f"{_POD} hostNetwork", False),
    (f"{_MAIN} ports metrics hostPort", 0),
    (f"{_MAIN} lifecycle preStop", {"exec": {"command": ["true"]}}),
]
