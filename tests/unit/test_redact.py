"""What leaves with an export: secrets, paths, hosts and people are taken out in every spelling, the rest stays."""

from __future__ import annotations

import base64
import random
import string
from urllib.parse import quote

import pytest

from services.orchestrator.private import Private
from services.orchestrator.redact import Redactor

SECRET = 'Corréct "horse" & staple/7'
PRIVATE = Private(
    secrets={SECRET, "pw1"},
    paths={"/srv/books/processing": "processing_bucket", "s3://vault/books": "done_bucket", "/home/jane": "home"},
    hosts={"Node7", "node7"},
    people={"jane"},
    stages=("decryptor",),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"gpg said {SECRET}.", "gpg said <secret>."),
        (f"x={quote(SECRET, safe='')}", "x=<secret>"),
        (f"x {base64.b64encode(SECRET.encode()).decode()}", "x <secret>"),
        ("with pw1, not in apw12", "with <secret>, not in apw12"),
        ("Authorization: Bearer abc.def", "Authorization: <secret>"),
        ("sent 'authorization': 'Basic Zm9vOmJhcg=='", "sent 'authorization': <secret>"),
        ("password = 'two words' end", "password = <secret> end"),
        ("no JSON: client_secret=abc", "no JSON: client_secret=<secret>"),
        ("api_key=abc&x=1", "api_key=<secret>&x=1"),
        ("got ya29.a0AfH6SMB-x and 1//0gabcdefghijk", "got <secret> and <secret>"),
        ("key AKIAIOSFODNN7EXAMPLE", "key <secret>"),
        ("wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY0001", "<secret>"),
        ("-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----", "<secret>"),
        ("https://joe:p@ss/w@db.example/x", "https://<secret>@<host-1>/x"),
        (
            "https://books.google.com/libraries/A/_all_books?format=text",
            "https://books.google.com/libraries/A/_all_books?<query>",
        ),
        ("http://127.0.0.1:9100/metrics", "http://127.0.0.1:9100/metrics"),
        ("s3://vault/books/B1/B1.tar.gz", "<done_bucket>/B1/B1.tar.gz"),
        ("in /srv/books/processing/B1/extractor.", "in <processing_bucket>/B1/extractor."),
        ("in '/mnt/my files/B1'; /mnt/x, again /mnt/x", "in '<path-1>'; <path-2>, again <path-2>"),
        ("file:///opt/x y", "<path-1> y"),
        ('File "/opt/v/site-packages/httpx/a.py"', 'File "<python>/httpx/a.py"'),
        ("File /app/common/worker.py:3", "File <program>/common/worker.py:3"),
        ("GET /metrics and 1/2 and text/html", "GET /metrics and 1/2 and text/html"),
        ("decryptor-node7-12-0a1b2c3d.4", "decryptor-<host-1>-12-0a1b2c3d.4"),
        ("jane@node7 and sa@project.iam.gserviceaccount.com", "<person-1> and <person-2>"),
        ("jane, not janet; NODE7", "<person-1>, not janet; <host-1>"),
        ("10.1.2.3 and 127.0.0.1 at 07:01:49Z, fe80::1:2:3:4", "<address-1> and 127.0.0.1 at 07:01:49Z, <address-2>"),
        ("2001:db8::1, fe80::1, ::1 and ::ffff:10.1.2.3", "<address-1>, <address-2>, ::1 and <address-3>"),
        ("tests/test_x.py::test and 00:1a", "tests/test_x.py::test and 00:1a"),
        ("no route to db.library.internal:5432", "no route to <host-1>:5432"),
        ("page.txt, checksum.md5 and B1.tar.gz.gpg", "page.txt, checksum.md5 and B1.tar.gz.gpg"),
        ("1 of 34 files is missing: '00000009.tif'", "1 of 34 files is missing: '00000009.tif'"),
        ("sha256 " + "0a" * 32, "sha256 " + "0a" * 32),
    ],
)
def test_text(text: str, expected: str) -> None:
    """Each shape of what is private has its placeholder, and plain words, names of files and checksums stay."""
    assert Redactor(PRIVATE).text(text) == expected


