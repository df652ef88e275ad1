"""The trained network in whole numbers: near the one in floats, the same to the bit in any batch, with a true card."""

import hashlib
import json

import numpy as np
import onnxruntime
import pytest

from imkin import image, testing

torch = pytest.importorskip("torch", reason="training needs the extra `train`: pip install 'imkin[train]'")

from imkin.train import export, network, quantize  # noqa: E402

SIDE = 48


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small network with its card, and a folder of photos."""
    folder = tmp_path_factory.mktemp("quantize")
    torch.manual_seed(5)
    model = network.KinNet(widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), dim=16)
    card = {"mean": [0.45] * 3, "std": [0.26] * 3}
    export.export(model, str(folder / "float.onnx"), side=SIDE, card=card)
    (folder / "photos").mkdir()
    for seed in range(6):
        (folder / "photos" / f"{seed}.png").write_bytes(image.encode_png(testing.scene(seed, 120, 160)))
    (folder / "photos" / "note.txt").write_text("no photo")
    return folder


def vectors(path, pictures):
    return onnxruntime.InferenceSession(path).run(["vectors"], {"pictures": pictures})[0]


@pytest.fixture(scope="module")
def both(trained):
    command = [str(trained / "float.onnx"), "--photos", str(trained / "photos"), "--out", str(trained / "kin.onnx")]
    assert quantize.main(command) == 0
    return trained / "float.onnx", trained / "kin.onnx"


def test_vectors_in_whole_numbers_are_near_those_in_floats(trained, both):
    card = json.loads((trained / "kin.json").read_text())
    pictures = quantize.calibration(str(trained / "photos"), card, seed=1)
    exact, rounded = (vectors(path, pictures) for path in both)
    assert (exact * rounded).sum(axis=1).min() > 0.995
    assert not np.array_equal(exact, rounded)
    alone = np.concatenate([vectors(both[1], pictures[i : i + 1]) for i in range(len(pictures))])
    assert np.array_equal(alone, rounded)


def test_the_card_names_both_files(trained, both):
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in both]
    card = json.loads((trained / "kin.json").read_text())
    assert [card["quantized_from"], card["sha256"]] == digests
    assert card["size"] == SIDE


def test_a_folder_without_photos_is_refused(trained, both, capsys, tmp_path):
    (tmp_path / "note.txt").write_text("no photo")
    out = tmp_path / "kin.onnx"
    assert quantize.main([str(both[0]), "--photos", str(tmp_path), "--out", str(out)]) == 2
    assert "no photos" in capsys.readouterr().err
    assert not out.exists()
