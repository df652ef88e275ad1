"""What a job over shards tells, read from the files of its join, against what one machine tells with all in memory."""

import dataclasses
import os

import numpy as np
import pytest

import imkin
from drawn import picture, write
from imkin import findings, grouping, prints
from imkin.engine import open_engine
from imkin.policy import DEFAULT_RULES, parse_rules
from imkin.result import Relation
from imkin.scale import kept, outcome, pairing, told
from imkin.scale.kept import Joined, keep
from imkin.scale.run import find
from imkin.scan import Scan
from imkin.sources import shards
from imkin.sources.place import Folder
from imkin.types import File, Pairs, Prints
from test_scale import grouped, task_of


@pytest.fixture(params=["in memory", "on disk"])
def memory(request, monkeypatch):
    """Slices and sorts of a few rows, as if there were billions."""
    if request.param == "on disk":
        monkeypatch.setattr(told, "IN_MEMORY", 20)
        monkeypatch.setattr(told, "BUCKETS", 5)
        monkeypatch.setattr(outcome, "SLICE", 7)
    monkeypatch.setattr(grouping, "COMPACT_ABOVE", 4)
    monkeypatch.setattr(outcome, "COMPACT_ABOVE", 4)


def drawn(seed, folder, labels):
    """A random outcome over 60 images, its pairs in several files, some of them twice; and the same in memory."""
    rng = np.random.default_rng(seed)
    leaders = np.sort(rng.choice(60, 34, replace=False))
    leaders[0] = 0
    classes = np.array([rng.integers(0, (leaders <= at).sum()) for at in range(60)])
    classes[leaders] = np.arange(34)
    label = rng.integers(0, labels, 60) if labels else None
    ends = np.sort(rng.integers(0, 34, (40, 2)), axis=1)
    pairs = pairing.pair_rows(ends[:, 0], ends[:, 1], np.round(rng.uniform(0.5, 1, 40), 3).astype(np.float32))
    pairs = pairing.unique(pairs)
    names = []
    for part in range(3):
        rows = np.concatenate([pairs[part::3], pairs[:2]])
        rows["left"], rows["right"] = leaders[rows["left"]], leaders[rows["right"]]
        Folder(str(folder)).write(f"{part}", shards.rows_bytes(rows))
        names.append(f"{part}")
    files = tuple(File(f"{at:02}.jpg", 10 + at % 7, 0, f"{at:064x}", "", 9, 9 + at % 5, "JPEG") for at in range(60))
    method = prints.spec("phash")
    values = Prints(method, np.empty((60, 0), np.uint8), np.ones(60, np.float32))
    scanned = Scan(files, np.zeros(60, np.int64) if label is None else label, values, (), 60, 60, 0, 0)
    joined = Joined(Folder(str(folder)), pairing.PAIR, tuple(names), len(pairs) + 6)
    tree = pairing.forest(pairs)
    found = outcome.Found(scanned, classes, leaders, joined, tree, label, {}, 60, (), ())
    near = Pairs(pairs["left"].copy(), pairs["right"].copy(), pairs["similarity"].copy())
    return found, grouping.find_kin(classes, near, label), scanned


@pytest.mark.parametrize("how", ["transitive", "star", "clique"])
@pytest.mark.parametrize("labels", [0, 2, 3])
def test_groups_and_pairs_from_files_are_those_from_memory(memory, tmp_path, labels, how):
    for seed in range(4):
        found, kin, scanned = drawn(seed, tmp_path, labels)
        rules = parse_rules(DEFAULT_RULES)
        whole = findings.result(scanned, kin, threshold=0.5, grouping=how, references=0, rules=rules)
        assert found.group(threshold=0.5, grouping=how) == whole
        assert list(found.pairs()) == list(findings.named(grouping.expand(kin), scanned.files))
        assert found.found == kin.found


def test_pairs_are_a_sequence(tmp_path):
    pairs = drawn(1, tmp_path, 0)[0].pairs()
    assert pairs[-1] == list(pairs)[-1]
    assert list(pairs[2:5]) == list(pairs)[2:5]
    assert pairs == tuple(pairs)
    assert pairs != tuple(pairs)[1:]


