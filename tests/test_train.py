"""Training on drawn pictures: the losses by their papers' formulas, the edits, exact resume, the export."""

import dataclasses
import json
import math
import os
import resource

import numpy as np
import pytest

from imkin import image
from imkin.errors import MissingPathError, OutputError, UsageError

torch = pytest.importorskip("torch", reason="training needs the extra `train`: pip install 'imkin[train]'")

from imkin.train import augment, exam, export, kin, loop, loss, network  # noqa: E402
from imkin.train.data import FEWEST, SIDE, Photos, gather  # noqa: E402
from imkin.train.drawn import drawn_pictures, letterings  # noqa: E402

SMALL = loop.Plan(
    steps=4,
    pairs=8,
    sides=((0.0, 32), (0.5, 48)),
    drawn=4,
    others=4,
    memory=24,
    memory_from=0.0,
    warm_steps=2,
    shipped_side=48,
)


def small_network():
    torch.manual_seed(5)
    return network.KinNet(widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), dim=16)


@pytest.fixture(scope="module")
def photos():
    pixels = np.ascontiguousarray(drawn_pictures(FEWEST + 8, side=SIDE, seed=3).transpose(0, 3, 1, 2))
    return Photos(pixels, np.linspace(0.6, 1.7, len(pixels), dtype=np.float32), np.arange(len(pixels)))


def vectors(count, dim=6, seed=0):
    drawn = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.mark.parametrize("with_memory", [False, True])
def test_infonce_is_the_formula_of_the_paper(with_memory):
    z, memory = vectors(8), vectors(5, seed=1)
    terms = []
    for i in range(8):
        j = (i + 4) % 8
        below = sum(math.exp(float(z[i] @ z[k]) / 0.05) for k in range(8) if k != i)
        if with_memory:
            below += sum(math.exp(float(z[i] @ m) / 0.05) for m in memory)
        terms.append(-math.log(math.exp(float(z[i] @ z[j]) / 0.05) / below))
    found = loss.infonce(torch.from_numpy(z), memory=torch.from_numpy(memory) if with_memory else None)
    assert float(found) == pytest.approx(np.mean(terms), rel=1e-5)


def test_entropy_is_the_formula_of_the_paper_without_the_partner():
    z = vectors(8)
    z[4] = z[0]  # the partner of row 0 is nearest, and must not count
    terms = [
        -math.log(min(np.linalg.norm(z[i] - z[k]) for k in range(8) if k not in (i, (i + 4) % 8))) for i in range(8)
    ]
    assert float(loss.entropy(torch.from_numpy(z))) == pytest.approx(np.mean(terms), rel=1e-5)


def test_accuracy_counts_the_rows_whose_nearest_is_their_partner():
    z = np.eye(6, dtype=np.float32)[[0, 1, 2, 0, 1, 3]]
    assert loss.batch_accuracy(torch.from_numpy(z)) == pytest.approx(4 / 6)


def test_edits_of_no_strength_leave_the_picture_as_it_is(photos):
    pictures = torch.from_numpy(photos.pixels[:6]).float() / 255
    book = augment.Scrapbook(torch.from_numpy(letterings(4, side=SIDE, seed=0)))
    made = augment.edited_pairs(
        pictures,
        torch.ones(6),
        pictures[:2],
        book,
        augment.Edits(SIDE, 0.0),
        generator=torch.Generator().manual_seed(1),
    )
    assert (made - pictures.repeat(2, 1, 1, 1)).abs().max() < 1e-3


def test_edits_of_full_strength_depend_on_the_seed_alone(photos):
    pictures = torch.from_numpy(photos.pixels[:8]).float() / 255
    book = augment.Scrapbook(torch.from_numpy(letterings(4, side=SIDE, seed=0)))

    def made(seed):
        generator = torch.Generator().manual_seed(seed)
        return augment.edited_pairs(
            pictures, torch.ones(8), pictures[:4], book, augment.Edits(64, 1.0), generator=generator
        )

    assert made(1).shape == (16, 3, 64, 64)
    assert torch.equal(made(1), made(1))
    assert not torch.equal(made(1), made(2))
    assert made(1).min() >= 0 and made(1).max() <= 1


def test_turns_without_rotation_are_the_eight_turns_of_the_array(photos):
    picture = torch.from_numpy(photos.pixels[3:4]).float() / 255
    generator = torch.Generator().manual_seed(0)
    points = augment.mesh(SIDE)
    seen = set()
    wanted = [np.rot90(flip, k, axes=(2, 3)) for flip in (picture, picture.flip(3)) for k in range(4)]
    for matrix in augment.turns(torch.ones(200), torch.ones(200), generator=generator):
        if not torch.equal(matrix.abs().round(), matrix.abs()):
            continue  # also rotated by a few degrees
        grid = (points @ matrix.T)[None, :, :2].reshape(1, SIDE, SIDE, 2)
        moved = torch.nn.functional.grid_sample(picture, grid, align_corners=False, padding_mode="border").numpy()
        seen.add(next(i for i, turned in enumerate(wanted) if np.abs(moved - turned).max() < 1e-3))
    assert seen == set(range(8))


