"""Two services over one PostgreSQL catalogue: what one adds the other finds, and nothing is lost when one is killed."""

import json
import threading

import pytest

from pictures import drawn, parts, sha256
from serving import serving


@pytest.fixture(scope="module")
def shared_url(postgres):
    return postgres.new_database()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """The root of both services: two copies of one picture."""
    folder = tmp_path_factory.mktemp("photos")
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(drawn(1))
    return folder


@pytest.fixture(scope="module")
def two(shared_url, photos, tmp_path_factory):
    """Two services that know nothing of each other but the database."""
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    options = ("--workers", "1", "--catalogue", shared_url, "--root", str(photos))
    share = {"XDG_DATA_HOME": str(folders[0])}
    with serving(folders[0], *options, **share) as one, serving(folders[1], *options, **share) as other:
        yield one, other


@pytest.fixture
def clients(two):
    with two[0].client() as one, two[1].client() as other:
        yield one, other


@pytest.fixture
def library(clients):
    assert clients[0].post("/api/v1/libraries", json={"name": "photos", "by": "pdq"}).status_code == 201
    yield "/api/v1/libraries/photos"
    assert clients[1].delete("/api/v1/libraries/photos").status_code == 204
    assert clients[0].get("/api/v1/libraries/photos").status_code == 404


def best(client, picture):
    answer = client.post("/api/v1/search", files=parts(picture), params={"library": "photos", "top": 1})
    return [(match["sha256"], match["similarity"]) for match in answer.json()["matches"]]


def test_what_one_service_adds_or_removes_is_found_or_gone_in_the_other_at_once(clients, library):
    one, other = clients
    for at in range(3):
        adding, asking = (one, other) if at % 2 else (other, one)
        picture = drawn(at)
        assert adding.post(f"{library}/images", files=parts(picture)).json()["added"] == 1
        assert best(asking, picture) == [(sha256(picture), 1.0)]
        assert asking.get(library).json()["images"] == at + 1
    assert one.delete(f"{library}/images/{sha256(drawn(1))}").status_code == 204
    assert best(other, drawn(1))[0][0] != sha256(drawn(1))
    assert [image["number"] for image in other.get(f"{library}/images").json()] == [1, 3]


def test_many_writers_through_both_services_lose_nothing_and_give_no_number_twice(two, clients, library):
    failed = []

    def write(service, numbers):
        with service.client() as client:
            for number in numbers:
                answer = client.post(f"{library}/images", files=parts(drawn(number)))
                if answer.status_code != 200:
                    failed.append(answer.text)

    # Both add the middle third: it is kept once.
    threads = [
        threading.Thread(target=write, args=(two[at % 2], range(start, start + 4)))
        for at, start in enumerate((10, 12, 14, 16))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    images = clients[0].get(f"{library}/images").json()
    assert {image["sha256"] for image in images} == {sha256(drawn(number)) for number in range(10, 20)}
    assert [image["number"] for image in images] == list(range(1, 11))


def test_a_killed_server_is_waited_for_and_has_all_that_was_acknowledged(postgres, two, clients, library):
    one, other = clients
    assert one.post(f"{library}/images", files=parts(drawn(1))).json()["added"] == 1
    postgres.kill()
    answers = []
    adding = threading.Thread(
        target=lambda: answers.append(one.post(f"{library}/images", files=parts(drawn(2))).json()["added"])
    )
    adding.start()
    postgres.start()
    adding.join(60)
    assert answers == [1]
    for picture in (drawn(1), drawn(2)):
        assert best(other, picture) == [(sha256(picture), 1.0)]


def finished(client, answer):
    """The job of an answer, at its end."""
    with client.stream("GET", f"/api/v1/jobs/{answer.json()['id']}/events") as stream:
        *_, last = (line[6:] for line in stream.iter_lines() if line.startswith("data: "))
    return json.loads(last)


def test_a_run_of_one_service_is_told_and_taken_back_by_the_other(clients, photos):
    one, other = clients
    plan = finished(one, one.post("/api/v1/jobs", json={"by": "phash", "action": "delete"}))["plan"]
    assert finished(one, one.post(f"/api/v1/plans/{plan}/apply"))["state"] == "done"
    assert len(list(photos.glob("*.png"))) == 1
    (run,) = other.get("/api/v1/runs").json()
    assert run == one.get("/api/v1/runs").json()[0]
    assert finished(other, other.post(f"/api/v1/runs/{run['run']}/undo"))["state"] == "done"
    assert len(list(photos.glob("*.png"))) == 2
    assert one.get("/api/v1/runs").json()[0]["state"] == "undone"


def test_kill_9_of_a_service_loses_nothing_and_does_not_hinder_the_other(shared_url, two, clients, tmp_path):
    _, other = clients
    with serving(tmp_path, "--workers", "1", "--catalogue", shared_url) as third, third.client() as client:
        assert client.post("/api/v1/libraries", json={"name": "photos", "by": "phash"}).status_code == 201
        acknowledged = []

        def write():
            with third.client() as own:
                for number in range(100):
                    try:
                        own.post("/api/v1/libraries/photos/images", files=parts(drawn(number))).raise_for_status()
                    except Exception:
                        return
                    acknowledged.append(number)
                    if number == 3:
                        third.process.kill()

        thread = threading.Thread(target=write)
        thread.start()
        thread.join(60)
        assert acknowledged == [0, 1, 2, 3]
    assert other.get("/api/v1/libraries/photos").json()["images"] >= 4
    for number in acknowledged:
        assert best(other, drawn(number)) == [(sha256(drawn(number)), 1.0)]
    assert other.post("/api/v1/libraries/photos/images", files=parts(drawn(50))).json()["added"] == 1
    assert other.delete("/api/v1/libraries/photos").status_code == 204
