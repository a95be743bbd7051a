"""preview: small pictures at a small price, whatever lies among the page images."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from books import BARCODE, mets
from modifying import Desk
from pictures import HOSTILE, bare_tiff, jp2, other, tiff
from PIL import Image

from common.archive_names import Pages
from common.errors import Reject
from services.modifier.modifications import preview
from services.modifier.modifications.images import ImageError, size_of, small
from services.modifier.modifications.preview import Preview
from tests.helpers import measured

METS = f"TESTLIB_{BARCODE}.xml"


def book(count: int = 5, **others: bytes) -> dict[str, bytes]:
    """Page images: the first and last in colour, the others in black and white; `p3` replaces the third."""
    images = {number: (f"{number:08d}.tif", tiff()) for number in range(1, count + 1)}
    images[1], images[count] = ("00000001.jp2", jp2()), (f"{count:08d}.jp2", jp2())
    images |= {int(key[1:]): (f"{int(key[1:]):08d}.tif", data) for key, data in others.items()}
    return dict(images.values())


def picture(desk: Desk, what: str) -> Image.Image:
    """A picture as it was written."""
    with Image.open(io.BytesIO(desk.sidecars()[f"{what}.jpg"])) as image:
        assert image.format == "JPEG"
        image.load()
        return image


def tagged(files: dict[str, bytes], tags: dict[int, str]) -> dict[str, bytes]:
    """The book with a METS that has these tags, by position."""
    page = b'<METS:div TYPE="page"/>'
    head, *rest = mets(files).split(page)
    divs = [f'<METS:div TYPE="page" ADMID="{tags.get(n, "")}"/>'.encode() for n in range(1, len(rest) + 1)]
    return {**files, METS: head + b"".join(div + after for div, after in zip(divs, rest, strict=True))}


def test_a_book_has_a_cover_and_a_sheet(tmp_path: Path) -> None:
    """Both are small, in colour, and show what the pages show."""
    desk = Desk(tmp_path, book())
    assert desk.apply(Preview, cover=200, thumb=100, columns=3) == []
    cover, sheet = picture(desk, "cover"), picture(desk, "contact")
    assert (cover.size, sheet.size) == ((127, 200), (3 * 108 + 8, 2 * 108 + 8))
    red, _, blue = cover.getpixel((5, 5))
    assert red > blue + 10
    # Row 1, column 2 is a page of black lines on white, turned to greys; the last cell is paper.
    cell = sheet.crop((136, 8, 196, 108)).convert("L")
    assert len(set(cell.tobytes())) > 20
    assert {pixel // 4 for pixel in sheet.crop((230, 120, 320, 210)).convert("L").tobytes()} == {238 // 4}


@pytest.mark.parametrize(("tags", "shown"), [({3: "FRONT_COVER"}, 3), ({2: "TITLE", 4: "COVER"}, 4), ({}, 1)])
def test_the_cover_is_the_page_that_google_calls_so(tmp_path: Path, tags: dict[int, str], shown: int) -> None:
    """A front cover comes before a cover, that before the title, that before the first page."""
    files = {f"{number:08d}.jp2": jp2((200 + 40 * number, 640)) for number in range(1, 5)}
    desk = Desk(tmp_path, tagged(files, tags))
    assert desk.apply(Preview, files=["cover"], cover=640) == []
    assert picture(desk, "cover").width == 200 + 40 * shown


def test_a_broken_cover_gives_way_to_the_next_best(tmp_path: Path) -> None:
    """There is a cover, and a warning."""
    desk = Desk(tmp_path, {**book(), "00000001.jp2": jp2()[:200]})
    warning = "1 page image cannot be shown in the preview, the first is 00000001.jp2, which is damaged."
    assert desk.apply(Preview) == [warning]
    assert set(desk.sidecars()) == {"cover.jpg", "contact.jpg"}


@pytest.mark.parametrize("data", [data for data, _ in HOSTILE.values()], ids=HOSTILE)
def test_a_hostile_image_is_a_warning(tmp_path: Path, data: bytes) -> None:
    """It is neither a crash nor a Python warning, and the others are shown."""
    desk = Desk(tmp_path, book(p3=data))
    [warning] = desk.apply(Preview, cover=64, thumb=64)
    assert warning.startswith("1 page image cannot be shown in the preview, the first is 00000003.tif, which ")
    assert set(desk.sidecars()) == {"cover.jpg", "contact.jpg"}


@pytest.mark.parametrize(("data", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_a_size_is_believed_only_when_it_can_be_true(tmp_path: Path, data: bytes, reason: str | None) -> None:
    """By the header alone; a file that breaks off after it has a size still."""
    desk = Desk(tmp_path, {"x.tif": data})
    if reason is None:
        assert min(size_of(desk.members, "x.tif")) > 0
        return
    with pytest.raises(ImageError) as refusal:
        size_of(desk.members, "x.tif")
    assert str(refusal.value) == reason


def test_a_file_larger_than_any_page_is_not_opened(tmp_path: Path) -> None:
    """Its reader could take it into memory many times over."""
    desk = Desk(tmp_path, {"x.tif": tiff() + bytes(17 << 20)})
    with pytest.raises(ImageError, match="more than any page"):
        size_of(desk.members, "x.tif")


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_other_kinds_of_images_are_read_too(tmp_path: Path, kind: str) -> None:
    """What the archive's names allow for can be shown."""
    desk = Desk(tmp_path, {"x.tif": other(kind)})
    assert small(desk.members, "x.tif", 158).size == (100, 158)


