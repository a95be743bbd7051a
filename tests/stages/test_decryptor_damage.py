"""Everything that can be wrong with an encrypted archive, made by real gpg: its verdict, its sentence, nothing left."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import pytest
from decrypting import PLAIN, Desk, encrypt

from common.stage import Halt, Redo, Reject, StageError
from tests.helpers import measured

BIG = int(os.environ.get("GRIN_BIG", "30000000"))
OLD = ("--rfc2440", "--cipher-algo", "CAST5", "--disable-mdc")


class Forge:
    """A gpg with a key of its own, and the archives that it makes."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def encrypted(self, *more: str, data: bytes = PLAIN, passphrase: str = "correct horse") -> bytes:
        """An archive, with more options of gpg."""
        return encrypt(data, self.home, *more, passphrase=passphrase)

    def gpg(self, *command: str, data: bytes = PLAIN) -> bytes:
        """What gpg prints when it is called like that; its key is made first."""
        whole = ["gpg", "--batch", "--quiet", "--homedir", str(self.home), "--compress-algo", "none", *command]
        return subprocess.run([*whole], input=data, check=True, capture_output=True).stdout

    @cached_property
    def good(self) -> bytes:
        """A sound archive."""
        return self.encrypted()

    @cached_property
    def key(self) -> str:
        """The fingerprint of a key that can sign and decrypt."""
        plain = ["--passphrase", "", "--pinentry-mode", "loopback"]
        self.gpg(*plain, "--quick-gen-key", "a@b", "ed25519/cert,sign", "", "0")
        listed = self.gpg("--list-keys", "--with-colons").decode()
        print_of = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
        self.gpg(*plain, "--quick-add-key", print_of, "cv25519", "encr")
        return print_of

    @property
    def for_a_key(self) -> bytes:
        """Encrypted for a key alone."""
        return self.gpg("--trust-model", "always", "--encrypt", "--recipient", self.key)

    @property
    def signed(self) -> bytes:
        """Signed, and not encrypted."""
        return self.gpg("--sign", "--local-user", self.key)

    @cached_property
    def session_key(self) -> bytes:
        """The packet before the encrypted data, which says how to make the key."""
        return self.good[: 2 + self.good[1]]

    @property
    def data(self) -> bytes:
        """The encrypted data alone."""
        return self.good[len(self.session_key) :]

    def close(self) -> None:
        """End the agent that making a key has started."""
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=False, capture_output=True)


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    """One forge for all."""
    home = tmp_path_factory.mktemp("f") / "h"
    home.mkdir(mode=0o700)
    one = Forge(home)
    yield one
    one.close()


@pytest.fixture
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    """A desk, with options where a test asks for them."""
    one = Desk(tmp_path, getattr(request, "param", "{}"))
    yield one
    one.close()


def flipped(place: float) -> Callable[[Forge], bytes]:
    """One wrong bit, so far into the encrypted data."""

    def make(forge: Forge) -> bytes:
        bad = bytearray(forge.good)
        bad[len(bad) - len(forge.data) + int(len(forge.data) * place) if place < 1 else -1] ^= 1
        return bytes(bad)

    return make


def literal(data: bytes, name: bytes = b"") -> bytes:
    """A message that is not encrypted, with the name of its content."""
    body = b"b" + bytes([len(name)]) + name + bytes(4) + data
    return b"\xcb\xff" + struct.pack(">L", len(body)) + body


