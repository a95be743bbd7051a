"""The configuration: found, merged with the environment, checked as a whole, told line by line."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest

from common.config import FilterRow, Settings, load, secret_variables, stage_class
from common.errors import ConfigError
from common.sizes import parse_size
from common.stage import Stage

EXCERPT = """\
global:
  temp_dir: /tmp/pipeline
  gpg_passphrase: "s3cr3t"
filters:
  - name: decryptor
    class: Decryptor
    input_pipe: pipeline/01_incoming
    output_pipe: pipeline/02_decrypted
"""

TWO = """\
filters:
  - name: one
    class: Downloader
    input_pipe: board/a
    output_pipe: board/b
  - name: two
    class: Downloader
    input_pipe: board/b
    output_pipe: board/c
"""


def write(folder: Path, text: str) -> Path:
    """A configuration file with that text."""
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def loaded(folder: Path, text: str, **environ: str) -> Settings:
    """The settings that come from that text and those variables, no class imported."""
    return load(write(folder, text), classes=None, environ=environ)


def problems(folder: Path, text: str, classes: str | None = None, **environ: str) -> list[str]:
    """What is wrong with that text and those variables, without the file's name."""
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        load(path, classes=classes, environ=environ)
    return [problem.replace(f"{path}:", "") for problem in caught.value.problems]


def test_the_excerpt_of_the_design_loads(tmp_path: Path) -> None:
    """The smallest configuration gets its defaults beside the board, all paths absolute."""
    settings = loaded(tmp_path, EXCERPT)
    assert settings.path == tmp_path / "config.yaml"
    assert settings.global_.temp_dir == Path("/tmp/pipeline")
    assert settings.global_.pipeline_dir == tmp_path / "pipeline"
    assert settings.global_.processing_bucket == tmp_path / "processing"
    assert settings.global_.done_bucket == str(tmp_path / "done")
    assert settings.filters[0].input_pipe == tmp_path / "pipeline/01_incoming"
    assert settings.global_.passphrase() == "s3cr3t"


def test_the_excerpt_loads_with_its_class(tmp_path: Path) -> None:
    """The class of the excerpt is a stage of this project."""
    settings = load(write(tmp_path, EXCERPT), environ={})
    assert issubclass(stage_class(settings.row("decryptor")), Stage)


def test_loading_creates_nothing(tmp_path: Path) -> None:
    """Neither the board nor any other folder exists after loading."""
    loaded(tmp_path, EXCERPT)
    assert os.listdir(tmp_path) == ["config.yaml"]


def test_the_secret_is_not_shown(tmp_path: Path) -> None:
    """The passphrase is in no repr of the settings."""
    assert "s3cr3t" not in repr(loaded(tmp_path, EXCERPT))


@pytest.mark.parametrize("how", ["argument", "variable", "folder"])
def test_where_it_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """--config comes first, then $GRIN_PIPELINE_CONFIG, then ./config.yaml."""
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, EXCERPT)
    environ = {"GRIN_PIPELINE_CONFIG": str(path)} if how == "variable" else {}
    if how != "folder":
        path = path.rename(tmp_path / "other.yaml")
        environ = {name: str(path) for name in environ}
    assert load(path if how == "argument" else None, classes=None, environ=environ).path == path


def test_the_first_of_several_is_taken(tmp_path: Path) -> None:
    """$GRIN_PIPELINE_CONFIG may name several files, and the first that is there counts."""
    first, second = tmp_path / "demo.yaml", write(tmp_path, EXCERPT)
    environ = {"GRIN_PIPELINE_CONFIG": f"{first}:{second}"}
    assert load(classes=None, environ=environ).path == second
    first.write_text(EXCERPT)
    assert load(classes=None, environ=environ).path == first
    for path in (first, second):
        path.unlink()
    with pytest.raises(ConfigError, match=r"neither .*demo.yaml nor .*config.yaml is a file\. Name another"):
        load(classes=None, environ=environ)


