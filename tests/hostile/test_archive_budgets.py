"""Archives that want too much: bytes, members, memory, time. Every budget is kept to within a tenth."""

from __future__ import annotations

import gzip
import io
import os
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from common.stage import Reject
from services.extractor.limits import Limits
from services.extractor.source import Source
from tests.helpers import measured
from tests.hostile.archives import archive, entry, extended, of_type, pax, record, sized
from tests.hostile.conftest import Bench

BIG = int(os.environ.get("GRIN_BIG", "30000000"))
MANY = int(os.environ.get("GRIN_HOSTILE_MEMBERS", "500"))
MEMORY = 120
"""MB that the extractor may take, whatever it is given."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What is inside ends by then; a tenth more, and what a busy machine takes, is given."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 1.1 * seconds + 2


def test_too_many_bytes_are_refused_before_they_are_written(extract: Bench) -> None:
    """The budget of bytes is kept to, by the announced size."""
    with pytest.raises(Reject, match="more than 1000000 bytes"):
        extract(archive(entry("a", os.urandom(600_000)), entry("b", os.urandom(600_000))), max_bytes="1MB")
    assert extract.written <= 1_100_000


def test_an_announced_size_alone_is_refused(extract: Bench) -> None:
    """A header that announces 8 EiB is refused before a byte of it is read."""
    with pytest.raises(Reject, match="more than 1000000 bytes"):
        extract(archive(entry("a", b"", sized(1 << 63))), max_bytes="1MB")
    assert extract.written <= 1024


def test_many_small_members_are_bytes_too(extract: Bench) -> None:
    """Headers and padding count: 2,000 members of a byte are a megabyte."""
    with pytest.raises(Reject, match="more than 500000 bytes"):
        extract(archive(*(entry(str(number)) for number in range(2000))), max_bytes="500kB")
    assert extract.written <= 1.1 * 500_000


def test_bytes_after_the_end_are_bytes_too(extract: Bench) -> None:
    """Zeros without end after the last member are not read for ever."""
    with pytest.raises(Reject, match="more than 1000000 bytes"):
        extract(gzip.compress(entry("a") + bytes(20_000_000), 1), max_bytes="1MB")


def test_too_many_members_are_refused(extract: Bench) -> None:
    """The budget of members is kept to; folders count."""
    folders = [entry(f"d{number}", b"", of_type(tarfile.DIRTYPE)) for number in range(10)]
    with pytest.raises(Reject, match="more than 15 members"):
        extract(archive(*folders, *(entry(str(number)) for number in range(10))), max_members=15)
    assert len(list(extract.work.rglob("members/*"))) <= 15


def many(count: int) -> bytes:
    """An archive of that many members with names of their own: mostly folders, which cost the disk nothing."""
    head = bytearray(entry("00000000", b""))
    body = bytearray()
    for number in range(count):
        head[:8] = b"%08d" % number
        head[156:157] = tarfile.DIRTYPE if number % 1000 else tarfile.REGTYPE
        head[148:156] = b" " * 8
        head[148:156] = b"%06o\0 " % sum(head)
        body += head
    return gzip.compress(bytes(body) + bytes(1024), 1)


@pytest.fixture(scope="module")
def crowd() -> bytes:
    """More members than a book may have."""
    return many(max(20_100, MANY))


def test_members_without_end_are_refused_by_number(extract: Bench, crowd: bytes) -> None:
    """The budget that nobody has changed ends an archive of a million members after 20,000."""
    with within(20), pytest.raises(Reject, match="more than 20000 members"):
        extract(crowd)


def test_members_without_end_are_refused_by_time(extract: Bench, crowd: bytes) -> None:
    """With room for a million members the time budget ends it."""
    with within(0.3), pytest.raises(Reject, match=r"longer than 0\.3 s"):
        extract(crowd, max_members=2_000_000, max_seconds=0.3)


def test_a_bomb_is_stopped_at_its_ratio(extract: Bench) -> None:
    """A file of zeros that swells a thousandfold is stopped soon after the ratio is judged."""
    with pytest.raises(Reject, match="more than 200 times"):
        extract(gzip.compress(entry("zeros", bytes(72 << 20)), 1))
    assert extract.written <= 1.1 * (64 << 20)


def test_a_bomb_of_many_members_is_stopped_at_its_ratio(extract: Bench) -> None:
    """The ratio is that of the whole archive, however many members share in it."""
    with pytest.raises(Reject, match="more than 20 times"):
        extract(gzip.compress(b"".join(entry(f"{n}", bytes(6 << 20)) for n in range(12)), 1), max_ratio=20)
    assert extract.written <= 1.1 * (64 << 20)


def test_a_bomb_in_the_padding_is_stopped(extract: Bench) -> None:
    """Zeros after the end of the archive swell as well."""
    with pytest.raises(Reject, match="more than 200 times"):
        extract(gzip.compress(entry("a") + bytes(72 << 20), 1))
    assert extract.written <= 4096


def test_headers_without_end_are_refused(extract: Bench) -> None:
    """One extended header of 8 MiB is not read, nor a name of 8 MiB, nor thousands of headers in a row."""
    for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
        with pytest.raises(Reject, match="header of more than 16 KiB"):
            extract(archive(extended(b"x" * (8 << 20), kind), entry("a")))
    with pytest.raises(Reject, match="headers"):
        extract(archive(*[extended(record("comment", "x" * 15_000))] * 120, entry("a")))


def test_a_forged_size_of_a_header_is_not_read(extract: Bench) -> None:
    """An extended header that announces 4 GiB is refused before memory is asked for."""
    forged = tarfile.TarInfo("x")
    forged.type, forged.size = tarfile.XHDTYPE, 4 << 30
    with pytest.raises(Reject, match="header of more than 16 KiB"):
        extract(archive(forged.tobuf(tarfile.GNU_FORMAT), entry("a")))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_extended_headers_in_a_row_do_not_exhaust_the_stack(extract: Bench, kind: bytes) -> None:
    """tarfile goes one call deeper for each of them; 900 small ones are refused, not crashed on."""
    with pytest.raises(Reject, match="headers"):
        extract(archive(*[extended(record("path", "abc"), kind)] * 900, entry("a")))


def test_global_headers_do_not_pile_up(extract: Bench) -> None:
    """What stays in force for all later members is limited."""
    blocks = [extended(record(f"k{n}", "v"), tarfile.XGLTYPE) + entry(f"m{n}") for n in range(300)]
    with pytest.raises(Reject, match="global headers"):
        extract(archive(*blocks))


def test_many_records_in_one_header_are_bounded(extract: Bench) -> None:
    """A header full of the smallest records before each of 1,000 members takes bounded time and memory."""
    full = extended(b"".join(record(f"{n}", "") for n in range(1500)))
    with within(1), pytest.raises(Reject):
        extract(archive(*(full + entry(f"{n}") for n in range(300))), max_seconds=1)


def test_a_header_of_digits_is_read_quickly(extract: Bench) -> None:
    """tarfile searches headers in quadratic time in some versions of Python: the limit of a header bounds it."""
    with within(5), pytest.raises(Reject):
        extract(archive(extended(b"1" * 16_000), entry("../a")))


def test_time_is_limited(extract: Bench) -> None:
    """The time budget ends an archive that would go on for ever."""
    with pytest.raises(Reject, match="longer than"):
        extract(archive(*(entry(str(number)) for number in range(3000))), max_seconds=0.001)


NOTHING: dict[str, bytes] = {
    "empty gzip members": gzip.compress(b"") * 1_000_000,
    "empty stored blocks": gzip.compress(b"")[:10] + b"\0\0\0\xff\xff" * 6_000_000,
    "empty blocks": gzip.compress(b"")[:10] + b"\x02\x08\x20\x80\x00" * 6_000_000,
}


@pytest.mark.parametrize("data", NOTHING.values(), ids=NOTHING)
def test_an_archive_that_inflates_to_nothing_is_timed(extract: Bench, data: bytes) -> None:
    """Twenty megabytes in and no byte out is one call for the decompressor; the budget of time holds in it."""
    extract.put(data)
    with within(0.05), pytest.raises(Reject, match="longer than"):
        extract.again(max_seconds=0.05)


def test_an_archive_that_is_slow_to_read_is_timed(tmp_path: Path) -> None:
    """A volume that gives a little now and then: the time is looked at for every piece, not for every megabyte."""
    path = tmp_path / "slow"
    os.mkfifo(path)
    ended = threading.Event()

    def drip() -> None:
        with path.open("wb", buffering=0) as out:
            while not ended.wait(0.02):
                out.write(gzip.compress(b""))

    thread = threading.Thread(target=drip)
    thread.start()
    with Source(path, Limits(max_seconds=0.3)) as source, within(0.3), pytest.raises(Reject, match="longer than"):
        source.read(512)
    ended.set()
    thread.join(10)


EXTRACT = """
import sys
from pathlib import Path
from common.config import load
from common.errors import StageError
from common.stage import Book
from services.extractor.stage import Extractor
config, layout = Path(sys.argv[1]), sys.argv[2]
settings = load(config, environ={})
row = settings.row("extractor").model_copy(update={"options": {"layout": layout, "max_ratio": 100000}})
work = config.parent / layout
work.mkdir()
try:
    print(Extractor(settings, row).process(Book("B1", config.parent, "", upstream=("decryptor",)), work)["members"])
