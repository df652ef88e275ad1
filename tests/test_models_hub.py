"""Named networks from a hub: the real client against a hub on loopback."""

import hashlib
import json
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hub import COMMIT, hub, network
from imkin import models
from imkin.errors import ImkinError, MissingExtraError, UsageError
from imkin.models import cache, cards, download
from imkin.models.cards import CARDS
from imkin.testing import scene

# A named network's form in small; the real one's size, output and numbers.
FORMS = {
    "resnet50": {"batch": "n", "size": 224, "output": "output_0"},
    "inception-v3": {"batch": 1, "size": 299, "output": "y", "tail": "logits"},
    "efficientnet-b0": {"batch": 1, "size": 224, "output": "y", "tail": "logits"},
    "mobilenet-v3": {"batch": "batch_size", "size": "height", "channels": "num_channels", "tail": "logits"},
    "dinov2-small": {"size": "height", "channels": "num_channels", "output": "last_hidden_state", "tail": "tokens"},
    "dinov2-base": {"size": "height", "channels": "num_channels", "output": "last_hidden_state", "tail": "tokens"},
    "clip-vit-b32": {"size": "height", "channels": "num_channels", "output": "image_embeds"},
    "siglip": {"size": "height", "channels": "num_channels", "output": "pooler_output"},
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty cache folder, and no sha256 pinned: the small networks are not the real ones."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, card in CARDS.items():
        monkeypatch.setitem(CARDS, name, replace(card, sha256=None, revision=card.revision and COMMIT))
    return tmp_path / "cache" / "imkin" / "models"


@pytest.fixture
def served(here, monkeypatch):
    with hub() as (server, base):
        monkeypatch.setenv("HF_ENDPOINT", base)
        for name, form in FORMS.items():
            card = CARDS[name]
            server.files[card.source, card.files[0]] = network(card.recipe.dim, **form)
        yield server


def content(server, name):
    return server.files[CARDS[name].source, CARDS[name].files[0]]


def files_below(folder):
    return sorted(os.path.relpath(os.path.join(at, name), folder) for at, _, names in os.walk(folder) for name in names)


@pytest.mark.parametrize("name", FORMS)
def test_a_named_network_is_downloaded_and_gives_unit_vectors(served, here, name):
    card = CARDS[name]
    made = models.fingerprinter(name)
    values, quality = made.embed_batch([scene(1, 300, 400), scene(2, 250, 250)])
    assert values.shape == (2, card.recipe.dim)
    assert np.linalg.norm(values, axis=1) == pytest.approx(1, abs=1e-5)
    assert (quality > 0.2).all()
    assert (made.spec.name, made.spec.default_threshold) == (name, card.threshold)
    side = card.recipe.size
    assert made.spec.params["shape"] == [side, side]
    assert made.spec.side == round(side / card.recipe.crop + 0.4)
    assert files_below(here) == sorted([f"{name}/ledger.json", f"{name}/{os.path.basename(card.files[0])}"])


def test_the_ledger_holds_the_commit_and_sha256_of_what_was_downloaded(served, here):
    models.fingerprinter("resnet50")
    ledger = json.loads((here / "resnet50" / "ledger.json").read_text())
    data = content(served, "resnet50")
    assert ledger["commit"] == COMMIT
    assert ledger["sha256"] == hashlib.sha256(data).hexdigest()
    assert (ledger["source"], ledger["bytes"], ledger["how"]) == ("Qdrant/resnet50-onnx", len(data), "downloaded")


def test_a_network_in_the_cache_asks_the_hub_nothing(served):
    first = models.fingerprinter("resnet50")
    asked = len(served.asked)
    assert asked > 0
    again = models.fingerprinter("resnet50", offline=True)
    assert again.spec.id == first.spec.id and len(served.asked) == asked


def test_a_pinned_revision_is_what_is_asked_for(served, monkeypatch):
    monkeypatch.setitem(CARDS, "resnet50", replace(CARDS["resnet50"], revision=COMMIT))
    models.fingerprinter("resnet50")
    assert {path for _, path, _ in served.asked} == {f"/Qdrant/resnet50-onnx/resolve/{COMMIT}/model.onnx"}


def test_a_later_download_asks_for_the_recorded_commit(served):
    models.fingerprinter("resnet50")
    cache.remove(CARDS["resnet50"])
    served.asked.clear()
    models.fingerprinter("resnet50")
    assert {path for _, path, _ in served.asked} == {f"/Qdrant/resnet50-onnx/resolve/{COMMIT}/model.onnx"}


def test_a_second_name_of_the_file_is_tried(served):
    card = CARDS["inception-v3"]
    served.files[card.source, card.files[1]] = served.files.pop((card.source, card.files[0]))
    assert models.fingerprinter("inception-v3").spec.dim == 2048


def test_a_file_other_than_the_pinned_one_is_refused_and_not_kept(served, here, monkeypatch):
    monkeypatch.setitem(CARDS, "resnet50", replace(CARDS["resnet50"], sha256="0" * 64))
    with pytest.raises(UsageError, match=r"is not the network `resnet50`.*pinned by imkin"):
        models.fingerprinter("resnet50")
    assert files_below(here) == []


def test_the_first_file_is_held_to_until_it_is_forgotten(served, here):
    first = models.fingerprinter("resnet50").spec.id
    cache.remove(CARDS["resnet50"])
    served.files[CARDS["resnet50"].source, "model.onnx"] = network(2048, **FORMS["resnet50"], seed=1)
    with pytest.raises(UsageError, match=r"recorded in the ledger.*rm resnet50 --forget"):
        models.fingerprinter("resnet50")
    assert files_below(here) == ["resnet50/ledger.json"]
    cache.remove(CARDS["resnet50"], forget=True)
    assert models.fingerprinter("resnet50").spec.id != first


def test_a_file_changed_in_the_cache_is_refused(served, here):
    models.fingerprinter("resnet50")
    with open(here / "resnet50" / "model.onnx", "ab") as file:
        file.write(b"more")
    with pytest.raises(UsageError, match=r"model\.onnx is not the network `resnet50`"):
        models.fingerprinter("resnet50")


def test_a_file_put_there_by_hand_is_used_and_recorded(here):
    place = here / "resnet50"
    place.mkdir(parents=True)
    (place / "model.onnx").write_bytes(network(2048, size=224))
    assert models.fingerprinter("resnet50", offline=True).spec.dim == 2048
    ledger = json.loads((place / "ledger.json").read_text())
    assert (ledger["how"], ledger["commit"]) == ("put by hand", None)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<html>please log in</html>", "cannot be used as an ONNX model"),
        (network(1000, size=224), "gives 1000 numbers.*its card says 2048"),
        (network(2048, size=299), "299 pixels alone; its card says 224"),
        (network(2048, tail="nan"), "NaN"),
    ],
)
def test_what_the_hub_sends_is_tried_before_it_is_kept(served, here, data, reason):
    served.files[CARDS["resnet50"].source, "model.onnx"] = data
    with pytest.raises(UsageError, match=reason):
        models.fingerprinter("resnet50")
    assert files_below(here) == []


