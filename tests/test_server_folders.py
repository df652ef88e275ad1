"""Scans of the roots over HTTP: jobs, their events, plans that are edited, applied and undone."""

import hashlib
import json
import os
import shutil
import threading
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest
from PIL import Image

from imkin.server.jobbing import Wanted
from imkin.server.jobs import Jobs
from reviewing import lay_photos
from serving import serving


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    return lay_photos(tmp_path_factory.mktemp("collection") / "photos", count=2)


@pytest.fixture(scope="module")
def service(tmp_path_factory, collection):
    folder = tmp_path_factory.mktemp("folders")
    shutil.copytree(collection, folder / "photos")
    (folder / "other" / "photos").mkdir(parents=True)
    shutil.copy(next((folder / "photos").rglob("*.jpg")), folder / "other" / "photos" / os.fsdecode(b"b\xe4d.jpg"))
    roots = ("--root", str(folder / "photos"), "--root", str(folder / "other" / "photos"))
    with serving(folder, *roots, "--workers", "1", XDG_DATA_HOME=str(folder / "share")) as running:
        yield running


@pytest.fixture
def client(service):
    with service.client() as client:
        yield client


def root(service):
    return Path(service.log).parent / "photos"


def contents(folder):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).digest() for p in folder.rglob("*") if p.is_file()
    }


