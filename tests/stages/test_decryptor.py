"""The decryptor against real gpg: every way an archive can be bad has its own verdict."""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from decrypting import PLAIN, Desk, encrypt, end_agent

from common import ledger
from common.stage import Halt, Redo, Reject, Retry


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One home for all that is encrypted here: starting its agent takes longer than all else."""
    folder = tmp_path_factory.mktemp("h") / "h"
    yield folder
    end_agent(folder)


@pytest.fixture(scope="module")
def good(home: Path) -> bytes:
    """A sound archive."""
    return encrypt(PLAIN, home)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk with the default options."""
    one = Desk(tmp_path)
    yield one
    one.stage.close()


@pytest.mark.quirk("gpg-good")
def test_good(desk: Desk, good: bytes) -> None:
    """A sound archive comes out byte for byte."""
    facts = desk.decrypt(good)
    assert (desk.work / "A1.tar.gz").read_bytes() == PLAIN
    assert (facts["bytes_in"], facts["bytes_out"]) == (len(good), len(PLAIN))


@pytest.mark.quirk("gpg-wrong-passphrase")
def test_wrong_passphrase(desk: Desk, home: Path, tmp_path: Path) -> None:
    """A wrong passphrase halts the stage; once the file holds the right one the same stage goes on."""
    archive = encrypt(PLAIN, home, passphrase="battery staple")
    assert isinstance(desk.verdict(archive), Halt)
    (tmp_path / "passphrase").write_text("battery staple\n")
    desk.decrypt(archive)


def test_damaged_session_key(desk: Desk, good: bytes) -> None:
    """A bit flipped anywhere in the first packets never passes for a good archive."""
    for place in (0, 2, 10, 14, 20):
        bad = bytearray(good)
        bad[place] ^= 0x10
        desk.verdict(bytes(bad))


def test_one_book_that_no_passphrase_opens(desk: Desk, good: bytes, home: Path) -> None:
    """A single archive that looks like a wrong passphrase halts once; when others can be opened it is fetched again."""
    other = encrypt(PLAIN, home, passphrase="battery staple")
    assert isinstance(desk.verdict(other), Halt)
    halted = {"time": ledger.now(), "event": "halted", "stage": "decryptor"}
    time.sleep(0.01)
    desk.decrypt(good)
    (desk.work / "A1.tar.gz").unlink()
    desk.book = dataclasses.replace(desk.book, events=[halted])
    assert isinstance(desk.verdict(other), Redo)


def test_missing_archive(desk: Desk) -> None:
    """An archive that is not there is fetched again."""
    with pytest.raises(Redo, match="missing"):
        desk.stage.process(desk.book, desk.work)


def test_too_large(tmp_path: Path, good: bytes) -> None:
    """More bytes than allowed are stopped at the limit and rejected."""
    desk = Desk(tmp_path, "{max_bytes: 100kB}")
    verdict = desk.verdict(good)
    desk.stage.close()
    assert isinstance(verdict, Reject)
    assert "max_bytes" in verdict.cure


@pytest.fixture(scope="module")
def old(home: Path) -> bytes:
    """An archive of former times, without an integrity packet."""
    try:
        made = encrypt(PLAIN, home, "--rfc2440", "--cipher-algo", "CAST5", "--disable-mdc")
    except subprocess.CalledProcessError:
        pytest.skip("This gpg can no longer write a message without an integrity packet.")
    listing = ["gpg", "--batch", "--homedir", str(home), "--list-packets", "--list-only"]
    if b"mdc_method: 2" in subprocess.run(listing, input=made, capture_output=True, check=False).stdout:
        pytest.skip("This gpg wrote an integrity packet all the same.")
    return made


@pytest.mark.quirk("gpg-no-mdc")
def test_without_integrity_packet(desk: Desk, old: bytes) -> None:
    """An old archive without an integrity packet is rejected, and the cure names the option."""
    verdict = desk.verdict(old)
    assert isinstance(verdict, Reject)
    assert "require_mdc" in verdict.cure


@pytest.mark.quirk("gpg-no-mdc-ignored")
def test_without_integrity_packet_by_option(tmp_path: Path, old: bytes) -> None:
    """The option says that such archives are known to be good; the ledger says that nothing vouches for them."""
    lenient = Desk(tmp_path, "{require_mdc: false}")
    assert lenient.decrypt(old)["integrity"] is False
    assert (lenient.work / "A1.tar.gz").read_bytes() == PLAIN
    lenient.stage.close()


@pytest.mark.quirk("gpg-truncated-no-mdc")
def test_a_cut_without_integrity_packet(tmp_path: Path, old: bytes) -> None:
    """With the option on, a cut archive makes gpg say that all is well; its exit code says otherwise, and decides."""
    lenient = Desk(tmp_path, "{require_mdc: false}")
    assert isinstance(lenient.verdict(old[:-1000]), Redo)
    lenient.stage.close()


def homes(desk: Desk) -> list[Path]:
    """The homes that this process's gpg has."""
    return [path for parent in (Path("/dev/shm"), desk.tmp) for path in parent.glob(f"grin-gpg-{os.getpid()}-*")]


