import contextlib
import gc
import io
import os
import pickle
import struct
import sys
import tarfile
import threading
import zipfile
import zlib
from pathlib import Path

import pytest

from imkin.errors import MissingExtraError, MissingPathError
from imkin.sources import Filter
from imkin.sources.archive import ArchiveLimits, is_archive, walk
from imkin.types import Failure
from servers import picture

PICTURES = {f"{folder}{seed}.jpg": picture(seed) for seed, folder in enumerate(["b/", "", "a/deep/", "a/"])}


def make_zip(path: Path, content: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def make_tar(path: Path, content: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def make_tar_zst(path: Path, content: dict[str, bytes]) -> Path:
    import zstandard

    plain = make_tar(path.with_suffix(""), content)
    path.write_bytes(zstandard.ZstdCompressor().compress(plain.read_bytes()))
    return path


def split(found: object) -> tuple[dict[str, object], list[Failure]]:
    items, failures = {}, []
    for one in found:  # type: ignore[attr-defined]
        if isinstance(one, Failure):
            failures.append(one)
        else:
            items[one.path] = one
    return items, failures


def contents(path: Path, wanted: Filter = Filter(), limits: ArchiveLimits | None = None) -> dict[str, bytes]:
    items, failures = split(walk(str(path), wanted, limits=limits))
    assert failures == []
    return {name.removeprefix(f"{path}!/"): item.read() for name, item in items.items()}


MAKERS = {
    "a.zip": make_zip,
    "a.cbz": lambda path, content: make_zip(path, content, zipfile.ZIP_STORED),
    "b.zip": lambda path, content: make_zip(path, content, zipfile.ZIP_BZIP2),
    "l.ZIP": lambda path, content: make_zip(path, content, zipfile.ZIP_LZMA),
    "a.tar": make_tar,
    "a.tar.gz": lambda path, content: make_tar(path, content, "w:gz"),
    "a.tgz": lambda path, content: make_tar(path, content, "w:gz"),
    "a.tar.bz2": lambda path, content: make_tar(path, content, "w:bz2"),
    "a.tar.xz": lambda path, content: make_tar(path, content, "w:xz"),
    "a.tar.zst": make_tar_zst,
}


@pytest.mark.parametrize("name", MAKERS)
def test_every_kind_of_archive_gives_the_bytes_that_went_in(tmp_path, name):
    path = MAKERS[name](tmp_path / name, PICTURES)
    assert is_archive(str(path))
    assert contents(path) == PICTURES
    assert not is_archive(str(tmp_path / "a.jpg"))


def test_zip_entries_come_in_the_order_of_a_folder_and_tar_entries_in_their_own(tmp_path):
    assert list(contents(make_zip(tmp_path / "a.zip", PICTURES))) == ["1.jpg", "a/3.jpg", "a/deep/2.jpg", "b/0.jpg"]
    assert list(contents(make_tar(tmp_path / "a.tar", PICTURES))) == list(PICTURES)


def test_an_item_says_where_it_is_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in (make_zip(Path("a.zip"), {"x/1.jpg": picture(1)}), make_tar(Path("a.tar"), {"x/1.jpg": picture(1)})):
        (item,) = walk(str(path), Filter(), root=3)
        assert not isinstance(item, Failure)
        assert item.path == f"{path}!/x/1.jpg"
        assert item.key == f"{tmp_path}/{path}!/x/1.jpg"
        assert (item.size, item.root, item.source) == (len(picture(1)), 3, "archive")
        assert item.mtime_ns == os.stat(path).st_mtime_ns


def test_entries_that_are_no_pictures_are_left_out_and_pictures_without_an_ending_are_not(tmp_path):
    content = {
        "read.txt": b"words",
        "inner.zip": make_zip(tmp_path / "inner.zip", PICTURES).read_bytes(),
        "nameless": picture(1),
        "empty": b"",
        "__MACOSX/1.jpg": b"x",
        ".hidden.jpg": b"x",
        "._1.jpg": b"x",
        "folder/": b"",
    }
    for path in (make_zip(tmp_path / "a.zip", content), make_tar(tmp_path / "a.tar.gz", content, "w:gz")):
        assert contents(path) == {"nameless": picture(1)}


def test_the_filter_of_folders_holds_inside_archives(tmp_path):
    content = {name: b"x" * at for at, name in enumerate(["a/1.jpg", "a/2.png", "b/3.jpg", "4.jpg", ".h/5.jpg"])}
    for path in (make_zip(tmp_path / "a.zip", content), make_tar(tmp_path / "a.tar", content)):
        assert sorted(contents(path)) == ["4.jpg", "a/1.jpg", "a/2.png", "b/3.jpg"]
        assert sorted(contents(path, Filter(include=("*.JPG",)))) == ["4.jpg", "a/1.jpg", "b/3.jpg"]
        assert sorted(contents(path, Filter(exclude=("a",)))) == ["4.jpg", "b/3.jpg"]
        assert sorted(contents(path, Filter(exclude=("a/1*",)))) == ["4.jpg", "a/2.png", "b/3.jpg"]
        assert sorted(contents(path, Filter(recursive=False))) == ["4.jpg"]
        assert sorted(contents(path, Filter(hidden=True, min_size=3))) == [".h/5.jpg", "4.jpg"]


def test_names_that_leave_the_archive_are_only_names(tmp_path):
    content = {"../up.jpg": b"1", "/root.jpg": b"2"}
    assert contents(make_zip(tmp_path / "a.zip", content)) == content
    tar = make_tar(tmp_path / "a.tar", content)
    assert contents(tar) == content
    assert sorted(os.listdir(tmp_path)) == ["a.tar", "a.zip"]


def test_names_that_are_not_utf_8_survive(tmp_path):
    zipped = tmp_path / "a.zip"
    # The standard library writes UTF-8 with its flag; here the flag is taken away, and the bytes are other ones.
    make_zip(zipped, {"n\u00e9\u00e9.jpg": b"1"})
    raw = zipped.read_bytes().replace("n\u00e9\u00e9".encode(), b"n\xff\x82.\x82")
    zipped.write_bytes(raw)
    assert list(contents(zipped)) == ["n\udcff\udc82.\udc82.jpg"]
    unflagged = raw.replace(b"\x00\x08\x08\x00", b"\x00\x00\x08\x00")
    assert unflagged != raw
    zipped.write_bytes(unflagged)
    assert list(contents(zipped)) == ["n\u00a0\u00e9.\u00e9.jpg"]
    tar = make_tar(tmp_path / "a.tar", {"n\udcff.jpg": b"1"})
    assert list(contents(tar)) == ["n\udcff.jpg"]


def test_entries_of_one_name_are_told_apart(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("1.jpg", b"one")
        archive.writestr("1.jpg", b"two")
    assert contents(tmp_path / "a.zip") == {"1.jpg": b"one", "1.jpg#2": b"two"}
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for data in (b"one", b"two"):
            member = tarfile.TarInfo("./1.jpg")
            member.size = 3
            tar.addfile(member, io.BytesIO(data))
    assert contents(tmp_path / "a.tar") == {"1.jpg": b"one", "1.jpg#2": b"two"}


def test_links_and_devices_are_no_pictures(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo(f"{kind!r}.jpg")
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
    assert contents(tmp_path / "a.tar") == {}
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("link.jpg")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    assert contents(tmp_path / "a.zip") == {}


def test_an_encrypted_entry_is_one_failure(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"1.jpg": picture(1), "2.jpg": picture(2)})
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(raw)
    items, failures = split(walk(str(path), Filter()))
    assert failures == [Failure(f"{path}!/1.jpg", "read", "the entry is encrypted")]
    assert list(items) == [f"{path}!/2.jpg"]


def test_an_unknown_packing_is_one_failure(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"1.jpg": picture(1)})
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\1\2") + 10] = 9
    path.write_bytes(raw)
    _, failures = split(walk(str(path), Filter()))
    assert [failure.reason for failure in failures] == ["the entry is packed by method 9, which cannot be read"]


def test_a_damaged_entry_fails_when_it_is_read_and_the_others_do_not(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"1.jpg": picture(1), "2.jpg": picture(2)}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(picture(1)[-110:-100], b"0123456789"))
    items, failures = split(walk(str(path), Filter()))
    assert failures == []
    with pytest.raises(OSError, match="checksum"):
        items[f"{path}!/1.jpg"].read()  # type: ignore[attr-defined]
    assert items[f"{path}!/2.jpg"].read() == picture(2)  # type: ignore[attr-defined]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_zip_without_its_directory_gives_every_whole_entry(tmp_path, streamed):
    path = tmp_path / "a.zip"
    if streamed:  # sizes stand behind each entry, as in a zip that was written to a pipe
        out = Unseekable()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in PICTURES.items():
                archive.writestr(name, data)
        path.write_bytes(out.getvalue())
    else:
        make_zip(path, PICTURES)
    whole = path.read_bytes()
    assert contents(path) == PICTURES
    path.write_bytes(whole[: whole.rindex(b"PK\3\4") + 300])
    items, (failure,) = split(walk(str(path), Filter()))
    assert failure.stage == "open"
    assert failure.reason == "the archive is damaged (its directory is missing): 3 entries could be found"
    assert (
        {name.partition("!/")[2]: item.read() for name, item in items.items()}
        == {  # type: ignore[attr-defined]
            name: PICTURES[name] for name in list(PICTURES)[:3]
        }
    )


class Unseekable(io.BytesIO):
    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise io.UnsupportedOperation

    def tell(self) -> int:
        raise io.UnsupportedOperation


def test_a_zip_behind_a_program_and_one_with_a_comment_are_read(tmp_path):
    path = make_zip(tmp_path / "a.zip", PICTURES)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"a comment"
    path.write_bytes(b"#!/bin/sh\n" * 1000 + path.read_bytes())
    assert contents(path) == PICTURES


def test_a_zip_with_64_bit_sizes_is_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, data in PICTURES.items():
            with archive.open(name, "w", force_zip64=True) as entry:
                entry.write(data)
    raw = (tmp_path / "a.zip").read_bytes()
    at = raw.rindex(b"PK\5\6")
    _, _, _, here, count, length, offset, _ = struct.unpack("<4s4H2LH", raw[at:])
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, here, count, length, offset)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, at, 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    (tmp_path / "a.zip").write_bytes(raw[:at] + end64 + locator + end)
    assert contents(tmp_path / "a.zip") == PICTURES