except StageError as error:
    print(type(error).__name__, error)
"""


def huge_member(out: io.BufferedWriter) -> None:
    """One member of BIG bytes."""
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=0) as packed:
        header = tarfile.TarInfo("a")
        header.size = BIG // 512 * 512
        packed.write(header.tobuf(tarfile.GNU_FORMAT))
        for _ in range(header.size // 512):
            packed.write(b"p" * 512)
        packed.write(bytes(1024))


def huge_list(out: io.BufferedWriter) -> None:
    """A checksum list of BIG bytes."""
    out.write(archive(entry("checksum.md5", (b"0" * 32 + b"  00000001.tif\n") * (BIG // 47))))


def huge_mets(out: io.BufferedWriter) -> None:
    """A METS of BIG bytes, and nothing else that could verify the book."""
    out.write(archive(entry("LIB_B1.xml", b"<m>" + b"<FLocat/>" * (BIG // 9) + b"</m>")))


def huge_gzip_header(out: io.BufferedWriter) -> None:
    """A name of BIG bytes in the gzip header."""
    out.write(b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * BIG + b"\0")


def long_names(out: io.BufferedWriter) -> None:
    """Many members in long folders of their own, of a letter that stands for eighteen."""
    ways = ("/".join(f"{n:06}{part}" + "\ufdfa" * 82 for part in range(3)) for n in range(MANY))
    for way in ways:
        out.write(gzip.compress(pax({"path": f"{way}/a"}), 1))
    out.write(gzip.compress(bytes(1024)))


@pytest.mark.parametrize("layout", ["files", "tar"])
@pytest.mark.parametrize("make", [huge_member, huge_list, huge_mets, huge_gzip_header, long_names])
def test_no_archive_fills_the_memory(tmp_path: Path, make: object, layout: str) -> None:
    """Whatever is large in an archive, the extractor stays small."""
    assert callable(make)
    (tmp_path / "config.yaml").write_text(
        "filters: [{name: extractor, class: Extractor, input_pipe: a, output_pipe: b}]"
    )
    (tmp_path / "decryptor").mkdir()
    with (tmp_path / "decryptor" / "B1.tar.gz").open("wb") as out:
        make(out)
    done, peak = measured([sys.executable, "-c", EXTRACT, str(tmp_path / "config.yaml"), layout])
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(("Re", str(MANY))), done.stdout
    assert peak < MEMORY
    print(f"{make.__name__} {layout}: {peak:.0f} MB, {done.stdout.strip()[:90]}")
