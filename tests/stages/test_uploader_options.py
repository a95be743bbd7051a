"""The uploader's options: the template of the keys, and what check() tells of the done bucket."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from books import IN_STORE, run, stored

from common.settings import FilterRow, GlobalSettings, Settings
from common.stage import Book
from common.store_keys import check_template, fill
from services.uploader.stage import Uploader


def test_the_key_is_a_template(make: Callable[..., Uploader], book: Book, done: Path) -> None:
    """A library can have its own order of folders, also by the beginning of the barcode."""
    stage = make(Uploader, key="{library}/{barcode:.3}/{barcode}/{name}")
    assert stage.check() == []
    run(stage, book)
    assert set(stored(done)) == {f"TESTLIB/390/{key}" for key in IN_STORE}


@pytest.mark.parametrize(
    "template",
    ["{name}", "{barcode}", "{barcode:.3}/{name}", "/{barcode}/{name}", "../{barcode}/{name}", "{barcode}//{name}"],
)
def test_a_template_that_loses_books_is_told_before_the_start(make: Callable[..., Uploader], template: str) -> None:
    """Without barcode or name, books would overwrite each other; nor may a key leave the bucket."""
    [problem] = make(Uploader, key=template).check()
    assert "key should" in problem


@pytest.mark.parametrize(
    "template", ["{barcode}/{name}/{title}", "{barcode.__class__}{barcode}{name}", "{barcode", "{}{0}"]
)
def test_a_template_of_unknown_fields_is_an_error(template: str) -> None:
    """Only barcode, name and library, and only themselves."""
    with pytest.raises(ValueError, match="should"):
        check_template(template)


def test_a_template_is_filled() -> None:
    """The fields take the book's values."""
    assert fill("{library}:{barcode}:{name}", "b", "n", "l") == "l:b:n"


def test_check_leaves_nothing_behind(uploader: Uploader, tmp_path: Path) -> None:
    """It writes to the nearest folder there is, without making the bucket."""
    before = sorted(tmp_path.rglob("*"))
    assert uploader.check() == []
    assert sorted(tmp_path.rglob("*")) == before


def problems(stage: Uploader, bucket: str) -> list[str]:
    """What check() says when this is the done bucket."""
    shared = stage.settings.global_.model_copy(update={"done_bucket": bucket})
    stage.settings = stage.settings.model_copy(update={"global_": shared})
    return stage.check()


@pytest.mark.parametrize(
    ("bucket", "sentence"),
    [
        ("/proc/1/done", "cannot be written"),
        ("ftp://x", "unknown kind"),
        ("s3:///prefix", "lacks a name"),
        ("s3://No_Name", "no name of a bucket"),
        ("gs://bucket/a/../b", "part that no key may have"),
        ("az://books", "AZURE_STORAGE_ACCOUNT_NAME"),
        ("s3:/books/x", "Write it as s3://BUCKET/PREFIX"),
        ("~/done", "only a shell understands"),
    ],
)
def test_check_tells_a_bucket_that_cannot_be(
    make: Callable[..., Uploader], monkeypatch: pytest.MonkeyPatch, bucket: str, sentence: str
) -> None:
    """A URL and a place that cannot be written have a sentence each."""
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    [problem] = problems(make(Uploader), bucket)
    assert sentence in problem


def test_check_tells_a_variable_that_cannot_be(make: Callable[..., Uploader], monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a book is taken: the library would crash over it at each one."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "localhost:8333")
    [problem] = problems(make(Uploader), "s3://books/here")
    assert "AWS_ENDPOINT_URL_S3" in problem and "https://HOST" in problem


@pytest.mark.parametrize("url", ["s3://KEY:canary@bucket/x", "s3://bucket/x?sig=canary"])
def test_keys_in_a_url_are_refused_and_not_shown(make: Callable[..., Uploader], url: str) -> None:
    """They would stand in every token, log and provenance."""
    [problem] = problems(make(Uploader), url)
    assert "environment" in problem
    assert "canary" not in problem


def test_check_does_not_wait_for_a_store(make: Callable[..., Uploader], monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is away is the running stage's matter, which waits for it; check() asks nobody."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert problems(make(Uploader), "s3://books/here") == []
        with pytest.raises(BlockingIOError):
            silent.accept()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"part_size": "1MiB"}, "part_size should be between 5MiB and 1GiB"),
        ({"part_size": "much"}, "part_size should be a size"),
        ({"concurrency": 0}, "concurrency should be greater"),
        ({"storage_class": "a b"}, "storage_class"),
        ({"metadata": {"barcode": "x"}}, "metadata should have names"),
        ({"metadata": {"Two Words": "x"}}, "metadata should have names"),
        ({"metadata": {"shelf": "Büro"}}, "plain ASCII"),
        ({"metadata": {"shelf": "x\r\nX-Amz-Acl: public-read"}}, "plain ASCII"),
        ({"metadata": {f"n{number}": "x" * 400 for number in range(4)}}, "at most 1,200 characters"),
        ({"acl": "public-read"}, "acl is not known"),
    ],
)
def test_an_option_that_cannot_be_is_told_before_the_start(
    make: Callable[..., Uploader], options: dict[str, object], sentence: str
) -> None:
    """One sentence, which names the option."""
    [problem] = make(Uploader, **options).check()
    assert sentence in problem


@pytest.mark.parametrize(
    ("bucket", "kind", "can_be"),
    [
        ("s3://books", "DEEP_ARCHIVE", False),
        ("s3://books", "GLACIER_IR", True),
        ("gs://books", "ARCHIVE", True),
        ("done", "DEEP_ARCHIVE", True),
    ],
)
def test_a_class_that_cannot_be_read_is_told_before_the_start(
    make: Callable[..., Uploader], bucket: str, kind: str, can_be: bool
) -> None:
    """Reading back would fail for every book; what Google calls an archive can be read at once."""
    found = problems(make(Uploader, storage_class=kind), bucket)
    assert ["read_back: false" in problem for problem in found] == ([] if can_be else [True])
    assert problems(make(Uploader, storage_class=kind, read_back=False), bucket) == []


def test_good_options_are_taken(make: Callable[..., Uploader]) -> None:
    """An archive's class without reading back, parts as people write them, labels."""
    options = {"storage_class": "DEEP_ARCHIVE", "read_back": False, "part_size": "16MiB", "concurrency": 8}
    assert make(Uploader, **options, metadata={"rights": "public domain"}).check() == []


def test_a_store_among_the_working_files_is_refused(tmp_path: Path) -> None:
    """A done bucket in the processing bucket would be removed with the working files: refused at the start."""
    row = FilterRow(name="uploader", class_="Uploader", input_pipe=tmp_path / "a", output_pipe=tmp_path / "b")
    for done in ("processing", "processing/done", "link"):
        (tmp_path / "processing").mkdir(exist_ok=True)
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to(tmp_path / "processing")
        common = GlobalSettings(processing_bucket=tmp_path / "processing", done_bucket=str(tmp_path / done))
        settings = Settings(global_=common, filters=[row], path=tmp_path / "config.yaml")
        (problem,) = Uploader(settings, row).check()
        assert "working files" in problem
