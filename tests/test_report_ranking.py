"""One JSON file an image, under names that never clash."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imkin.errors import OutputError
from imkin.report.ranking import display_names, write_rankings, write_vectors
from imkin.types import Prints, Spec


def read(path: str) -> list[dict[str, object]]:
    return json.loads(Path(path).read_bytes())


def test_an_image_is_named_by_its_file_name_without_suffix() -> None:
    assert display_names(["r/cabin0.jpg", "r/in/cabin1.tar.png"], ["r"]) == ["cabin0", "cabin1.tar"]


def test_images_that_would_share_a_name_get_their_relative_paths_and_no_others() -> None:
    paths = ["r/a/x.jpg", "r/b/x.jpg", "r/y.jpg", "r/y.png", "r/z.jpg"]
    assert display_names(paths, ["r"]) == ["a/x.jpg", "b/x.jpg", "y.jpg", "y.png", "z"]


def test_equal_relative_paths_of_two_roots_become_whole_paths() -> None:
    paths = ["r/a/x.jpg", "s/a/x.jpg", "t/x.jpg", "lone/x.jpg"]
    assert display_names(paths, ["r", "s/", "t"]) == ["r/a/x.jpg", "s/a/x.jpg", "x.jpg", "lone/x.jpg"]


def test_a_relative_path_that_meets_another_images_name_moves_that_one_too() -> None:
    assert display_names(["r/a.b", "r/a.c", "r/in/a.b.jpg"], ["r"]) == ["r/a.b", "a.c", "in/a.b.jpg"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["r", "s", "r/s"]),
            st.sampled_from(["", "a/", "b/", "a/b/"]),
            st.sampled_from(["x", "X", "x.y"]),
            st.sampled_from(["", ".jpg", ".png"]),
        ),
        unique=True,
    )
)
def test_names_are_always_different(parts: list[tuple[str, str, str, str]]) -> None:
    paths = sorted({f"{root}/{folder}{stem}{suffix}" for root, folder, stem, suffix in parts})
    names = display_names(paths, ["r", "s", "r/s"])
    assert len(set(names)) == len(paths)


def test_the_image_itself_comes_first_then_the_others_by_falling_similarity_and_name(tmp_path: Path) -> None:
    names = ["cabin0", "tree", "bark", "cabin1"]
    rows = [
        [(1, 0.5), (2, 0.50004), (3, 0.984375), (0, 1.0)],
        [(0, 0.5), (2, 1.0), (3, 0.0)],
        [(0, 0.5), (1, 1.0)],
        [],
    ]
    paths = write_rankings(str(tmp_path / "new"), names, iter(rows))
    assert [os.path.basename(path) for path in paths] == ["cabin0.json", "tree.json", "bark.json", "cabin1.json"]
    assert read(paths[0]) == [
        {"similarity": 1.0, "filename": "cabin0"},
        {"similarity": 0.9844, "filename": "cabin1"},
        {"similarity": 0.5, "filename": "bark"},
        {"similarity": 0.5, "filename": "tree"},
    ]
    assert [row["filename"] for row in read(paths[1])] == ["tree", "bark", "cabin0", "cabin1"]
    assert read(paths[3]) == [{"similarity": 1.0, "filename": "cabin1"}]


def test_files_whose_names_differ_in_case_only_or_cannot_be_stand_side_by_side(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9")
    names = ["Cabin", "cabin", "CABIN", "a/x.jpg", "a_x.jpg", "aux", "", "long" * 100, "long" * 101, odd, "dots.."]
    paths = write_rankings(str(tmp_path), names, [[] for _ in names])
    files = [os.path.basename(path) for path in paths]
    assert files[:7] == [
        "Cabin.json", "cabin-2.json", "CABIN-3.json", "a_x.jpg.json", "a_x.jpg-2.json", "aux_.json", "_.json",
    ]  # fmt: skip
    assert files[7:9] == ["long" * 50 + ".json", "long" * 50 + "-2.json"]
    assert files[9:] == [f"{odd}.json", "dots.json"]
    assert sorted(os.listdir(tmp_path)) == sorted(files)
    assert [read(path)[0]["filename"] for path in paths] == names


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "Cabin1.json").write_bytes(b"mine")
    with pytest.raises(OutputError, match="is there already"):
        write_rankings(str(tmp_path), ["cabin0", "CABIN1"], [[], []])
    assert os.listdir(tmp_path) == ["Cabin1.json"]
    assert (tmp_path / "Cabin1.json").read_bytes() == b"mine"
    with pytest.raises(OutputError, match="cannot make the folder"):
        write_rankings(str(tmp_path / "Cabin1.json"), ["cabin0"], [[]])


def test_only_the_images_asked_for_are_ranked_and_their_files_keep_their_names(tmp_path: Path) -> None:
    names = ["Cabin", "cabin", "tree"]
    paths = write_rankings(str(tmp_path), names, [[(0, 0.5)], [(0, 0.25), (1, 0.75)]], own=[1, 2])
    assert sorted(os.listdir(tmp_path)) == ["cabin-2.json", "tree.json"]
    assert [row["filename"] for row in read(paths[1])] == ["tree", "cabin", "Cabin"]
    assert read(paths[0])[0] == {"similarity": 1.0, "filename": "cabin"}


def test_fingerprints_are_written_as_they_are_also_gray_images_of_different_sizes(tmp_path: Path) -> None:
    bits = Prints(Spec("b", 1, "bits", 16, 0.9, 0), np.array([[1, 2], [3, 4]], np.uint8), np.ones(2, np.float32))
    grays = np.empty(2, object)
    grays[:] = [np.zeros((2, 3), np.uint8), np.ones((4, 1), np.uint8)]
    pictures = Prints(Spec("g", 1, "gray image", 0, 0.9, 0), grays, np.ones(2, np.float32))
    for folder, prints in (("bits", bits), ("gray", pictures)):
        paths = write_vectors(str(tmp_path / folder), ["a", "A"], prints)
        assert [os.path.basename(path) for path in paths] == ["a.npy", "A-2.npy"]
        for path, value in zip(paths, prints.values, strict=True):
            read_back = np.load(path, allow_pickle=False)
            assert np.array_equal(read_back, value)
            assert read_back.dtype == np.uint8
    with pytest.raises(OutputError, match="is there already"):
        write_vectors(str(tmp_path / "bits"), ["b", "a"], bits)