def test_crops_of_a_pair_share_a_part():
    full = torch.ones(2000)
    a, b = augment.crop_pairs(full, full, generator=torch.Generator().manual_seed(0))
    assert augment.overlap(a, b).min() >= augment.LEAST_OVERLAP
    for boxes in (a, b):
        assert (boxes[:, :2].abs() + boxes[:, 2:]).max() <= 1 + 1e-6
        assert (boxes[:, 2] * boxes[:, 3]).min() >= augment.LEAST_AREA - 1e-6
    assert (a[:, 2] * a[:, 3]).min() < 0.3


def test_overlap_is_a_share_of_the_smaller_box():
    a = torch.tensor([[0.0, 0.0, 1.0, 1.0], [-0.5, 0.0, 0.5, 1.0]])
    b = torch.tensor([[0.5, 0.5, 0.5, 0.5], [0.25, 0.0, 0.5, 0.5]])
    assert augment.overlap(a, b).tolist() == pytest.approx([1.0, 0.25])


def test_compression_in_fine_steps_changes_nothing_and_in_coarse_steps_only_the_chosen_rows():
    basis = augment.cosine_basis()
    assert torch.allclose(basis @ basis.T, torch.eye(8), atol=1e-6)
    pictures = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    fine, coarse = pictures.clone(), pictures.clone()
    augment.compress(fine, torch.tensor([1]), step=torch.tensor([1e-6]))
    augment.compress(coarse, torch.tensor([1]), step=torch.tensor([0.2]))
    assert torch.allclose(fine, pictures, atol=1e-5)
    assert (coarse != pictures).flatten(1).any(dim=1).tolist() == [False, True, False]


def test_the_plan_grows_the_edits_over_the_first_half_and_the_pictures_late():
    plan = loop.Plan()
    assert [round(plan.strength(done), 3) for done in (0, 0.25, 0.5, 1)] == [0.15, 0.575, 1.0, 1.0]
    assert [SMALL.side(done) for done in (0, 0.49, 0.5, 1)] == [32, 32, 48, 48]
    assert plan.learning_rate(10_000, 1.0) == pytest.approx(plan.rate / 100)


