"""What the pages say of Kubernetes is what is there: commands, examples, tables, and how Secrets are made."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.compose_file import ROOT
from tests.kubernetes import policies, references, restricted, schemas
from tests.kubernetes.combinations import COMPONENTS, FILE, FULLEST, K8S, OVERLAYS, Combination, Render
from tests.kubernetes.pages import PAGES, Block, blocks, commands, told
from tests.kubernetes.rendered import rendered
from tests.kubernetes.rules import RULES, SECRETS
from tests.kubernetes.workloads import STAGE, Document, component, containers, name, pod, workloads

HOW_TO = ROOT / "docs" / "how-to" / "kubernetes.md"
BLOCKS = [block for page in PAGES for block in blocks(page)]
WHOLE = [block for block in BLOCKS if any("kind" in one for one in block.documents)]
# Parts of a kustomization, which readers put into their own.
PARTS = [
    block
    for block in BLOCKS
    if block not in WHOLE and {"patches", "images", "configMapGenerator", "replicas"} & set(block.documents[0])
]
# The folder of a stage of one's own has a test of its own.
KUSTOMIZATIONS = [block for block in WHOLE if "kind: Kustomization" in block.text and "hop.yaml" not in block.text]
EACH = [*FULLEST, *map(Combination, OVERLAYS)]
KUSTOMIZE = {"Kustomization", "Component"}
# A library's own folder in the examples.
THEIRS = {"prnc", "."}


@pytest.mark.parametrize("block", WHOLE, ids=str)
def test_an_example_is_taken_by_kubernetes(block: Block) -> None:
    """Every document on a page is one that an older and a newer release take."""
    built_in = [one for one in block.documents if one["kind"] not in KUSTOMIZE]
    assert [found for one in built_in for version in schemas.VERSIONS for found in schemas.problems(one, version)] == []


@pytest.mark.parametrize("block", WHOLE, ids=str)
def test_the_pods_of_an_example_are_let_in(block: Block) -> None:
    """The namespace enforces `restricted`, so no pod of a page may be less; a stage of one's own is patched to it."""
    pods = [one for one in workloads(block.documents) if component(one) != STAGE]
    assert [found for one in pods for check in restricted.CONTROLS.values() for found in check(one)] == []


def _of(folder: Path, said: dict[str, Any], **files: str) -> list[Document]:
    """What a kustomization of the reader's, beside a clone, renders to."""
    if not (folder / "grin-pipeline").exists():
        folder.mkdir(exist_ok=True)
        (folder / "grin-pipeline").symlink_to(ROOT)
    own = folder / "prnc"
    if not own.exists():
        shutil.copytree(K8S / "overlays" / "production", own)
    for path, text in files.items():
        (own / path).parent.mkdir(parents=True, exist_ok=True)
        (own / path).write_text(text)
    (own / FILE).write_text(yaml.safe_dump(said))
    return rendered(own)


@pytest.mark.parametrize("block", PARTS, ids=str)
def test_a_part_of_a_kustomization_changes_something(block: Block, tmp_path: Path) -> None:
    """A part that a page shows, in a kustomization on top of base, renders to something else than base alone."""
    minimal = {"resources": ["../grin-pipeline/k8s/base"]}
    before = _of(tmp_path / "before", minimal)
    config = (ROOT / "config.yaml").read_text().replace("TESTLIB", "PRNC")
    for document in block.documents:
        after = _of(tmp_path / "after", {**minimal, **document}, **{"config.yaml": config})
        assert after != before
        Render(after, frozenset())
        assert [found for one in after for found in schemas.problems(one, schemas.VERSIONS[-1])] == []


@pytest.mark.parametrize("block", KUSTOMIZATIONS, ids=str)
def test_a_whole_kustomization_renders(block: Block, tmp_path: Path) -> None:
    """A kustomization that a page shows renders in a copy of production beside a clone, to what Kubernetes takes."""
    for document in block.documents:
        after = _of(tmp_path, document)
        assert [found for one in after for found in schemas.problems(one, schemas.VERSIONS[-1])] == []


def _kustomization(containing: str) -> dict[str, Any]:
    found = [one for block in blocks(HOW_TO) for one in block.documents if one.get("kind") in KUSTOMIZE]
    return next(one for one in found if containing in str(one))


def test_the_folder_of_ones_own_works_as_told(tmp_path: Path) -> None:
    """A copy of production with the page's kustomization renders: its library, its image, and nothing is missing."""
    render = Render(_of(tmp_path, _kustomization("LIBRARY=PRNC")), frozenset({"network-policies"}))
    assert [found for check in references.RULES.values() for found in check(render)] == []
    assert "registry.library.example/grin/decryptor:0.1.0" in {
        one["image"] for work in render.workloads for one in containers(work)
    }
    settings = next(one for one in render.kind("ConfigMap") if "settings" in name(one))
    assert settings["data"]["GRIN_PIPELINE_GLOBAL__LIBRARY"] == "PRNC"


def test_a_library_has_a_namespace_of_its_own(tmp_path: Path) -> None:
    """With its own `namespace:` all of a library is there, options too, and nothing is left in another's."""
    said = {**_kustomization("LIBRARY=PRNC"), "namespace": "grin-prnc"}
    said["components"] = [f"../grin-pipeline/{path.relative_to(ROOT)}" for path in COMPONENTS]
    render = Render(_of(tmp_path, said), frozenset(path.name for path in COMPONENTS))
    rules = references.RULES | policies.RULES
    assert [found for check in rules.values() for found in check(render)] == []
    assert {name(one) for one in render.kind("Namespace")} == {"grin-prnc"}


