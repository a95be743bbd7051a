"""Secrets that sing: a project of compose.yaml with canaries as its secrets, and searches for them everywhere."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from tests.containers.images import ROOT, SERVICES, UID, docker
from tests.containers.project import free_ports
from tests.containers.single import configuration

BOOKS, POISONED = 6, 3
OURS = ("prepare", *SERVICES)
_CHUNK = 8 << 20
_S3 = "weed server -dir=/srv/s3 -ip.bind=0.0.0.0 -volume.max=0 -filer -s3 -s3.config=/run/s3.json"

# Looks at every process of its container, again and again, until standard input ends. The canaries come by that, too.
WATCHER = r"""
import json, os, sys, threading, time
words = {name: value.encode() for name, value in json.loads(sys.stdin.readline()).items()}
# gpg lives for some milliseconds; elsewhere nothing begins or ends.
pause = 0.002 if os.environ["STAGE"] == "decryptor" else 0.05
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
seen, hits, turns = {}, set(), 0
print("watching", flush=True)
while not ended.wait(pause):
    turns += 1
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for kind in ("cmdline", "environ"):
            try:
                with open(f"/proc/{pid}/{kind}", "rb") as file:
                    text = file.read()
            except OSError:
                continue
            if kind == "cmdline":
                program = os.path.basename(text.split(b"\0")[0].decode())
            if text:
                seen.setdefault(kind, {}).setdefault(program, 0)
                seen[kind][program] += 1
            hits |= {f"{name} in {kind} of {program}" for name, word in words.items() if word in text}
print(json.dumps({"seen": seen, "hits": sorted(hits), "turns": turns}))
"""

# Every file that the container's user can read, besides the programs: which canaries are in which.
READER = r"""
import json, os, sys
words = {name: value.encode() for name, value in json.loads(sys.stdin.readline()).items()}
found = {}
for top, names, files in os.walk("/"):
    if top == "/":
        names[:] = set(names) - {"proc", "sys", "dev", "usr", "opt", "data", "demo"}
    for path in (os.path.join(top, name) for name in files):
        try:
            with open(path, "rb") as file:
                text = file.read()
        except OSError:
            continue
        if inside := sorted(name for name, word in words.items() if word in text):
            found[path] = inside
print(json.dumps(found))
"""


class Canaries:
    """Words that may be nowhere but in their own files, by their names."""

    def __init__(self) -> None:
        self.words = {
            "passphrase": f"canary passphrase {secrets.token_hex(12)}",
            "access key": f"CANARY{secrets.token_hex(7).upper()}",
            "secret key": f"canary-secret-{secrets.token_hex(16)}",
            "action token": f"canary-token-{secrets.token_hex(16)}",
        }

    def add(self, credentials: dict[str, str]) -> None:
        """GRIN's, which the simulator has drawn; and how its access tokens begin."""
        self.words["refresh token"] = credentials["refresh_token"]
        self.words["client secret"] = credentials["client_secret"]
        self.words["access token"] = "ya29.sim-"

    def found(self, text: bytes | str) -> set[str]:
        """The canaries in a text, as they are, in an address or in base64."""
        data = text.encode() if isinstance(text, str) else text
        return {name for name, word in self.words.items() if any(form in data for form in _forms(word))}

    def found_in_pieces(self, pieces: Iterable[bytes]) -> set[str]:
        """The same of a long stream, canaries across two pieces too; only as they are."""
        words = {name: word.encode() for name, word in self.words.items()}
        found: set[str] = set()
        rest = b""
        for piece in pieces:
            text = rest + piece
            found |= {name for name, word in words.items() if word in text}
            rest = text[-100:]
        return found


