"""Both Dockerfiles, instruction by instruction, and what .dockerignore lets near them; no engine is needed."""

from __future__ import annotations

import re
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from services import __main__ as services
from tests.deploy.compose_file import ROOT, Project
from tests.deploy.dockerfile import Instruction, instructions, sent
from tests.deploy.rules import STAGES

FILES = ("Dockerfile", "simulator/Dockerfile")
TEXTS = {name: (ROOT / name).read_text() for name in FILES}
IGNORE = (ROOT / ".dockerignore").read_text()
_BASE = re.compile(r"BASE=python:\d+\.\d+-slim-[a-z]+")
_SECRET_WORDS = re.compile(r"SECRET|PASSWORD|PASSPHRASE|TOKEN|CREDENTIAL|(^|_)KEY", re.IGNORECASE)
_NOT_IN_RUN = re.compile(r"\b(curl|wget|sudo|git|ssh|nc|gosu|tini|chmod|telnet|vim|nano|procps)\b")
# What may be copied from the project's folder: code and its requirements, by name.
_SOURCES = re.compile(
    r"(common|services/\$\{STAGE\}|simulator|constraints\.txt|services/__(init|main)__\.py)(/[\w.\[\]]+)?"
)

Check = Callable[[list[Instruction]], Iterator[str]]
CHECKS: dict[str, Check] = {}


def check(function: Check) -> Check:
    """Enters a check under its function's name."""
    CHECKS[function.__name__] = function
    return function


@check
def one_base(found: list[Instruction]) -> Iterator[str]:
    """Everything stands on the base that BASE names, one version of slim Python."""
    if not _BASE.fullmatch(found[0].rest):
        yield f"the base is {found[0].rest}"
    yield from (f"FROM {one.rest}" for one in found if one.word == "FROM" and one.rest.split()[0] != "${BASE}")


@check
def no_shell_at_the_start(found: list[Instruction]) -> Iterator[str]:
    """The program and the health check are started without a shell, so SIGTERM reaches Python itself."""
    words = [one for one in found if one.word in {"ENTRYPOINT", "CMD", "HEALTHCHECK"}]
    if {one.word for one in words} != {"ENTRYPOINT", "HEALTHCHECK"}:
        yield "there is no entry point, no health check, or a command beside them"
    yield from (f"{one.word} goes through a shell" for one in words if not one.is_exec)


@check
def numeric_user(found: list[Instruction]) -> Iterator[str]:
    """The last user is the one that compose.yaml names, by number, and nothing is made after it."""
    places = [index for index, one in enumerate(found) if one.word == "USER"]
    if [found[index].rest for index in places] != [Project.read().services["orchestrator"]["user"]]:
        yield "the user is not compose.yaml's"
    elif any(one.word in {"RUN", "COPY"} for one in found[places[0] :]):
        yield "something is made as that user, which could then change it"


@check
def copies_by_name(found: list[Instruction]) -> Iterator[str]:
    """Files come by COPY and by name: never the whole folder, another service, or something from the network."""
    yield from ("ADD fetches and unpacks" for one in found if one.word == "ADD")
    for one in found:
        if one.word == "COPY" and not one.rest.startswith("--from="):
            yield from (f"{source} is copied" for source in one.rest.split()[:-1] if not _SOURCES.fullmatch(source))


@check
def no_tools(found: list[Instruction]) -> Iterator[str]:
    """No tool that serves an intruder is put in, no right is widened, and apt leaves nothing behind."""
    for one in (one for one in found if one.word == "RUN"):
        yield from (f"{word} is used" for word in _NOT_IN_RUN.findall(one.rest.replace("chmod a-s ", "")))
        if "apt-get install" in one.rest:
            if "--no-install-recommends" not in one.rest:
                yield "recommended packages are installed"
            if "rm -rf /var/lib/apt/lists/*" not in one.rest:
                yield "apt's lists stay"


@check
def pinned(found: list[Instruction]) -> Iterator[str]:
    """Python's packages are of the versions in constraints.txt, and no cache of pip's stays."""
    for one in (one for one in found if one.word == "RUN" and re.search(r"\bpip\b.* install ", one.rest)):
        if "--constraint constraints.txt" not in one.rest or "--no-cache-dir" not in one.rest:
            yield "versions are open, or pip's cache stays"
    yield from ("latest is no version" for one in found if re.search(r"[:=@]latest\b", one.rest))