@pytest.mark.parametrize("longest", [120, 160, 320])
@pytest.mark.parametrize("size", [(1200, 1890), (1201, 1889), (1303, 2051), (1582, 2496)])
def test_a_page_of_any_size_can_be_reduced(tmp_path: Path, size: tuple[int, int], longest: int) -> None:
    """Sides that are no multiple of what they are divided by are no damage."""
    desk = Desk(tmp_path, {"x.jp2": jp2(size, "L")})
    width, height = small(desk.members, "x.jp2", longest).size
    assert height == longest
    assert abs(width - longest * size[0] / size[1]) <= 1


@pytest.mark.parametrize("longest", [64, 65, 200, 631, 2000])
@pytest.mark.parametrize("data", [tiff(), jp2(), jp2(mode="L")], ids=["TIFF", "colour", "grey"])
def test_a_small_picture_keeps_its_shape(tmp_path: Path, data: bytes, longest: int) -> None:
    """Its longer side is what was asked for, and never more than there is."""
    desk = Desk(tmp_path, {"x.tif": data})
    width, height = small(desk.members, "x.tif", longest).size
    assert height == min(longest, 632)
    assert width == pytest.approx(height * 400 / 632, abs=1.1)


def test_no_image_that_can_be_shown_is_a_warning(tmp_path: Path) -> None:
    """Then nothing is written; by strict the book is rejected."""
    desk = Desk(tmp_path, dict.fromkeys(("00000001.tif", "00000002.tif"), b""))
    with pytest.raises(Reject, match="no cover"):
        desk.apply(Preview, strict=True)
    assert desk.apply(Preview) == [
        "There is no cover.jpg, for no image that was tried can be shown.",
        "There is no contact.jpg, for no image that was tried can be shown.",
        "2 page images cannot be shown in the preview, the first is 00000001.tif, which is empty.",
    ]
    assert desk.sidecars() == {}


def test_a_book_without_images_is_a_warning(tmp_path: Path) -> None:
    """Nothing to show, nothing written."""
    desk = Desk(tmp_path, {"00000001.txt": b"text"})
    assert desk.apply(Preview) == ["There is no page image to make a preview of."]
    assert desk.sidecars() == {}


