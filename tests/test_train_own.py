"""`imkin train`: labels and triplets against slow definitions, exact resume, early end, what is left behind."""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drawn import picture, write
from imkin import models
from imkin.errors import OutputError, UsageError

torch = pytest.importorskip("torch", reason="training needs the extra `train`: pip install 'imkin[train]'")

from imkin.train import loop, loss, own, pool  # noqa: E402
from imkin.train.data import SIDE, Photos  # noqa: E402
from imkin.train.drawn import drawn_pictures  # noqa: E402
from imkin.train.network import KinNet  # noqa: E402
from imkin.train.plan import Plan  # noqa: E402

COUNT = 32


def small():
    torch.manual_seed(5)
    return KinNet(widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), dim=16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eight subfolders of four pictures."""
    place = tmp_path_factory.mktemp("train") / "photos"
    for seed in range(COUNT):
        write(place / f"thing {seed // 4}" / f"{seed % 4}.jpg", picture(seed, width=64, height=48), quality=90)
    return str(place)


@pytest.fixture
def wish(folder, tmp_path):
    return own.Wish(folder, str(tmp_path / "net.onnx"), epochs=2, pairs=8, threads=1, device="cpu")


@pytest.fixture(scope="module")
def photos():
    pixels = np.ascontiguousarray(drawn_pictures(20, side=SIDE, seed=3).transpose(0, 3, 1, 2))
    label = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 4, 4, 5, 5, 6, 7, 7, 8, 8, 9])
    return Photos(pixels, np.ones(20, np.float32), np.arange(20), label=label)


@pytest.mark.parametrize("seed", range(4))
def test_the_triplet_loss_is_the_mean_over_pairs_with_their_semi_hard_negatives(seed):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(10, 3)).astype(np.float32)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    names = rng.integers(0, 3, 10) if seed else np.arange(10) % 5
    far = [[float(((a - b) ** 2).sum()) for b in z] for a in z]
    terms, fallbacks = [], 0
    for a in range(10):
        negatives = [far[a][n] for n in range(10) if names[n] != names[a]]
        for p in range(10):
            if p == a or names[p] != names[a]:
                continue
            beyond = [value for value in negatives if value > far[a][p]]
            fallbacks += not beyond
            chosen = min(beyond) if beyond else max(negatives)
            terms.append(max(0.0, far[a][p] - chosen + 0.2))
    found = loss.triplet(torch.from_numpy(z), torch.from_numpy(names))
    assert float(found) == pytest.approx(np.mean(terms), abs=1e-5)
    assert fallbacks or seed, "the case without a semi-hard negative was met"


def test_the_triplet_loss_has_a_gradient_towards_the_positive():
    z = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8]], requires_grad=True)
    loss.triplet(z, torch.tensor([0, 0, 1])).backward()
    assert z.grad.abs().sum() > 0


def test_a_batch_of_labelled_photos_shows_each_thing_once_and_its_partner_shows_the_same(photos):
    made = pool.Pool(photos, Plan(pairs=6, drawn=2, others=3, seed=1))
    seen = []
    for step in range(2 * made.steps_per_epoch):
        rows, _ = made.rows(step)
        names = made.names(rows)
        assert len(set(names.tolist())) == len(names) == 6
        partners = made.partners(rows, step)
        assert (made.names(partners) == names).all()
        alone = np.array([(made.label == name).sum() == 1 for name in names])
        assert ((partners == rows) == alone).all()
        seen += names.tolist()
    assert made.steps_per_epoch == 2 and len(set(seen)) == 12


def test_things_held_out_are_not_trained_on(photos):
    held, rest = loop.held_out(photos, seed=0)
    assert sorted([*held, *rest]) == list(range(20))
    labels = set(photos.label[held].tolist())
    assert len(labels) >= 2 and not labels & set(photos.label[rest].tolist())


def test_a_model_of_labelled_folders_is_ready_to_compare_by(wish, folder):
    wish = replace(wish, loss="triplet", labels="folders")
    lines = []
    found = own.train(wish, network=small(), log=lines.append)
    assert found.finished and found.steps == 2 * 2 and found.largest_difference <= 1e-4
    assert [line["step"] for line in lines if "uAP" in line] == [2, 4]
    network = models.fingerprinter(f"onnx:{wish.out}", device="cpu")
    assert network.spec.dim == 16 and network.spec.default_threshold == found.threshold
    card = json.loads(Path(found.card).read_text())
    assert (card["loss"], card["labels"], card["photos"], card["size"]) == ("triplet", "folders", COUNT, 112)
    assert os.listdir(wish.out + ".run") == ["log.jsonl"]


def test_a_stopped_run_that_goes_on_ends_in_the_same_bytes_as_an_unbroken_one(wish, tmp_path):
    wish = replace(wish, epochs=1)
    whole = own.train(wish, network=small())
    cut = replace(wish, out=str(tmp_path / "cut.onnx"))
    steps = []
    first = own.train(cut, network=small(), log=lambda facts: steps.append(facts["step"]), stop=lambda: 1 in steps)
    assert not first.finished and first.steps == 1 < whole.steps
    with pytest.raises(UsageError, match="go on with --resume"):
        own.train(cut, network=small())
    with pytest.raises(UsageError, match="other pictures or options"):
        own.train(replace(cut, resume=True, pairs=6), network=small())
    second = own.train(replace(cut, resume=True), network=small())
    assert second.finished and (second.steps, second.best_step, second.uap) == (whole.steps, whole.best_step, whole.uap)
    assert Path(cut.out).read_bytes() == Path(wish.out).read_bytes()


def test_a_run_that_becomes_no_better_ends_early(photos, tmp_path):
    plan = Plan(
        steps=60, pairs=4, sides=((0.0, 32),), drawn=0, others=4, shipped_side=32, threads=1, rate=0.0,
        examine_every=1, patience=2,
    )  # fmt: skip
    run = loop.Run(photos, plan, str(tmp_path / "run.pt"), network=small())
    loop.train(run, log=lambda facts: None)
    assert run.stale == 2 and run.step < 60


def test_decisions_make_pictures_one_thing(folder, wish):
    paths = sorted(os.path.join(top, name) for top, _, names in os.walk(folder) for name in names)
    sha = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths[:6]]
    said = {(sha[0], sha[1]): "same", (sha[1], sha[2]): "same", (sha[3], sha[4]): "different", (sha[4], "0"): "same"}
    shown = Photos(np.zeros((6, 1)), np.ones(6), np.arange(6), paths=tuple(paths[:6]))
    label = own.labelled(shown, replace(wish, labels="decisions"), said).label
    assert [label[i] == label[0] for i in range(6)] == [True, True, True, False, False, False]
    assert len(set(label.tolist())) == 4
    with pytest.raises(UsageError, match="0 pairs of these pictures"):
        own.labelled(shown, replace(wish, labels="decisions"), {})


def test_a_full_disk_while_saving_is_one_clear_error_and_leaves_the_older_checkpoint(photos, tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    plan = Plan(steps=2, pairs=4, sides=((0.0, 32),), drawn=0, others=4, shipped_side=32, threads=1)
    run = loop.Run(photos, plan, str(tmp_path / "run.pt"), network=small())
    run.save()
    before = (tmp_path / "run.pt").read_bytes()
    os.symlink("/dev/full", tmp_path / "run.pt.partial")
    with pytest.raises(OutputError, match="cannot write the checkpoint"):
        run.save()
    assert (tmp_path / "run.pt").read_bytes() == before and os.listdir(tmp_path) == ["run.pt"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"loss": "mse"}, "unknown --loss `mse`; known: ssl, triplet"),
        ({"labels": "names"}, "known: none, folders, decisions"),
        ({"backbone": "vgg"}, "known: kin, efficientnet-b0, mobilenet-v3, resnet50"),
        ({"minutes": 5.0}, "--minutes or --epochs"),
        ({"epochs": 0}, "--minutes or --epochs"),
        ({"pairs": 1}, "--batch"),
        ({"device": "tpu"}, "no device `tpu`"),
        ({"out": "net.pt"}, r"ends in \.onnx"),
        ({"out": "/nowhere/net.onnx"}, "/nowhere is no folder"),
        ({"resume": True}, "no run to go on with"),
    ],
)
def test_what_cannot_be_is_refused_before_any_picture_is_read(wish, change, words):
    with pytest.raises((UsageError, OutputError), match=words):
        own.train(replace(wish, photos="/nowhere", **change), network=small())


def test_too_few_pictures_are_one_error_and_leave_nothing(wish, tmp_path):
    write(tmp_path / "few" / "1.png", picture(1))
    with pytest.raises(UsageError, match="holds 1 pictures; training needs at least 32"):
        own.train(replace(wish, photos=str(tmp_path / "few")), network=small())
    assert os.listdir(tmp_path) == ["few"]


def test_one_folder_is_no_labels(folder, wish):
    with pytest.raises(UsageError, match="has 1 subfolders"):
        shown = Photos(np.zeros((2, 1)), np.ones(2), np.arange(2), paths=(f"{folder}/a/1.jpg", f"{folder}/a/2.jpg"))
        own.labelled(shown, replace(wish, labels="folders"), {})


SHIM = """
import torch
try:
    import torchvision
