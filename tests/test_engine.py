"""One test holds all engines: serial, threads, processes and Ray give the same bytes in the same order."""

import os
import pickle
import signal
import sys
import time
from dataclasses import dataclass

import numpy as np
import pytest

import imkin.engine
from imkin.engine import Always, Blocks, Lost, found, open_engine, read, split
from imkin.errors import LostWorkError, MissingExtraError, UsageError

ROWS = np.dtype([("key", np.uint64), ("at", np.int64)])


@pytest.fixture(params=["serial", "local", "processes"], scope="module")
def engine(request):
    made = open_engine(request.param, jobs=2)
    yield made
    made.close()


def rows_of(shard):
    rng = np.random.default_rng(shard)
    rows = np.empty(50, ROWS)
    rows["key"] = rng.integers(0, 40, 50)
    rows["at"] = shard * 50 + np.arange(50)
    return rows


@dataclass(frozen=True)
class Offset:
    """Remembers how often it was made, in a file a process: a model is loaded once."""

    folder: str
    value: int

    def __call__(self):
        with open(os.path.join(self.folder, f"{os.getpid()}"), "a") as file:
            file.write("x")
        return lambda number: number + self.value


def slow_first(number):
    time.sleep(0.2 if number == 0 else 0)
    return number


def runs_of_keys(rows):
    return [(int(key), rows["at"][rows["key"] == key].tolist()) for key in np.unique(rows["key"])]


def joined(values):
    return [part for value in values for part in value] if values else []


def everything(engine):
    """What a pipeline through all verbs gives, as bytes."""
    shards = read(rows_of, range(11))
    parts = engine.partition(shards, 4, Always(runs_of_keys))
    return pickle.dumps(
        [
            list(found(engine.run(shards.map(Always(len))))),
            list(found(engine.run(parts))),
            engine.reduce(parts.map(Always(len)), sum),
            engine.reduce(parts, joined),
        ]
    )


def test_every_engine_gives_the_same_bytes(engine):
    serial = open_engine("serial")
    assert everything(engine) == everything(serial)
    serial.close()


def test_rows_of_equal_keys_meet_in_one_part_in_the_order_of_the_blocks(engine):
    parts = list(found(engine.run(engine.partition(read(rows_of, range(11)), 4, Always(runs_of_keys)))))
    assert len(parts) == 4
    met = {key: places for part in parts for key, places in part}
    assert sum(len(part) for part in parts) == len(met) == 40
    whole = np.concatenate([rows_of(shard) for shard in range(11)])
    assert met == {key: whole["at"][whole["key"] == key].tolist() for key in range(40)}


def test_results_come_in_the_order_of_the_items(engine):
    assert list(engine.run(read(slow_first, range(30)))) == list(range(30))


def test_a_worker_is_made_once_a_process(engine, tmp_path):
    done = list(engine.run(Blocks(range(40)).map(Offset(str(tmp_path), 5))))
    assert done == list(range(5, 45))
    made = list(tmp_path.iterdir())
    assert 1 <= len(made) <= 2
    assert all(file.read_text() == "x" for file in made)


def test_a_reduction_merges_neighbours_in_a_tree(engine):
    words = read(str, range(100))
    assert engine.reduce(words, "-".join) == "-".join(map(str, range(100)))
    assert engine.reduce(Blocks(()), "-".join) == ""
    assert engine.reduce(read(str, [7]), "<{0[0]}>".format) == "<7>"


def test_no_blocks_make_no_parts(engine):
    assert list(engine.run(engine.partition(Blocks(()), 3, Always(len)))) == []


def fails_at_three(number):
    if number == 3:
        raise UsageError("three is no number")
    return number


def test_what_a_worker_raises_is_raised(engine):
    with pytest.raises(UsageError, match="three is no number"):
        list(engine.run(read(fails_at_three, range(9))))
    assert list(engine.run(read(slow_first, range(3)))) == [0, 1, 2]


def dies_at_three(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@dataclass(frozen=True)
class DiesOnce:
    folder: str

    def __call__(self, number):
        mark = os.path.join(self.folder, "died")
        if number == 3 and not os.path.exists(mark):
            open(mark, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return number


@pytest.fixture(scope="module")
def processes():
    made = open_engine("processes", jobs=2)
    yield made
    made.close()


def test_what_kills_its_worker_is_lost_and_nothing_else_is(processes):
    done = list(processes.run(read(dies_at_three, range(9))))
    assert done[:3] + done[4:] == [0, 1, 2, 4, 5, 6, 7, 8]
    assert isinstance(done[3], Lost)
    assert done[3].at == 3
    assert "-9" in done[3].reason


def test_the_work_of_a_worker_that_dies_is_done_by_another(processes, tmp_path):
    assert list(processes.run(read(DiesOnce(str(tmp_path)), range(9)))) == list(range(9))


def test_lost_work_stops_what_needs_all_of_it(processes):
    with pytest.raises(LostWorkError, match="lost 3 times"):
        processes.reduce(read(dies_at_three, range(9)), sum)


def dies_when_made():
    os._exit(7)


def test_workers_that_cannot_start_are_an_error(processes):
    with pytest.raises(LostWorkError, match="before they can work"):
        list(processes.run(Blocks(range(1)).map(dies_when_made)))


def test_large_items_and_results_pass_without_a_deadlock(processes):
    items = [np.full(1 << 18, number) for number in range(8)]
    assert [int(each[0]) for each in processes.run(read(np.negative, items))] == [-n for n in range(8)]


def test_a_run_that_is_left_in_the_middle_leaves_nothing_for_the_next(processes):
    run = processes.run(read(slow_first, range(20)))
    assert next(run) == 0
    run.close()
    assert list(processes.run(read(str, range(3)))) == ["0", "1", "2"]


def test_keys_are_spread_over_the_parts_whatever_their_pattern():
    rows = np.zeros(8000, ROWS)
    rows["key"] = np.arange(8000, dtype=np.uint64) << np.uint64(40)
    _, starts = split(rows, 8)
    assert np.diff(starts).min() > 900


def test_an_unknown_engine_is_an_error():
    with pytest.raises(UsageError, match=r"unknown engine `spark`; known: local"):
        open_engine("spark")


def test_missing_ray_is_an_error_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "imkin.engine.ray", raising=False)
    monkeypatch.delattr(imkin.engine, "ray", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'imkin\[ray\]'"):
        open_engine("ray")