def test_data_apart_from_the_configuration(tmp_path: Path) -> None:
    """With $GRIN_PIPELINE_DATA, data are relative to that folder, and secrets to the configuration's."""
    text = """
        global: {gpg_passphrase_file: secrets/gpg, all_books: books.tsv, temp_dir: /elsewhere}
        grin: {credentials_file: secrets/grin}
        filters: [{name: a, class: x:Y, input_pipe: pipeline/00, output_pipe: pipeline/01}]
        board: {action_token_file: secrets/token}
    """
    path = write(tmp_path, textwrap.dedent(text))
    found = load(path, classes=None, environ={"GRIN_PIPELINE_DATA": "/data"})
    common = found.global_
    assert (common.pipeline_dir, common.processing_bucket) == (Path("/data/pipeline"), Path("/data/processing"))
    assert (common.done_bucket, common.all_books) == ("/data/done", Path("/data/books.tsv"))
    assert (found.row("a").input_pipe, found.base) == (Path("/data/pipeline/00"), Path("/data"))
    assert common.temp_dir == Path("/elsewhere")
    secrets = [common.gpg_passphrase_file, found.grin.credentials_file, found.board.action_token_file]
    assert secrets == [tmp_path / "secrets" / name for name in ("gpg", "grin", "token")]
    assert load(path, classes=None, environ={}).base == tmp_path


def test_no_configuration_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The places looked at are named, and what to do."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"neither .*/config.yaml nor /etc/grin-pipeline/config.yaml .* --config"):
        load(environ={})
    with pytest.raises(ConfigError, match=r"nowhere.yaml is not a file"):
        load(tmp_path / "nowhere.yaml", environ={})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("global:\n\tlibrary: X\n", "2: (column 1) This cannot be read as YAML"),
        ("global:\n  gpg_passphrase: *s3cr3t\n", "2: (column 19) This cannot be read as YAML"),
        ("global:\n  gpg_passphrase: !s3cr3t\n", "2: (column 19) This cannot be read as YAML"),
        ("global:\n  library: 2020-13-45\n", "1: This cannot be read as YAML"),
        ("- a\n", "1: The file holds no mapping"),
        ("", "1: The file holds no mapping"),
    ],
)
def test_what_is_no_configuration_file(tmp_path: Path, text: str, problem: str) -> None:
    """Broken YAML is told by line and column, without quoting what may be a secret."""
    (told,) = problems(tmp_path, text)
    assert told.startswith(problem)
    assert "s3cr3t" not in told


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    """A file in another encoding is refused with a sentence."""
    path = tmp_path / "config.yaml"
    path.write_bytes(b"global:\n  library: \xe9\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(path, environ={})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("globl: {}\n", "10: `globl` is not a known key; did you mean `global`?"),
        ("path: x\n", "10: `path` is not a known key"),
        ("global_: {}\n", "10: `global_` is not a known key; did you mean `global`?"),
        ("global:\n  libary: X\n", "11: `global.libary` is not a known key; did you mean `library`?"),
        ("global:\n  heartbeat: soon\n", "11: `global.heartbeat` should be a valid number"),
        ("global:\n  heartbeat: -1\n", "11: `global.heartbeat` should be greater than 0"),
        ("global:\n  heartbeat: .nan\n", "11: `global.heartbeat` should be a finite number"),
        ("global:\n  library: NO\n", "11: `global.library` should be a valid string (put it in quotes)"),
        ("global:\n  library: A\n  library: B\n", "12: `library` stands here twice (first in line 11)"),
        ("global:\n  min_free: -5\n", "11: `global.min_free` should be a size such as 20GB"),
        ("global:\n  pipeline_dir: elsewhere\n", "4: `filters[0].input_pipe` is not directly in the folder"),
        ("global:\n  gpg_passphrase: a\n  gpg_passphrase_file: b\n", "11: `global.gpg_passphrase` and"),
        ("board:\n  action_token: a\n  action_token_file: b\n", "11: `board.action_token` and"),
        ("board:\n  listen: '8080'\n", "11: `board.listen` should be HOST:PORT"),
        ("grin:\n  base_url: ftp://x\n", "11: `grin.base_url` should be an address"),
        ("grin: 3\n", "10: `grin` should be a valid dictionary"),
        ("seed:\n  limit: -1\n", "11: `seed.limit` should be greater than or equal to 0"),
    ],
)
def test_each_wrong_key_is_told_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    """What is wrong with a section is a sentence that begins with the line of the key."""
    assert problems(tmp_path, TWO + text)[0].startswith(problem)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("board/c", "board/b", "9: `filters[1].output_pipe` is the input of the same stage"),
        ("board/c", "board/a", "5: `filters[0].output_pipe` closes a circle (one → two → one)"),
        ("input_pipe: board/b", "input_pipe: board/a", "8: `filters[1].input_pipe` is the input of one too"),
        ("name: two", "name: one", "6: `filters[1].name` is the name of filters[0] too"),
        ("name: two", "name: 2nd", "6: `filters[1].name` should begin with a letter"),
        ("name: two", "name: " + "t" * 41, "6: `filters[1].name` should begin with a letter"),
        ("board/c", "other/c", "9: `filters[1].output_pipe` is not directly in the folder that the first"),
        ("board/c", "board/deep/c", "9: `filters[1].output_pipe` is not directly in the folder"),
        ("board/c", "board/ledger", "9: `filters[1].output_pipe` is called ledger"),
        ("    output_pipe: board/c\n", "", "6: `filters[1].output_pipe` is missing"),
        ("board/c", "board/c\n    wip_bytes: lots", "10: `filters[1].wip_bytes` should be a size"),
        ("board/c", "board/c\n    atempts: 3", "10: `filters[1].atempts` is not a known key; did you mean `attempts`"),
        (TWO, "filters: []\n", "1: `filters` has no stage"),
    ],
)
def test_a_line_that_does_not_hang_together(tmp_path: Path, old: str, new: str, problem: str) -> None:
    """What is wrong with a row, or between rows, is told at the row's own line."""
    assert problems(tmp_path, TWO.replace(old, new))[0].startswith(problem)


