"""Takes secrets, paths, hosts and people out of text, each replaced by a stable placeholder.

What is known is taken out exactly, in every spelling that a log may give it; what only looks like a secret, a path, an
address or a person is taken out as well. Rather too much than too little: a person should still look.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

from services.orchestrator.private import PUBLIC_HOST, Private, is_secret

GONE = "<secret>"
# A shorter secret is looked for as a word of its own: it may be a part of anything.
_SHORT = 6
_SHAPES = (
    re.compile(r"-----BEGIN [A-Z ]*(?:PRIVATE KEY|MESSAGE)[A-Z ]*-----.*?(?:-----END [A-Z ]*-----|\Z)", re.DOTALL),
    re.compile(r"(?<=\bBearer )\S+|(?<=\bBasic )[\w+/=.~-]{12,}", re.IGNORECASE),
    re.compile(r"\bya29\.[\w-]+|\b1//[\w-]{10,}|\bGOCSPX-[\w-]+|\bAIza[\w-]{30,}|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    re.compile(r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"),
    re.compile(r"\bgh[pousr]_\w{20,}|\bxox[abprs]-[\w-]{10,}"),
)
_HEADER = re.compile(
    r"""(?i)\b((?:proxy-)?authorization|(?:set-)?cookie|x-[\w-]*token|x-api-key)(["']?\s*[:=]\s*)[^\n]+"""
)
_PAIR = re.compile(r"""(?<![\w-])([\w-]{3,60})(["']?\s*[:=]\s*)("[^"\n]*"|'[^'\n]*'|[^\s"',;&<>]+)""")
# Long, of all kinds of letters, and no checksum.
_DENSE = re.compile(r"(?<![\w/+=.-])(?=[^\s]*[A-Z])(?=[^\s]*[a-z])(?=[^\s]*[0-9])[A-Za-z0-9+/_=-]{40,}(?![\w/+=-])")
_URL = re.compile(r"""\b([A-Za-z][A-Za-z0-9+.-]*)://([^\s"'<>\\]*[^\s"'<>\\.,;:)\]}])""")
_QUOTED_PATH = re.compile(r"""(["'`])(/(?!/)[^"'`\n]+)\1""")
_PATH = re.compile(r"""(?<![\w/>.~\\-])/(?![/\s])[^\s"'`<>|;()\[\]{},\\]+""")
_CODE = re.compile(
    r"/(?:(?:lib/python3[.\d]*/)?(?:site|dist)-packages|lib/python3[.\d]*)/(.+)|/((?:common|services|simulator)/[\w/]+\.py.*)"
)
_SYSTEM = ("/usr/", "/bin/", "/lib", "/proc/", "/dev/", "/sys/", "/etc/ssl")
_OWN_PAGES = re.compile(r"/(?:metrics|healthz|readyz|events|act|book)\b[^/]*$")
_MAIL = re.compile(r"(?<![\w<])[\w.+%-]+@[\w-]+(?:\.[\w-]+)*")
_IPV4 = r"\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\w)"
_ADDRESS = re.compile(
    rf"(?<![\w.:])(?:{_IPV4}|(?:[0-9A-Fa-f]{{1,4}}(?::[0-9A-Fa-f]{{1,4}}){{0,6}})?::(?:[0-9A-Fa-f]{{1,4}}:){{0,6}}"
    rf"(?:{_IPV4}|[0-9A-Fa-f]{{1,4}}(?![\w:]))|(?:[0-9A-Fa-f]{{1,4}}::?){{3,7}}[0-9A-Fa-f]{{1,4}}(?![\w:]))"
)
_LOCAL = re.compile(r"(?:::ffff:)?127\.|0\.0\.0\.0|localhost|::1$")
# A name on the network; the ends of files' names are others.
_NETWORK = re.compile(
    r"(?<![\w.<-])(?:[A-Za-z0-9-]+\.)+(?:local|localdomain|internal|intranet|lan|corp|svc|edu|org|net|com|gov|eu|ac\.[a-z]{2})"
    r"(?![\w-]|\.\w)"
)
_WORD = re.compile(r"[A-Za-z0-9$][A-Za-z0-9$_.-]{0,63}")
# What tells which book it is as well as its barcode does.
_TELLING = frozenset({"title", "titles", "author", "authors", "oclc", "isbn", "lccn", "record"})
_OURS = re.compile(r"<(?:[a-z_]+|taken out|(?:host|person|path|address|book)-[0-9]+)>")


class Redactor:
    """Knows what is private; `is_book` says what is a barcode, where barcodes go as well."""

    def __init__(self, private: Private, is_book: Callable[[str], bool] | None = None) -> None:
        self.taken: dict[str, int] = {}
        """How often something was taken out, by kind."""
        self._is_book = is_book
        self._books: dict[str, bool] = {}
        self._numbers: dict[str, dict[str, int]] = {}
        self._places = dict(private.paths)
        self._exact: list[tuple[re.Pattern[str], str]] = []
        long = {text for one in private.secrets if len(one) >= _SHORT for text in _spellings(one)}
        self._forget(_any(long), GONE)
        self._forget(_any({one for one in private.secrets if len(one) < _SHORT}, r"(?<!\w)", r"(?!\w)"), GONE)
        self._paths = _any(self._places, "", r"(?![\w-])")
        self._hosts = _any(private.hosts, r"(?i:(?<![A-Za-z0-9<])", r"(?![A-Za-z0-9]))")
        # A name of several words may hold what looks like something else.
        self._names = _any({one for one in private.people if " " in one}, r"(?<![A-Za-z0-9<])", r"(?![A-Za-z0-9])")
        self._people = _any(private.people, r"(?<![A-Za-z0-9<])", r"(?![A-Za-z0-9])")

    def value(self, facts: Any, name: str = "") -> Any:
        """The same for anything that JSON can hold, keys included; what a secret's name stands over goes whole."""
        if isinstance(facts, Mapping):
            return {self.text(str(key)): self.value(value, str(key)) for key, value in facts.items()}
        if isinstance(facts, list | tuple):
            return [self.value(one, name) for one in facts]
        if facts is None or isinstance(facts, bool | int | float):
            # A passphrase may be a number.
            known = any(pattern.search(str(facts)) for pattern, _ in self._exact)
            return self._count("secret", GONE) if known else facts
        if str(facts) and is_secret(name):
            return self._count("secret", GONE)
        if str(facts) and self._is_book and name in _TELLING:
            return self._count("book", "<taken out>")
        return self.text(str(facts))

    def text(self, text: str) -> str:
        """The text without what is private."""
        for pattern, placeholder in self._exact:
            text = pattern.sub(lambda _: self._count("secret", placeholder), text)  # noqa: B023 - used at once
        for shape in _SHAPES:
            text = shape.sub(lambda _: self._count("secret", GONE), text)
        text = _HEADER.sub(lambda found: self._count("secret", f"{found[1]}{found[2]}{GONE}"), text)
        text = _PAIR.sub(self._pair, text)
        text = self._paths.sub(lambda found: self._count("path", f"<{self._places[found[0]]}>"), text)
        text = _URL.sub(self._url, text)
        text = _QUOTED_PATH.sub(lambda found: f"{found[1]}{self._path(found[2])}{found[1]}", text)
        text = _PATH.sub(lambda found: self._path(found[0]), text)
        text = _DENSE.sub(lambda _: self._count("secret", GONE), text)
        text = self._names.sub(lambda found: self._numbered("person", found[0]), text)
        text = _MAIL.sub(lambda found: self._numbered("person", found[0]), text)
        text = self._hosts.sub(lambda found: self._numbered("host", found[0].lower()), text)
        text = _NETWORK.sub(self._network, text)
        text = self._people.sub(lambda found: self._numbered("person", found[0]), text)
        text = _ADDRESS.sub(self._address, text)
        return _WORD.sub(self._book, text) if self._is_book else text

    def leaks(self, text: str) -> list[str]:
        """What is known to be private and stands in a text all the same; by kind, for it must not be told."""
        # Somebody's passphrase may be one of our own words.
        text = _OURS.sub("", text)
        looks = [*((pattern, "secret") for pattern, _ in self._exact), (self._paths, "path"), (self._hosts, "host")]
        return sorted({kind for pattern, kind in [*looks, (self._people, "person")] if pattern.search(text)})

    def _forget(self, pattern: re.Pattern[str], placeholder: str) -> None:
        self._exact.append((pattern, placeholder))

    def _count(self, kind: str, placeholder: str) -> str:
        self.taken[kind] = self.taken.get(kind, 0) + 1
        return placeholder

    def _numbered(self, kind: str, text: str) -> str:
        known = self._numbers.setdefault(kind, {})
        number = known.setdefault(text, len(known) + 1)
        return self._count(kind, f"<{kind}-{number}>")

    def _pair(self, found: re.Match[str]) -> str:
        if found[3].startswith("<"):
            return found[0]
        if not is_secret(found[1]):
            # What stands behind it may be such a pair itself.
            return f"{found[1]}{found[2]}{_PAIR.sub(self._pair, found[3])}"
        return self._count("secret", f"{found[1]}{found[2]}{GONE}")

    def _url(self, found: re.Match[str]) -> str:
        scheme, rest = found[1], found[2]
        if scheme.lower() == "file":
            return self._path(rest if rest.startswith("/") else f"/{rest}")
        person = ""
        if "@" in rest:
            # A password may hold anything, so all that stands before the last @ may be one.
            person, rest = self._count("secret", f"{GONE}@"), rest.rpartition("@")[2]
        host, port, path, query = _url_parts(rest)
        if not PUBLIC_HOST.search(host):
            host = host if host.startswith("<") else self._numbered("host", host.lower())
        query = self._count("query", "?<query>") if query else ""
        return f"{scheme}://{person}{host}{port}{path}{query}"

    def _path(self, path: str) -> str:
        kept = path.rstrip(".,:;!?")
        end = path[len(kept) :]
        if kept in ("", "/") or _OWN_PAGES.match(kept) or kept.startswith("/libraries/"):
            return path
        code = _CODE.search(kept)
        if code:
            return self._count("path", f"<python>/{code[1]}{end}" if code[1] else f"<program>/{code[2]}{end}")
        if kept.startswith(_SYSTEM):
            return self._count("path", f"<system>{kept}{end}")
        return self._numbered("path", kept) + end

    def _network(self, found: re.Match[str]) -> str:
        return found[0] if PUBLIC_HOST.search(found[0]) else self._numbered("host", found[0].lower())

    def _address(self, found: re.Match[str]) -> str:
        return found[0] if _LOCAL.match(found[0]) else self._numbered("address", found[0])

    def _book(self, found: re.Match[str]) -> str:
        """A word, or the beginning of one up to a dot, a line or a dash, that is a book's barcode."""
        word = found[0]
        for end in sorted({len(word), *(at.start() for at in re.finditer(r"[_.-]", word))}, reverse=True):
            for start in (0, *(at.end() for at in re.finditer(r"[_.-]", word[:end]))):
                if self._knows(word[start:end]):
                    return word[:start] + self._numbered("book", word[start:end]) + word[end:]
        return word

    def _knows(self, word: str) -> bool:
        if word not in self._books:
            self._books[word] = bool(self._is_book and word and self._is_book(word))
        return self._books[word]


def _url_parts(rest: str) -> tuple[str, str, str, str]:
    """Host, `:port`, path, and what stands behind a question mark."""
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname or "", f":{parts.port}" if parts.port else ""
    except ValueError:
        return rest.partition("/")[0], "", "", ""
    return host, port, parts.path, parts.query or parts.fragment


def _any(texts: Iterable[str], before: str = "", after: str = "") -> re.Pattern[str]:
    """One pattern for all of them, the longest first; one that never matches where there are none."""
    ordered = sorted(filter(None, texts), key=lambda text: (-len(text), text))
    return re.compile(f"{before}(?:{'|'.join(map(re.escape, ordered))}){after}" if ordered else r"(?!)")


def _spellings(secret: str) -> Iterator[str]:
    """A secret as a log, a URL, a page or a header may write it."""
    yield from (secret, secret.encode("unicode_escape").decode(), repr(secret)[1:-1], html.escape(secret))
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    yield from (quote(secret, safe=""), quote(secret), quote_plus(secret))
    data = secret.encode()
    yield from (
        base64.b64encode(data).decode().rstrip("="),
        base64.urlsafe_b64encode(data).decode().rstrip("="),
        data.hex(),
    )
