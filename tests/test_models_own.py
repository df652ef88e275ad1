"""`onnx:PATH`: the user's own network, of any form, and every way in which it can be none."""

import json
from importlib.resources import files

import numpy as np
import onnx
import pytest

import imkin
from drawn import picture, write
from hub import network
from imkin import models, prints
from imkin.errors import MissingExtraError, MissingPathError, UsageError
from imkin.models import cut
from imkin.models.network import _box
from imkin.prints import embedding
from imkin.prints.session import CPU_BATCH
from imkin.testing import check_fingerprinter, scene

PICTURES = [scene(seed, height, width) for seed, (height, width) in enumerate([(120, 160), (90, 90), (300, 200)])]


@pytest.fixture
def own(tmp_path):
    """Write a network and, if given, its card; returns the method."""

    def make(model, card=None, **options):
        (tmp_path / "net.onnx").write_bytes(model)
        if card is not None:
            (tmp_path / "net.json").write_text(card if isinstance(card, str) else json.dumps(card))
        return models.fingerprinter(f"onnx:{tmp_path / 'net.onnx'}", **options)

    return make


def by_hand(model, picture, *, size, mean, std):
    """Slow and obvious: the vector of a picture that already has the network's size."""
    import onnxruntime

    assert picture.shape == (size, size, 3)
    fed = ((picture / 255 - mean) / std).astype(np.float32).transpose(2, 0, 1)[None]
    (vector,) = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"x": fed})
    return vector[0] / np.linalg.norm(vector[0])


@pytest.mark.parametrize("size", ["side", 96])
def test_an_own_network_keeps_the_contract_of_a_fingerprinter(own, size):
    check_fingerprinter(own(network(size=size)))


def test_a_vector_is_what_the_network_gives_of_the_normalised_picture_at_length_1(own):
    picture, model = scene(1, 160, 160), network()
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
    values, quality = own(model, mean=mean, std=std, size=160).embed_batch([picture])
    assert np.abs(values[0] - by_hand(model, picture, size=160, mean=mean, std=std)).max() < 1e-6
    assert quality[0] == 1
    imagenet = own(model, size=160).embed_batch([picture])[0][0]
    usual = by_hand(model, picture, size=160, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    assert np.abs(imagenet - usual).max() < 1e-6


@pytest.mark.parametrize(
    "form",
    [
        {"batch": 1},
        {"batch": 4},
        {"batch": 1, "size": 160},
        {"nhwc": True},
        {"nhwc": True, "size": 160, "batch": 1},
        {"channels": "num_channels"},
        {"tail": "pooled"},
    ],
)
def test_every_form_of_the_same_network_gives_the_same_vectors(own, form):
    wanted = own(network(), size=160).embed_batch(PICTURES)[0]
    assert np.abs(own(network(**form), size=160).embed_batch(PICTURES)[0] - wanted).max() < 1e-5


@pytest.mark.parametrize("nhwc", [False, True])
def test_a_network_that_takes_bytes_is_given_bytes(own, nhwc):
    wanted = own(network(), size=160, mean=0, std=1).embed_batch(PICTURES)[0]
    made = own(network(uint8=True, nhwc=nhwc), size=160)
    assert np.abs(made.embed_batch(PICTURES)[0] - wanted).max() < 1e-5


def test_a_network_of_gray_pictures_is_given_their_luma(own):
    made = own(network(channels=1), size=160)
    gray = np.repeat(np.arange(160, dtype=np.uint8)[:, None, None], 160, 1).repeat(3, 2)
    tinted = gray.copy()
    tinted[..., 2] = 0
    both = made.embed_batch([gray, tinted])[0]
    assert both.shape == (2, 32)
    assert not np.array_equal(both[0], both[1])


def test_a_network_of_a_fixed_oblong_size_sees_the_whole_picture(own):
    made = own(network(size=(64, 128)))
    assert made.spec.params["shape"] == [64, 128]
    assert made.embed_batch(PICTURES)[0].shape == (3, 32)


def test_tokens_give_their_first_or_as_the_card_says_their_mean(own):
    first = own(network(tail="tokens"), size=160).embed_batch(PICTURES)[0]
    mean = own(network(tail="tokens"), {"pooling": "mean"}, size=160).embed_batch(PICTURES)[0]
    pooled = own(network(), {"pooling": None}, size=160).embed_batch(PICTURES)[0]
    assert np.abs(mean - pooled).max() < 1e-5
    assert np.abs(first - mean).max() > 0.01


@pytest.mark.parametrize(("side", "seen"), [(60, 112), (111, 112), (112, 224), (300, 224)])
def test_auto_gives_pictures_under_112_pixels_at_112(own, side, seen):
    picture = scene(3, side, side)
    wanted = own(network(), size=seen).embed_batch([picture])[0]
    assert np.array_equal(own(network()).embed_batch([picture])[0], wanted)
    assert np.array_equal(own(network(), size="auto").embed_batch([picture])[0], wanted)


def test_auto_of_a_mixed_batch_keeps_the_order(own):
    made = own(network())
    pictures = [scene(seed, side, side) for seed, side in enumerate([60, 300, 80, 112])]
    together = made.embed_batch(pictures)[0]
    assert all(np.array_equal(made.embed_batch([p])[0][0], together[i]) for i, p in enumerate(pictures))


def test_auto_leaves_a_network_of_a_fixed_size_at_that_size(own):
    made = own(network(size=160), size="auto")
    assert made.spec.params["shape"] == [160, 160] and made.spec.params["small"] == 0


def test_a_card_says_size_scale_output_and_threshold(own):
    card = {"size": 160, "mean": [0.1, 0.2, 0.3], "std": 0.5, "output": "vectors", "dim": 32, "threshold": 0.6}
    made = own(network(), card)
    assert made.spec.default_threshold == 0.6 and made.spec.side == 160
    assert made.spec.params["mean"] == pytest.approx([0.1, 0.2, 0.3])
    wanted = own(network(), "{}", size=160, mean=[0.1, 0.2, 0.3], std=0.5).embed_batch(PICTURES)[0]
    assert np.array_equal(made.embed_batch(PICTURES)[0], wanted)


def test_a_mean_of_0_is_a_word_too(own):
    assert own(network(), {"mean": 0, "std": 1}).spec.params["mean"] == [0, 0, 0]


def test_a_crop_takes_the_middle_of_a_picture(own):
    picture = scene(5, 160, 320)
    made = own(network(), {"size": 80, "fit": "crop", "crop": 0.5})
    assert made.spec.side == 160
    assert _box(picture, 80, 80, made.shape) == (120, 40, 200, 120)
    alone = own(network(), {"size": 80}).embed_batch([np.ascontiguousarray(picture[40:120, 120:200])])[0]
    assert np.abs(made.embed_batch([picture])[0] - alone).max() < 1e-6


def test_the_built_in_network_as_an_own_one_gives_its_own_vectors(tmp_path):
    for name in ("kin.onnx", "kin.json"):
        (tmp_path / name).write_bytes((files("imkin") / "models" / name).read_bytes())
    made = models.fingerprinter(f"onnx:{tmp_path / 'kin.onnx'}")
    side = embedding.card().side
    squares = np.concatenate([embedding.squares(picture, [embedding.WHOLE], side=side) for picture in PICTURES])
    assert np.abs(made.embed_batch(PICTURES)[0] - embedding.embed(squares)).max() < 1e-6


def test_a_cut_gives_what_goes_into_the_last_layer(own):
    cut_off = own(network(tail="logits"), {"cut": True, "dim": 32}, size=160).embed_batch(PICTURES)[0]
    assert np.abs(cut_off - own(network(), "{}", size=160).embed_batch(PICTURES)[0]).max() < 1e-6
    assert own(network(tail="logits"), "{}").spec.dim == 10


def test_a_cut_needs_a_layer_to_cut_at(own):
    with pytest.raises(UsageError, match="no fully connected one"):
        own(network(), {"cut": True})


def test_a_cut_without_the_package_onnx_names_the_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"imkin\[models\]"):
        cut.penultimate(b"", name="net")