def test_all_problems_at_once(tmp_path: Path) -> None:
    """A wrong type, a wrong class, a second name and a variable are told together, in the order of the file."""
    text = TWO.replace("name: two", "name: one").replace("class: Downloader", "class: nowhere.at_all:Thing", 1)
    told = problems(tmp_path, f"{text}board:\n  metrics_port: x\n", "all", GRIN_PIPELINE_GRIN__TRIES="many")
    starts = [problem.split(" ")[0] for problem in told]
    assert starts == ["GRIN_PIPELINE_GRIN__TRIES:", "3:", "6:", "11:"]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("nowhere:Thing", "is nowhere:Thing, but nowhere is not found: name the folder that holds it in PYTHONPATH"),
        ("common.nowhere.Thing", "but common.nowhere is not found"),
        ("common.errors:Thing", "the module common.errors has no Thing"),
        ("common.errors:Retry", "is no stage"),
        ("Downloadr", "neither one of Downloader"),
        ("theirs:Stage", "fails while it is imported: ZeroDivisionError"),
        ("needy:Stage", "which needs absent_library"),
    ],
)
def test_a_class_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, problem: str) -> None:
    """A class that is not found, fails, or is no stage is told with what to do about it."""
    (tmp_path / "theirs.py").write_text("1 / 0\n")
    (tmp_path / "needy.py").write_text("import absent_library\n")
    monkeypatch.syspath_prepend(tmp_path)
    (told,) = problems(tmp_path, EXCERPT.replace("Decryptor", spec), "decryptor")
    assert told.startswith("6: `filters[0].class`")
    assert problem in told