def test_a_stage_of_ones_own_works_as_told(tmp_path: Path) -> None:
    """The page's Deployment of a stage is as hardened as ours, and works on the same board."""
    stage = next(
        block.text for block in blocks(HOW_TO) if "name: hop" in block.text and "kind: Deployment" in block.text
    )
    folder = yaml.safe_dump(_kustomization("hop.yaml"))
    said = _kustomization("LIBRARY=PRNC")
    said["resources"].append("hop")
    documents = _of(tmp_path, said, **{"hop/hop.yaml": stage, f"hop/{FILE}": folder, "hop/hop.py": ""})
    render = Render(documents, frozenset({"network-policies"}))
    assert [found for check in references.RULES.values() for found in check(render)] == []
    hop = next(one for one in workloads(documents) if name(one) == "hop")
    own_image = {key: check for key, check in RULES.items() if key != "images"}
    assert [found for check in (restricted.CONTROLS | own_image).values() for found in check(hop)] == []


def _objects() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for combination in EACH:
        for one in combination.documents:
            found.setdefault(one["kind"], set()).add(re.sub(r"-[a-z0-9]{10}$", "", name(one)))
    found.setdefault("Secret", set()).update(references.GIVEN_SECRETS)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_name_what_is_there(page: Path) -> None:
    """Folders, objects, namespaces and containers of each command exist."""
    objects = _objects()
    inside = {
        one["name"] for combination in EACH for work in workloads(combination.documents) for one in containers(work)
    }
    for words in commands(page):
        named = told(words)
        for folder in named.folders:
            written = f"`{folder}`" in page.read_text()
            # Beside the clone, or in it.
            here = ROOT / folder.removeprefix("grin-pipeline/")
            assert folder in THEIRS or written or here.exists() or folder.startswith("https://"), words
        for kind, wanted in named.objects:
            assert wanted.isupper() or wanted in objects.get(kind, set()) | {"hop"}, words
        assert set(named.namespaces) <= objects["Namespace"] | {"monitoring", "grin-prnc", "grin-hvd"}, words
        assert set(named.containers) <= inside, words


def test_a_command_with_a_wrong_name_is_found() -> None:
    """The reader of commands sees folders, objects, namespaces and containers."""
    named = told(shlex.split("kubectl -n grin exec deploy/orchestrater -c docter -k k8s/overlay -- ls service/x -n y"))
    assert (named.folders, named.objects) == (["k8s/overlay"], [("Deployment", "orchestrater")])
    assert (named.namespaces, named.containers) == (["grin"], ["docter"])
    assert told(["kubectl", "kustomize", "k8s/overlay"]).folders == ["k8s/overlay"]


def test_every_option_is_told() -> None:
    """The page's table has every component, and no other."""
    table = HOW_TO.read_text().split("## Options")[1].split("## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert {word for cell in cells for word in re.findall(r"`([\w-]+)`", cell)} == {path.name for path in COMPONENTS}


def test_the_table_of_deployments_is_right() -> None:
    """Each Deployment of the line is in the table, with the Secrets that its pods are given."""
    table = HOW_TO.read_text().split("## What runs")[1].split("## ")[0]
    rows = {}
    for first, _, held in re.findall(r"^\| (`.*?) \| (.*?) \| (.*?) \|", table, re.MULTILINE):
        rows |= {who: set(re.findall(r"`([\w-]+)`", held)) for who in re.findall(r"`([\w-]+)`", first)}
    given = {
        name(work): {volume["secret"]["secretName"] for volume in pod(work).get("volumes", ()) if "secret" in volume}
        for work in Render.of(Combination(K8S)).workloads
    }
    assert rows == given


def test_secrets_are_made_as_the_pods_want_them(tmp_path: Path) -> None:
    """With files in its folders, k8s/secrets makes exactly the Secrets that pods mount, with the keys they look for."""
    folder = tmp_path / "secrets"
    shutil.copytree(K8S / "secrets", folder, ignore=shutil.ignore_patterns("*.asc", "*.json", "aws", "token"))
    for path in ("gpg/passphrase.asc", "grin/credentials.json", "store/aws", "board/token"):
        (folder / path).write_text(f"made up: {path}")
    text = (folder / FILE).read_text()
    assert _made(folder) == {"grin-pipeline-gpg": {"passphrase.asc"}, "grin-pipeline-grin": {"credentials.json"}}
    # The store's, which only components/s3 needs, and the page's are there to be switched on.
    (folder / FILE).write_text(re.sub(r"^  # (- name: .*|  files: .*)$", r"  \1", text, flags=re.MULTILINE))
    shutil.copytree(folder, tmp_path / "switched")
    made = _made(tmp_path / "switched")
    assert made == {secret: {key} for secret, key in references.GIVEN_SECRETS.items()}
    assert set(made) == {f"grin-pipeline-{secret}" for secret in SECRETS}


def test_the_keys_of_secrets_are_the_files_that_the_configuration_names() -> None:
    """Passphrase and credentials of config.yaml are the keys of the Secrets that are mounted at these places."""
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    for path in (raw["global"]["gpg_passphrase_file"], raw["grin"]["credentials_file"]):
        folder, secret, key = Path(path).parts
        assert (folder, references.GIVEN_SECRETS[f"grin-pipeline-{secret}"]) == ("secrets", key)


def _made(folder: Path) -> dict[str, set[str]]:
    documents = rendered(folder)
    assert {(one["kind"], one["metadata"]["namespace"]) for one in documents} == {("Secret", "grin-pipeline")}
    return {name(one): set(one["data"]) for one in documents}


def test_no_secret_of_a_clone_is_committed() -> None:
    """What a library puts into k8s/secrets is ignored by Git; its folders are there."""
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"/k8s/secrets/*/*", "!/k8s/secrets/*/.gitkeep"} <= set(ignored)
    assert {path.parent.name for path in (K8S / "secrets").glob("*/.gitkeep")} == set(SECRETS)