@check
def no_secret(found: list[Instruction]) -> Iterator[str]:
    """No argument and no variable is there to hold a secret: both stay readable in the image's history."""
    for one in found:
        if one.word in {"ARG", "ENV"}:
            names = re.findall(r"(?:^|\s)(\w+)(?==|\s|$)", one.rest)
            yield from (f"{name} looks like a secret" for name in names if _SECRET_WORDS.search(name))


@check
def labels(found: list[Instruction]) -> Iterator[str]:
    """The image says by the usual labels what it is, and under which licence."""
    text = " ".join(one.rest for one in found if one.word == "LABEL")
    for name in ("title", "licenses"):
        if f"org.opencontainers.image.{name}=" not in text:
            yield f"the label {name} is missing"


# A check, and what is changed in the Dockerfile so that it must find it.
WEAKENED = [
    ("one_base", "BASE=python:3.13-slim-trixie", "BASE=python:latest"),
    ("one_base", "BASE=python:3.13-slim-trixie", "BASE=python:3.13"),
    ("one_base", "FROM ${BASE} AS code", "FROM debian:trixie AS code"),
    ("no_shell_at_the_start", "ENTRYPOINT [", "ENTRYPOINT exec ["),
    ("no_shell_at_the_start", "ENTRYPOINT [", 'ENTRYPOINT ["sh", "-c", '),
    ("no_shell_at_the_start", " CMD [", " CMD python ["),
    ("no_shell_at_the_start", "HEALTHCHECK", "LABEL"),
    ("no_shell_at_the_start", "ENTRYPOINT", 'CMD ["up"]\nENTRYPOINT'),
    ("numeric_user", "USER 10001:10001", ""),
    ("numeric_user", "USER 10001:10001", "USER pipeline"),
    ("numeric_user", "USER 10001:10001", "USER 10001:10001\nRUN touch /app/x"),
    ("copies_by_name", "COPY common common", "ADD https://example.org/common.tar /app"),
    ("copies_by_name", "COPY common common", "COPY . ."),
    ("copies_by_name", "COPY common common", "COPY common secrets ./"),
    ("copies_by_name", "COPY services/${STAGE} services/${STAGE}", "COPY services services"),
    ("no_tools", "apt-get update &&", "apt-get update && apt-get install -y curl &&"),
    ("no_tools", " && rm -rf /var/lib/apt/lists/*", ""),
    ("no_tools", "--no-install-recommends", ""),
    ("pinned", "--constraint constraints.txt", ""),
    ("pinned", "--no-cache-dir", ""),
    ("no_secret", "ARG VERSION=0.1.0", "ARG VERSION=0.1.0\nARG PIP_TOKEN"),
    ("no_secret", "ENV STAGE=${STAGE}", "ENV STAGE=${STAGE} GPG_PASSPHRASE=x"),
    ("labels", "image.licenses", "image.license"),
]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("name", sorted(CHECKS))
def test_every_dockerfile_passes_every_check(name: str, file: str) -> None:
    """Neither Dockerfile does what an image of a deployment must not do."""
    assert list(CHECKS[name](instructions(TEXTS[file]))) == []


@pytest.mark.parametrize(("name", "old", "new"), WEAKENED)
def test_a_weakened_dockerfile_is_found_out(name: str, old: str, new: str) -> None:
    """The check that should find a careless change finds it."""
    assert old in TEXTS["Dockerfile"]
    assert list(CHECKS[name](instructions(TEXTS["Dockerfile"].replace(old, new))))


def test_every_check_can_fail() -> None:
    """There is at least one weakened Dockerfile for each check."""
    assert {name for name, _, _ in WEAKENED} == set(CHECKS)


def test_both_dockerfiles_stand_on_the_same_base() -> None:
    """The line that names the base is the same in both, so one build argument moves both."""
    assert len({instructions(text)[0] for text in TEXTS.values()}) == 1


