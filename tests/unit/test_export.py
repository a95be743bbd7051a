"""export: one file for support, with what it takes to help and nothing that is private."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import socket
import sys
import tarfile
from base64 import b64encode
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

from common import audit, board
from common.heartbeat import Heartbeat
from common.ledger import Ledger
from services.orchestrator.redact import Redactor
from tests.helpers import Line
from tests.operators import Bench, bench

__all__ = ["bench"]

_BOOK = "32101081977728"


class Canaries:
    """A board of one failed book, with a secret of its own in each place where one may be."""

    def __init__(self, folder: Path) -> None:
        self.secret: dict[str, str] = {}
        self.line = Line(folder, "").stage("one", "One", 0, options={"account_key": self("option")})
        self._configure(folder)
        board.prepare(self.line.root, [self.line.bucket(0), self.line.bucket(1)])
        self._fail()
        self._log()

    def __call__(self, place: str) -> str:
        """The secret of a place; made of letters only, so that no shape gives it away."""
        return self.secret.setdefault(place, f"canary{place.replace('_', '')}sings")

    def _configure(self, folder: Path) -> None:
        key = "\n".join(["-----BEGIN PRIVATE KEY-----", self("key_line"), self("key_end"), "-----END PRIVATE KEY-----"])
        credentials = {"type": "service_account", "private_key": key, "client_email": f"{self('email')}@x.example"}
        (folder / "credentials.json").write_text(json.dumps(credentials))
        (folder / "token").write_text(self("token_file") + "\n")
        settings = yaml.safe_load(self.line.config.read_text())
        settings["global"] |= {"gpg_passphrase": self("inline"), "done_bucket": f"s3://{self('bucket')}/books"}
        settings["board"] = {"action_token_file": "token"}
        settings["grin"] = {"credentials_file": "credentials.json", "allowed_hosts": [f"{self('allowed')}.example"]}
        self.line.config.write_text(yaml.safe_dump(settings))
        self.line.environ["STORE_SECRET"] = self("environment")
        self.line.environ["GRIN_PIPELINE_GLOBAL__ALL_BOOKS"] = f"/{self('variable')}/all_books.txt"
        self.line.environ["HOME"] = f"/home/{self('home')}"

    def _fail(self) -> None:
        ledger = Ledger(self.line.root / "ledger")
        board.Seeder(self.line.root, ledger, "s").seed(_BOOK, self.line.bucket(0), "", "")
        (self.line.bucket(0) / f"{_BOOK}.json").rename(self.line.bucket(0) / "failed" / f"{_BOOK}.json")
        spelled = b64encode(self("environment").encode()).decode()
        said = [
            f"gpg said {self('inline')}, {quote(self('token_file') + '/')}, {spelled}",
            f"https://joe:{self('url')}@{self('url_host')}.example:1/x?token={self('query')}",
            f"Authorization: Bearer {self('header')}",
            f"one {self('key_line')} two {self('key_end')} of {self('email')}@x.example",
            f"No such file: '/mnt/{self('folder')}/a b/{self('file')}', nor /srv/{self('folder')}/x",
            f"at {self.line.folder}/processing/{_BOOK}/one, {Path.cwd()} and {sys.prefix}/bin/gpg",
            f"in /home/{self('home')}/x",
            f"{self('allowed')}.example did not answer; \x1b[31mred",
        ]
        worker = f"one-{self('dead_host')}-12-0a1b2c3d"
        ledger.append(_BOOK, "failed", stage="one", worker=worker, reason="\n".join(said), cure="Mend it.")
        ledger.append(_BOOK, "retried", by=f"{self('person')}@{self('desk')}", why=f"{self('person')} said so")
        by = f"{self('first')} {self('last')} (page, 10.20.30.40)"
        ledger.append(_BOOK, "held", by=by, why=f"{self('first')} {self('last')} said so")
        audit.record(self.line.root, "hold", by=f"{self('other')} {self('visitor')} (page, 2001:db8::7)")

    def _log(self) -> None:
        root = self.line.root
        Heartbeat(root / "workers", "one-live-1-0a1b2c3d", stage="one", host=self("live_host")).announce()
        lines = [
            json.dumps({"time": "t", "message": f"{self('live_host')} at 10.20.30.40", "password": self("member")}),
            f"no JSON: client_secret={self('raw')}",
            json.dumps({f"/opt/{self('key')}": [{"refresh_token": self("nested")}]}),
        ]
        (root / "logs" / "one.jsonl").write_text("\n".join(["old"] * 50 + lines))
        trace = f'  File "/home/{self("other_home")}/venv/lib/python3.11/site-packages/httpx/a.py"\n\x1b]0;x\x07'
        (root / "logs" / "one.stderr").write_text(trace)
        (root / "logs" / "link.jsonl").symlink_to(self.line.folder / "token")


def _unpacked(path: Path) -> dict[str, str]:
    with tarfile.open(path) as tar:
        members = [(member.name, tar.extractfile(member)) for member in tar]
        return {name.partition("/")[2]: file.read().decode() for name, file in members if file}


def test_nothing_private_leaves(tmp_path: Path) -> None:
    """No canary, no folder of this machine and no host stands in any byte of it; what failed and why can be read."""
    canaries = Canaries(tmp_path)
    target = tmp_path / "out.tar.gz"
    told = canaries.line.ask("export", "--output", str(target))
    assert told.returncode == 0, told.stderr
    everything = gzip.decompress(target.read_bytes()).decode() + told.stdout.replace(str(tmp_path), "")
    assert len(canaries.secret) == 30
    spelled = {name: (text, b64encode(text.encode()).decode().rstrip("=")) for name, text in canaries.secret.items()}
    assert [name for name, texts in spelled.items() if any(text in everything for text in texts)] == []
    private = [
        str(tmp_path),
        str(Path.cwd()),
        sys.prefix,
        str(Path.home()),
        socket.gethostname(),
        "10.20.30.40",
        "2001:db8::7",
    ]
    assert [text for text in private if re.search(rf"(?<!\w){re.escape(text)}(?!\w)", everything)] == []
    paths = re.findall(r"(?<![\w>/.-])/[\w.-]+(?:/[\w.-]+)*", everything)
    assert [path for path in paths if os.path.lexists(path)] == []
    parts = _unpacked(target)
    reason = json.loads(parts[f"ledgers/{_BOOK}.jsonl"].splitlines()[1])["reason"]
    assert "gpg said <secret>, <secret>/, <secret>" in reason
    assert f"at <processing_bucket>/{_BOOK}/one, <path-" in reason
    assert parts["logs/one.stderr"].startswith('  File "<python>/httpx/a.py"')
    assert "\x1b" not in everything
    assert "logs/link.jsonl" not in parts
    assert json.loads(parts["status.json"])["failed"] == 1
    assert yaml.safe_load(parts["config.yaml"])["global"]["done_bucket"] == "<done_bucket>"
    assert {"versions.json", "doctor.json", "causes.json", "shape.json", "books.jsonl", "README.txt"} <= parts.keys()


def test_bounds_barcodes_and_mode(tmp_path: Path) -> None:
    """--books and --lines bound it; --no-barcodes leaves no barcode in names or texts; only its owner may read it."""
    canaries = Canaries(tmp_path)
    target = tmp_path / "out.tar.gz"
    canaries.line.seed([f"B{n}" for n in range(5)])
    for token in canaries.line.bucket(0).glob("*.json"):
        token.rename(token.parent / "held" / token.name)
    more = ("--no-barcodes", "--books", "2", "--lines", "3", "--no-doctor", "--json", "--output", str(target))
    told = canaries.line.ask("export", *more)
    facts = json.loads(told.stdout)
    parts = _unpacked(target)
    assert (sorted(facts["names"]), facts["path"]) == (sorted(parts), str(target))
    assert (target.stat().st_mode & 0o777, _BOOK in json.dumps(parts)) == (0o600, False)
    assert [name for name in parts if name.startswith("ledgers/")] == ["ledgers/<book-1>.jsonl"]
    states = [json.loads(line)["state"] for line in parts["books.jsonl"].splitlines()]
    assert states == ["failed", "held", "held"]
    assert len(parts["logs/one.jsonl"].splitlines()) == 3
    with tarfile.open(fileobj=io.BytesIO(target.read_bytes())) as tar:
        assert {(member.uname, member.uid) for member in tar} == {("", 0)}


def test_whole_or_not_at_all(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A redactor that lets something through is noticed before anything is written; what was there stays."""
    target = tmp_path / "out.tar.gz"
    target.write_text("before")
    bench.put("B1", "failed", reason=f"in {bench.root}/x")
    with monkeypatch.context() as broken:
        broken.setattr(Redactor, "text", lambda _, text: text)
        assert bench.run("export", "--output", str(target), "--no-doctor") == 3
    assert (target.read_text(), list(tmp_path.glob(".out*"))) == ("before", [])
    assert bench.run("export", "--output", str(tmp_path / "none" / "x"), "--no-doctor") == 2
    assert bench.run("export", "--output", str(target), "--no-doctor") == 0
    assert "in <pipeline_dir>/x" in _unpacked(target)["ledgers/B1.jsonl"]


@pytest.mark.parametrize("passphrase", ["secret", "failed", "1234567", "up"])
def test_a_passphrase_that_is_a_word(bench: Bench, tmp_path: Path, passphrase: str) -> None:
    """However weak the passphrase, it stands nowhere but in placeholders, and everything is packed."""
    settings = yaml.safe_load(bench.line.config.read_text())
    settings["global"]["gpg_passphrase"] = passphrase
    bench.line.config.write_text(yaml.safe_dump(settings))
    bench.put("B1", "failed", reason=f"gpg took {passphrase} in 1234567 seconds")
    target = tmp_path / "out.tar.gz"
    assert bench.run("export", "--output", str(target), "--no-doctor") == 0
    texts = " ".join(text for name, text in _unpacked(target).items() if name != "README.txt")
    assert re.search(rf"(?<![\w<-]){passphrase}(?![\w>-])", texts) is None
    assert "gpg took <secret> in " in texts
