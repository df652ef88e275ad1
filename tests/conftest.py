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
