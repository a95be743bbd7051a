"""Bad input: one clear sentence, exit code 2, and nothing is created."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tests import warm

GOOD = """\
global:
  gpg_passphrase_file: passphrase
filters:
  - name: decryptor
    class: Decryptor
    input_pipe: pipeline/01_incoming
    output_pipe: pipeline/02_decrypted
  - name: uploader
    class: Uploader
    input_pipe: pipeline/02_decrypted
    output_pipe: pipeline/05_uploaded
"""


def tree(folder: Path) -> set[str]:
    """Every name below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def refused(folder: Path, *command: str, path: str | None = None) -> str:
    """Run a command that must be refused; what it said on stderr."""
    before = tree(folder)
    environ = {**os.environ, "PATH": path or os.environ["PATH"]}
    done = warm.run(list(command), environ, cwd=folder)
    assert done.returncode == 2, done
    assert tree(folder) == before
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr.strip()
    return done.stderr


def write(folder: Path, text: str) -> Path:
    """A configuration and a passphrase."""
    (folder / "passphrase").write_text("correct horse\n")
    (folder / "config.yaml").write_text(text)
    return folder


def line_of(text: str, part: str) -> int:
    """The number of the first line that holds `part`."""
    return 1 + next(number for number, line in enumerate(text.splitlines()) if part in line)


def test_no_configuration(tmp_path: Path) -> None:
    """Without a configuration the places that were looked at are named."""
    said = refused(tmp_path, "up", "--until-drained")
    assert "config.yaml" in said
    assert "/etc/grin-pipeline/config.yaml" in said


@pytest.mark.parametrize(
    ("wrong", "right", "says"),
    [
        ("  gpg_passphrase_file: passphrase", "  gpg_passphrase_file: [unclosed", "YAML"),
        ("global:", "globul:", "globul"),
        ("    class: Uploader", "    class: Uploader\n    colour: red", "colour"),
        ("    class: Uploader", "    class: nowhere.at:All", "nowhere.at"),
        ("    class: Uploader", "    class: Uploder", "Uploder"),
        ("    class: Uploader", "    class: Uploader\n    workers: many", "workers"),
        ("    input_pipe: pipeline/02_decrypted", "    input_pipe: pipeline/01_incoming", "input of decryptor"),
    ],
    ids=["broken YAML", "unknown section", "unknown key", "no module", "no class", "wrong type", "two on one input"],
)
def test_wrong_configuration(tmp_path: Path, wrong: str, right: str, says: str) -> None:
    """Each mistake is named, with the file and a line."""
    said = refused(write(tmp_path, GOOD.replace(wrong, right)), "up", "--until-drained")
    assert says in said
    assert re.search(r"config\.yaml:\d+", said), said


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    """Three mistakes are three sentences, each with its own line."""
    text = GOOD.replace("class: Uploader", "class: Uploder\n    wip_limit: -1")
    text = text.replace("gpg_passphrase_file:", "gpg_fase:")
    said = refused(write(tmp_path, text), "up")
    for part in ("Uploder", "wip_limit", "gpg_fase"):
        assert re.search(rf"config\.yaml:{line_of(text, part)}:.*{part}", said), said


@pytest.mark.parametrize("barcode", ["../evil", "a b", ".hidden", "a~b", ""])
def test_bad_barcode(tmp_path: Path, barcode: str) -> None:
    """A barcode that is none is refused at the door, on the command line and in a file."""
    write(tmp_path, GOOD)
    assert "is no barcode" in refused(tmp_path, "up", "--barcode", barcode)
    if barcode:
        (tmp_path / "list").write_text(f"GOOD1\n{barcode}\n")
        said = refused(tmp_path, "seed", "--from", "list")
        assert "list:2" in said
        assert "no barcode" in refused(tmp_path, "show", barcode)


def test_two_file_systems(tmp_path: Path) -> None:
    """A bucket on another file system is refused: a rename could not reach it."""
    other = Path("/dev/shm")
    if other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("/dev/shm is on the file system of the tests, so there is no second one to try with.")
    write(tmp_path, GOOD)
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "02_decrypted").symlink_to(other)
    assert "file system" in refused(tmp_path, "up")


def test_no_gpg(tmp_path: Path) -> None:
    """Without gpg it is said how to get it."""
    assert "gnupg" in refused(write(tmp_path, GOOD), "up", path=str(Path(sys.executable).parent))


@pytest.mark.parametrize("passphrase", [None, ""], ids=["missing", "empty"])
def test_no_passphrase(tmp_path: Path, passphrase: str | None) -> None:
    """Without a passphrase, or with an empty file, the setting is named."""
    write(tmp_path, GOOD)
    (tmp_path / "passphrase").unlink()
    if passphrase is not None:
        (tmp_path / "passphrase").write_text(passphrase)
    assert "passphrase" in refused(tmp_path, "up")
    write(tmp_path, GOOD.replace("  gpg_passphrase_file: passphrase", "  library: X"))
    assert "gpg_passphrase_file" in refused(tmp_path, "up")


@pytest.mark.parametrize("done", ["/proc/nowhere/done", "passphrase/done"])
def test_done_bucket_that_cannot_be_written(tmp_path: Path, done: str) -> None:
    """A done bucket that cannot be written is found before the first book moves."""
    write(tmp_path, GOOD.replace("global:", f"global:\n  done_bucket: {done}"))
    assert "done" in refused(tmp_path, "up")


def test_one_stage_checks_the_same(tmp_path: Path) -> None:
    """`stage NAME` refuses what it cannot work with, and a name that there is not."""
    write(tmp_path, GOOD)
    (tmp_path / "passphrase").unlink()
    assert "passphrase" in refused(tmp_path, "stage", "decryptor")
    assert "there are: decryptor, uploader" in refused(tmp_path, "stage", "nobody")


def test_unknown_bucket_and_command(tmp_path: Path) -> None:
    """A bucket or a command that does not exist is answered with those that do."""
    write(tmp_path, GOOD)
    assert "02_decrypted" in refused(tmp_path, "seed", "--barcode", "A1", "--at", "07_nowhere")
    assert "status" in refused(tmp_path, "stauts")