def test_a_wrong_file_put_by_hand_is_not_recorded(here):
    place = here / "resnet50"
    place.mkdir(parents=True)
    (place / "model.onnx").write_bytes(b"something else")
    with pytest.raises(UsageError, match="cannot be used as an ONNX model"):
        models.fingerprinter("resnet50", offline=True)
    assert files_below(here) == ["resnet50/model.onnx"]


def test_a_connection_that_is_cut_once_is_taken_up_again(served, here, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    served.cut = 1000
    models.fingerprinter("resnet50")
    assert [method for method, _, _ in served.asked].count("GET") == 2
    assert (here / "resnet50" / "model.onnx").read_bytes() == content(served, "resnet50")


def test_a_connection_that_is_always_cut_leaves_nothing_behind(served, here, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    served.cut, served.cut_once = 1000, False
    with pytest.raises(ImkinError, match=r"cannot download `resnet50`.*kin, which needs no download"):
        models.fingerprinter("resnet50")
    assert files_below(here) == []


def test_without_a_network_the_error_names_the_file_its_place_and_kin(here, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ImkinError) as raised:
        models.fingerprinter("dinov2-small")
    text = str(raised.value)
    assert f"Put onnx/model.onnx of onnx-community/dinov2-small, revision {COMMIT}, at {here}/dinov2-small/" in text
    assert text.endswith("or use --by kin, which needs no download") and "\n" not in text
    assert files_below(here) == []


def test_offline_asks_nobody(served):
    with pytest.raises(UsageError, match=r"--offline was given\. Put model\.onnx of Qdrant/resnet50-onnx"):
        models.fingerprinter("resnet50", offline=True)
    assert served.asked == []


def test_a_repository_revision_or_file_that_is_gone_says_which(served, monkeypatch):
    card = CARDS["resnet50"]
    data = served.files.pop((card.source, "model.onnx"))
    with pytest.raises(UsageError, match="no repository Qdrant/resnet50-onnx"):
        models.fingerprinter("resnet50")
    served.files[card.source, "other.onnx"] = data
    with pytest.raises(UsageError, match=r"has no file model\.onnx"):
        models.fingerprinter("resnet50")
    monkeypatch.setitem(CARDS, "resnet50", replace(card, revision="f" * 40))
    with pytest.raises(UsageError, match="no revision ffff"):
        models.fingerprinter("resnet50")


def test_a_hub_that_is_broken_says_so(served, here, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    served.status = 503
    with pytest.raises(ImkinError, match=r"cannot download `resnet50`.*503"):
        models.fingerprinter("resnet50")
    assert files_below(here) == []


def test_without_the_client_the_error_names_the_extra(here, monkeypatch):
    monkeypatch.setattr(download.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"imkin\[models\]"):
        models.fingerprinter("resnet50")


def test_a_damaged_ledger_says_how_to_remove_it(served, here):
    models.fingerprinter("resnet50")
    (here / "resnet50" / "ledger.json").write_text("{")
    with pytest.raises(UsageError, match=r"is damaged.*rm resnet50 --forget"):
        models.fingerprinter("resnet50")


def test_sscd_says_how_it_is_imported(here):
    with pytest.raises(UsageError, match="imkin models import sscd FILE"):
        models.fingerprinter("sscd")


def test_two_at_once_both_get_the_network(served, here):
    made = []
    threads = [threading.Thread(target=lambda: made.append(models.fingerprinter("resnet50"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 2 and made[0].spec.id == made[1].spec.id
    assert files_below(here) == ["resnet50/ledger.json", "resnet50/model.onnx"]


def test_every_pin_is_a_commit_or_a_sha256_and_every_card_is_complete():
    for card in {card.name: card for card in cards._ALL}.values():
        assert card.revision is None or (len(card.revision) == 40 and int(card.revision, 16))
        assert card.sha256 is None or (len(card.sha256) == 64 and int(card.sha256, 16))
        assert (card.sha256 is None) or card.bytes
        recipe = card.recipe
        assert recipe.size and recipe.dim and recipe.mean and recipe.std and 0 < recipe.crop <= 1
        assert 0.5 < card.threshold < 1 and card.threshold_from and card.licence and card.about


def test_the_reference_tells_every_card_as_it_is():
    page = (Path(__file__).parents[1] / "docs" / "reference" / "models.md").read_text()
    for card in cards._ALL:
        first, second = (line for line in page.splitlines() if line.startswith(f"| `{card.name}` |"))
        for pin in (card.revision, card.sha256):
            assert pin is None or f"`{pin}`" in first
        assert first.count("recorded") == [card.revision, card.sha256].count(None)
        assert card.source in first and card.licence in first and all(f"`{file}`" in first for file in card.files)
        facts = [cell.strip() for cell in second.split("|")]
        assert (facts[2], facts[7], facts[8]) == (str(card.recipe.size), str(card.recipe.dim), str(card.threshold))
        assert f"{card.recipe.mean[0]:g}" in facts[4] and f"{card.recipe.std[0]:g}" in facts[5]
