"""iiif: a manifest that the published schema takes, and that tells of the book what is known of it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from books import BARCODE, MARC, mets
from iiif_schema import model_problems, problems, require_installed
from modifying import Desk
from pictures import HOSTILE, jp2, tiff
from PIL import Image

from common.errors import Reject
from services.modifier.modifications.iiif import Iiif
from services.modifier.modifications.iiif_labels import ranges
from services.modifier.modifications.iiif_options import Addresses, Options
from services.modifier.modifications.marc import Marc
from services.modifier.modifications.preview import Preview
from services.modifier.modifications.told import Told
from simulator.book import make_book
from simulator.knobs import Knobs

BASE = "https://books.example.org/iiif"
METS = f"TESTLIB_{BARCODE}.xml"
SERVICE = {"image": "https://images.example.org/3/{barcode}%2F{name}"}
ALL = {
    "ocr": True,
    "see_also": ["marc", "mets"],
    "rights": "http://rightsstatements.org/vocab/NoC-US/1.0/",
    "attribution": "The Library",
}

Json = dict[str, Any]


@pytest.fixture(scope="session")
def made() -> dict[str, bytes]:
    """The members of a book as Google makes them."""
    return make_book(BARCODE, pages=12, knobs=Knobs(right_to_left=True, prefixed_names=True)).members


def book(**others: bytes) -> dict[str, bytes]:
    """Three pages with a METS; `p2` replaces the second."""
    images = {"00000001.jp2": jp2(), "00000002.tif": others.get("p2", tiff()), "00000003.tif": tiff((300, 500))}
    return {**images, "00000001.txt": b"text", METS: mets(images)}


def manifest_of(desk: Desk, **options: Any) -> Json:
    """The manifest; there must be no warnings."""
    assert desk.apply(Iiif, base=BASE, **options) == []
    found: Json = json.loads(desk.sidecars()["iiif.json"])
    return found


def ids(thing: object) -> Iterator[str]:
    """The id of everything that is defined in a manifest, and not only named."""
    if isinstance(thing, list):
        for part in thing:
            yield from ids(part)
    elif isinstance(thing, dict):
        if set(thing) != {"id", "type"}:
            yield from (thing[key] for key in ("id", "@id") if key in thing)
        yield from ids(list(thing.values()))


@pytest.mark.parametrize("service", [None, "ImageService2", "ImageService3"])
def test_the_published_schema_takes_it(tmp_path: Path, made: dict[str, bytes], service: str | None) -> None:
    """A whole book with every option, with and without an image service; the newest models take it too."""
    require_installed()
    desk = Desk(tmp_path, made)
    desk.apply(Marc)
    desk.apply(Preview, thumb=32)
    manifest = manifest_of(desk, service=service, **SERVICE, **ALL)
    assert problems(manifest) == []
    assert model_problems(manifest) == ""


def test_the_published_schema_takes_the_least_of_books(tmp_path: Path) -> None:
    """Without METS, MARC, text or a size, what is left is a manifest still."""
    require_installed()
    desk = Desk(tmp_path, {"00000001.tif": b""})
    assert len(desk.apply(Iiif, base=BASE)) == 2
    manifest = json.loads(desk.sidecars()["iiif.json"])
    assert problems(manifest) == []
    assert model_problems(manifest) == ""


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole.pop("label"),
        lambda whole: whole.update(id="books/1"),
        lambda whole: whole.update(label="Title"),
        lambda whole: whole.update(viewingDirection="sideways"),
        lambda whole: whole.update(rights="https://example.org/ours"),
        lambda whole: whole.update(pages=3),
        lambda whole: whole["metadata"].append({"label": {"en": ["Author"]}}),
        lambda whole: whole["items"][0].update(width="400"),
        lambda whole: whole["items"][0]["items"][0]["items"][0].pop("target"),
        lambda whole: whole["items"][0]["items"][0]["items"][0]["body"].update(format="TIFF"),
        lambda whole: whole["structures"][0]["items"][0].update(type="Page"),
    ],
)
def test_the_schema_of_the_tests_refuses_what_is_wrong(tmp_path: Path, made: dict[str, bytes], damage: Any) -> None:
    """The rules by which the other tests judge can be broken."""
    require_installed()
    manifest = manifest_of(Desk(tmp_path, made))
    damage(manifest)
    assert problems(manifest) != []


def test_all_that_is_named_is_there_once(tmp_path: Path, made: dict[str, bytes]) -> None:
    """No id stands for two things; annotations and ranges lead to canvases that exist; each image has one canvas."""
    manifest = manifest_of(Desk(tmp_path, made))
    defined = list(ids(manifest))
    assert len(defined) == len(set(defined))
    canvases = [canvas["id"] for canvas in manifest["items"]]
    for canvas in manifest["items"]:
        [[painting]] = [page["items"] for page in canvas["items"]]
        assert (painting["target"], painting["motivation"]) == (canvas["id"], "painting")
    named = [item["id"] for part in manifest["structures"] for item in part["items"]]
    assert set(named) <= set(canvases)
    assert sorted(named) == sorted(set(named))
    images = sorted(name for name in made if name.endswith(("tif", "jp2")))
    bodies = [canvas["items"][0]["items"][0]["body"]["id"] for canvas in manifest["items"]]
    assert bodies == [f"{BASE}/{BARCODE}/{name}" for name in images]


def test_canvases_are_as_large_as_their_images(tmp_path: Path, made: dict[str, bytes]) -> None:
    """By the header alone what Pillow finds by reading the whole image, for both kinds."""
    manifest = manifest_of(Desk(tmp_path, made))
    for canvas in manifest["items"]:
        body = canvas["items"][0]["items"][0]["body"]
        with Image.open(io.BytesIO(made[body["id"].rpartition("/")[2]])) as image:
            image.load()
            assert (canvas["width"], canvas["height"]) == (body["width"], body["height"]) == image.size
            assert body["format"] == {"TIFF": "image/tiff", "JPEG2000": "image/jp2"}[str(image.format)]


def test_the_book_is_told_of(tmp_path: Path, made: dict[str, bytes]) -> None:
    """Title and author from the MARC record, reading order and printed page numbers from the METS."""
    manifest = manifest_of(Desk(tmp_path, made))
    facts = {pair["label"]["en"][0]: pair["value"]["none"][0] for pair in manifest["metadata"]}
    assert manifest["label"] == {"none": ["The Ferryman's Ledger"]}
    assert (facts["Author"], facts["Barcode"]) == ("Ada Thornbury", BARCODE)
    assert (manifest["viewingDirection"], manifest["behavior"]) == ("right-to-left", ["paged"])
    labels = [canvas["label"] for canvas in manifest["items"]]
    assert labels[4:7] == [{"en": ["image 5"]}, {"none": ["1"]}, {"none": ["2"]}]


def test_punctuation_of_cataloguing_is_left_out_of_the_title(tmp_path: Path) -> None:
    """What only tells that something follows is no part of it."""
    more = MARC.replace("company /", "company :").replace(
        '</marc:datafield>\n <marc:datafield tag="650"',
        '<marc:subfield code="b">a tale /</marc:subfield></marc:datafield>\n <marc:datafield tag="650"',
        1,
    )
    files = {"00000001.tif": tiff()}
    desk = Desk(tmp_path, {**files, METS: mets(files, marc=more)})
    assert manifest_of(desk)["label"] == {"none": ["Café & company : a tale"]}


@pytest.mark.parametrize("marc", ["", "<marc:record/>", "<marc:record><marc:controlfield/></marc:record>"])
def test_without_a_record_the_barcode_is_the_title(tmp_path: Path, marc: str) -> None:
    """It is marc's to warn of a record that is missing or broken."""
    files = {"00000001.tif": tiff()}
    manifest = manifest_of(Desk(tmp_path, {**files, METS: mets(files, marc=marc)}))
    assert manifest["label"] == {"none": [BARCODE]}