def _forms(word: str) -> list[bytes]:
    # The last letters of base64 depend on what follows.
    encoded = base64.b64encode(word.encode())[: len(word) * 4 // 3 - 4]
    return [word.encode(), quote(word, safe="").encode(), encoded]


class Nest:
    """A project of compose.yaml with its own secrets, books and store, under a name of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.canaries = folder, Canaries()
        self.name = f"grin-canary-{os.getpid()}-{secrets.token_hex(2)}"
        self.data, self.secrets = folder / "data", folder / "secrets"
        theirs = (self.secrets / name for name in ("board", "gpg", "grin", "store"))
        for path in (self.data, folder / "library", folder / "none", *theirs):
            path.mkdir(parents=True)
            os.chown(path, UID, UID)
        self._write_secrets()
        (folder / "config.yaml").write_text(yaml.safe_dump(self._configuration()))
        (folder / "override.yaml").write_text(yaml.safe_dump(self._override()))
        (folder / "env").write_text(f"GRIN_PIPELINE_VOLUME={self.data}\nGRIN_PIPELINE_PORT={free_ports(1)[0]}\n")

    def _write_secrets(self) -> None:
        words = self.canaries.words
        keys = {"aws_access_key_id": words["access key"], "aws_secret_access_key": words["secret key"]}
        keys |= {"region": "us-east-1", "endpoint_url": "http://shop:8333"}
        identity = {"accessKey": words["access key"], "secretKey": words["secret key"]}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        person = {"name": "pipeline", "credentials": [identity], "actions": actions}
        (self.folder / "s3.json").write_text(json.dumps({"identities": [person]}))
        self._secret("gpg/passphrase.asc", words["passphrase"] + "\n")
        self._secret("board/token", words["action token"] + "\n")
        self._secret("store/aws", "[default]\n" + "".join(f"{name} = {value}\n" for name, value in keys.items()))

    def _secret(self, name: str, text: str) -> None:
        path = self.secrets / name
        path.write_text(text)
        path.chmod(0o600)
        os.chown(path, UID, UID)

    def _configuration(self) -> dict[str, Any]:
        within = "/etc/grin-pipeline/secrets"
        made = configuration(done_bucket="s3://books", gpg_passphrase_file=f"{within}/gpg/passphrase.asc")
        made["grin"]["credentials_file"] = f"{within}/grin/credentials.json"
        made["board"] = {"action_token_file": f"{within}/board/token"}
        for row in made["filters"]:
            row |= {"attempts": 2, "backoff": 0.5, "backoff_max": 1}
        return made

    def _override(self) -> dict[str, Any]:
        config = {"volumes": [f"{self.folder}/config.yaml:/etc/grin-pipeline/config.yaml:ro"]}
        services: dict[str, Any] = dict.fromkeys((*OURS, "operator"), config)
        mounts = [f"{self.secrets}/gpg:/run/demo/gpg", f"{self.secrets}/grin:/run/demo/grin"]
        mounts += [f"{self.folder}/library:/demo", f"{self.folder}/library:/run/demo/config"]
        mounts.append(f"{self.folder}/none:/data:ro")
        how_many = {"DEMO_BOOKS": BOOKS, "DEMO_POISONED": POISONED, "DEMO_PAGES": "4:5"}
        services["simulator"] = {"volumes": mounts, "environment": how_many}
        store = {"entrypoint": ["sh", "-c", f"mkdir -p /srv/s3 && exec {_S3}"], "networks": ["outside"]}
        mounted = [f"{self.folder}/s3.json:/run/s3.json:ro"]
        services["shop"] = {"image": self._seaweedfs(), **store, "volumes": mounted}
        files = {name: {"file": str(self.secrets / name)} for name in ("board", "gpg", "grin", "store")}
        return {"services": services, "secrets": files}

    def _seaweedfs(self) -> str:
        return str(yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["s3"]["image"])

    def compose(self, *arguments: str, check: bool = True, given: str = "") -> str:
        """What `docker compose` of this project says on standard output."""
        files = ["-f", "compose.yaml", "-f", str(self.folder / "override.yaml")]
        command = ["docker", "compose", "-p", self.name, "--env-file", str(self.folder / "env"), *files, *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, input=given, check=False)
        assert done.returncode == 0 or not check, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def container(self, service: str) -> str:
        """The name of a service's container."""
        return f"{self.name}-{service}-1"

    def count(self, bucket: str) -> int:
        """The books that wait in a bucket; or, with `*/failed`, those that failed anywhere."""
        return len(list((self.data / "pipeline").glob(f"{bucket}/*.json")))

    def until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        """Wait for it; the logs tell why it does not come."""
        limit = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < limit, self.compose("--profile", "*", "logs", "--tail", "15", check=False)
            time.sleep(0.1)

    # --- what happens ---

    def open_shops(self) -> None:
        """Start GRIN and the store, and make the bucket."""
        self.compose("up", "-d", "simulator", "shop")
        credentials = self.secrets / "grin" / "credentials.json"
        self.until(credentials.exists)
        self.canaries.add(json.loads(credentials.read_text()))
        create = "echo s3.bucket.create -name books | weed shell -master=localhost:9333 -filer=localhost:8888"
        self.until(lambda: "create" in self._shop(create) or "books" in self._shop("echo s3.bucket.list | weed shell"))

    def _shop(self, line: str) -> str:
        return self.compose("exec", "-T", "shop", "timeout", "10", "sh", "-c", line, check=False)

    def start_paused(self) -> None:
        """Start all services; no stage that has a secret takes a book yet."""
        paused = self.data / "pipeline" / "paused"
        paused.mkdir(parents=True)
        for stage in ("downloader", "decryptor", "uploader"):
            (paused / stage).touch()
        for path in (paused.parent, paused):
            os.chown(path, UID, UID)
        self.compose("up", "-d", "--no-build", *SERVICES)

    def go_on(self) -> None:
        """Let the books through, to their end."""
        for path in (self.data / "pipeline" / "paused").iterdir():
            path.unlink()
        self.until(lambda: (self.count("05_uploaded"), self.count("*/failed")) == (BOOKS - POISONED, POISONED), 90)

    @contextmanager
    def watched(self, told: dict[str, dict[str, Any]], more: dict[str, str]) -> Iterator[None]:
        """Watch the processes of every container meanwhile; `told` gets what was seen, by service."""
        started = {service: self._exec(service, WATCHER) for service in SERVICES}
        try:
            for process in started.values():
                print(json.dumps({**self.canaries.words, **more}), file=process.stdin, flush=True)
                assert process.stdout is not None and process.stdout.readline() == "watching\n"
            yield
        finally:
            for service, process in started.items():
                told[service] = json.loads(process.communicate(timeout=30)[0] or "{}")

    def _exec(self, service: str, code: str) -> subprocess.Popen[str]:
        command = ["docker", "exec", "-i", self.container(service), "python", "-c", code]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def readable(self, service: str) -> dict[str, list[str]]:
        """The files with canaries that a service can read."""
        given = json.dumps(self.canaries.words) + "\n"
        if service == "operator":
            run = ("run", "--rm", "-T", "--no-deps", "--entrypoint", "python", "operator", "-c", READER)
            return dict(json.loads(self.compose(*run, given=given)))
        return dict(json.loads(self._exec(service, READER).communicate(given, timeout=30)[0]))

    def down(self) -> None:
        """Remove all of it."""
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "1", check=False)


def saved(*images: str) -> Iterator[bytes]:
    """`docker save`, in pieces."""
    with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield from iter(lambda: process.stdout.read(_CHUNK) if process.stdout else b"", b"")
    assert process.returncode == 0


def files_below(folder: Path) -> Iterator[Path]:
    """All files of a tree."""
    return (path for path in folder.rglob("*") if path.is_file())


def inspected(*names: str) -> str:
    """All that the engine tells of containers or images."""
    return docker("inspect", *names)