def test_values_under_a_secrets_name() -> None:
    """In objects a secret's name takes the whole value, keys are looked at too, and numbers stay."""
    facts = {"client_secret": ["a b c"], "token_uri": "x", "tokens": 3, "/home/jane/x": {"password": ""}}
    redacted = Redactor(PRIVATE).value(facts)
    assert redacted == {"client_secret": ["<secret>"], "token_uri": "x", "tokens": 3, "<home>/x": {"password": ""}}


def test_barcodes_get_numbers() -> None:
    """Where barcodes go, each has its number, also within names; titles go with them."""
    redactor = Redactor(PRIVATE, {"B-1", "$B22"}.__contains__)
    told = redactor.value({"title": "Moby", "what": "B-1.tar.gz of B-1~w.1, PRNC-$B22_0001.tif, not B-12 or B"})
    assert told == {
        "title": "<taken out>",
        "what": "<book-1>.tar.gz of <book-1>~w.1, PRNC-<book-2>_0001.tif, not B-12 or B",
    }


def test_whoever_acts_on_the_page() -> None:
    """The name that somebody gave there is a person everywhere, of however many words; the address is an address."""
    facts = {"by": "Ada Lovelace (page, 10.0.0.7)", "why": "Ada Lovelace asked for it, not Adam"}
    held = {"reason": "Held by Joe O'Neill <joe@node7> (page, fe80::1): Joe O'Neill <joe@node7> said so"}
    here = {"by": "Grace (page, 127.0.0.1)"}
    private = Private(hosts={"node7"}, stages=("decryptor",))
    private.learn([facts, held, here, {"by": "decryptor (page, 127.0.0.1)"}])
    redactor = Redactor(private)
    assert redactor.value([facts, held, here]) == [
        {"by": "<person-1> (page, <address-1>)", "why": "<person-1> asked for it, not Adam"},
        {"reason": "Held by <person-2> (page, <address-2>): <person-2> said so"},
        {"by": "<person-3> (page, 127.0.0.1)"},
    ]
    assert redactor.text("the decryptor") == "the decryptor"


def test_leaks_are_found() -> None:
    """What is known to be private is found in a text that was not redacted, and in none that was."""
    redactor = Redactor(PRIVATE)
    text = f"{SECRET} /home/jane/x node7"
    assert redactor.leaks(text) == ["host", "path", "person", "secret"]
    assert redactor.leaks(redactor.text(text)) == []


def test_a_secret_anywhere() -> None:
    """Whatever stands around secrets, paths and hosts, and of whatever letters they are, none is left in the text."""
    for seed in range(200):
        dice = random.Random(seed)
        secrets = {_word(dice, 6, 40, _ANY) for _ in range(3)}
        path = f"/{_word(dice, 3, 9, string.ascii_letters + ' _-.é')}/{_word(dice, 2, 9, string.ascii_letters)}"
        host = f"h{_word(dice, 3, 9, string.ascii_lowercase)}"
        private = Private(secrets=secrets, paths={path: "home"}, hosts={host}, stages=("one",))
        around = [f"https://u:{min(secrets)}@h.example/x", "password: ", "Authorization", " ", "\n", "'", '"', "=", ":"]
        text = "".join(dice.choice([*secrets, f"{path}/x", host, *around, _word(dice, 0, 9, _ANY)]) for _ in range(12))
        redactor = Redactor(private)
        redacted = redactor.text(text)
        assert (redactor.leaks(redacted), [one for one in secrets if one in redacted]) == ([], []), text


_ANY = string.ascii_letters + string.digits + " \"'\\/&<>%+=:;,.@#?!{}[]()$_-~`|^*é日\t"


def _word(dice: random.Random, least: int, most: int, letters: str) -> str:
    """So many letters, none of them a blank at an end."""
    return "".join(dice.choice(letters) for _ in range(dice.randint(least, most))).strip().ljust(least, "x")
