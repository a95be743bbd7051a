"""What a configuration may hold: one class a section, with types, defaults and limits.

`common.config.load` makes these from config.yaml and the environment; paths are absolute once it has done so.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from common.errors import LONGEST_DELAY, ConfigError, ourselves
from common.sizes import parse_size


def _nothing_is_empty(value: object) -> object:
    return {} if value is None else value


def _stage_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,39}", name):
        raise ValueError("should begin with a letter and hold at most 40 letters, digits, - and _")
    return name


def _http_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("should be an address such as https://books.google.com/libraries")
    return url.rstrip("/")


def _listen(address: str) -> str:
    host, colon, port = address.rpartition(":")
    if not colon or not host or (":" in host and not host.startswith("[")) or not port.isdecimal() or int(port) > 65535:
        raise ValueError("should be HOST:PORT, such as 127.0.0.1:8080")
    return address


_SHORTEST_TOKEN = 12
Size = Annotated[int, BeforeValidator(parse_size)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]


class Section(BaseModel):
    """One section of the file: unknown keys are refused, and nothing changes once it is loaded."""

    # defer_build: the whole is built with all its sections in it, and no section once more for itself.
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        defer_build=True,
        validate_by_name=True,
        validate_by_alias=True,
        hide_input_in_errors=True,
    )


def keys(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a section by the keys that they have in the file."""
    return {str(field.validation_alias or name): field for name, field in model.model_fields.items()}


def _one_secret(section: Section, key: str) -> None:
    if getattr(section, key) is not None and getattr(section, f"{key}_file") is not None:
        text = "and `{key}_file` are both set; keep one of them"
        raise PydanticCustomError("conflict", text, {"key": key})


def _secret(inline: SecretStr | None, file: Path | None) -> str | None:
    if file is None:
        return inline.get_secret_value() if inline else None
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError([f"The secret file {file} is not UTF-8 text."]) from None
    except OSError as error:
        cure = f"Put the secret there, and let it belong to {ourselves()}."
        raise ConfigError([f"The secret file {file} cannot be read: {error.strerror}. {cure}"]) from None
    return text.removesuffix("\n").removesuffix("\r")


class GlobalSettings(Section):
    """What all stages share: where the books are, the passphrase, and the rhythm of the board."""

    library: str = ""
    """GRIN's directory code of your library; its case matters."""
    pipeline_dir: Path = Path("pipeline")
    """The board. By default the folder that holds the buckets."""
    temp_dir: Path = Field(default_factory=lambda: Path(tempfile.gettempdir(), "grin-pipeline"))
    """Small temporary things, and gpg's empty home when there is no `/dev/shm`. By default `grin-pipeline` in the
    system's temporary folder."""
    processing_bucket: Path = Path("processing")
    """A book's files while it is worked on. By default `processing` beside the board."""
    done_bucket: str = "done"
    """Where finished books go: a path, or `s3://bucket/prefix`, `gs://…`, `az://…`, never with keys in it. By
    default `done` beside the board."""
    all_books: Path | None = None
    """Where `inventory refresh` keeps GRIN's list of all books."""
    gpg_passphrase: SecretStr | None = None
    """The library's passphrase itself, instead of a file."""
    gpg_passphrase_file: Path | None = None
    """The file that holds the library's passphrase; it is read anew for each book."""
    min_free: Size = 0
    """No new book enters the line while the processing bucket's disk has fewer bytes free; those in it go on,
    because the last stage frees the space."""
    heartbeat: Seconds = 5
    """Seconds between two heartbeats of a worker, never more than a third of `reap_after`."""
    reap_after: Seconds = 30
    """Seconds without a heartbeat after which a worker is dead and its books wait again."""
    poll: Seconds = 0.5
    """The most seconds that an idle worker waits before it looks again; after a book it looks at once, then less and
    less often."""
    grace: float = Field(default=25, ge=0)
    """Seconds that a stopping worker may take to finish its book before it hands it back."""

    @model_validator(mode="after")
    def _agrees(self) -> GlobalSettings:
        _one_secret(self, "gpg_passphrase")
        return self

    @property
    def beat_every(self) -> float:
        """Seconds between two heartbeats: however the two are set, live work must never be reaped."""
        return min(self.heartbeat, self.reap_after / 3)

    def passphrase(self) -> str:
        """The passphrase, its file read anew at each call; ConfigError when there is none."""
        found = _secret(self.gpg_passphrase, self.gpg_passphrase_file)
        if not found:
            lack = f"{self.gpg_passphrase_file} is empty" if self.gpg_passphrase_file else "There is no passphrase"
            raise ConfigError([f"{lack}: put the library's passphrase into the file that gpg_passphrase_file names."])
        return found