except Exception:
    lib = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        lib.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""
BUILT = """
import sys
from imkin.train import backbones, export
net = backbones.build("efficientnet-b0", seed=0)
assert any(type(part).__name__ == "Mish" for part in net.modules())
assert not any(type(part).__name__ in ("ReLU", "SiLU") for part in net.modules())
print(export.export(net, sys.argv[1], side=32, card={"mean": [0.45] * 3, "std": [0.26] * 3}))
"""
REFUSED = """
from imkin.errors import UsageError
from imkin.train import backbones
try:
    import torchvision
except Exception:
    try:
        backbones.build("resnet50", seed=0)
    except UsageError as error:
        print(error)
else:
    print("train --backbone kin")
backbones.build("kin", seed=0)
"""


@pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="needs timm: pip install 'imkin[train]'")
def test_a_backbone_of_timm_becomes_a_model_with_mish_activations(tmp_path):
    path = str(tmp_path / "net.onnx")
    done = subprocess.run([sys.executable, "-c", SHIM + BUILT, path], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) <= 1e-4
    assert models.fingerprinter(f"onnx:{path}", device="cpu").spec.dim == 256


@pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="needs timm: pip install 'imkin[train]'")
def test_where_torchvision_cannot_be_imported_kin_trains_all_the_same():
    done = subprocess.run([sys.executable, "-c", REFUSED], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "train --backbone kin" in done.stdout, done.stderr