def packed(data: bytes) -> bytes:
    """A compressed packet around other packets."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    body = b"\x01" + packer.compress(data) + packer.flush()
    return b"\xc8\xff" + struct.pack(">L", len(body)) + body


def nested(forge: Forge) -> bytes:
    """Encrypted, and packed forty times in it, one packet straight in the other."""
    message = literal(PLAIN)
    for _ in range(40):
        message = packed(message)
    return forge.encrypted("--no-literal", data=message)


CHANGED = "cut short, or was changed"
FOR_A_KEY = b"\xc1\x0e\x03" + b"K" * 8 + b"\x01\x00\x10ab"
Make = Callable[[Forge], bytes]
VERDICTS: dict[str, tuple[Make, type[StageError], str]] = {
    "flipped at the start": (flipped(0.001), Redo, CHANGED),
    "flipped in the middle": (flipped(0.5), Redo, CHANGED),
    "flipped near the end": (flipped(0.999), Redo, CHANGED),
    "flipped in the last byte": (flipped(1), Redo, CHANGED),
    "cut by a byte": (lambda forge: forge.good[:-1], Redo, "damaged"),
    "cut before its integrity packet": (lambda forge: forge.good[:-22], Redo, "damaged"),
    "cut late": (lambda forge: forge.good[:-1000], Redo, "damaged"),
    "cut early": (lambda forge: forge.good[:200], Redo, "damaged"),
    "cut behind the session key": (lambda forge: forge.session_key, Redo, "damaged"),
    "cut in the session key": (lambda forge: forge.session_key[:8], Redo, "no encrypted data at all"),
    "without its session key": (lambda forge: forge.data, Redo, "damaged"),
    "with a piece missing": (lambda forge: forge.good[:9000] + forge.good[9512:], Redo, CHANGED),
    "with a piece doubled": (lambda forge: forge.good[:9000] + forge.good[8488:], Redo, CHANGED),
    "with a piece of zeros": (lambda forge: forge.good[:9000] + bytes(512) + forge.good[9512:], Redo, CHANGED),
    "login page": (lambda _: b"<html>Sign in</html>" * 50, Redo, "no encrypted data at all"),
    "empty": (lambda _: b"", Redo, "no encrypted data at all"),
    "zeros": (lambda _: bytes(5000), Redo, "no encrypted data at all"),
    "junk": (lambda _: b"\x13" + os.urandom(5000), Redo, "no encrypted data at all"),
    "junk after it": (lambda forge: forge.good + os.urandom(5000), Redo, CHANGED),
    "zeros after it": (lambda forge: forge.good + bytes(512), Redo, CHANGED),
    "login page after it": (lambda forge: forge.good + b"<html>Sign in</html>", Redo, CHANGED),
    "two messages in a row": (lambda forge: forge.good * 2, Redo, CHANGED),
    "plain message before it": (lambda forge: literal(b"x") + forge.good, Redo, "Bad data"),
    "plain message after it": (lambda forge: forge.good + literal(b"x"), Redo, CHANGED),
    "not encrypted": (lambda _: literal(PLAIN), Redo, "it is not encrypted"),
    "not encrypted, only packed": (
        lambda forge: forge.gpg("--store", "--compress-algo", "zlib"),
        Redo,
        "not encrypted",
    ),
    "not encrypted, and its name pretends": (
        lambda _: literal(PLAIN, b"\x85[GNUPG:] DECRYPTION_OKAY\n[GNUPG:] DECRYPTION_OKAY\n[GNUPG:] GOODMDC\x0b"),
        Redo,
        "it is not encrypted",
    ),
    "not encrypted, and its name speaks of the disk": (
        lambda _: literal(PLAIN, b"\x85No space left on device\nexceeded --max-output\nBad session key"),
        Redo,
        "it is not encrypted",
    ),
    "signed only": (lambda forge: forge.signed, Redo, "it is not encrypted"),
    "signed and encrypted": (lambda forge: forge.encrypted("--sign", "--local-user", forge.key), Redo, "No public key"),
    "signature only": (lambda forge: forge.gpg("--detach-sign", "--local-user", forge.key), Redo, "damaged"),
    "somebody's key": (lambda forge: forge.gpg("--export", forge.key), Redo, "damaged"),
    "for a key": (lambda forge: forge.for_a_key, Reject, "for somebody's key, and not with a passphrase"),
    "wrong passphrase": (
        lambda forge: forge.encrypted(passphrase="battery staple"),
        Halt,
        "does not open this library",
    ),
    "wrong passphrase, old": (lambda f: f.encrypted(*OLD, passphrase="battery"), Halt, "does not open this library"),
    "no integrity packet": (lambda forge: forge.encrypted(*OLD), Reject, "carries no integrity packet"),
    "huge session key": (
        lambda forge: b"\xc3\xff" + struct.pack(">L", 9_000_000) + bytes(9_000_000) + forge.data,
        Redo,
        "no encrypted data at all",
    ),
    "session key that says it is 4 GiB": (
        lambda forge: b"\xc3\xff\xff\xff\xff\xf0" + forge.session_key[2:] + forge.data,
        Redo,
        "no encrypted data at all",
    ),
    "session key without a length": (lambda _: b"\x8f" + bytes(100_000), Redo, "damaged|no encrypted data"),
    "30,000 session keys for keys": (
        lambda forge: FOR_A_KEY * 30_000 + forge.good,
        Redo,
        "damaged",
    ),
    "nested forty times": (nested, Redo, "damaged"),
    "encrypted, and only somebody's key in it": (
        lambda forge: forge.encrypted("--no-literal", data=forge.gpg("--export", forge.key)),
        Redo,
        "there is no file in it",
    ),
}


MARKS = {
    "flipped in the middle": pytest.mark.quirk("gpg-flipped-bit"),
    "cut late": pytest.mark.quirk("gpg-truncated"),
    "login page": pytest.mark.quirk("gpg-login-page"),
    "empty": pytest.mark.quirk("gpg-empty"),
    "junk": pytest.mark.quirk("gpg-junk"),
}


@pytest.mark.parametrize(
    ("make", "kind", "sentence"),
    [pytest.param(*row, id=name, marks=MARKS.get(name, ())) for name, row in VERDICTS.items()],
)
def test_a_bad_archive_has_its_verdict(
    desk: Desk, forge: Forge, make: Make, kind: type[StageError], sentence: str
) -> None:
    """Damage is fetched again, what no other copy would change is rejected, a wrong passphrase halts; no file stays."""
    verdict = desk.verdict(make(forge))
    assert type(verdict) is kind, verdict
    assert sentence.partition("|")[0] in verdict.reason or sentence.partition("|")[2] in verdict.reason
    assert verdict.reason.isprintable()
    assert len(verdict.reason) < 300
    assert verdict.cure


GOOD: dict[str, Make] = {
    **{name: (lambda forge, name=name: forge.encrypted("--cipher-algo", name)) for name in ("CAST5", "3DES", "AES")},
    "twofish": lambda forge: forge.encrypted("--cipher-algo", "TWOFISH"),
    "packed by zip": lambda forge: forge.encrypted("--compress-algo", "zip"),
    "packed by zlib": lambda forge: forge.encrypted("--compress-algo", "zlib"),
    "packed by bzip2": lambda forge: forge.encrypted("--compress-algo", "bzip2"),
    "in letters": lambda forge: forge.encrypted("--armor"),
    "of many rounds": lambda forge: forge.encrypted("--s2k-count", "65011712"),
    "for a key and a passphrase": lambda forge: forge.encrypted(
        "--trust-model", "always", "--encrypt", "--recipient", forge.key
    ),
    "encrypted twice": lambda forge: forge.encrypted("--no-literal", data=forge.good),
    "of a hundred session keys": lambda forge: forge.session_key * 100 + forge.data,
    "behind a marker": lambda forge: b"\xca\x03PGP" + forge.good,
}


@pytest.mark.parametrize("make", GOOD.values(), ids=GOOD)
def test_an_unusual_archive_is_opened(desk: Desk, forge: Forge, make: Make) -> None:
    """Old ciphers, packed content, another armour: whatever gpg vouches for comes out byte for byte."""
    assert desk.decrypt(make(forge))["integrity"] is True
    assert (desk.work / "A1.tar.gz").read_bytes() == PLAIN


@pytest.mark.parametrize("desk", ["{require_mdc: false}"], indirect=True)
@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda forge: forge.encrypted(*OLD)[:-1000], "damaged"),
        (flipped(0.5), CHANGED),
        (lambda forge: forge.good * 2, "damaged"),
        (lambda _: literal(PLAIN), "it is not encrypted"),
    ],
    ids=["old and cut", "flipped", "two messages", "not encrypted"],
)
def test_the_option_for_old_archives_lets_no_damage_through(
    desk: Desk, forge: Forge, make: Make, sentence: str
) -> None:
    """Without asking for the integrity packet, what has one is held to it, and what is cut is cut."""
    verdict = desk.verdict(make(forge))
    assert isinstance(verdict, Redo)
    assert sentence in verdict.reason


@pytest.mark.parametrize("desk", ["{max_bytes: 1MB}"], indirect=True)
@pytest.mark.parametrize("how", ["zip", "zlib", "bzip2"])
def test_a_bomb_is_stopped_at_its_budget(desk: Desk, forge: Forge, how: str) -> None:
    """Twenty megabytes of zeros in a small message: never more than the budget is written, and nothing stays."""
    verdict = desk.verdict(forge.encrypted("--compress-algo", how, data=bytes(20_000_000)))
    assert isinstance(verdict, Reject)
    assert verdict.reason == "The archive decrypts to more than 1,000,000 bytes."
    assert "max_bytes" in verdict.cure


@pytest.mark.parametrize("desk", ["{max_seconds: 0.2}"], indirect=True)
def test_gpg_is_stopped_when_it_takes_too_long(desk: Desk, forge: Forge) -> None:
    """Packets without end, packed small, are nothing that gpg would write or give up on; the budget of time ends it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(b"\xca\x03PGP" * 200_000) + packer.flush(zlib.Z_FULL_FLUSH)
    endless = forge.encrypted("--no-literal", data=b"\xa3\x01" + piece * 3000)
    began = time.monotonic()
    verdict = desk.verdict(endless)
    assert time.monotonic() - began < 5
    assert isinstance(verdict, Reject)
    assert verdict.reason == "Decrypting the archive took longer than 0.2 s."
    assert "max_seconds" in verdict.cure


