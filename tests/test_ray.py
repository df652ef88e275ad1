"""Ray: a cluster of two nodes on this machine, one of which is killed in the middle, against one process."""

import json
import os
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

import imkin
from drawn import picture, write
from imkin.cli import main
from imkin.engine import Always, Blocks, Lost, found, open_engine, read
from imkin.errors import UsageError
from test_engine import dies_at_three, everything, fails_at_three, rows_of, runs_of_keys
from test_scale import listed

pytestmark = pytest.mark.xdist_group("ray")

# Fast enough to notice a killed node in seconds, slow enough for a busy machine.
HEALTH = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 5000,
    "health_check_failure_threshold": 4,
}
NODE = {"num_cpus": 2, "object_store_memory": 80 << 20}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster of one node, which is said to have a graphics processor; a test adds the other."""
    token = tmp_path_factory.mktemp("ray") / "token"
    token.write_text("ab" * 32)
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_USAGE_STATS_ENABLED": "0"}
    # Its workers read the functions of the test files.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    from ray.cluster_utils import Cluster

    head = NODE | {"num_gpus": 1, "include_dashboard": False, "include_log_monitor": False, "_system_config": HEALTH}
    made = Cluster(initialize_head=True, head_node_args=head)
    yield made
    made.shutdown()


@pytest.fixture(scope="module")
def ray(cluster):
    made = open_engine(f"ray:{cluster.address}")
    yield made
    made.close()


@pytest.fixture
def photos(tmp_path):
    for seed in range(12):
        write(tmp_path / "photos" / f"{seed % 8}-{seed}.png", picture(seed % 8, width=64, height=48))
    (tmp_path / "photos" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    return tmp_path / "photos"


def command(monkeypatch, capfd, *words):
    """What the command prints, run in this process: nothing but its data goes to stdout."""
    monkeypatch.setattr(sys, "argv", ["imkin", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    return json.loads(capfd.readouterr().out)


def test_two_nodes_give_the_answer_of_one_process_and_one_of_them_may_die(
    ray, cluster, photos, tmp_path, monkeypatch, capfd
):
    serial = open_engine("serial")
    node = cluster.add_node(**NODE, include_log_monitor=False)
    assert everything(ray) == everything(serial)
    parts = ray.partition(read(rows_of, range(11)), 4, Always(runs_of_keys))

    listed(photos, tmp_path / "list.parquet")
    words = ("group", tmp_path / "list.parquet", "--by", "phash", "--json", "--no-catalogue", "-q", "--work")
    monkeypatch.setattr("imkin.scale.task.SHARD", 2)

    def kill_in_the_middle():
        ends = time.monotonic() + 60
        while not (tmp_path / "work" / "prints" / "000001.parquet").exists() and time.monotonic() < ends:
            time.sleep(0.01)
        cluster.remove_node(node, allow_graceful=False)

    killer = threading.Thread(target=kill_in_the_middle)
    killer.start()
    engine = ("--engine", f"ray:{cluster.address}")
    told = command(monkeypatch, capfd, *words, tmp_path / "work", *engine)
    killer.join()
    assert told == command(monkeypatch, capfd, *words, tmp_path / "local")
    assert told["summary"] == imkin.group(photos, "phash").to_dict()["summary"]
    assert len(told["failures"]) == 1
    shards = sorted((tmp_path / "local" / "prints").iterdir())
    assert len(shards) == 7
    for shard in shards:
        assert (tmp_path / "work" / "prints" / shard.name).read_bytes() == shard.read_bytes()
    # What was on the node that died is made again.
    expected = serial.partition(read(rows_of, range(11)), 4, Always(runs_of_keys))
    assert list(found(ray.run(parts))) == list(found(serial.run(expected)))
    serial.close()


def test_what_ray_cannot_do_is_an_error(ray):
    with pytest.raises(UsageError, match="three is no number"):
        list(ray.run(read(fails_at_three, range(9))))
    with pytest.raises(UsageError, match=r"--gpus-per-actor 2 cannot be met: the cluster has 1 GPUs"):
        list(ray.run(Blocks(range(3)).map(Always(str), gpus=2)))
    with pytest.raises(UsageError, match="three is no number"):
        ray.reduce(read(fails_at_three, range(9)), sum)
    assert isinstance(next(ray.run(read(dies_at_three, [3]))), Lost)


def test_an_address_at_which_nothing_answers_is_told_at_once(cluster):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UsageError, match=f"no Ray cluster answers at 127.0.0.1:{port}: Connection refused"):
        open_engine(f"ray:127.0.0.1:{port}")


def seen(_):
    return os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES")


def test_workers_share_graphics_processors_as_they_are_told(ray):
    done = list(ray.run(Blocks(range(8)).map(Always(seen), gpus=0.5)))
    assert {gpu for _, gpu in done} == {"0"}
    assert len({process for process, _ in done}) <= 2
