"""Shared fixtures."""

from pathlib import Path

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