def test_a_cut_tar_gives_what_came_before_the_cut(tmp_path):
    for name, mode in (("a.tar", "w"), ("a.tar.gz", "w:gz")):
        path = make_tar(tmp_path / name, PICTURES, mode)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) * 2 // 3 if mode == "w:gz" else 3 * 2048 + 100])
        items, failures = split(walk(str(path), Filter()))
        assert failures[0].path == str(path)
        assert failures[0].reason.startswith("the archive is damaged, what came before can be read: ")
        assert 1 <= len(items) < 4
        good = 0
        for shown, item in items.items():
            try:
                assert item.read() == PICTURES[shown.partition("!/")[2]]  # type: ignore[attr-defined]
                good += 1
            except OSError:
                assert shown == list(items)[-1]
        assert good >= len(items) - 1


def test_a_tar_with_a_header_that_is_none_is_not_taken_for_a_shorter_one(tmp_path):
    path = make_tar(tmp_path / "a.tar", PICTURES)
    raw = bytearray(path.read_bytes())
    at = raw.index(b"a/deep/2.jpg")
    raw[at : at + 512] = b"\x01" * 512
    path.write_bytes(raw)
    items, failures = split(walk(str(path), Filter()))
    assert len(items) == 2
    assert [failure.stage for failure in failures] == ["open"]


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.xz", "a.tar.bz2", "a.tar.zst"])
@pytest.mark.parametrize("content", [b"", b"PK", b"\x1f\x8b\x08junk", bytes(range(256)) * 9, b"PK\5\6" + b"\xff" * 18])
def test_what_is_no_archive_is_one_failure(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    items, failures = split(walk(str(path), Filter()))
    assert (items, len(failures)) == ({}, 1)


def test_a_missing_archive_is_an_error(tmp_path):
    with pytest.raises(MissingPathError):
        list(walk(str(tmp_path / "none.zip"), Filter()))


def test_every_shorter_and_every_changed_zip_ends_in_items_and_failures(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"1.jpg": b"one" * 50, "2.jpg": b"two" * 50})
    whole = path.read_bytes()
    spoiled = [whole[:cut] for cut in range(0, len(whole), 7)]
    spoiled += [whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :] for at in range(0, len(whole), 3)]
    for raw in spoiled:
        path.write_bytes(raw)
        items, _ = split(walk(str(path), Filter()))
        for item in items.values():
            with contextlib.suppress(OSError):
                assert item.read() in (b"one" * 50, b"two" * 50)  # type: ignore[attr-defined]