def test_home_is_private_and_removed(desk: Desk, good: bytes) -> None:
    """gpg's home can be entered by its owner alone, and is gone afterwards."""
    desk.decrypt(good)
    [home] = homes(desk)
    assert home.stat().st_mode & 0o777 == 0o700
    assert home.parent == Path("/dev/shm")
    desk.stage.close()
    assert homes(desk) == []


@pytest.mark.parametrize("memory", ["absent", "full"])
def test_home_without_memory(desk: Desk, good: bytes, monkeypatch: pytest.MonkeyPatch, memory: str) -> None:
    """Where memory has no place for it, or no room, the home lies in temp_dir, as private."""
    place = {"absent": "/nowhere", "full": "/proc/self/fdinfo"}[memory]
    monkeypatch.setattr("services.decryptor.gpg._MEMORY", Path(place))
    desk.decrypt(good)
    [home] = homes(desk)
    assert home.stat().st_mode & 0o777 == 0o700
    assert home.parent == desk.tmp
    desk.stage.close()
    assert homes(desk) == []


def test_home_that_somebody_tidied_away(desk: Desk, good: bytes) -> None:
    """A home that is gone is made again; it is no damage of the next archive."""
    desk.decrypt(good)
    shutil.rmtree(homes(desk)[0])
    (desk.work / "A1.tar.gz").unlink()
    desk.decrypt(good)


def test_home_of_a_killed_process(desk: Desk, good: bytes) -> None:
    """What a process leaves that was killed in the middle is gone after the next start; the living one's stays."""
    script = "import sys, time; from pathlib import Path; from services.decryptor.gpg import Gpg; g = Gpg(Path('x'))"
    command = [sys.executable, "-c", f"{script}; print(g.home, flush=True); time.sleep(60)"]
    left = []
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        assert process.stdout
        left.append(Path(process.stdout.readline().strip()))
        process.stdout.close()
    processes[0].kill()
    processes[0].wait()
    assert all(home.is_dir() for home in left)
    desk.decrypt(good)
    assert [home.is_dir() for home in left] == [False, True]
    processes[1].kill()
    processes[1].wait()
    left[1].rmdir()


def test_a_full_disk(desk: Desk, good: bytes) -> None:
    """A disk that takes no more is the disk's error, and never the book's."""
    (desk.work / "A1.tar.gz").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        desk.decrypt(good)


@pytest.mark.parametrize("passphrase", ["größer", "\N{RIGHTWARDS ARROW} to the east", " space at both ends "])
def test_a_passphrase_of_any_letters(desk: Desk, home: Path, tmp_path: Path, passphrase: str) -> None:
    """The bytes of the passphrase's file are what opens the archive."""
    (tmp_path / "passphrase").write_text(f"{passphrase}\n", encoding="utf-8")
    desk.decrypt(encrypt(PLAIN, home, passphrase=passphrase))


def test_a_passphrase_of_two_lines(desk: Desk, good: bytes, tmp_path: Path) -> None:
    """A file with more than one line cannot be meant, and halts instead of costing attempts."""
    (tmp_path / "passphrase").write_text("correct horse\n\n")
    verdict = desk.verdict(good)
    assert isinstance(verdict, Halt)
    assert "more than one line" in verdict.reason
    assert "more than one line" in desk.stage.check()[0]


def test_messages_in_another_language(desk: Desk, good: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verdicts do not depend on the language of the machine."""
    for name in ("LANG", "LC_ALL", "LANGUAGE"):
        monkeypatch.setenv(name, "de_DE.UTF-8")
    (tmp_path / "passphrase").write_text("wrong\n")
    assert isinstance(desk.verdict(good), Halt)


def test_what_python_gnupg_does_and_logs(desk: Desk, good: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """gpg is started once for its version and then once a book; no passphrase in what is logged at the most."""
    caplog.set_level(logging.DEBUG)
    for _ in range(2):
        desk.decrypt(good)
    calls = [record.getMessage() for record in caplog.records if " --homedir " in record.getMessage()]
    assert ["--list-config" in call for call in calls] == [True, False, False]
    assert ["--decrypt" in call for call in calls] == [False, True, True]
    assert "correct horse" not in caplog.text


@pytest.mark.quirk("gpg-no-passphrase")
@pytest.mark.parametrize("lack", ["empty", "absent"])
def test_no_passphrase(tmp_path: Path, lack: str) -> None:
    """Without a passphrase, which gpg could ask nobody for, the stage says so before it starts."""
    desk = Desk(tmp_path)
    (tmp_path / "passphrase").write_text("") if lack == "empty" else (tmp_path / "passphrase").unlink()
    assert any("passphrase" in problem for problem in desk.stage.check())
    desk.stage.close()


def test_a_gpg_that_is_killed_says_nothing_of_the_book(
    tmp_path: Path, good: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the kernel does where memory is short: the book is tried again, and no archive is called damaged."""
    (tmp_path / "bin").mkdir()
    gpg = tmp_path / "bin" / "gpg"
    gpg.write_text(f'#!/bin/sh\ncase "$*" in *--decrypt*) kill -9 $$;; esac\nexec {shutil.which("gpg")} "$@"\n')
    gpg.chmod(0o755)
    monkeypatch.setenv("PATH", f"{gpg.parent}:{os.environ['PATH']}")
    desk = Desk(tmp_path)
    error = desk.verdict(good)
    desk.close()
    assert type(error) is Retry
    assert error.reason == "gpg was killed by signal 9 in the middle of the archive."
