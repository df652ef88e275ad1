"""Shared fixtures."""

import os
from pathlib import Path

# Before NumPy and torch are loaded: there is a test process on every core already, and threads that wait for each
# other there make a matrix product ten times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

# These machines are shared: a slow example says nothing about the code.
settings.register_profile("imkin", deadline=None)
settings.load_profile("imkin")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photos, damaged files and videos beside the checkout, where there is one."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "photos").is_dir():
        pytest.skip("needs the real files in ../shared, which are not here")
    return folder


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server of this test process."""
    from postgres import PostgresServer

    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture
def url(postgres):
    """The URL of a database without tables."""
    with postgres.lent() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def any_catalogue(request, tmp_path):
    """A new catalogue of each kind: a file's path, a database's URL."""
    if request.param == "sqlite":
        return str(tmp_path / "catalogue.sqlite")
    return request.getfixturevalue("url")


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder with three alike files and one alone, and a trash of its own."""
    from cleaning import lay

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    lay(tmp_path / "root", {"a.jpg": "large", "sub/b.jpg": "middle", "c.jpg": "small", "d.jpg": "other"})
    return tmp_path / "root"


@pytest.fixture
def database(tmp_path):
    """A catalogue as durable as one that keeps a journal is."""
    from imkin.catalogue import Database

    with Database(str(tmp_path / "catalogue.sqlite"), durable=True) as database:
        yield database
