"""Shared fixtures."""

import os
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


# Fast enough to notice a killed node in seconds, slow enough for a busy machine.
HEALTH = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 5000,
    "health_check_failure_threshold": 4,
}
NODE = {"num_cpus": 2, "object_store_memory": 80 << 20}


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory):
    """A Ray cluster of one node on this machine, to which tests add others. Tests that use it are one xdist group."""
    token = tmp_path_factory.mktemp("ray") / "token"
    token.write_text("ab" * 32)
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_USAGE_STATS_ENABLED": "0"}
    # Its workers read the functions of the test files.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={**NODE, "include_dashboard": False, "_system_config": HEALTH}
    )
    yield cluster
    cluster.shutdown()


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
