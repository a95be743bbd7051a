"""The decryptor against real gpg: every way an archive can be bad has its own verdict."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common import config, ledger
from common.stage import Book, Halt, Redo, Reject, StageError
from services.decryptor.stage import Decryptor

PLAIN = os.urandom(300_000)
CONFIG = """\
global:
  gpg_passphrase_file: passphrase
  temp_dir: tmp
filters:
  - name: decryptor
    class: Decryptor
    input_pipe: pipeline/01_incoming
    output_pipe: pipeline/02_decrypted
    options: {OPTIONS}
"""


def encrypt(data: bytes, home: Path, *more: str, passphrase: str = "correct horse") -> bytes:
    """What gpg makes of `data`, with a passphrase of its own on a descriptor."""
    home.mkdir(mode=0o700, exist_ok=True)
    read, write = os.pipe()
    os.write(write, passphrase.encode())
    os.close(write)
    how = ["--batch", "--quiet", "--homedir", str(home), "--pinentry-mode", "loopback", "--passphrase-fd", str(read)]
    aes = () if "--cipher-algo" in more else ("--cipher-algo", "AES256")
    command = ["gpg", *how, "--symmetric", *aes, "--compress-algo", "none", *more]
    try:
        return subprocess.run(command, input=data, check=True, capture_output=True, pass_fds=[read]).stdout
    finally:
        os.close(read)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A sound archive."""
    return encrypt(PLAIN, tmp_path_factory.mktemp("gpg") / "home")


class Desk:
    """A decryptor and one book before it."""

    def __init__(self, folder: Path, options: str = "{}") -> None:
        (folder / "passphrase").write_text("correct horse\n")
        path = folder / "config.yaml"
        path.write_text(CONFIG.replace("{OPTIONS}", options))
        settings = config.load(path)
        self.stage = Decryptor(settings, settings.row("decryptor"))
        self.book = Book("A1", folder / "processing" / "A1", "", upstream=("downloader",))
        self.work = folder / "work"
        self.work.mkdir()
        (self.book.folder / "downloader").mkdir(parents=True)

    def decrypt(self, archive: bytes) -> dict[str, object]:
        """Let the stage work on these bytes."""
        (self.book.folder / "downloader" / "A1.tar.gz.gpg").write_bytes(archive)
        return dict(self.stage.process(self.book, self.work) or {})

    def verdict(self, archive: bytes) -> StageError:
        """The error that the stage raises; nothing may be left in its scratch folder."""
        with pytest.raises(StageError) as caught:
            self.decrypt(archive)
        assert list(self.work.iterdir()) == []
        return caught.value


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
def test_wrong_passphrase(desk: Desk, tmp_path: Path) -> None:
    """A wrong passphrase halts the stage; once the file holds the right one the same stage goes on."""
    archive = encrypt(PLAIN, tmp_path / "home", passphrase="battery staple")
    assert isinstance(desk.verdict(archive), Halt)
    (tmp_path / "passphrase").write_text("battery staple\n")
    desk.decrypt(archive)


def flipped(good: bytes) -> bytes:
    """An archive with one wrong bit in its middle."""
    bad = bytearray(good)
    bad[len(good) // 2] ^= 1
    return bytes(bad)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(flipped, marks=pytest.mark.quirk("gpg-flipped-bit"), id="flipped bit"),
        pytest.param(lambda good: good[:-1000], marks=pytest.mark.quirk("gpg-truncated"), id="cut late"),
        pytest.param(lambda good: good[:200], marks=pytest.mark.quirk("gpg-truncated"), id="cut early"),
        pytest.param(
            lambda _: b"<html>Sign in</html>" * 50, marks=pytest.mark.quirk("gpg-login-page"), id="login page"
        ),
        pytest.param(lambda _: b"", marks=pytest.mark.quirk("gpg-empty"), id="empty"),
        pytest.param(lambda _: os.urandom(5000), marks=pytest.mark.quirk("gpg-junk"), id="junk"),
    ],
)
def test_damage(desk: Desk, good: bytes, damage: Callable[[bytes], bytes]) -> None:
    """A flipped bit, a cut, a login page, junk or nothing at all: fetched again, never a matter of the passphrase."""
    assert isinstance(desk.verdict(damage(good)), Redo)


def test_damaged_session_key(desk: Desk, good: bytes) -> None:
    """A bit flipped anywhere in the first packets never passes for a good archive."""
    for place in (0, 2, 10, 14, 20):
        bad = bytearray(good)
        bad[place] ^= 0x10
        desk.verdict(bytes(bad))


def test_one_book_that_no_passphrase_opens(desk: Desk, good: bytes, tmp_path: Path) -> None:
    """A single archive that looks like a wrong passphrase halts once; when others can be opened it is fetched again."""
    other = encrypt(PLAIN, tmp_path / "home", passphrase="battery staple")
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
def old(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An archive of former times, without an integrity packet."""
    home = tmp_path_factory.mktemp("old") / "home"
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


def test_home_is_private_and_removed(desk: Desk, good: bytes) -> None:
    """gpg's home can be entered by its owner alone, and is gone afterwards."""
    desk.decrypt(good)
    home = desk.stage._running().home
    assert home.stat().st_mode & 0o777 == 0o700
    desk.stage.close()
    assert not home.exists()


def test_a_full_disk(desk: Desk, good: bytes) -> None:
    """A disk that takes no more is the disk's error, and never the book's."""
    (desk.work / "A1.tar.gz").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        desk.decrypt(good)


@pytest.mark.parametrize("passphrase", ["größer", "\N{RIGHTWARDS ARROW} to the east", " space at both ends "])
def test_a_passphrase_of_any_letters(desk: Desk, tmp_path: Path, passphrase: str) -> None:
    """The bytes of the passphrase's file are what opens the archive."""
    (tmp_path / "passphrase").write_text(f"{passphrase}\n", encoding="utf-8")
    desk.decrypt(encrypt(PLAIN, tmp_path / "home", passphrase=passphrase))


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


@pytest.mark.quirk("gpg-no-passphrase")
@pytest.mark.parametrize("lack", ["empty", "absent"])
def test_no_passphrase(tmp_path: Path, lack: str) -> None:
    """Without a passphrase, which gpg could ask nobody for, the stage says so before it starts."""
    desk = Desk(tmp_path)
    (tmp_path / "passphrase").write_text("") if lack == "empty" else (tmp_path / "passphrase").unlink()
    assert any("passphrase" in problem for problem in desk.stage.check())
    desk.stage.close()