def test_a_relation_survives_its_way_through_a_file(tmp_path):
    relations = [
        Relation("mirrored, cropped", "b", (0.1, 0.2, 0.3, 0.4), 6, 12, 0.5),
        Relation("", bits=3),
        Relation("look-alike", fit=0.25),
    ]
    pairs = pairing.pair_rows(np.arange(3), np.arange(3) + 5, np.float32([0.1, 0.2, 0.3]))
    rows = shards.rows_of(shards.rows_bytes(pairing.told_rows(pairs, relations)), pairing.TOLD)
    assert [pairing.relation_of(row) for row in rows] == relations


@pytest.fixture(scope="module")
def edited(tmp_path_factory):
    """Copies, re-encoded, mirrored and cropped pictures, in an order in which copies stand far apart."""
    folder = tmp_path_factory.mktemp("edited")
    for seed in range(3):
        whole = picture(seed, width=320, height=240)
        write(folder / f"a{seed}.png", whole)
        write(folder / f"b{seed}.jpg", whole, quality=60)
        write(folder / f"c{seed}.png", whole)
        write(folder / f"d{seed}.png", whole[:, ::-1].copy())
        write(folder / f"e{seed}.png", whole[20:220, 30:290].copy())
    return folder


def test_auto_over_shards_finds_the_pairs_and_tells_the_relations_of_one_machine(edited, tmp_path, monkeypatch):
    monkeypatch.setattr("imkin.scale.tiles.FEW", 3)  # several tiles
    task = task_of([edited], tmp_path / "work", by="auto", shard=4)
    engine = open_engine("local", jobs=2)
    found = find(task, engine)
    want = imkin.group(edited)
    names = {pair.relation.name for group in want.groups for pair in group.pairs}
    assert {"identical bytes", "re-encoded"} <= names
    assert any("mirrored" in name for name in names)
    assert grouped(found, task) == want.to_dict()
    engine.close()


class Counted:
    """An engine that notes how often it brings rows together."""

    def __init__(self, engine):
        self.engine, self.partitions = engine, 0
        self.run, self.reduce, self.close = engine.run, engine.reduce, engine.close

    def partition(self, *words):
        self.partitions += 1
        return self.engine.partition(*words)


def test_a_join_that_is_finished_is_not_done_again(edited, tmp_path):
    engine = Counted(open_engine("local", jobs=2))
    task = task_of([edited], tmp_path / "work")
    first = grouped(find(task, engine), task)
    with_join = engine.partitions
    assert grouped(find(task, engine), task) == first
    equals_alone = engine.partitions - with_join
    assert equals_alone == with_join - 1
    # Another threshold is another join.
    find(dataclasses.replace(task, threshold=0.8), engine)
    assert engine.partitions == 2 * with_join + equals_alone
    engine.close()


def test_only_the_rounds_that_are_missing_are_done(tmp_path):
    engine, folder = open_engine("serial"), Folder(str(tmp_path))
    done = []

    def round_of(number):
        def make():
            done.append(number)
            rows = pairing.pair_rows(np.array([0, number]), np.array([9, 10]), np.float32([1, 0.5]))
            return imkin.engine.read(_near, [rows])

        return make

    rounds = [round_of(number) for number in range(3)]
    first = keep(engine, folder, "j", rounds, told=False)
    os.unlink(tmp_path / "pairs" / "j" / "0001.json")
    again = keep(engine, folder, "j", rounds, told=False)
    assert done == [0, 1, 2, 1]
    assert again == first
    assert len(first.files) == 3
    assert sum(map(len, first.chunks())) == first.pairs == 6
    assert first.hot == (7, 7, 7)
    engine.close()


def _near(rows):
    return pairing.Near(rows, (7,))


def test_a_large_join_goes_in_rounds(monkeypatch):
    from imkin.scale import joining

    monkeypatch.setattr(joining, "ROUND_BYTES", 100)
    assert joining._cut(5, 50) == [range(2), range(2, 4), range(4, 5)]
    assert joining._cut(2, 1000) == [range(1), range(1, 2)]
    assert kept.ROUND_BYTES > 1 << 30
