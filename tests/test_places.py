"""The main job over places that are no folders."""

import zipfile

import pytest

import imkin
from drawn import picture, write
from imkin.errors import UsageError
from imkin.plan import HELD


def test_an_archive_is_compared_like_a_folder_and_shown_in_the_report(tmp_path):
    photo = write(tmp_path / "photos" / "a.png", picture(1))
    with zipfile.ZipFile(tmp_path / "album.zip", "w") as album:
        album.write(photo, "holiday/b.png")
        album.write(write(tmp_path / "other.png", picture(2)), "c.png")
    with imkin.Library() as library:
        scanned = library.scan([str(tmp_path / "album.zip"), str(tmp_path / "photos")])
        result = library.group(scanned, library.kin(scanned, 0.9), threshold=0.9)
        (group,) = result.groups
        assert {member.path for member in group.members} == {photo, f"{tmp_path}/album.zip!/holiday/b.png"}
        assert dict(zip(scanned.prints.paths, scanned.root.tolist(), strict=True))[photo] == 1
        assert library.pixels(f"{tmp_path}/album.zip!/holiday/b.png", 0).tolist() == picture(1).tolist()


def test_what_is_held_for_an_undo_is_never_scanned(tmp_path):
    write(tmp_path / "p" / "a.png", picture(1))
    write(tmp_path / "p" / HELD / "1" / "b.png", picture(1))
    assert imkin.group(tmp_path / "p", wanted=imkin.Filter(hidden=True)).images == 1


def test_videos_and_archives_in_a_folder_are_counted_and_not_entered(tmp_path):
    write(tmp_path / "p" / "a.png", picture(1))
    for name in ("p/b.mp4", "p/deep/c.MKV", "p/d.zip", "p/e.txt", "p/.f.mp4", "videos/g.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"no picture")
    with imkin.Library() as library:
        scanned = library.scan([str(tmp_path / "p")], "phash")
        assert (len(scanned.files), scanned.failures, str(scanned.passed)) == (1, (), "2 videos, 1 archive")
        assert not library.scan([str(tmp_path / "p" / "a.png")], "phash").passed
        with pytest.raises(UsageError, match=r"no images in .*/videos but 1 video, which must be named; `imkin group"):
            library.scan([str(tmp_path / "videos")], "phash")
