"""What each command says when it is asked for what cannot be, a row a case: what is typed, the sentence, the code."""

from __future__ import annotations

from typing import NamedTuple

_NO_BARCODE = r"'a/b' is no barcode"
_NO_BUCKET = r"There is no bucket 'nowhere'; there are 00_to_download, "
_NO_STAGE = r"There is no stage '?nowhere.*there are:? downloader, "


class Case(NamedTuple):
    """A line that is typed on the town's board; the sentence is a pattern that the complaint holds."""

    typed: str
    sentence: str
    code: int = 2
    environ: tuple[tuple[str, str], ...] = ()


# GRIN does not answer, there are no credentials: for the board's health a script has code 3.
_AWAY = (("GRIN_PIPELINE_GRIN__BASE_URL", "http://127.0.0.1:9/libraries"), ("GRIN_PIPELINE_GRIN__TRIES", "1"))
_NO_KEY = (("GRIN_PIPELINE_GRIN__CREDENTIALS_FILE", "/nowhere/credentials.json"),)

# Each command is tried without a configuration, too: see the test.
CASES: dict[str, tuple[Case, ...]] = {
    "status": (Case("status --watch soon", "'soon' is no number of seconds"),),
    "ls": (Case("ls nowhere", _NO_BUCKET), Case("ls --state done", "There is no 'done' for --state. There are: ")),
    "show": (Case("show a/b", _NO_BARCODE), Case("show NOBODY", "Nothing is known of NOBODY: .*\n.*seed --barcode", 1)),
    "failed": (
        Case("failed nowhere", _NO_BUCKET),
        Case("failed --by raeson", "Did you mean `reason`"),
        Case("failed --state working", "There is no 'working' for --state. There are: failed, deferred, held"),
    ),
    "shape": (Case("shape nowhere", _NO_BUCKET),),
    "workers": (Case("workers here", "There is one argument too many"),),
    "report": (
        Case("report a/b", _NO_BARCODE),
        Case("report --bucket nowhere", _NO_BUCKET),
        Case("report --since soon", "'soon' is no date such as 2026-01-31"),
        Case("report --output {folder}/no/where.csv", "There is no folder .*/no for --output"),
    ),
    "seed": (
        Case("seed --limit many", "'many' is no whole number from 1 on"),
        Case("seed --barcode a/b", _NO_BARCODE),
        Case("seed --barcode OK --at nowhere", _NO_BUCKET),
        Case("seed --from {folder}/missing.txt", "missing.txt"),
    ),
    "retry": (Case("retry", r"Which books\? Give barcodes"), Case("retry NOBODY", "NOBODY: .*never seeded", 1)),
    "hold": (Case("hold a/b", _NO_BARCODE), Case("hold --bucket nowhere", _NO_BUCKET)),
    "release": (Case("release --all --bucket 01_incoming", "These do not go together"),),
    "drop": (Case("drop --all", "needs --yes where nobody can be asked"),),
    "pause": (Case("pause nowhere", _NO_STAGE),),
    "resume": (Case("resume nowhere", _NO_STAGE),),
    "drain": (Case("drain nowhere", _NO_STAGE), Case("drain --timeout soon", "'soon' is no number of seconds")),
    "auth login": (Case("auth login --client-secret {folder}/missing.json", "missing.json"),),
    "auth status": (
        Case("auth status now", "There is one argument too many"),
        Case("auth status", "/nowhere/credentials.json", 3, _NO_KEY),
    ),
    "auth probe": (
        Case("auth probe now", "There is one argument too many"),
        Case("auth probe", "GRIN at 127.0.0.1 cannot be reached", 3, _AWAY),
    ),
    "audit": (Case("audit a/b", _NO_BARCODE), Case("audit --limit 0", "no whole number from 1 on")),
    "inventory refresh": (
        Case("inventory refresh --htm5", "Did you mean `--html`"),
        Case("inventory refresh", "GRIN at 127.0.0.1 cannot be reached", 3, _AWAY),
    ),
    "inventory show": (Case("inventory show --list loaned", "There is no 'loaned' for --list. There are: "),),
    "convert": (
        Case("convert a/b", _NO_BARCODE),
        Case("convert --limit 0", "no whole number from 1 on"),
        Case("convert --dry-run", "GRIN at 127.0.0.1 cannot be reached", 3, _AWAY),
    ),
    "clean": (Case("clean books", "There is one argument too many"),),
    "doctor": (Case("doctor --breif", "Did you mean `--brief`"),),
    "completion": (Case("completion tcsh", "There is no 'tcsh' for SHELL. There are: bash, zsh, fish."),),
    "export": (Case("export --output {folder}/no/x.tar.gz", "There is no folder .*/no"),),
    "init": (Case("init --yes --library PRNC --done-bucket x", "config.yaml"),),
    "up": (Case("up --barcode a/b", _NO_BARCODE), Case("up --at nowhere --barcode B", _NO_BUCKET)),
    "stage": (Case("stage nowhere", _NO_STAGE), Case("stage", "needs NAME")),
    "down": (Case("down --timeout soon", "'soon' is no number of seconds"),),
    "try": (
        Case("try nowhere --input {folder}", _NO_STAGE),
        Case("try extractor --input {folder}/missing", "missing"),
    ),
    "demo": (Case("demo --books none", "no whole number from 1 on"),),
}
# These need no configuration.
WITHOUT = ("init", "demo", "completion")
