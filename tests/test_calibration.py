"""`imkin calibrate`: false pairs and found edits against a slow count, likely copies, what is stored."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import imkin
from drawn import picture, write
from imkin import image, prints
from imkin.calibration import FEWEST, _methods, calibrate
from imkin.cli import app
from imkin.edits import EDITS
from imkin.errors import UsageError
from imkin.library import Library, threshold_of
from imkin.metric import similarity

COUNT, EDITED = 26, 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("calibration") / "photos"
    for seed in range(COUNT):
        write(place / f"{seed:02}.png", picture(seed))
    write(place / "copy of 05.jpg", picture(5), quality=90)
    write(place / "blank.png", np.full((40, 40, 3), 128, np.uint8))
    (place / "broken.jpg").write_bytes(b"no picture")
    return place


@pytest.fixture(scope="module")
def found(folder):
    with Library(jobs=1) as library:
        return calibrate(library, [str(folder)], ["phash", "kin"], false_per_million=5000, edited=EDITED, jobs=1)


def test_blank_and_broken_files_are_left_out_and_likely_copies_are_named(found, folder):
    assert found.pictures == COUNT + 1 and found.edited == EDITED
    assert [(pair.a, pair.b) for pair in found.likely_same] == [
        (str(folder / "05.png"), str(folder / "copy of 05.jpg"))
    ]
    assert set(found.likely_same[0].similarities) == {"phash", "pdq", "kin"}
    assert [method.name for method in found.methods] == ["phash", "kin"]


def slow(folder, name, seed=0):
    """Similarities of edits to their own pictures, and of different pictures, one picture after the other."""
    paths = sorted([*folder.glob("??.png"), folder / "copy of 05.jpg"])
    method = prints.fingerprinter(name)

    def embed(data):
        decoded = image.decode(data, path="edit", side=method.spec.side)
        values, quality = method.embed_batch([decoded.pixels])
        return prints.Prints(method.spec, values, quality)

    def source(path):
        return 5 if path.name == "copy of 05.jpg" else int(path.stem)

    whole = [embed(path.read_bytes()) for path in paths]
    own, false = [], []
    for i in range(len(paths)):
        others = [j for j in range(i) if source(paths[i]) != source(paths[j])]
        false += [float(similarity(whole[i], whole[j])[0, 0]) for j in others]
    rows = np.sort(np.random.default_rng(seed).choice(len(paths), EDITED, replace=False)).tolist()
    for row in rows:
        pixels = image.decode(paths[row].read_bytes(), path="", side=512).pixels
        for kind, edit in enumerate(EDITS):
            edited = embed(edit(pixels, np.random.default_rng((seed, row, kind))))
            good = edited.quality[0] >= 0.2
            own.append(float(similarity(edited, whole[row])[0, 0]) * good)
            others = [j for j in range(len(paths)) if source(paths[j]) != source(paths[row])]
            false += [float(similarity(edited, whole[j])[0, 0]) * good for j in others]
    return np.array(own), np.array(false)


@pytest.mark.parametrize("place", [0, 1])
def test_rates_and_recall_are_those_of_a_slow_count(found, folder, place):
    method = found.methods[place]
    own, false = slow(folder, method.name)
    assert method.comparisons == len(false)
    assert method.pairs == COUNT * (COUNT - 1) // 2 + COUNT - 1
    counted = [point for point in method.curve if not point.extrapolated]
    assert len(counted) >= 4
    for point in counted:
        assert point.false_per_million == pytest.approx((false >= point.threshold).mean() * 1e6)
    for point in method.curve:
        assert point.recall == pytest.approx((own >= point.threshold).mean())
    assert method.own.recall == pytest.approx((own >= method.own.threshold).mean())


def test_the_recommended_threshold_keeps_what_was_wanted(found):
    for method in found.methods:
        assert method.recommended.false_per_million <= 5000
        assert method.recommended.recall >= 0.5
        assert set(method.recall) == {edit.name for edit in EDITS}
        assert np.mean(list(method.recall.values())) == pytest.approx(method.recommended.recall)


def test_a_decision_of_a_person_tells_what_is_the_same(folder, tmp_path):
    from imkin.catalogue import Database
    from imkin.catalogue.decisions import DecisionStore

    def calibrated():
        with Library(str(tmp_path / "c.sqlite"), jobs=1) as library:
            found = calibrate(library, [str(folder)], ["phash"], false_per_million=5000, edited=1, jobs=1)
            sha = {file.path: file.sha256 for file in library.scan([str(folder)], "exact").files}
        return {(pair.a[-14:], pair.b[-14:]) for pair in found.likely_same}, sha

    before, sha = calibrated()
    with Database(str(tmp_path / "c.sqlite")) as database:
        DecisionStore(database).mark(sha[str(folder / "05.png")], sha[str(folder / "copy of 05.jpg")], "different")
        DecisionStore(database).mark(sha[str(folder / "01.png")], sha[str(folder / "02.png")], "same")
    after, _ = calibrated()
    assert len(before) == 1 and len(after) == 1 and before != after


def test_what_cannot_be_calibrated_is_one_clear_error(folder, tmp_path):
    write(tmp_path / "few" / "1.png", picture(1))
    with Library(jobs=1) as library:
        with pytest.raises(UsageError, match=f"1 different pictures.*{FEWEST} at least"):
            calibrate(library, [str(tmp_path / "few")], ["phash"])
        with pytest.raises(UsageError, match="`ssim` cannot be calibrated"):
            calibrate(library, [str(folder)], ["ssim"])
        with pytest.raises(UsageError, match="over 0"):
            calibrate(library, [str(folder)], ["phash"], false_per_million=0)


def test_the_command_stores_what_threshold_auto_uses(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(UsageError, match=r"no calibration .*calibration\.json.*--save"):
        threshold_of("phash", threshold="auto")
    line = ["calibrate", str(folder), "--by", "phash", "--edited", "1", "--false-per-million", "5000", "-j", "1"]
    done = CliRunner().invoke(app, [*line, "--save", "--out", str(tmp_path / "out")], catch_exceptions=False)
    assert done.exit_code == 0 and "exponential tail" in done.stdout
    kept = json.loads((tmp_path / "out" / "calibration.json").read_text())
    wanted = kept["methods"][0]["recommended"]["threshold"]
    assert threshold_of("phash", threshold="auto") == wanted
    assert threshold_of("phash", threshold=f"auto:{tmp_path / 'out' / 'calibration.json'}") == wanted
    listed = CliRunner().invoke(app, ["group", str(folder), "--by", "phash", "--threshold", "auto", "--json"])
    assert json.loads(listed.stdout)["threshold"] == wanted
    page = (tmp_path / "out" / "calibration.html").read_text()
    assert "copy of 05.jpg" in page and "<svg" in page and "<script" not in page
    with pytest.raises(UsageError, match="knows phash, not `dhash`"):
        threshold_of("dhash", threshold="auto")
    with pytest.raises(UsageError, match="other fingerprints of `phash`"):
        threshold_of("phash", turns=True, threshold="auto")


def test_a_threshold_that_is_none_is_one_clear_error(tmp_path):
    with pytest.raises(UsageError, match="not `high`"):
        threshold_of("phash", threshold="high")
    (tmp_path / "broken.json").write_text("{}")
    with pytest.raises(UsageError, match="is no calibration"):
        threshold_of("phash", threshold=f"auto:{tmp_path / 'broken.json'}")
    assert threshold_of("phash", threshold="0.8") == 0.8


def test_the_python_call_finds_what_the_command_finds_and_stores_it_where_it_says(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    line = ["calibrate", str(folder), "--by", "phash", "--turns", "--edited", "1", "--false-per-million", "5000"]
    told = CliRunner().invoke(app, [*line, "--json"], catch_exceptions=False)
    turned = imkin.calibrate(
        folder, "phash", turns=True, edited=1, false_per_million=5000, save=tmp_path / "new" / "kept.json"
    )
    assert json.loads(told.stdout) == json.loads((tmp_path / "new" / "kept.json").read_text())
    (method,) = turned.methods
    assert method.spec == prints.spec("phash", turns=True).id
    assert (method.own_recall["mirror"], method.own_recall["turn"]) == (1.0, 1.0)
    wanted = f"auto:{tmp_path / 'new' / 'kept.json'}"
    assert threshold_of("phash", turns=True, threshold=wanted) == method.recommended.threshold
    upright = imkin.calibrate([folder], ["phash"], edited=1, false_per_million=5000, save=True)
    assert upright.methods[0].own_recall["mirror"] == 0.0
    assert threshold_of("phash", threshold="auto") == upright.methods[0].recommended.threshold


def test_turns_leave_out_the_methods_that_do_not_look_at_them():
    chosen, left_out = _methods((), turns=True)
    assert set(chosen) == {"auto", "ahash", "dhash", "phash", "pdq", "vote"}
    assert set(left_out) == {"exact", "kin", "ssim"}
    with pytest.raises(UsageError, match="`kin` does not look at turned"):
        _methods(["kin"], turns=True)