def test_an_entry_over_the_size_limit_is_a_failure(tmp_path):
    limits = ArchiveLimits(entry_bytes=1000)
    content = {"1.jpg": b"x" * 1001, "2.jpg": b"x" * 1000}
    for path in (make_zip(tmp_path / "a.zip", content), make_tar(tmp_path / "a.tar", content)):
        items, (failure,) = split(walk(str(path), Filter(), limits=limits))
        assert list(items) == [f"{path}!/2.jpg"]
        assert failure == Failure(f"{path}!/1.jpg", "read", "1001 bytes are over the limit of 1000")


def test_an_entry_that_unpacks_too_well_is_a_failure(tmp_path):
    limits = ArchiveLimits(small_bytes=100_000)
    path = make_zip(tmp_path / "a.zip", {"1.jpg": bytes(100_001), "2.jpg": bytes(100_000)})
    items, (failure,) = split(walk(str(path), Filter(), limits=limits))
    assert list(items) == [f"{path}!/2.jpg"]
    assert failure.reason == "it unpacks to over 200 times its size, as an archive bomb does"


def test_an_archive_that_unpacks_to_too_much_in_all_is_left_at_that_place(tmp_path):
    limits = ArchiveLimits(small_bytes=50_000, ratio=1)
    content = {f"{at}.jpg": bytes(49_000) for at in range(9)}
    for path in (make_zip(tmp_path / "a.zip", content), make_tar(tmp_path / "a.tar.gz", content, "w:gz")):
        items, (failure,) = split(walk(str(path), Filter(), limits=limits))
        assert len(items) in (4, 5)
        assert (failure.path, failure.stage) == (str(path), "open")
        assert "more than an archive of its size may" in failure.reason


