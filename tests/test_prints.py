"""The registry of methods, and the contract that every method keeps."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from imkin import image, prints
from imkin.errors import UsageError
from imkin.testing import check_fingerprinter
from imkin.types import QUALITY_FLOOR, Prints, Spec

TURNING = ("ahash", "dhash", "phash", "pdq", "vote")


@pytest.mark.parametrize("name", [method.name for method in prints.BUILT_IN])
def test_every_method_keeps_the_contract(name):
    check_fingerprinter(prints.fingerprinter(name))


@pytest.mark.parametrize("name", TURNING)
def test_every_method_keeps_the_contract_with_turns(name):
    check_fingerprinter(prints.fingerprinter(name, turns=True))


def test_thresholds_are_whole_bits():
    found = {name: prints.spec(name).default_threshold for name in (*TURNING, "exact")}
    assert found == {
        "ahash": 1 - 6 / 64,
        "dhash": 1 - 6 / 64,
        "phash": 1 - 6 / 64,
        "pdq": 1 - 31 / 256,
        "vote": 1 - 19 / 64,
        "exact": 1.0,
    }


@pytest.mark.parametrize(("name", "bits"), [("ahash", 64), ("dhash", 64), ("phash", 64), ("pdq", 256), ("vote", 192)])
def test_turns_make_another_spec_of_eight_times_the_bits(name, bits):
    upright, turned = prints.spec(name), prints.spec(name, turns=True)
    assert (upright.dim, turned.dim) == (bits, 8 * bits)
    assert turned.params["turns"] == 8
    assert upright.id != turned.id


@pytest.mark.parametrize("name", TURNING)
def test_the_first_of_the_turns_is_the_upright_one(name):
    pictures = [np.random.default_rng(seed).integers(0, 256, (70, 90, 3), dtype=np.uint8) for seed in range(3)]
    upright, _ = prints.fingerprinter(name).embed_batch(pictures)
    made = prints.fingerprinter(name, turns=True)
    parts = prints.turn_parts(Prints(made.spec, *made.embed_batch(pictures)))
    assert parts.shape == (3, 8, upright.shape[1])
    assert np.array_equal(parts[:, 0], upright)


def test_the_eight_turns_of_a_picture_all_differ():
    picture = np.arange(6).reshape(2, 3)
    seen = {prints.turn(picture, t).tobytes() + bytes(prints.turn(picture, t).shape) for t in range(8)}
    assert len(seen) == 8
    assert np.array_equal(prints.turn(picture, 0), picture)


def test_an_unknown_method_is_named_with_the_known_and_the_nearest():
    with pytest.raises(UsageError) as caught:
        prints.fingerprinter("pahsh")
    text = str(caught.value)
    assert text.startswith("unknown method `pahsh`; known: auto, exact, ahash, dhash, phash, pdq, vote, ")
    assert "; nearest: phash, " in text
    assert text.endswith(" (see `imkin methods`)")


def test_a_method_without_turns_says_which_have_them():
    with pytest.raises(UsageError, match=r"`exact` does not look at turned .* ahash, dhash, phash, pdq, vote$"):
        prints.fingerprinter("exact", turns=True)


def test_exact_has_no_fingerprint_of_pixels():
    with pytest.raises(UsageError, match="compares files"):
        prints.fingerprinter("exact").embed_batch([])


class Plugin:
    """A fingerprinter of somebody else: one byte, the mean."""

    spec = Spec("tint", 1, "bits", 8, 0.9, 8)

    def embed_batch(self, images):
        return np.array([[image.mean()] for image in images], np.uint8), np.ones(len(images), np.float32)


def broken():
    raise RuntimeError("no weights")


@pytest.fixture
def plugins(monkeypatch):
    points = tuple(
        EntryPoint(name, f"{__name__}:{target}", prints.GROUP)
        for name, target in [("tint", "Plugin"), ("broken", "broken"), ("gone", "nothing"), ("phash", "Plugin")]
    )
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    monkeypatch.setattr(prints, "_plugins", lambda: points)


@pytest.mark.usefixtures("plugins")
def test_a_plugin_is_a_method_and_a_broken_one_is_a_usage_error_when_asked_for():
    assert prints.names() == (*(method.name for method in prints.BUILT_IN), "broken", "gone", "tint")
    assert prints.about("broken") == f"plugin: {__name__}:broken"
    assert prints.spec("tint").dim == 8
    assert prints.spec("phash").dim == 64
    with pytest.raises(
        UsageError, match=r"`broken` .* cannot be loaded: RuntimeError\('no weights'\); mend or remove it"
    ):
        prints.fingerprinter("broken")
    with pytest.raises(UsageError, match=r"`gone` .* cannot be loaded: AttributeError"):
        prints.fingerprinter("gone")
    with pytest.raises(UsageError, match="`tint` does not look at turned"):
        prints.fingerprinter("tint", turns=True)


@pytest.mark.usefixtures("plugins")
def test_the_contract_check_refuses_a_plugin_that_calls_blank_pictures_good():
    with pytest.raises(AssertionError, match="one pixel has a quality below"):
        check_fingerprinter(prints.fingerprinter("tint"))


def test_the_registry_imports_neither_scipy_nor_pillow():
    code = "import sys, imkin.prints as p; p.names(); sys.exit(any(m in sys.modules for m in ('scipy', 'PIL')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", TURNING)
def test_no_photo_is_below_the_quality_floor(name, shared):
    paths = sorted((shared / "photos" / "dev").glob("*.jpg"))[::6]
    made = prints.fingerprinter(name)
    photos = [image.decode(path.read_bytes(), path=str(path), side=made.spec.side).pixels for path in paths]
    assert made.embed_batch(photos)[1].min() >= QUALITY_FLOOR


def test_every_network_that_can_be_named_has_a_card():
    from imkin.models.cards import CARDS

    assert tuple(CARDS) == prints.NETWORKS