@pytest.mark.parametrize("spec", ["theirs_too:Mine", "theirs_too.Mine"])
def test_a_stage_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str) -> None:
    """A class from anywhere on the path is a stage, in either notation."""
    (tmp_path / "theirs_too.py").write_text("from common.stage import Stage\n\n\nclass Mine(Stage):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    settings = load(write(tmp_path, EXCERPT.replace("Decryptor", spec)), environ={})
    assert stage_class(settings.row("decryptor")).__name__ == "Mine"


def test_only_the_named_rows_class_is_imported(tmp_path: Path) -> None:
    """An image that holds one stage does not ask for the classes of the others."""
    text = TWO.replace("class: Downloader", "class: nowhere:Thing")
    assert load(write(tmp_path, text), classes="three", environ={}).filters[0].class_ == "nowhere:Thing"
    assert len(problems(tmp_path, text, "two")) == 1
    assert len(problems(tmp_path, text, "all")) == 2


def test_the_environment_wins(tmp_path: Path) -> None:
    """Every kind of key can come from a variable: text, numbers, lists, sizes, and keys of one stage."""
    settings = loaded(
        tmp_path,
        f"{EXCERPT}    options: {{require_mdc: true, keep: 1}}\n",
        GRIN_PIPELINE_GLOBAL__LIBRARY="TESTLIB",
        GRIN_PIPELINE_GLOBAL__MIN_FREE="20GB",
        GRIN_PIPELINE_GLOBAL__DONE_BUCKET="s3://books/raw",
        GRIN_PIPELINE_GLOBAL__PROCESSING_BUCKET="work",
        GRIN_PIPELINE_GRIN__ALLOWED_HOSTS='["a.example", "b.example"]',
        GRIN_PIPELINE_SEED__FROM="list.txt",
        GRIN_PIPELINE_FILTERS__DECRYPTOR__WORKERS="4",
        GRIN_PIPELINE_FILTERS__DECRYPTOR__OPTIONS__REQUIRE_MDC="false",
        GRIN_PIPELINE_BOARD__LISTEN="",
    )
    assert settings.global_.library == "TESTLIB"
    assert settings.global_.min_free == 20_000_000_000
    assert settings.global_.done_bucket == "s3://books/raw"
    assert settings.global_.processing_bucket == tmp_path / "work"
    assert settings.grin.allowed_hosts == ["a.example", "b.example"]
    assert settings.seed.from_ == str(tmp_path / "list.txt")
    assert settings.filters[0].workers == 4
    assert settings.filters[0].options == {"require_mdc": False, "keep": 1}
    assert settings.board.listen == "127.0.0.1:8080"


def test_whole_sections_and_rows_as_json(tmp_path: Path) -> None:
    """A section, a stage or all stages can be one variable that holds JSON."""
    row = '{"name": "x", "class": "Downloader", "input_pipe": "p/1", "output_pipe": "p/2"}'
    settings = loaded(
        tmp_path, EXCERPT, GRIN_PIPELINE_GLOBAL='{"library": "A"}', GRIN_PIPELINE_FILTERS__DECRYPTOR='{"workers": 2}'
    )
    assert (settings.global_.library, settings.global_.passphrase()) == ("A", "s3cr3t")
    assert settings.filters[0].workers == 2
    assert loaded(tmp_path, EXCERPT, GRIN_PIPELINE_FILTERS=f"[{row}]").filters[0].name == "x"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("GRIN_PIPELINE_GLOBAL__LIBRAY", "X", "`global.libray` is not a known key; did you mean `library`?"),
        ("GRIN_PIPELINE_GLOBL__LIBRARY", "X", "`globl` is not a section"),
        ("GRIN_PIPELINE_GLOBAL__HEARTBEAT", "soon", "`global.heartbeat` should be a valid number"),
        ("GRIN_PIPELINE_GRIN__ALLOWED_HOSTS", "[oops", "`grin.allowed_hosts` should be a valid list"),
        ("GRIN_PIPELINE_GRIN", "oops", "`grin` should be a valid dictionary"),
        ("GRIN_PIPELINE_FILTERS__DECRYPTOR__WORKERS", "0", "`filters[0].workers` should be greater than or equal to 1"),
        ("GRIN_PIPELINE_FILTERS__ENCRYPTOR__WORKERS", "1", "there is no stage of that name"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, name: str, value: str, problem: str) -> None:
    """What is wrong with a variable is told with its name, not with a line of the file."""
    (told,) = problems(tmp_path, EXCERPT, **{name: value})
    assert told.startswith(name.removesuffix("__WORKERS"))
    assert problem in told


def test_variables_that_kubernetes_sets(tmp_path: Path) -> None:
    """The variables of a service named grin-pipeline are no keys of ours."""
    loaded(tmp_path, EXCERPT, GRIN_PIPELINE_SERVICE_HOST="10.0.0.1", GRIN_PIPELINE_PORT_8080_TCP="tcp://10.0.0.1")


def test_secrets_handed_over_apart(tmp_path: Path) -> None:
    """A parent takes the secrets out of its children's environment and hands them over in another way."""
    environ = {
        "GRIN_PIPELINE_GLOBAL__GPG_PASSPHRASE": "open sesame",
        "GRIN_PIPELINE_BOARD": '{"action_token": "a-token-of-ours"}',
        "GRIN_PIPELINE_GLOBAL__GPG_PASSPHRASE_FILE": "/run/secrets/p",
        "GRIN_PIPELINE_GLOBAL__LIBRARY": "X",
        "GPG_PASSPHRASE": "not ours",
    }
    secrets = secret_variables(environ)
    assert list(secrets) == ["GRIN_PIPELINE_GLOBAL__GPG_PASSPHRASE", "GRIN_PIPELINE_BOARD"]
    settings = load(write(tmp_path, EXCERPT), classes=None, environ={}, secrets=secrets)
    assert settings.global_.passphrase() == "open sesame"
    assert settings.board.token() == "a-token-of-ours"


@pytest.mark.parametrize("text", ["gpg_passphrase: [s3cr3t]", "gpg_passphrase: {s3cr3t: 1}", "gpg_passphrase: 53313"])
def test_no_problem_shows_a_secret(tmp_path: Path, text: str) -> None:
    """A passphrase of the wrong type is told without its value."""
    (told,) = problems(tmp_path, EXCERPT.replace('gpg_passphrase: "s3cr3t"', text))
    assert "s3cr3t" not in told
    assert "53313" not in told


@pytest.mark.parametrize(("content", "passphrase"), [("open\n", "open"), ("open\r\n", "open"), (" o \n\n", " o \n")])
def test_the_passphrase_file(tmp_path: Path, content: str, passphrase: str) -> None:
    """One newline at the end is no part of the passphrase, and the file is read at each call."""
    settings = loaded(tmp_path, EXCERPT.replace('gpg_passphrase: "s3cr3t"', "gpg_passphrase_file: secret"))
    with pytest.raises(ConfigError, match="cannot be read"):
        settings.global_.passphrase()
    (tmp_path / "secret").write_text(content, newline="")
    assert settings.global_.passphrase() == passphrase
    (tmp_path / "secret").write_text("")
    with pytest.raises(ConfigError, match="is empty"):
        settings.global_.passphrase()


def test_no_passphrase_at_all(tmp_path: Path) -> None:
    """Without a passphrase the key to set is named."""
    with pytest.raises(ConfigError, match="gpg_passphrase_file"):
        loaded(tmp_path, TWO).global_.passphrase()


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="there is no second file system to write to")
def test_a_bucket_on_another_file_system(tmp_path: Path) -> None:
    """A bucket that is a link to another file system is caught before anything is renamed."""
    far = Path("/dev/shm", f"far-{os.getpid()}")
    far.mkdir()
    try:
        (tmp_path / "board").mkdir()
        (tmp_path / "board/b").symlink_to(far)
        told = problems(tmp_path, TWO)
    finally:
        far.rmdir()
    where = f"`filters[0].output_pipe` is on another file system than {tmp_path}/board"
    assert told == [f"5: {where}; tokens are renamed, never copied."]