def test_a_directory_that_understates_an_entry_does_not_unpack_more(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"1.jpg": bytes(1000)})
    raw = path.read_bytes()
    path.write_bytes(raw.replace(struct.pack("<L", 1000), struct.pack("<L", 10)))
    items, _ = split(walk(str(path), Filter()))
    with pytest.raises(OSError, match="damaged"):
        items[f"{path}!/1.jpg"].read()  # type: ignore[attr-defined]


def test_too_many_entries_are_left_out_with_a_failure(tmp_path):
    content = {f"{at}.jpg": b"x" for at in range(5)}
    for path in (make_zip(tmp_path / "a.zip", content), make_tar(tmp_path / "a.tar", content)):
        items, (failure,) = split(walk(str(path), Filter(), limits=ArchiveLimits(entries=3)))
        assert len(items) == 3
        assert failure.reason == "it has more than 3 entries: the rest is left out"


def test_a_tar_header_of_a_gigabyte_is_refused(tmp_path):
    path = tmp_path / "a.tar"
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    path.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
    items, (failure,) = split(walk(str(path), Filter()))
    assert items == {}
    assert "a header of 1073741824 bytes" in failure.reason


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_entries_can_be_read_in_any_order_from_many_threads_and_after_pickling(tmp_path, name):
    content = {f"{at:03}.jpg": os.urandom(3000 + at) for at in range(200)}
    path = MAKERS[name](tmp_path / name, content)
    items = list(walk(str(path), Filter()))
    read: dict[str, bytes] = {}

    def take(batch: list) -> None:
        for item in batch:
            read[item.path] = item.read()

    threads = [
        threading.Thread(target=take, args=(items[start::4][::step],))
        for start, step in zip(range(4), (1, 1, -1, 1), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key.partition("!/")[2]: data for key, data in read.items()} == content
    again = pickle.loads(pickle.dumps(items[50:60]))
    assert [item.read() for item in again] == [content[f"{at:03}.jpg"] for at in range(50, 60)]
    del again, items
    gc.collect()  # files left open would be a ResourceWarning, which is an error here


def test_a_packed_tar_is_unpacked_once_by_a_thread_that_reads_in_order(tmp_path, monkeypatch):
    path = make_tar(tmp_path / "a.tar.gz", {f"{at}.jpg": os.urandom(100_000) for at in range(40)}, "w:gz")
    items = list(walk(str(path), Filter()))
    unpacked = []
    import gzip

    plain = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda self, n=-1: unpacked.append(n) or plain(self, n))
    for item in items:
        item.read()  # type: ignore[union-attr]
    assert sum(unpacked) < 1.1 * 40 * 100_000


def test_without_a_zstandard_reader_the_error_says_what_to_install(tmp_path, monkeypatch):
    path = make_tar_zst(tmp_path / "a.tar.zst", PICTURES)
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'imkin\[archives\]'"):
        list(walk(str(path), Filter()))


def test_checksums_are_those_of_the_standard(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"1.jpg": picture(1)})
    (item,) = walk(str(path), Filter())
    assert item.entry.crc == zlib.crc32(picture(1))  # type: ignore[union-attr]