def test_weights_in_a_file_of_their_own_are_used_and_are_part_of_what_the_network_is(tmp_path):
    def write(seed):
        loaded = onnx.load_from_string(network(seed=seed))
        onnx.save(loaded, tmp_path / "net.onnx", save_as_external_data=True, location="net.onnx.data", size_threshold=0)

    write(0)
    before = (tmp_path / "net.onnx").read_bytes()
    made = models.fingerprinter(f"onnx:{tmp_path / 'net.onnx'}")
    (tmp_path / "net.onnx.data").unlink()
    write(1)
    assert (tmp_path / "net.onnx").read_bytes() == before
    other = models.fingerprinter(f"onnx:{tmp_path / 'net.onnx'}")
    assert made.spec.id != other.spec.id
    (tmp_path / "net.onnx.data").unlink()
    with pytest.raises(UsageError, match=r"net\.onnx\.data, which is not there"):
        models.fingerprinter(f"onnx:{tmp_path / 'net.onnx'}")


def test_the_id_is_of_the_networks_bytes_and_options_not_of_its_place(own, tmp_path):
    made = own(network())
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "net.onnx").write_bytes(network())
    assert models.fingerprinter(f"onnx:{tmp_path / 'elsewhere' / 'net.onnx'}").spec.id == made.spec.id
    ids = {
        made.spec.id,
        own(network(), size=160).spec.id,
        own(network(), std=0.5).spec.id,
        own(network(seed=1)).spec.id,
    }
    assert len(ids) == 4


