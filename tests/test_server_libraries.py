"""Libraries over HTTP: made, filled, searched, grouped, and nothing lost that was acknowledged."""

import io
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drawn import picture as scene
from imkin.collection import Collection
from imkin.library import Library
from pictures import drawn, parts, sha256
from serving import serving


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("libraries"), "--workers", "1") as running:
        yield running


@pytest.fixture
def client(service):
    with service.client() as client:
        yield client


@pytest.fixture
def photos(client):
    """A library of three images, the second a lighter copy of the first."""
    assert client.post("/api/v1/libraries", json={"name": "photos", "by": "phash"}).status_code == 201
    added = client.post("/api/v1/libraries/photos/images", files=parts(drawn(1), drawn(1, shift=9), drawn(2), b"text"))
    assert [failure["id"] for failure in added.json()["failures"]] == [3]
    assert added.json()["added"] == 3
    yield "photos"
    assert client.delete("/api/v1/libraries/photos").status_code == 204


def search(client, picture, **asked):
    return client.post("/api/v1/search", files=parts(picture), params={"library": "photos", **asked})


def found(client, picture, **asked):
    return [match["sha256"] for match in search(client, picture, **asked).json()["matches"]]


def test_a_library_is_made_listed_and_forgotten(client):
    made = client.post("/api/v1/libraries", json={"name": "two words", "by": "kin"})
    assert (made.status_code, made.json()) == (201, {"name": "two words", "method": "kin", "images": 0})
    assert client.post("/api/v1/libraries", json={"name": "two words"}).status_code == 409
    assert client.get("/api/v1/libraries").json() == [made.json()]
    assert client.get("/api/v1/libraries/two%20words").json() == made.json()
    assert client.delete("/api/v1/libraries/two words").status_code == 204
    assert client.get("/api/v1/libraries").json() == []
    assert client.get("/api/v1/libraries/two words").status_code == 404


@pytest.mark.parametrize(
    "asked", [{}, {"name": ""}, {"name": "a\nb"}, {"name": "x" * 101}, {"name": "a", "by": "ssim"},
              {"name": "a", "by": "onnx:/etc/passwd"}, {"name": "a", "path": "/etc"}]
)  # fmt: skip
def test_a_library_that_cannot_be_is_refused(client, asked):
    assert client.post("/api/v1/libraries", json=asked).status_code == 422


def test_the_most_similar_come_first_and_top_and_threshold_bound_them(client, photos):
    a, lighter, b = map(sha256, (drawn(1), drawn(1, shift=9), drawn(2)))
    whole = search(client, drawn(1)).json()
    assert [match["sha256"] for match in whole["matches"]] == [a, lighter, b]
    assert whole["matches"][0] == {"sha256": a, "name": "0.png", "similarity": 1.0}
    assert found(client, drawn(1), top=1) == [a]
    assert found(client, drawn(1), threshold=0.9) == [a, lighter]
    assert found(client, drawn(1), threshold=0.9, top=1) == [a]
    form = client.post("/api/v1/search", files=parts(drawn(1)), data={"library": "photos", "top": "2"})
    assert len(form.json()["matches"]) == 2


def test_a_search_by_auto_tells_how_what_it_found_is_related_to_what_was_sent(client):
    def png(pixels):
        out = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(pixels)).save(out, "PNG")
        return out.getvalue()

    first, other = (scene(seed, width=320, height=240) for seed in (1, 2))
    client.post("/api/v1/libraries", json={"name": "related", "by": "auto"})
    client.post("/api/v1/libraries/related/images", files=parts(png(first), png(other)))
    found = [
        client.post("/api/v1/search", files=parts(png(sent)), params={"library": "related", "top": 2}).json()["matches"]
        for sent in (first, np.rot90(first), first[::2, ::2])
    ]
    assert [matches[0]["sha256"] for matches in found] == [sha256(png(first))] * 3
    assert [matches[0]["relation"] for matches in found] == ["identical bytes", "turned", "resized or re-encoded"]
    assert found[1][0]["evidence"]["turn"] == 1
    assert set(found[0][1]) == {"sha256", "name", "similarity"}
    client.delete("/api/v1/libraries/related")