class GrinSettings(Section):
    """How to reach GRIN, and how gently."""

    base_url: HttpUrl = "https://books.google.com/libraries"
    """GRIN."""
    token_uri: HttpUrl = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
    """Where access tokens are refreshed."""
    auth_uri: HttpUrl = "https://accounts.google.com/o/oauth2/v2/auth"
    """Where a person gives consent, for `auth login`."""
    credentials_file: Path | None = None
    """A service account's key or an authorised user's file; its mode must be 0600."""
    requests_per_second: Seconds = 5
    """Of all processes on all hosts that share the board."""
    converted_pool: Count = 5_000
    """How many archives GRIN keeps ready; the oldest go when more are converted."""
    queue_limit: Count = 50_000
    """How many conversions GRIN queues."""
    process_batch: Count = 100
    """Barcodes in one request for conversions."""
    process_method: Literal["get", "post"] = "get"
    """How conversions are asked for."""
    available_from: Literal["available", "states"] = "available"
    """Which list tells what may be asked for: `_available`, or `_all_books` by its states NEW and
    PREVIOUSLY_DOWNLOADED."""
    connect_timeout: Seconds = 10
    """Seconds that a connection may take."""
    idle_timeout: Seconds = 60
    """Seconds without a byte, however long the whole download takes."""
    tries: Count = 4
    """Faults in a row, without progress between, that end an attempt; the board counts the attempts."""
    allowed_hosts: list[str] = []
    """Hosts besides GRIN's own that a redirect may lead to."""


class SeedSettings(Section):
    """Which books `up` seeds: how many, from where, how often it looks, and whether it asks for conversions."""

    from_: str | None = Field(default=None, validation_alias="from")
    """Which books: `converted`, `available`, `all_books`, or a file of barcodes. By default `converted` where the
    first stage is a Downloader."""
    limit: int | None = Field(default=None, ge=0)
    """The first so many of them."""
    sample: Count | None = None
    """So many of them, always the same ones."""
    barcodes_file: Path | None = None
    """A file of barcodes, one a line."""
    convert: bool = False
    """Whether `up` asks for conversions of what is available and not converted."""
    every: Seconds = 300
    """Seconds between two looks at GRIN's lists; after one that failed, 10 seconds, doubled each time."""
    keep: Count = 500
    """`up` fills the first bucket up to so many waiting books, the oldest conversions first."""
    failed_again_days: Seconds = 14
    """Days after which a conversion that failed is asked for again."""
    new_versions: Literal["ignore", "report", "bring"] = "report"
    """What becomes of a book that is held already and that GRIN has converted anew; `bring` puts it beside the old
    one."""


class BoardSettings(Section):
    """Where the board's page listens, and the token that its buttons ask for."""

    listen: Annotated[str, AfterValidator(_listen)] = "127.0.0.1:8080"
    """The board's page, /metrics and /healthz of the orchestrator; another port when this one is taken."""
    hosts: list[str] = []
    """Names by which the page is opened, besides localhost and addresses: what a proxy or a browser asks for."""
    action_token: SecretStr | None = None
    """What the board's page asks for before it changes anything; without one it only shows."""
    action_token_file: Path | None = None
    """The file that holds it, instead."""
    metrics_port: int = Field(default=9100, ge=0, le=65535)
    """The first of the ports that `up` gives to the stages."""

    @model_validator(mode="after")
    def _agrees(self) -> BoardSettings:
        _one_secret(self, "action_token")
        return self

    def token(self) -> str | None:
        """The action token, its file read anew at each call; None when there is none, and the page only shows."""
        if self.action_token_file is not None and not self.action_token_file.exists():
            return None
        found = _secret(self.action_token, self.action_token_file) or None
        if found is not None and len(found) < _SHORTEST_TOKEN:
            raise ConfigError([f"The action token is too easy to guess: take {_SHORTEST_TOKEN} characters or more."])
        return found