def test_what_a_network_sees_nothing_in_has_quality_0_and_is_like_nothing(own):
    made = own(network(blind=True), size=64, mean=0, std=1)
    red = scene(2, 70, 70)
    red[..., 1:] = 0
    assert prints.fingerprinter("phash").embed_batch([red])[1][0] > 0.2
    values, quality = made.embed_batch([red, scene(1, 70, 70)])
    assert not values[0].any() and quality[0] == 0
    assert np.linalg.norm(values[1]) == pytest.approx(1, abs=1e-6) and quality[1] > 0.2


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (b"no network at all", "cannot be used as an ONNX model"),
        (b"", "cannot be used as an ONNX model"),
        (network()[:-500], "cannot be used as an ONNX model"),
        (network(inputs=2), "has 2 inputs"),
        (network(tail="nan"), "NaN"),
        (network(tail="zeros"), "zeros alone"),
        (network(tail="empty"), "no vectors"),
        (network(tail="labels"), "gives no vector"),
        (network(tail="scalar"), "no vectors"),
        (network(channels=4), "takes 4 channels"),
    ],
)
def test_what_is_no_network_of_images_is_one_clear_error(own, model, reason):
    with pytest.raises(UsageError, match=reason) as raised:
        own(model)
    assert "net.onnx" in str(raised.value) and "\n" not in str(raised.value)


def test_a_network_of_words_has_no_image_input(own):
    given = onnx.helper.make_tensor_value_info("words", onnx.TensorProto.INT64, ["n", 77])
    found = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.INT64, None)
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["words"], ["y"])], "words", [given], [found])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(UsageError, match="no image input"):
        own(model.SerializeToString())


@pytest.mark.parametrize(
    ("form", "card", "reason"),
    [
        ({}, {"dim": 64}, "gives 32 numbers.*its card says 64"),
        ({}, {"output": "embedding"}, "no output `embedding`"),
        ({}, {"input": "pixel_values"}, "names the input `pixel_values`"),
        ({}, {"pooling": "token 0"}, "no tokens"),
        ({}, {"layout": "NHWC"}, "is not NHWC"),
        ({"size": 96}, {"size": 160}, "96 pixels alone; its card says 160"),
        ({"uint8": True}, {"mean": 0.5}, "takes bytes"),
        ({"channels": 1}, {"mean": [0.5, 0.5, 0.5]}, "1 channels"),
        ({}, {"sha256": "0" * 64}, "of another file"),
        ({}, {"size": "large"}, "`size`: 'large'"),
        ({}, {"mean": [123.7, 116.3, 103.5]}, "divide by 255"),
        ({}, {"mean": [0.5, 0.5]}, "one number or three"),
        ({}, {"std": 0.0}, "over 0"),
        ({}, {"pooling": "max"}, "`pooling`: 'max'"),
        ({}, "{not json", "cannot be read"),
        ({}, "[]", "no JSON object"),
    ],
)
def test_a_card_that_contradicts_the_network_is_one_clear_error(own, form, card, reason):
    with pytest.raises(UsageError, match=reason) as raised:
        own(network(**form), card)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"size": 0}, "over 0"),
        ({"size": 160}, "96 pixels alone; --size says 160"),
        ({"mean": 120.0}, "divide by 255"),
        ({"std": 0.0}, "over 0"),
        ({"std": [0.1, 0.2]}, "one number or three"),
        ({"device": "abacus"}, "no device `abacus`.*auto, cpu"),
    ],
)
def test_options_that_cannot_be_are_one_clear_error(own, options, reason):
    with pytest.raises(UsageError, match=reason):
        own(network(size=96), **options)


def test_a_size_too_small_for_the_network_is_one_clear_error(own):
    with pytest.raises(UsageError, match="fails on a picture of 1x3x4x4") as raised:
        own(network(), size=4)
    assert "\n" not in str(raised.value)


def test_a_network_that_is_not_there_and_an_unknown_name_say_so(tmp_path):
    with pytest.raises(MissingPathError, match="there is no network"):
        models.fingerprinter(f"onnx:{tmp_path / 'none.onnx'}")
    with pytest.raises(UsageError, match=r"unknown network `resnet51`.*resnet50"):
        models.fingerprinter("resnet51")


def test_a_batch_on_a_processor_is_one_picture_unless_the_graph_says_more(own):
    assert own(network()).runner.batch == CPU_BATCH == 1
    assert own(network(batch=4)).runner.batch == 4


def test_groups_are_found_by_an_own_network_and_its_vectors_are_remembered(own, tmp_path):
    for seed in (1, 2, 3):
        write(tmp_path / "photos" / f"{seed}.png", picture(seed))
    write(tmp_path / "photos" / "1 again.jpg", picture(1), quality=70)
    catalogue = tmp_path / "catalogue.db"
    result = imkin.group(tmp_path / "photos", own(network()), threshold=0.995, catalogue=catalogue)
    (group,) = result.groups
    assert {member.path.rpartition("/")[2] for member in group.members} == {"1.png", "1 again.jpg"}
    assert result.method == "onnx:net.onnx" and result.failures == ()
    with imkin.Library(str(catalogue)) as library:
        scanned = library.scan([str(tmp_path / "photos")], own(network()))
        assert (scanned.made, scanned.reused) == (0, 4)
        assert library.scan([str(tmp_path / "photos")], own(network(), size=160)).made == 4