def test_what_is_added_and_removed_shows_at_once(client, photos):
    new = drawn(3)
    assert sha256(new) not in found(client, new)
    added = client.post(f"/api/v1/libraries/{photos}/images", files=parts(new, drawn(1)))
    assert (added.json()["added"], added.json()["known"]) == (1, 1)
    assert found(client, new, top=1) == [sha256(new)]
    assert client.delete(f"/api/v1/libraries/{photos}/images/{sha256(new)}").status_code == 204
    assert sha256(new) not in found(client, new)
    assert client.delete(f"/api/v1/libraries/{photos}/images/{sha256(new)}").status_code == 404


def test_images_are_listed_a_page_at_a_time(client, photos):
    first = client.get(f"/api/v1/libraries/{photos}/images", params={"limit": 2}).json()
    assert [one["sha256"] for one in first] == [sha256(drawn(1)), sha256(drawn(1, shift=9))]
    rest = client.get(f"/api/v1/libraries/{photos}/images", params={"after": first[-1]["number"]}).json()
    assert [(one["sha256"], one["name"]) for one in rest] == [(sha256(drawn(2)), "2.png")]


def test_groups_are_found_among_indexed_images(client, photos):
    ids = [sha256(drawn(2)), sha256(drawn(1, shift=9)), sha256(drawn(1))]
    answer = client.post("/api/v1/groups", json={"library": photos, "ids": ids}).json()
    assert [[member["sha256"] for member in group["members"]] for group in answer["groups"]] == [ids[1:]]
    assert [(pair["a"], pair["b"]) for pair in answer["groups"][0]["pairs"]] == [(ids[1], ids[2])]
    for wrong, status in (
        ({"library": photos, "ids": ["0" * 64]}, 404),
        ({"library": "none", "ids": ids}, 404),
        ({"library": photos, "ids": []}, 422),
        ({"library": photos, "ids": ["../etc"]}, 422),
    ):
        assert client.post("/api/v1/groups", json=wrong).status_code == status


@pytest.mark.parametrize(
    ("asked", "status"),
    [({"library": "none"}, 404), ({"top": 0}, 422), ({"threshold": 2}, 422), ({"threshold": "nan"}, 422)],
)
def test_a_search_that_cannot_be_is_refused(client, photos, asked, status):
    assert search(client, drawn(1), **asked).status_code == status
    assert search(client, b"text").status_code == 422
    assert client.post("/api/v1/search", files=parts(drawn(1))).status_code == 422
    assert client.post("/api/v1/search", files=parts(drawn(1), drawn(2)), params={"library": photos}).status_code == 422


def test_a_library_that_another_process_fills_is_searched_without_telling_its_paths(client, service, photos, tmp_path):
    (tmp_path / "there.png").write_bytes(drawn(7))
    with Library(str(Path(service.log).parent / "catalogue.sqlite")) as library:
        Collection(library, photos, create=False).add([str(tmp_path)])
    answer = search(client, drawn(7), top=1)
    assert answer.json()["matches"] == [{"sha256": sha256(drawn(7)), "name": "there.png", "similarity": 1.0}]
    assert str(tmp_path) not in client.get(f"/api/v1/libraries/{photos}/images").text


def test_a_killed_service_loses_nothing_that_it_acknowledged_and_leaves_nothing_for_long(tmp_path):
    (tmp_path / "spool").mkdir()
    spool = {"TMPDIR": str(tmp_path / "spool")}
    with serving(tmp_path, "--workers", "1", **spool) as running, running.client() as client:
        client.post("/api/v1/libraries", json={"name": "photos", "by": "phash"})
        assert client.post("/api/v1/libraries/photos/images", files=parts(drawn(1))).json()["added"] == 1
        running.process.kill()
        running.process.wait(30)
        left = [each.name for each in (tmp_path / "spool").glob("imkin-serve-*")]
    with serving(tmp_path, "--workers", "1", **spool) as running, running.client() as client:
        assert found(client, drawn(1)) == [sha256(drawn(1))]
        now = [each.name for each in (tmp_path / "spool").glob("imkin-serve-*")]
        assert (len(left), len(now), set(left) & set(now)) == (1, 1, set())
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(60) == 0
    assert not list((tmp_path / "spool").glob("imkin-serve-*"))