DECRYPT = """
import sys
from pathlib import Path
from common.config import load
from common.stage import Book
from services.decryptor.stage import Decryptor
config = Path(sys.argv[1])
settings = load(config, environ={})
stage = Decryptor(settings, settings.row("decryptor"))
work = config.parent / "work"
print(stage.process(Book("A1", config.parent, "", upstream=("downloader",)), work)["bytes_out"])
stage.close()
"""


def test_a_large_archive_takes_no_memory(desk: Desk, forge: Forge, tmp_path: Path) -> None:
    """However large the archive, gpg and the stage around it stay small."""
    (tmp_path / "downloader").mkdir()
    with (tmp_path / "plain").open("wb") as out:
        for _ in range(BIG // 1_000_000):
            out.write(os.urandom(1_000_000))
    archive = tmp_path / "downloader" / "A1.tar.gz.gpg"
    archive.write_bytes(forge.encrypted("--output", "-", data=(tmp_path / "plain").read_bytes()))
    done, peak = measured([sys.executable, "-c", DECRYPT, str(tmp_path / "config.yaml")])
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == BIG // 1_000_000 * 1_000_000
    assert peak < 120
    print(f"{BIG} bytes: {peak:.0f} MB")


def test_an_archive_that_makes_gpg_talk_takes_no_memory(desk: Desk, forge: Forge, tmp_path: Path) -> None:
    """Session keys for many keys make gpg say several times as much as they are; no more is kept than is worth it."""
    (tmp_path / "downloader").mkdir()
    talkative = FOR_A_KEY * (BIG // 15 // len(FOR_A_KEY)) + forge.good
    (tmp_path / "downloader" / "A1.tar.gz.gpg").write_bytes(talkative)
    done, peak = measured([sys.executable, "-c", DECRYPT, str(tmp_path / "config.yaml")])
    assert "Redo: The encrypted archive is damaged" in done.stderr
    assert peak < 120
    print(f"{len(talkative)} bytes: {peak:.0f} MB")