def test_the_ports_are_those_that_are_listened_at() -> None:
    """What an image says that it listens at is what it does."""
    exposed = next(one.rest for one in instructions(TEXTS["Dockerfile"]) if one.word == "EXPOSE").split()
    listens = (services._STAGE_LISTENS, services._BOARD_LISTENS)
    assert exposed == [address.rpartition(":")[2] for address in listens]
    assert Project.read().services["orchestrator"]["ports"][0].endswith(f":{exposed[1]}")


@pytest.mark.parametrize("service", ["orchestrator", *STAGES])
def test_system_packages_are_named_one_a_line(service: str) -> None:
    """apt.txt, whose lines become arguments of apt-get, holds names of packages and nothing else; most have none."""
    path = ROOT / "services" / service / "apt.txt"
    names = path.read_text().splitlines() if path.exists() else []
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", name) for name in names)
    assert bool(names) == (service == "decryptor")


def _a_tree(folder: Path) -> Path:
    """A clone in which a library works: with its books, its secrets, and what tools leave behind."""
    code = [
        "constraints.txt",
        "common/board.py",
        "services/__main__.py",
        "services/uploader/apt.txt",
        "simulator/pages/a.tif",
    ]
    rest = [
        *(
            "secrets/gpg/passphrase.asc",
            "secrets/grin/credentials.json",
            ".env",
            "store.env",
            "config.yaml",
            "all_books.tsv",
        ),
        *("pipeline/01_incoming/32101", "processing/32101/a.tar.gz.gpg", "done/32101/32101.tar.gz", "demo/config.yaml"),
        *(".git/config", ".venv/bin/python", "common/__pycache__/board.cpython-313.pyc", "services/uploader/stage.pyc"),
        *("compose.yaml", "Dockerfile", "tests/conftest.py", "docs/a.md", "monitoring/prometheus.yml", "bench/run/x"),
    ]
    for name in [*code, *rest]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


def test_nothing_but_code_is_sent_to_the_engine(tmp_path: Path) -> None:
    """Of a folder in which a library works, neither books nor secrets, history or tests can reach an image."""
    parts = [path.split("/")[0] for path in sent(_a_tree(tmp_path), IGNORE)]
    assert parts == ["common", "constraints.txt", "services", "services", "simulator"]


def test_what_is_sent_of_this_folder_is_the_project_s() -> None:
    """Whatever lies about in this checkout, only files that belong to the project would be sent."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    tops = [ROOT / "common", ROOT / "services", ROOT / "simulator"]
    here = [f"{top.name}/{path}" for top in tops for path in sent(top, "**/__pycache__\n**/*.pyc")]
    assert here
    assert set(here) <= set(told)


@pytest.mark.usefixtures("engine")
def test_the_engine_reads_dockerignore_as_these_tests_do(tmp_path: Path) -> None:
    """What the engine really copies of such a folder is what these tests say that it is sent."""
    folder = _a_tree(tmp_path / "tree")
    (folder / ".dockerignore").write_text(IGNORE)
    build = ["docker", "build", "--quiet", "--file", "-", str(folder)]
    image = subprocess.run(build, input="FROM scratch\nCOPY . /sent/\n", capture_output=True, text=True, check=True)
    made = subprocess.run(
        ["docker", "create", image.stdout.strip(), "none"], capture_output=True, text=True, check=True
    )
    try:
        command = ["docker", "cp", f"{made.stdout.strip()}:/sent/.", "-"]
        (tmp_path / "sent.tar").write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    finally:
        for words in (["rm", made.stdout.strip()], ["rmi", image.stdout.strip()]):
            subprocess.run(["docker", *words], capture_output=True, check=True)
    with tarfile.open(tmp_path / "sent.tar") as found:
        names = sorted(member.name.removeprefix("./") for member in found if member.isfile())
    assert names == sent(folder, IGNORE)


def test_continuous_integration_stands_in_for_what_the_files_name() -> None:
    """Each image of others that compose.yaml names can be stood in for where no registry is reached."""
    script = (ROOT / ".ci" / "images").read_text()
    others = {image for image in _images() if not image.startswith("${")}
    assert others
    assert [image for image in others if f"named {image.rpartition(':')[0]}" not in script] == []


def _images() -> set[str]:
    raw = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    return {service["image"] for service in raw.values()}
