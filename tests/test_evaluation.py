"""`imkin evaluate`: against slow definitions, tables of truth, decisions, the page."""

import csv
import importlib.util
import json
from dataclasses import asdict

import numpy as np
import pytest
from typer.testing import CliRunner

import imkin
from drawn import picture, write
from imkin import metric
from imkin.cli import app
from imkin.errors import MissingPathError, UsageError
from imkin.evaluation import evaluate
from imkin.library import Library
from imkin.truth import read_groups

KINDS = {
    "orig": lambda pixels: pixels,
    "dark": lambda pixels: (pixels * 0.6).astype(np.uint8),
    "crop": lambda pixels: pixels[20:, 25:],
    "mirror": lambda pixels: np.ascontiguousarray(pixels[:, ::-1]),
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation") / "photos"
    for seed in range(12):
        for kind, edit in KINDS.items():
            write(folder / f"{seed:02}__{kind}.jpg", edit(picture(seed)), quality=85)
    return folder


def table(path, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return str(path)


@pytest.fixture
def groups(photos, tmp_path):
    rows = [("path", "group")] + [(path.name, path.name[:2]) for path in sorted(photos.iterdir())]
    return table(tmp_path / "groups.csv", rows)


@pytest.fixture
def queries(photos, tmp_path):
    rows = [("file", "label", "role", "kind")]
    for path in sorted(photos.iterdir()):
        stem, kind = path.stem.split("__")
        rows.append((f"photos/{path.name}", stem, "database" if kind == "orig" else "query", kind))
    return table(photos.parent / "queries.csv", rows)


def similarities(photos, by):
    with Library() as library:
        made = library.fingerprint([str(photos)], by)
        return made.prints.paths, metric.similarity(made.prints, made.prints).astype(float)


@pytest.mark.parametrize("by", ["phash", "dhash"])
def test_scores_of_groups_are_those_of_the_definitions(photos, groups, by):
    with Library() as library:
        found = evaluate(library, [str(photos)], groups, by, threshold=0.8)
    paths, similar = similarities(photos, by)
    stems = [path.rsplit("/", 1)[1][:2] for path in paths]
    pairs = [(similar[i, j], stems[i] == stems[j]) for i in range(len(paths)) for j in range(i)]
    true, false = [s for s, good in pairs if good], [s for s, good in pairs if not good]
    assert (found.true_pairs, found.false_pairs) == (len(true), len(false)) == (12 * 6, 48 * 47 // 2 - 72)
    for score in (*found.thresholds, found.at, found.best):
        hits, wrong = sum(s >= score.threshold for s in true), sum(s >= score.threshold for s in false)
        assert (score.true_found, score.false_found) == (hits, wrong)
        assert score.recall == hits / len(true)
        assert score.precision == (hits / (hits + wrong) if hits + wrong else None)
        assert score.f1 == pytest.approx(2 * hits / (2 * hits + wrong + len(true) - hits))
    assert found.at.threshold == 0.8
    assert found.best.f1 == max(score.f1 for score in (*found.thresholds, found.best))
    ranked = sorted(pairs, key=lambda pair: (-pair[0], pair[1]))
    precisions = [sum(good for _, good in ranked[: k + 1]) / (k + 1) for k, (_, good) in enumerate(ranked) if good]
    assert found.uap == pytest.approx(np.mean(precisions))
    assert [pair.similarity for pair in found.false_matches] == pytest.approx(
        sorted(false, reverse=True)[:50], abs=1e-6
    )
    assert [pair.similarity for pair in found.misses] == pytest.approx(sorted(true)[:50], abs=1e-6)


def test_queries_and_database_agree_with_the_common_scorer(photos, queries, shared):
    spec = importlib.util.spec_from_file_location("score", shared / "tools" / "score.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for by in ("phash", "kin"):
        paths, similar = similarities(photos, by)
        wanted = module.score(paths, similar)
        with Library() as library:
            found = evaluate(library, [str(photos)], queries, by)
        assert round(found.uap, 4) == wanted["uAP"]
        assert found.recall_at_fpr == pytest.approx(wanted["R@FPR"], abs=1e-3)
        assert found.fpr_threshold == pytest.approx(wanted["threshold"], abs=1e-6)
        assert {kind: round(share, 3) for kind, share in found.recall_by_kind.items()} == wanted["edits"]
        assert found.false_pairs == 36 * 11


def test_blocks_of_pairs_change_nothing(photos, groups, monkeypatch):
    with Library() as library:
        whole = evaluate(library, [str(photos)], groups, "phash")
        monkeypatch.setattr("imkin.evaluation.BLOCK_PAIRS", 100)
        assert evaluate(library, [str(photos)], groups, "phash") == whole


def test_decisions_are_a_truth_of_their_pairs_alone(photos, tmp_path):
    from imkin.catalogue import Database
    from imkin.catalogue.decisions import DecisionStore

    path = str(tmp_path / "c.sqlite")
    with Library(path) as library:
        with pytest.raises(UsageError, match="nothing to find"):
            evaluate(library, [str(photos)], "decisions", "phash")
        sha = {file.path[-14:]: file.sha256 for file in library.scan([str(photos)], "exact").files}
    with Database(path) as database:
        store = DecisionStore(database)
        store.mark(_sha(sha, "00__orig"), _sha(sha, "00__dark"), "same")
        store.mark(_sha(sha, "01__orig"), _sha(sha, "01__mirror"), "same")
        store.mark(_sha(sha, "02__orig"), _sha(sha, "03__orig"), "different")
    with Library(path) as library:
        found = evaluate(library, [str(photos)], "decisions", "phash")
    assert (found.true_pairs, found.false_pairs, found.images) == (2, 1, 6)
    assert found.at.true_found == 1 and found.at.false_found == 0


def _sha(sha, name):
    return next(value for path, value in sha.items() if name in path)


def test_the_command_writes_a_page_with_the_worst_errors(photos, groups, tmp_path):
    out = tmp_path / "out"
    line = ["evaluate", str(photos), "--truth", groups, "--by", "phash", "--no-catalogue", "--out", str(out)]
    done = CliRunner().invoke(app, line, catch_exceptions=False)
    assert done.exit_code == 0 and "best F1" in done.stdout and "uAP" in done.stdout
    assert "1,056 false pairs are too few for a rate of 1e-05" in done.stdout
    kept = json.loads((out / "evaluation.json").read_text())
    assert json.loads(json.dumps(asdict(imkin.evaluate(photos, groups, "phash")))) == kept
    page = (out / "evaluation.html").read_text()
    assert kept["misses"][0]["a"] in page and page.count("data:image/jpeg") == 4 * 50
    assert "<script" not in page


def test_rows_without_an_image_and_images_without_a_row_are_counted(photos, tmp_path):
    rows = [("path", "group"), ("00__orig.jpg", "a"), ("00__dark.jpg", "a"), ("01__orig.jpg", "b"), ("gone.jpg", "b")]
    with Library() as library:
        found = evaluate(library, [str(photos)], table(tmp_path / "t.csv", rows), "phash")
    assert (found.images, found.missing, found.unknown) == (3, 1, 45)


def test_a_truth_that_is_none_is_one_clear_error(photos, tmp_path):
    with pytest.raises(MissingPathError, match=r"none\.csv"):
        read_groups(str(tmp_path / "none.csv"))
    with pytest.raises(UsageError, match="no column group; its columns are path, what"):
        read_groups(table(tmp_path / "a.csv", [("path", "what"), ("a", "b")]))
    with pytest.raises(UsageError, match=r"line 2.*not `asker`"):
        read_groups(table(tmp_path / "b.csv", [("path", "group", "role"), ("a", "b", "asker")]))
    with pytest.raises(UsageError, match="rows with a role and rows without"):
        read_groups(table(tmp_path / "c.csv", [("path", "group", "role"), ("a", "b", "query"), ("c", "b", "")]))
    with Library() as library, pytest.raises(UsageError, match="none of the images is named"):
        evaluate(library, [str(photos)], table(tmp_path / "d.csv", [("path", "group"), ("x.jpg", "1")]), "phash")
