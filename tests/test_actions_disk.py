"""Moves on a disk that reports an error after it did what it was asked, as network disks do."""

import errno
import os
from dataclasses import replace

import pytest

from cleaning import lay, tree
from imkin.actions.disk import DISK, RefusedError, place

NO_LINKS = OSError(errno.EPERM, "no hard links here")


def raising(error, done=None):
    """An operation of the disk that raises error, after it was done if `done` is given."""

    def operation(*paths):
        if done:
            done(*paths)
        raise error

    return operation


def unlinking(source, error):
    """The removal of source is done and reported as an error; all others are done."""
    return lambda path: raising(error, os.unlink)(path) if path == source else os.unlink(path)


@pytest.fixture
def names(tmp_path):
    lay(tmp_path, {"source": "the only copy"})
    return str(tmp_path / "source"), str(tmp_path / "dest")


def test_a_removal_that_is_done_and_reported_as_an_error_keeps_the_new_name(names, tmp_path):
    place(replace(DISK, unlink=unlinking(names[0], OSError(errno.EIO, "lost"))), *names)
    assert tree(tmp_path) == {"dest": "the only copy"}


def test_a_removal_that_is_not_done_leaves_the_old_name_alone(names, tmp_path):
    def unlink(path):
        if path == names[0]:
            raise OSError(errno.EIO, "not done")
        os.unlink(path)

    with pytest.raises(OSError, match="not done"):
        place(replace(DISK, unlink=unlink), *names)
    assert tree(tmp_path) == {"source": "the only copy"}


def test_a_new_file_at_the_old_name_does_not_cost_the_moved_one(names, tmp_path):
    def unlink(path):
        os.unlink(path)
        if path == names[0]:
            lay(tmp_path, {"source": "a new one"})
            raise OSError(errno.EIO, "lost")

    with pytest.raises(OSError, match="lost"):
        place(replace(DISK, unlink=unlink), *names)
    assert tree(tmp_path) == {"source": "a new one", "dest": "the only copy"}


def test_a_file_that_vanishes_while_it_is_moved_stays_under_its_new_name(names, tmp_path):
    def link(source, dest):
        os.link(source, dest)
        os.unlink(source)

    place(replace(DISK, link=link), *names)
    assert tree(tmp_path) == {"dest": "the only copy"}


def test_a_file_that_is_replaced_while_it_is_moved_is_refused(names, tmp_path):
    def link(source, dest):
        os.link(source, dest)
        os.unlink(source)
        lay(tmp_path, {"source": "saved anew"})

    with pytest.raises(RefusedError, match="was replaced by another file meanwhile"):
        place(replace(DISK, link=link), *names)
    assert tree(tmp_path) == {"source": "saved anew"}


def test_a_rename_that_is_done_and_reported_as_an_error_keeps_the_file(names, tmp_path):
    lost = raising(OSError(errno.EIO, "lost"), os.replace)
    place(replace(DISK, link=raising(NO_LINKS), replace=lost), *names)
    assert tree(tmp_path) == {"dest": "the only copy"}


def test_a_rename_that_is_not_done_leaves_no_empty_file(names, tmp_path):
    with pytest.raises(OSError, match="not done"):
        place(replace(DISK, link=raising(NO_LINKS), replace=raising(OSError(errno.EIO, "not done"))), *names)
    assert tree(tmp_path) == {"source": "the only copy"}