@pytest.mark.parametrize(("most", "shown"), [(1, [1]), (2, [1, 9]), (3, [1, 5, 9]), (9, list(range(1, 10)))])
def test_pages_on_the_sheet_are_spread_over_the_book(most: int, shown: list[int]) -> None:
    """The first and the last are among them."""
    assert list(preview._spread(list(range(1, 10)), most)) == shown


def test_only_pages_on_the_sheet_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A book of many pages costs no more than the sheet has room for."""
    read: list[str] = []
    monkeypatch.setattr(preview, "small", lambda members, name, longest: read.append(name) or Image.new("RGB", (9, 9)))
    desk = Desk(tmp_path, dict.fromkeys((f"{number:08d}.tif" for number in range(1, 301)), b"x"))
    desk.apply(Preview, pages=10)
    assert len(read) == 11


def test_the_same_book_gives_the_same_pictures(tmp_path: Path) -> None:
    """Byte for byte, broken pages included."""
    twice = [Desk(tmp_path / name, book(p3=bare_tiff(9, 9))) for name in ("a", "b")]
    warnings = [desk.apply(Preview) for desk in twice]
    assert warnings[0] == warnings[1]
    assert twice[0].sidecars() == twice[1].sidecars()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"pages": 0}, "The option pages should be greater than or equal to 1."),
        ({"thumb": 5000}, "The option thumb should be less than or equal to 320."),
        ({"cover": "huge"}, "The option cover should be a valid integer, unable to parse string as an integer."),
        ({"files": []}, "The option files"),
        ({"size": 3}, "The option size is not known; there are strict, files, cover, thumb, pages, columns, quality."),
    ],
)
def test_wrong_options_are_told(options: dict[str, object], problem: str) -> None:
    """A sheet cannot be asked to be larger than memory should be."""
    [found] = Preview(options).check()
    assert found.startswith(problem)


_LARGE = """
import sys
sys.path[:0] = [{tests!r}]
from pathlib import Path
from modifying import Desk
import services.modifier.stage
from services.modifier.modifications.iiif import Iiif
from services.modifier.modifications.preview import Preview
page, picture, cover = (Path({folder!r}, name).read_bytes() for name in ("page", "picture", "cover"))
files = {{f"{{n:08d}}.{{'tif' if n % 10 else 'jp2'}}": page if n % 10 else picture for n in range(2, 1501)}}
desk = Desk(Path({folder!r}, "desk"), {{"00000001.tif": cover, **files}})
assert desk.apply(Preview) == []
assert desk.apply(Iiif, base="https://example.org") == ["The METS is missing."]
assert len(desk.sidecars()) == 3
"""


_EVIL = """
import sys
sys.path[:0] = [{tests!r}]
from pathlib import Path
from modifying import Desk
from pictures import HOSTILE
from services.modifier.modifications.images import ImageError, small
desk = Desk(Path({folder!r}, "desk"), {{name: data for name, (data, _) in HOSTILE.items()}})
for name in HOSTILE:
    try:
        small(desk.members, name, 800)
    except ImageError:
        continue
    raise AssertionError(name)
"""


@pytest.mark.slow
@pytest.mark.parametrize("script", [_LARGE, _EVIL], ids=["large", "hostile"])
def test_memory_is_bounded(tmp_path: Path, script: str) -> None:
    """1,500 full pages and a cover as large as any that is decoded, or every hostile image: under 120 MB."""
    for name, data in {"page": tiff((3164, 4992)), "picture": jp2((1582, 2496)), "cover": tiff((7900, 7000))}.items():
        (tmp_path / name).write_bytes(data)
    script = script.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    done, peak = measured([sys.executable, "-c", script])
    assert done.returncode == 0, done.stderr
    assert peak < 120, f"{peak:.0f} MB"


def test_pages_of_a_kind_are_counted_once() -> None:
    """A page that is bad on the cover and on the sheet is one bad page."""
    pages = Pages({1: "00000001.tif"}, {}, {})
    [found] = preview._warnings(pages, {1: "is empty"}, {})
    assert found.startswith("1 page image cannot")
