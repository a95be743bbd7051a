"""The text of a new config.yaml: the shipped one, with a library's own answers in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from string import Template

import yaml

_BUCKETS = ("00_to_download", "01_incoming", "02_decrypted", "03_extracted", "04_modified", "05_uploaded")
_TEXT = Template(
    """\
# GRIN Pipeline. Relative paths are relative to this file's folder; the board must be on one file system.
# Every key can come from the environment as well, for example GRIN_PIPELINE_GLOBAL__LIBRARY=PRNC.
# All keys, with types and defaults, are in docs/reference/config.md; `grin-pipeline doctor` tries out what stands here.

global:
  # GRIN's code for your library, as Google gave it; case matters.
  library: $library
  # The board: buckets, ledger, workers, logs. A local disk, NFS 4.1 or CephFS; never a mounted object store.
  pipeline_dir: $board
  # A book's files while it is worked on.
  processing_bucket: $processing
  # Where finished books go: a folder, or s3://, gs://, az://bucket/prefix.
  done_bucket: $done
  # GRIN's list of all books, kept by `grin-pipeline inventory refresh`.
  all_books: $all_books
  # One line, readable by you alone.
  gpg_passphrase_file: $passphrase
  # No new book enters the line while the disk has less than this.
  min_free: 20GB
  # Seconds between two signs of life of a worker.
  heartbeat: 5
  # Seconds after which a silent worker's books wait again.
  reap_after: 30
  # Seconds that a stopping worker may take to finish its book.
  grace: 25

grin:
  # A service account's key or an authorised user, readable by you alone.
  credentials_file: $credentials
  # Of all workers on all hosts together.
  requests_per_second: 5
  # Conversions that GRIN lets wait.
  queue_limit: 50000
  # Archives that GRIN keeps ready; the oldest go when more are made.
  converted_pool: 5000

seed:
  # Where books come from: a GRIN list, or a file of barcodes.
  from: converted
  # `up` fills the first bucket up to so many, the oldest conversions first.
  keep: 500
  # true: `up` asks GRIN to convert what is available, within its limits.
  convert: $convert
  # A held book that GRIN has converted anew: ignore, report or bring.
  new_versions: report

filters:
  - name: downloader
    class: Downloader
    input_pipe: $bucket0
    output_pipe: $bucket1
    workers: $downloaders
    # It takes no more while so many books are in its output bucket.
    wip_limit: 200
    attempts: 8
    # Seconds before a second attempt, at most; doubled for each one after, up to backoff_max.
    backoff: 60
    backoff_max: 21600
    # Seconds that an attempt may take.
    time_limit: 21600

  - name: decryptor
    class: Decryptor
    input_pipe: $bucket1
    output_pipe: $bucket2
$decryptors    wip_limit: 50
    time_limit: 3600

  - name: extractor
    class: Extractor
    input_pipe: $bucket2
    output_pipe: $bucket3
    wip_limit: 50
    time_limit: 3600
    options:
      # tar: one file a book, for network volumes.
      layout: files

  - name: modifier
    class: Modifier
    input_pipe: $bucket3
    output_pipe: $bucket4
    wip_limit: 200
    time_limit: 3600
    options:
      # Also ocr_jsonl, page_index, catalogue_record, iiif, preview, prune, rename: docs/how-to/modifications.md
      modifications: [fixity, marc, ocr_text]
      # Or zip, bagit, tree, original: docs/how-to/packages.md
      package: tar.gz

  - name: uploader
    class: Uploader
    input_pipe: $bucket4
    output_pipe: $bucket5
    time_limit: 21600

board:
  # The board's page, /metrics and /healthz of the orchestrator.
  listen: 127.0.0.1:8080
  # Who knows what is in it may act on the page; without it the page only shows.
  action_token_file: $token
  # The first port that `up` gives to a stage.
  metrics_port: 9100
"""
)


@dataclass(frozen=True)
class Answers:
    """What a library says of itself. Paths are absolute, but `done` may be a URL."""

    library: str
    done: str
    work: Path
    """The folder of the board and of the books on their way."""
    passphrase: Path
    credentials: Path
    token: Path
    """The page's action token."""
    downloaders: int = 2
    decryptors: int = 1
    convert: bool = False


def text(answers: Answers, home: Path) -> str:
    """The whole file, for a configuration that lies in `home`; what is below it is named relative to it."""
    work = answers.work
    named = {
        "library": answers.library,
        "board": _below(work / "pipeline", home),
        "processing": _below(work / "processing", home),
        "done": answers.done if "://" in answers.done else _below(Path(answers.done), home),
        "all_books": _below(work / "all_books.tsv", home),
        "passphrase": _below(answers.passphrase, home),
        "credentials": _below(answers.credentials, home),
        "token": _below(answers.token, home),
    }
    named |= {f"bucket{number}": f"{named['board']}/{name}" for number, name in enumerate(_BUCKETS)}
    more = f"    workers: {answers.decryptors}\n" if answers.decryptors > 1 else ""
    plain = {"downloaders": str(answers.downloaders), "decryptors": more, "convert": str(answers.convert).lower()}
    return _TEXT.substitute({name: _scalar(value) for name, value in named.items()} | plain)


def _below(path: Path, home: Path) -> str:
    return str(path.relative_to(home) if path.is_relative_to(home) and path != home else path)


def _scalar(value: str) -> str:
    """The value as YAML wants it, in quotes where it needs some."""
    return yaml.safe_dump([value], default_flow_style=True, width=float("inf"), allow_unicode=True).strip()[1:-1]