class FilterRow(Section):
    """One stage: its class, the buckets on both of its sides, and how it treats failures."""

    name: Annotated[str, AfterValidator(_stage_name)]
    """A letter, then letters, digits, `-` and `_`, at most 40."""
    class_: str = Field(validation_alias="class")
    """`Downloader`, `Decryptor`, `Extractor`, `Modifier`, `Uploader`, or `package.module:Class` of your own."""
    input_pipe: Path
    """The bucket that the stage takes books from; all buckets lie in one folder."""
    output_pipe: Path
    """The bucket that it moves them to."""
    workers: Count = 1
    """Processes that `up` starts; elsewhere the container engine scales."""
    wip_limit: Count | None = None
    """The stage takes no book while its output bucket holds so many, waiting, in work or deferred."""
    wip_bytes: Annotated[Size, Field(ge=1)] | None = None
    """The same, by the bytes that this stage left for them."""
    attempts: Count = 5
    """After so many the book fails."""
    backoff: float = Field(default=30, ge=0, le=LONGEST_DELAY)
    """The most seconds before the second attempt, doubled for each further one."""
    backoff_max: float = Field(default=3600, ge=0, le=LONGEST_DELAY)
    """The most seconds before any attempt."""
    time_limit: Seconds | None = None
    """Seconds that an attempt may take."""
    memory_limit: Annotated[Size, Field(ge=64_000_000)] | None = None
    """Bytes that a worker of this stage, and each program it starts, may hold in memory; a book that needs more is
    tried again, and fails after `attempts`."""
    redos: int = Field(default=1, ge=0)
    """How often this stage may send a book back to be made again."""
    options: Annotated[dict[str, Any], BeforeValidator(_nothing_is_empty)] = {}
    """The stage's own options."""


class Shape(Section):
    """The whole of a configuration file."""

    global_: Annotated[GlobalSettings, BeforeValidator(_nothing_is_empty)] = Field(
        default_factory=GlobalSettings, validation_alias="global"
    )
    grin: Annotated[GrinSettings, BeforeValidator(_nothing_is_empty)] = Field(default_factory=GrinSettings)
    seed: Annotated[SeedSettings, BeforeValidator(_nothing_is_empty)] = Field(default_factory=SeedSettings)
    filters: list[FilterRow] = []
    board: Annotated[BoardSettings, BeforeValidator(_nothing_is_empty)] = Field(default_factory=BoardSettings)


class Settings(Shape):
    """A loaded configuration, and the line of stages that it describes."""

    path: Path = Path("config.yaml")
    """The file that it comes from."""
    base: Path = Field(default_factory=lambda known: known["path"].parent)
    """The folder that relative paths of data, in tokens too, are relative to."""

    def row(self, name: str) -> FilterRow:
        """The stage of that name; ConfigError tells the names there are."""
        for row in self.filters:
            if row.name == name:
                return row
        names = ", ".join(row.name for row in self.filters) or "none"
        raise ConfigError([f"{self.path}: There is no stage {name} under filters; there are: {names}."])

    def heads(self) -> list[FilterRow]:
        """The stages that no other stage feeds."""
        outputs = {row.output_pipe for row in self.filters}
        return [row for row in self.filters if row.input_pipe not in outputs]

    def bucket_paths(self) -> list[Path]:
        """All buckets in the order that a token visits them, one line after the other."""
        after = {row.input_pipe: row.output_pipe for row in self.filters}
        found: dict[Path, None] = {}
        for head in self.heads():
            pipe: Path | None = head.input_pipe
            while pipe is not None and pipe not in found:
                found[pipe] = None
                pipe = after.get(pipe)
        return list(found)

    def buckets(self) -> list[str]:
        """The names of all buckets, in the same order."""
        return [pipe.name for pipe in self.bucket_paths()]

    def upstream(self, name: str) -> tuple[str, ...]:
        """The names of the stages before this one, nearest first."""
        found: dict[str, None] = {}
        pipes = [self.row(name).input_pipe]
        for pipe in pipes:
            before = [row for row in self.filters if row.output_pipe == pipe and row.name not in found]
            found.update((row.name, None) for row in before)
            pipes.extend(row.input_pipe for row in before)
        return tuple(found)
