"""Which files belong to an image."""

import os

import pytest

from imkin.bundles import FolderBundles, look

YOLO = "0 0.5 0.5 0.25 0.25\n12 0.1 0.2 0.3 0.4\n"
VOC = '<?xml version="1.0"?>\n<annotation><object/></annotation>'


def lay(folder, **content):
    for name, text in content.items():
        (folder / name).write_text(text)


def beside(folder, name):
    return {os.path.basename(each.path): each.kind for each in FolderBundles().of(str(folder / name))}


@pytest.mark.parametrize(
    ("image", "other", "kind"),
    [
        ("IMG_1.JPG", "IMG_1.CR2", "raw"),
        ("IMG_1.CR2", "img_1.jpg", "image"),
        ("IMG_1.HEIC", "IMG_1.MOV", "video"),
        ("IMG_1.heic", "IMG_1.aae", "sidecar"),
        ("IMG_1.jpg", "IMG_1.xmp", "sidecar"),
        ("IMG_1.nef", "IMG_1.xmp", "sidecar"),
        ("IMG_1.nef", "IMG_1.NEF.xmp", "sidecar"),
        ("IMG_1.png", "IMG_1.png.json", "sidecar"),
        ("IMG_1.jpg", "IMG_1.jpg.supplemental-metadata.json", "sidecar"),
        ("IMG_1.dng", "IMG_1.heif", "image"),
    ],
)
def test_a_companion_is_known_by_its_name_in_any_case(tmp_path, image, other, kind):
    lay(tmp_path, **{image: "", other: "", "IMG_11.xmp": "", "IMG_1": ""})
    assert beside(tmp_path, image) == {other: kind}


def test_a_label_is_known_by_its_content(tmp_path):
    lay(tmp_path, **{"a.png": "", "a.txt": YOLO, "a.xml": VOC, "b.png": "", "b.txt": "Dear diary", "b.xml": "<svg/>"})
    assert beside(tmp_path, "a.png") == {"a.txt": "label", "a.xml": "label"}
    assert beside(tmp_path, "b.png") == {}
    lay(tmp_path, **{"a.txt": ""})
    assert beside(tmp_path, "a.png") == {"a.txt": "label", "a.xml": "label"}
    lay(tmp_path, **{"a.txt": YOLO + "x"})
    assert beside(tmp_path, "a.png") == {"a.xml": "label"}


def test_a_text_too_long_for_labels_is_none(tmp_path):
    lay(tmp_path, **{"a.png": "", "a.txt": YOLO * 50_000})
    assert beside(tmp_path, "a.png") == {}


def test_raw_jpeg_and_their_sidecars_are_one_bundle_from_either_side(tmp_path):
    lay(tmp_path, **{"a.jpg": "", "a.raf": "", "a.xmp": "", "a.mov": "", "a.jpg.xmp": ""})
    assert beside(tmp_path, "a.jpg") == {"a.raf": "raw", "a.xmp": "sidecar", "a.mov": "video", "a.jpg.xmp": "sidecar"}
    assert beside(tmp_path, "a.raf") == {"a.jpg": "image", "a.xmp": "sidecar", "a.mov": "video"}


@pytest.mark.parametrize(
    ("names", "image"),
    [
        (["a.jpg", "a.png", "a.xmp", "a.txt"], "a.jpg"),
        (["a.jpg", "a.png", "a.xmp"], "a.png"),
        (["a.jpg", "a.jpeg", "a.cr2"], "a.jpg"),
        (["a.jpg", "a.jpeg", "a.cr2"], "a.cr2"),
        (["a.jpg", "a.png", "a.cr2"], "a.cr2"),
        (["a.png", "a.cr2", "a.xmp"], "a.png"),
        (["a.png", "a.mov"], "a.png"),
        (["a.cr2", "a.dng", "a.xmp"], "a.cr2"),
    ],
)
def test_what_could_belong_to_two_pictures_belongs_to_neither(tmp_path, names, image):
    lay(tmp_path, **dict.fromkeys(names, ""))
    assert beside(tmp_path, image) == {}


def test_the_whole_name_tells_even_then(tmp_path):
    lay(tmp_path, **{"a.jpg": "", "a.png": "", "a.jpg.xmp": "", "a.png.xmp": ""})
    assert beside(tmp_path, "a.jpg") == {"a.jpg.xmp": "sidecar"}


def test_a_folder_that_is_not_there_has_no_bundles(tmp_path):
    assert FolderBundles().of(str(tmp_path / "none" / "a.jpg")) == ()


def test_a_companion_is_seen_as_it_is(tmp_path):
    lay(tmp_path, **{"a.xmp": "abc"})
    os.utime(tmp_path / "a.xmp", ns=(5, 7_000_000_123))
    seen = FolderBundles().seen(str(tmp_path / "a.xmp"))
    assert (seen.size, seen.mtime_ns) == (3, 7_000_000_123)
    assert seen.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_link_a_folder_or_nothing_is_no_companion_to_move(tmp_path):
    os.symlink("elsewhere", tmp_path / "a.xmp")
    assert look(str(tmp_path / "a.xmp")) is None
    assert look(str(tmp_path)) is None
    assert look(str(tmp_path / "none")) is None
