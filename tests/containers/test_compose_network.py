"""Who parses what comes from outside reaches nobody outside: not even the host, whatever it serves."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.containers.project import WITHOUT_MONITORING, Project, docker

pytestmark = pytest.mark.slow
SCRIPT = """import socket, sys
try: socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)
except OSError: print("no")
else: print("yes")"""


def gateways(project: Project) -> list[str]:
    """The host's addresses in the engine's own network and in the project's."""
    found = []
    for name in ("bridge", f"{project.name}_outside", f"{project.name}_metrics"):
        for config in json.loads(docker("network", "inspect", "--format", "{{json .IPAM.Config}}", name)):
            found += [config["Gateway"]] if config.get("Gateway") else []
    return found


def test_three_stages_reach_nobody_outside(project: Project) -> None:
    """A server of the host, on all of its addresses, is reached by the downloader, and not by those three."""
    project.up(*WITHOUT_MONITORING)
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = str(server.getsockname()[1])
        services, hosts = ("downloader", "decryptor", "extractor", "modifier"), gateways(project)

        def asked(service: str, host: str) -> str:
            return project.order("python", "-c", SCRIPT, host, port, service=service).strip()

        # Whoever gets no answer waits for it: all of them at once.
        with ThreadPoolExecutor() as pool:
            answering = {service: [pool.submit(asked, service, host) for host in hosts] for service in services}
            answers = {service: {one.result() for one in found} for service, found in answering.items()}
    assert "yes" in answers.pop("downloader")
    assert answers == {service: {"no"} for service in ("decryptor", "extractor", "modifier")}