def test_half_batches_get_their_rows_from_the_whole_list(photos):
    pool = loop.Pool(photos, SMALL)
    seen = np.concatenate([pool.rows(step)[0] for step in range(pool.size // SMALL.pairs)])
    assert len(set(seen.tolist())) == len(seen) == pool.size // SMALL.pairs * SMALL.pairs
    batch, others = pool.rows(1)
    assert not set(batch.tolist()) & set(others.tolist())
    assert (np.diff(batch) < 0).any(), "in the list's order the threads would see different kinds of pictures"


def test_a_resumed_run_equals_an_unbroken_one_to_the_bit(photos, tmp_path):
    whole = loop.Run(photos, SMALL, str(tmp_path / "whole.pt"), network=small_network())
    loop.train(whole, log=lambda facts: None)
    first = loop.Run(photos, SMALL, str(tmp_path / "cut.pt"), network=small_network())
    first.advance()
    first.advance()
    first.save()
    second = loop.Run(photos, SMALL, str(tmp_path / "cut.pt"), network=small_network())
    second.load()
    best = loop.train(second, log=lambda facts: None)
    assert whole.step == second.step == SMALL.steps
    for a, b in zip(whole.average.state_dict().values(), second.average.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(whole.network.state_dict().values(), second.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert whole.best is not None and best.uap == whole.best.uap


def test_training_lowers_the_loss(photos, tmp_path):
    # A long plan, of which only the start is run: the edits stay mild, so that losses can be compared.
    plan = dataclasses.replace(SMALL, steps=100_000, threads=1, memory_from=1.0)
    run = loop.Run(photos, plan, str(tmp_path / "run.pt"), network=small_network())
    losses = [run.advance()["loss"] for _ in range(40)]
    assert np.mean(losses[-10:]) < np.mean(losses[:5]) - 0.5


def test_an_interruption_keeps_the_best_weights_and_a_checkpoint(photos, tmp_path):
    run = loop.Run(photos, SMALL, str(tmp_path / "run.pt"), network=small_network())

    def log(facts):
        if facts["step"] == 2 and "loss" in facts:
            raise KeyboardInterrupt

    best = loop.train(run, log=log)
    assert best.step == 2
    resumed = loop.Run(photos, SMALL, str(tmp_path / "run.pt"), network=small_network())
    resumed.load()
    assert resumed.step == 2


def test_a_missing_or_broken_checkpoint_is_one_clear_error(photos, tmp_path):
    run = loop.Run(photos, SMALL, str(tmp_path / "none.pt"), network=small_network())
    with pytest.raises(UsageError, match=r"none\.pt"):
        run.load()
    (tmp_path / "none.pt").write_bytes(b"no checkpoint")
    with pytest.raises(UsageError, match=r"none\.pt"):
        run.load()


def test_validation_scores_are_those_of_the_definitions():
    similarity = torch.tensor([[0.9, 0.2], [0.9, 0.8], [0.1, 0.3]])
    truth = torch.tensor([[True, False], [False, True], [True, False]])
    # In order: 0.9 false (ties count against), 0.9 true, 0.8 true, 0.3 false, 0.2 false, 0.1 true.
    assert exam.micro_average_precision(similarity, truth) == pytest.approx((1 / 2 + 2 / 3 + 3 / 6) / 3)
    assert exam.recall_at_false_rate(similarity, truth, rate=0.0) == 0
    assert exam.recall_at_false_rate(similarity, truth, rate=0.4) == pytest.approx(2 / 3)


def test_the_exported_model_equals_the_trained_one(tmp_path):
    net = network.KinNet()
    generator = torch.Generator().manual_seed(0)
    for step in range(3):  # so that the batch norms have statistics worth folding
        net(torch.randn(8, 3, 64, 64, generator=generator) * (1 + step))
    net.eval()
    path = str(tmp_path / "model.onnx")
    assert export.export(net, path, side=64, card={"mean": [0.45] * 3}) <= 1e-4
    pictures = torch.randn(5, 3, 64, 64, generator=generator)
    with torch.no_grad():
        single = net(pictures)
        half = export.Deployed(net)(pictures)
    assert (single * half).sum(dim=1).min() > 0.9999, "half-precision weights cost next to nothing"
    assert os.path.getsize(path) <= 6e6
    card = json.loads((tmp_path / "model.json").read_text())
    assert (card["size"], card["dim"], card["mean"]) == (64, 256, [0.45] * 3)


def test_a_model_that_is_not_a_number_is_not_written(tmp_path):
    net = network.KinNet()
    torch.nn.init.constant_(net.head.weight, float("nan"))
    with pytest.raises(Exception, match="nothing was written"):
        export.export(net, str(tmp_path / "model.onnx"), side=32, card={})
    assert not list(tmp_path.iterdir())


def write_pictures(folder, count):
    folder.mkdir()
    for i, pixels in enumerate(drawn_pictures(count, side=64, seed=9)):
        (folder / f"{i:03}.png").write_bytes(image.encode_png(pixels[: 48 + i % 16]))


def test_photos_are_decoded_once_and_broken_files_are_named(tmp_path):
    write_pictures(tmp_path / "photos", FEWEST)
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no picture")
    photos, failures = gather(str(tmp_path / "photos"), str(tmp_path / "cache"))
    assert len(photos) == FEWEST and [os.path.basename(f.path) for f in failures] == ["broken.jpg"]
    assert photos.aspect[1] == pytest.approx(64 / 49)
    made = (tmp_path / "cache" / "photos.npy").stat().st_mtime_ns
    again, _ = gather(str(tmp_path / "photos"), str(tmp_path / "cache"))
    assert (tmp_path / "cache" / "photos.npy").stat().st_mtime_ns == made
    assert np.array_equal(again.pixels, photos.pixels)
    os.remove(tmp_path / "photos" / "000.png")
    write_pictures(tmp_path / "photos" / "more", 5)
    assert len(gather(str(tmp_path / "photos"), str(tmp_path / "cache"))[0]) == FEWEST + 4


def test_too_few_photos_and_no_folder_are_clear_errors(tmp_path):
    write_pictures(tmp_path / "photos", 3)
    with pytest.raises(UsageError, match="holds 3 pictures; training needs at least 32"):
        gather(str(tmp_path / "photos"), str(tmp_path / "cache"))
    with pytest.raises(MissingPathError, match="nowhere"):
        gather(str(tmp_path / "nowhere"), str(tmp_path / "cache"))


def test_the_command_writes_a_model_and_its_card(tmp_path, capsys):
    write_pictures(tmp_path / "photos", FEWEST + 4)
    out = str(tmp_path / "kin.onnx")
    line = ["--photos", str(tmp_path / "photos"), "--out", out, "--steps", "1", "--threads", "1"]
    assert kin.main(line) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["steps"] == 1 and said["largest_difference"] <= 1e-4
    card = json.loads((tmp_path / "kin.json").read_text())
    assert card["photos"] == FEWEST + 4 and card["seed"] == 0
    assert kin.main([*line[:-4], "--steps", "-1"]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_half_precision_is_used_where_the_processor_has_it_alone(monkeypatch):
    for has in (True, False):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=has: {"avx2": True, "avx512_bf16": has})
        with network.mixed("cpu"):
            assert small_network()(torch.zeros(1, 3, 32, 32)).dtype == torch.float32
            assert (torch.zeros(2, 2) @ torch.zeros(2, 2)).dtype == (torch.bfloat16 if has else torch.float32)


def test_a_full_disk_leaves_neither_a_half_model_nor_a_card(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OutputError, match="cannot write"):
            export.export(small_network(), str(tmp_path / "kin.onnx"), side=48, card={})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