def test_parts_of_the_book_are_ranges() -> None:
    """Chapters go on until something else begins; other parts are the pages that are marked so."""
    tags = {
        1: ("FRONT_COVER",),
        2: ("BLANK",),
        3: ("TITLE", "UNTYPICAL_PAGE"),
        4: ("TABLE_OF_CONTENTS",),
        5: ("TABLE_OF_CONTENTS",),
        6: ("FIRST_CONTENT_CHAPTER_START",),
        7: ("CHAPTER_PAGE",),
        8: ("CHAPTER_START",),
        9: (),
        12: ("INDEX",),
        13: ("UNTYPICAL_PAGE",),
        14: ("CHAPTER_START",),
    }
    labels = {6: "1", 8: "3"}
    told = {number: Told(labels.get(number), found) for number, found in tags.items()}
    at = Addresses(Options(base=BASE), "b")
    parts = list(ranges(told, at))
    assert [(part["label"]["en"][0], [item["id"].rpartition("/")[2] for item in part["items"]]) for part in parts] == [
        ("Front cover", ["1"]),
        ("Title page", ["3"]),
        ("Table of contents", ["4", "5"]),
        ("Chapter that begins on page 1", ["6", "7"]),
        ("Chapter that begins on page 3", ["8", "9"]),
        ("Index", ["12"]),
        ("Chapter that begins on image 14", ["14"]),
    ]
    assert [part["id"] for part in parts[:2]] == [f"{BASE}/b/range/1", f"{BASE}/b/range/2"]


