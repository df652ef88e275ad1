"""What a file of a folder gives when it is read."""

import pytest

from imkin.sources.folder import FileItem


@pytest.mark.parametrize("listed", [0, 1, 100_000, 300_000, 10**9])
def test_all_bytes_are_read_whatever_size_the_file_had_when_it_was_listed(tmp_path, listed):
    data = bytes(range(250)) * 1200
    (tmp_path / "a.jpg").write_bytes(data)
    assert FileItem(str(tmp_path / "a.jpg"), listed, 0, 0).read() == data


def test_a_file_that_went_away_is_an_error_of_reading(tmp_path):
    with pytest.raises(FileNotFoundError):
        FileItem(str(tmp_path / "gone.jpg"), 1, 0, 0).read()