def followed(client, job):
    """The job at its end, and the progress that its events told."""
    seen = []
    with client.stream("GET", f"/api/v1/jobs/{job['id']}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        event = ""
        for line in stream.iter_lines():
            if line.startswith("event: "):
                event = line[7:]
            elif line.startswith("data: "):
                seen.append((event, json.loads(line[6:])))
    assert [event for event, _ in seen[-1:]] == ["end"]
    return seen[-1][1], [data for event, data in seen if event == "progress"]


def scanned(client, **asked):
    answer = client.post("/api/v1/jobs", json={"roots": [0], "by": "phash", **asked})
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/api/v1/jobs/{answer.json()['id']}"
    job, progress = followed(client, answer.json())
    assert job["state"] == "done", job
    return job, progress


def test_roots_are_known_by_id_and_a_name(client):
    assert client.get("/api/v1/roots").json() == [{"id": 0, "name": "photos"}, {"id": 1, "name": "photos-2"}]


def test_a_scan_tells_its_progress_and_what_the_command_would_find(client, service):
    job, progress = scanned(client)
    assert job["progress"]["stage"] == "reading"
    assert job["progress"]["done"] == job["progress"]["total"] == len(list(root(service).rglob("*.*")))
    assert [each["done"] for each in progress] == sorted(each["done"] for each in progress)
    found = client.get(f"/api/v1/jobs/{job['id']}/groups").json()
    import imkin

    same = imkin.group(str(root(service)), "phash")
    names = [{m["name"] for m in group["members"]} for group in found["groups"]]
    assert names == [{m.path.replace(str(root(service)), "photos") for m in group.members} for group in same.groups]
    assert found["summary"]["pairs"] == same.summary.pairs


def test_a_plan_is_edited_applied_and_undone(client, service):
    before = contents(root(service))
    job, _ = scanned(client)
    plan = client.get(f"/api/v1/plans/{job['plan']}").json()
    going = [member for group in plan["groups"] for member in group if member["do"] == "trash"]
    assert len(going) == plan["actions"] > 2
    assert contents(root(service)) == before

    spared = going[0]
    edited = client.patch(f"/api/v1/plans/{job['plan']}", json={"do": {spared["id"]: "keep"}})
    assert edited.json()["actions"] == plan["actions"] - 1

    done, _ = followed(client, client.post(f"/api/v1/plans/{job['plan']}/apply").json())
    assert done["state"] == "done"
    assert {row["state"] for row in done["run"]["rows"]} == {"done"}
    gone = {member["name"].removeprefix("photos/") for member in going[1:]}
    assert contents(root(service)) == {name: digest for name, digest in before.items() if name not in gone}
    assert client.get(f"/api/v1/plans/{job['plan']}").json()["run"] == done["run"]["run"]

    again = client.post(f"/api/v1/plans/{job['plan']}/apply")
    assert (again.status_code, again.json()["type"]) == (409, "urn:imkin:applied")
    assert client.patch(f"/api/v1/plans/{job['plan']}", json={"do": {}}).status_code == 409

    back, _ = followed(client, client.post(f"/api/v1/plans/{job['plan']}/undo").json())
    assert (back["state"], back["run"]["state"]) == ("done", "undone")
    assert contents(root(service)) == before
    assert [run["run"] for run in client.get("/api/v1/runs").json()] == [done["run"]["run"]]


def test_an_edit_that_would_lose_a_picture_is_refused_whole(client):
    job, _ = scanned(client)
    before = client.get(f"/api/v1/plans/{job['plan']}").json()
    words = {member["id"]: "trash" for member in before["groups"][0]}
    answer = client.patch(f"/api/v1/plans/{job['plan']}", json={"do": words})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:imkin:against-the-rules")
    assert client.get(f"/api/v1/plans/{job['plan']}").json() == before
    for wrong in ({"do": {"99999": "keep"}}, {"do": {"0": "burn"}}, {"do": {"-1": "keep"}}, {"path": "/etc"}, []):
        assert client.patch(f"/api/v1/plans/{job['plan']}", json=wrong).status_code == 422


def test_a_run_outside_the_roots_is_neither_told_nor_undone(client, service, tmp_path, collection):
    from imkin.actions import Wish, apply
    from imkin.catalogue import Database
    from imkin.cleaning import plan_scan
    from imkin.library import Library

    shutil.copytree(collection, tmp_path / "private")
    shutil.copytree(collection, tmp_path / "private" / "again")
    catalogue = str(Path(service.log).parent / "catalogue.sqlite")
    with Database(catalogue, durable=True) as database, Library(catalogue) as library:
        found = library.scan([str(tmp_path / "private")], "exact")
        wish = Wish("delete", (str(tmp_path / "private"),))
        plan, _ = plan_scan(library, found, threshold=1.0, wish=wish, database=database)
        run = apply(plan, database=database).run
    assert run not in [each["run"] for each in client.get("/api/v1/runs").json()]
    assert client.post(f"/api/v1/runs/{run}/undo").status_code == 404


@pytest.mark.parametrize(
    "asked",
    [{"roots": [2]}, {"roots": [-1]}, {"roots": ["/etc"]}, {"paths": ["/etc"]}, {"by": "onnx:/etc/passwd"},
     {"action": "move:/etc"}, {"threshold": 2}, {"keep": "nonsense"}, {"by": "ssim", "turns": True}],
)  # fmt: skip
def test_nothing_but_the_roots_can_be_scanned(client, asked):
    answer = client.post("/api/v1/jobs", json=asked)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


def test_no_answer_tells_where_the_roots_lie_and_a_name_that_is_no_text_is_shown_as_far_as_it_is(client, service):
    job, _ = scanned(client, roots=[0, 1])
    paths = ["/jobs", f"/jobs/{job['id']}", f"/jobs/{job['id']}/groups", "/plans", f"/plans/{job['plan']}", "/runs"]
    for path in paths:
        answer = client.get(f"/api/v1{path}")
        assert answer.status_code == 200
        assert str(root(service).parent) not in answer.text
        assert "/tmp" not in answer.text
    names = [m["name"] for g in client.get(f"/api/v1/jobs/{job['id']}/groups").json()["groups"] for m in g["members"]]
    assert "photos-2/b�d.jpg" in names


def test_a_job_that_is_cancelled_stops_and_one_that_ended_cannot_be(client):
    first = client.post("/api/v1/jobs", json={"by": "kin"}).json()
    waiting = client.post("/api/v1/jobs", json={"by": "kin"}).json()
    for each in (waiting, first):
        assert client.post(f"/api/v1/jobs/{each['id']}/cancel").status_code == 202
    for each in (first, waiting):
        job, _ = followed(client, each)
        assert (job["state"], job["plan"]) == ("stopped", None)
        assert client.post(f"/api/v1/jobs/{each['id']}/cancel").status_code == 409
        assert client.get(f"/api/v1/jobs/{each['id']}/groups").status_code == 409


def test_a_job_whose_process_dies_fails_and_the_service_goes_on(client, service):
    before = {child.pid for child in psutil.Process(service.process.pid).children()}
    job = client.post("/api/v1/jobs", json={"by": "kin"}).json()
    while not (new := {child for child in psutil.Process(service.process.pid).children() if child.pid not in before}):
        assert client.get(f"/api/v1/jobs/{job['id']}").json()["state"] in ("waiting", "running")
    for child in new:
        child.kill()
    ended, _ = followed(client, job)
    assert (ended["state"], ended["error"]) == ("failed", "the job broke off; the log of the service says why")
    scanned(client)


@pytest.mark.skipif(os.name != "posix", reason="there is no limit of memory to set")
def test_a_job_takes_no_more_memory_than_it_is_allowed(tmp_path):
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (12_000, 10_000)).save(tmp_path / "photos" / "large.png", compress_level=1)
    jobs, ended = Jobs(str(tmp_path / "c.sqlite"), 512 * 2**20), threading.Event()
    wanted = Wanted([str(tmp_path / "photos")], "phash", False, 0.9, "transitive", "trash", "bytes", 0, True)
    job = jobs.start("scan", asdict(wanted), then=lambda _: ended.set())
    assert ended.wait(60)
    jobs.close()
    assert [each["reason"] for each in job.result["found"]["failures"]] == ["not enough memory to decode it"]


def test_too_many_jobs_are_told_to_come_later(client):
    answers = [client.post("/api/v1/jobs", json={"by": "kin"}) for _ in range(20)]
    codes = [answer.status_code for answer in answers]
    assert codes[:16] == [202] * 16
    assert codes[-1] == 429
    assert int(answers[-1].headers["retry-after"]) > 0
    for answer in answers:
        if answer.status_code == 202:
            client.post(f"/api/v1/jobs/{answer.json()['id']}/cancel")
    for answer in answers:
        if answer.status_code == 202:
            followed(client, answer.json())


def test_what_is_not_there_is_a_problem(client):
    for method, path in [
        ("GET", "/jobs/x"), ("GET", "/jobs/x/events"), ("GET", "/jobs/x/groups"), ("POST", "/jobs/x/cancel"),
        ("GET", "/plans/x"), ("POST", "/plans/x/apply"), ("POST", "/plans/x/undo"), ("POST", "/runs/77/undo"),
    ]:  # fmt: skip
        answer = client.request(method, f"/api/v1{path}")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