@pytest.mark.parametrize(("data", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_image_has_the_size_of_the_others(tmp_path: Path, data: bytes, reason: str | None) -> None:
    """With a warning that says why; a header that is in order is believed."""
    desk = Desk(tmp_path, {**book(p2=data), "00000004.tif": tiff()})
    warnings = desk.apply(Iiif, base=BASE)
    canvas = json.loads(desk.sidecars()["iiif.json"])["items"][1]
    if reason is None:
        assert warnings == []
        return
    assert warnings == [
        f"1 page image does not tell its size to the IIIF manifest, the first is 00000002.tif, which {reason}."
    ]
    assert (canvas["width"], canvas["height"]) == (400, 632)


def test_strict_rejects_a_book_with_a_broken_image(tmp_path: Path) -> None:
    """And then nothing is written."""
    desk = Desk(tmp_path, book(p2=b""))
    with pytest.raises(Reject, match=r"00000002\.tif, which is empty"):
        desk.apply(Iiif, base=BASE, strict=True)
    assert desk.sidecars() == {}


def test_a_book_without_images_has_no_manifest(tmp_path: Path) -> None:
    """A manifest needs a canvas."""
    desk = Desk(tmp_path, {"00000001.txt": b"text", METS: mets({})})
    assert desk.apply(Iiif, base=BASE) == ["There is no page image, so there is no IIIF manifest."]
    assert desk.sidecars() == {}


@pytest.mark.parametrize("broken", [b"<METS", None])
def test_a_book_whose_mets_cannot_be_read_has_a_manifest(tmp_path: Path, broken: bytes | None) -> None:
    """Of its pages at least; that there is no METS is a warning."""
    files = book()
    del files[METS]
    desk = Desk(tmp_path, {**files, **({METS: broken} if broken else {})})
    [warning] = desk.apply(Iiif, base=BASE)
    assert warning.startswith("The METS ")
    assert len(json.loads(desk.sidecars()["iiif.json"])["items"]) == 3


def test_addresses_are_as_the_options_say(tmp_path: Path) -> None:
    """Names with odd characters stay in their place; a service has its own way to say which picture."""
    name = "sub é/00000001.tif"
    desk = Desk(tmp_path, {name: tiff(), "sub é/00000001.txt": b"text", METS: mets({})}, barcode="$B1")
    options = {"image": "{base}/i/{barcode}/{name}", "file": "https://f.example.org/{barcode}/{name}", "ocr": True}
    assert desk.apply(Iiif, base=f"{BASE}/", manifest="{base}/{barcode}.json", **options) == ["The METS is missing."]
    manifest = json.loads(desk.sidecars()["iiif.json"])
    [canvas] = manifest["items"]
    assert manifest["id"] == f"{BASE}/%24B1.json"
    assert canvas["items"][0]["items"][0]["body"]["id"] == f"{BASE}/i/%24B1/sub%20%C3%A9/00000001.tif"
    assert canvas["seeAlso"][0]["id"] == "https://f.example.org/%24B1/sub%20%C3%A9/00000001.txt"


@pytest.mark.parametrize(
    ("kind", "end", "service"),
    [
        ("ImageService3", "full/max/0/default.jpg", {"type": "ImageService3", "profile": "level2"}),
        (
            "ImageService2",
            "full/full/0/default.jpg",
            {"@type": "ImageService2", "profile": "http://iiif.io/api/image/2/level2.json"},
        ),
    ],
)
def test_an_image_service_is_told_of(tmp_path: Path, kind: str, end: str, service: Json) -> None:
    """The picture is one that the service makes; a slash in a name is no slash of the address."""
    desk = Desk(tmp_path, {"a/00000001.tif": tiff(), METS: mets({})})
    manifest = manifest_of(desk, service=kind, **SERVICE)
    body = manifest["items"][0]["items"][0]["items"][0]["body"]
    address = f"https://images.example.org/3/{BARCODE}%2Fa%2F00000001.tif"
    assert (body["id"], body["format"]) == (f"{address}/{end}", "image/jpeg")
    [found] = body["service"]
    assert found == {**service, ("id" if kind == "ImageService3" else "@id"): address}


def test_what_was_written_before_is_led_to(tmp_path: Path) -> None:
    """The cover, the MARC record and the METS; what is not there yet is a warning."""
    desk = Desk(tmp_path, book())
    assert desk.apply(Iiif, base=BASE, see_also=["marc"]) == [
        "The IIIF manifest does not lead to the MARC: there is none so far."
    ]
    later = Desk(tmp_path / "later", book())
    later.apply(Marc)
    later.apply(Preview)
    manifest = manifest_of(later, see_also=["marc", "mets"])
    links = [link["id"].removeprefix(f"{BASE}/{BARCODE}/") for link in manifest["seeAlso"]]
    assert links == [f"{BARCODE}.marc.xml", METS]
    assert manifest["thumbnail"][0]["id"] == f"{BASE}/{BARCODE}/{BARCODE}.cover.jpg"


def test_the_same_book_gives_the_same_manifest(tmp_path: Path, made: dict[str, bytes]) -> None:
    """Byte for byte."""
    twice = [Desk(tmp_path / name, made) for name in ("a", "b")]
    for desk in twice:
        desk.apply(Iiif, base=BASE, **ALL)
    assert twice[0].sidecars() == twice[1].sidecars()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "The option base is required."),
        ({"base": "books.example.org"}, "The option base should be the address of a folder"),
        ({"base": "ftp://example.org"}, "The option base should be the address of a folder"),
        ({"base": "https://example.org/a b"}, "The option base should be the address of a folder"),
        ({"base": "https://example.org/?q=1"}, "The option base should be the address of a folder"),
        ({"base": BASE, "image": "{base}/{barcode}"}, "The option image should tell all files apart"),
        ({"base": BASE, "image": "{base}/{name}"}, "The option image should tell all files apart"),
        ({"base": BASE, "image": "{base}/{id}"}, "The option image should be a template of {base}, {barcode}"),
        ({"base": BASE, "image": "{barcode}/{name}"}, "The option image should give an address"),
        ({"base": BASE, "manifest": "{base}/manifest.json"}, "The option manifest should tell all files apart"),
        ({"base": BASE, "file": "{base}/{barcode}/{page}"}, "The option file should tell all files apart"),
        ({"base": BASE, "service": "ImageService1"}, "The option service should be"),
        ({"base": BASE, "rights": "ours"}, "The option rights should be an address of creativecommons.org"),
        ({"base": BASE, "see_also": ["hocr"]}, "The option see_also.0 should be 'marc' or 'mets'."),
    ],
)
def test_wrong_options_are_told(options: Json, problem: str) -> None:
    """Before the first book."""
    [found] = Iiif(options).check()
    assert found.startswith(problem)


@pytest.mark.parametrize("image", ["{base}/{barcode}/{name}", "https://i.example.org/{barcode}_{page:08d}"])
def test_images_can_go_by_name_or_by_page(image: str) -> None:
    """Both tell the images of all books apart."""
    assert Iiif({"base": BASE, "image": image}).check() == []