def test_an_empty_section_and_a_merge_key(tmp_path: Path) -> None:
    """Sections without keys have their defaults, and anchors with overrides are no duplicates."""
    rows = EXCERPT.replace("  - name", "  - &row\n    name")
    more = f"{rows}  - <<: *row\n    name: next\n    input_pipe: pipeline/02_decrypted\n    output_pipe: pipeline/03\n"
    settings = loaded(tmp_path, f"{more}board:\nseed:\n")
    assert [row.class_ for row in settings.filters] == ["Decryptor", "Decryptor"]
    assert settings.seed.from_ is None


THREE = f"{TWO}  - name: zero\n    class: Downloader\n    input_pipe: board/z\n    output_pipe: board/a\n"


def test_the_order_of_the_line(tmp_path: Path) -> None:
    """Buckets come in the order of the tokens' way, whatever the order of the rows."""
    settings = loaded(tmp_path, THREE)
    assert settings.buckets() == ["z", "a", "b", "c"]
    assert settings.upstream("two") == ("one", "zero")
    assert settings.upstream("zero") == ()
    assert [row.name for row in settings.heads()] == ["zero"]


def test_two_lines_on_one_board(tmp_path: Path) -> None:
    """Lines that share nothing follow one another."""
    settings = loaded(tmp_path, THREE.replace("output_pipe: board/a", "output_pipe: board/y"))
    assert settings.buckets() == ["a", "b", "c", "z", "y"]
    assert settings.upstream("two") == ("one",)


def test_a_row_that_is_not_there(tmp_path: Path) -> None:
    """Asking for an unknown stage tells the names there are."""
    with pytest.raises(ConfigError, match="no stage three under filters; there are: one, two"):
        loaded(tmp_path, TWO).row("three")


def test_rows_made_in_code() -> None:
    """A row can be made by the keys of the file and by the names of its attributes."""
    keys: Mapping[str, str] = {"name": "x", "class": "Downloader", "input_pipe": "p/1", "output_pipe": "p/2"}
    by_name = FilterRow(name="x", class_="Downloader", input_pipe=Path("p/1"), output_pipe=Path("p/2"))
    assert FilterRow.model_validate(keys) == by_name


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("20GB", 20 * 10**9),
        ("20G", 20 * 10**9),
        ("512MiB", 512 * 2**20),
        ("1.5 Ti", 3 * 2**39),
        ("7", 7),
        ("7B", 7),
        (7, 7),
        ("0", 0),
    ],
)
def test_sizes(text: str | int, size: int) -> None:
    """Sizes are read as people write them."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "-1", -1, "GB", "20XB", "1e9", True, None, 2.5, "7iB"])
def test_what_is_no_size(text: object) -> None:
    """Everything else is refused with examples."""
    with pytest.raises(ValueError, match="such as 20GB"):
        parse_size(text)
