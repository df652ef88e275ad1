"""Uploads: what is alike among them, what is refused, and what a bad one takes with it."""

import io
import os
import re
import socket
import textwrap
import zlib

import psutil
import pytest
import requests
from PIL import Image

import imkin
from pictures import drawn, parts, sha1
from serving import serving

LEGACY = "/api/imageSimilarityByHash"
MOST_FILES, MOST_BYTES = 12, 2 * 1024 * 1024


STRANGE = '''
    """A fingerprinter that dies of colours: of pure red at once, of pure blue never ending, of green by memory."""
    import os, time
    import numpy as np
    from imkin.types import Spec

    class Strange:
        spec = Spec("strange", 1, "bits", 64, 0.9, 0)

        def embed_batch(self, images):
            for pixels in images:
                mean = tuple(int(m) for m in pixels.reshape(-1, 3).mean(0))
                if mean == (255, 0, 0):
                    os.abort()
                if mean == (0, 0, 255):
                    time.sleep(1000)
                if mean == (0, 255, 0):
                    raise MemoryError
                if mean == (0, 255, 255):
                    raise RuntimeError(os.getcwd())
            return np.zeros((len(images), 8), np.uint8), np.ones(len(images), np.float32)
'''


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    plugin = folder / "plugin"
    (plugin / "strange-1.dist-info").mkdir(parents=True)
    (plugin / "strange.py").write_text(textwrap.dedent(STRANGE))
    (plugin / "strange-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1\n")
    (plugin / "strange-1.dist-info" / "entry_points.txt").write_text(
        "[imkin.fingerprinters]\nstrange=strange:Strange\n"
    )
    (folder / "spool").mkdir()
    with serving(
        folder,
        *("--max-files", str(MOST_FILES), "--max-upload", "2", "--max-pixels", "1000000", "--workers", "1"),
        *("--queue", "2", "--work-seconds", "6"),
        PYTHONPATH=f"{plugin}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        TMPDIR=str(folder / "spool"),
    ) as running:
        yield running


@pytest.fixture
def client(service):
    with service.client() as client:
        yield client


def spooled(service):
    spool = os.path.join(os.path.dirname(service.log), "spool")
    return [
        name
        for name in os.listdir(spool)
        if os.path.isdir(os.path.join(spool, name))
        for name in os.listdir(os.path.join(spool, name))
    ]


def test_a_client_of_the_earlier_tool_works_unchanged(service):
    a, lighter, b = drawn(1), drawn(1, shift=6), drawn(2)
    files = {"01.jpeg": io.BytesIO(a), "02.jpeg": io.BytesIO(b), "05.jpeg": io.BytesIO(lighter)}
    answer = requests.post(service.url + LEGACY, files=files, params={"similarity_grade": 0.75}, timeout=60)
    assert answer.json() == {"lists": [[sha1(a), sha1(lighter)], [sha1(b)]]}


def test_lists_are_transitive_in_the_order_of_upload_and_name_equal_uploads_each(client):
    chain = [drawn(1, shift=shift) for shift in (0, 20, 40)]
    other = drawn(2)
    sent = [other, chain[2], chain[0], other, chain[1], chain[0]]
    answer = client.post(LEGACY, files=parts(*sent), params={"similarity_grade": 0.9})
    told = answer.json()["lists"]
    assert told == [[sha1(other)] * 2, [sha1(chain[2]), sha1(chain[0]), sha1(chain[1]), sha1(chain[0])]]


def test_the_grade_is_honoured_in_query_and_form_and_is_095_by_default(client, tmp_path):
    (tmp_path / "a.png").write_bytes(drawn(1))
    (tmp_path / "b.png").write_bytes(drawn(1, shift=50))
    measured = {m.name: m.similarity for m in imkin.compare(tmp_path / "a.png", tmp_path / "b.png").methods}["ssim"]
    below, above = measured - 0.001, measured + 0.001
    assert 0.5 < measured < 0.95, "planted between the grades"
    sent = parts(drawn(1), drawn(1, shift=50))

    def lists(**options):
        return len(client.post(LEGACY, files=sent, **options).json()["lists"])

    assert lists(params={"similarity_grade": below}) == 1
    assert lists(params={"similarity_grade": above}) == 2
    assert lists(data={"similarity_grade": str(below)}) == 1
    assert lists(data={"similarity_grade": str(above)}) == 2
    assert lists(data={"similarity_grade": "0"}, params={"similarity_grade": above}) == 2
    assert lists() == 2


@pytest.mark.parametrize("grade", ["-0.1", "1.1", "nan", "inf", "high", ""])
def test_a_grade_outside_0_to_1_is_refused(client, grade):
    for where in ({"params": {"similarity_grade": grade}}, {"data": {"similarity_grade": grade}}):
        answer = client.post(LEGACY, files=parts(drawn(1)), **where)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert "similarity_grade" in answer.json()["detail"]


def test_what_is_no_image_is_in_no_list(client):
    sent = parts(drawn(1), b"hello", b"", drawn(2)[:200])
    assert client.post(LEGACY, files=sent).json() == {"lists": [[sha1(drawn(1))]]}


def test_groups_name_uploads_by_their_place_and_say_which_failed(client):
    a, b = drawn(1), drawn(1, shift=3, size=(192, 192))
    answer = client.post("/api/v1/groups", files=parts(a, drawn(2), b"no image", b), params={"by": "phash"}).json()
    (group,) = answer["groups"]
    assert (group["keeper"], [(m["id"], m["name"]) for m in group["members"]]) == (3, [(3, "3.png"), (0, "0.png")])
    assert [m["sha1"] for m in group["members"]] == [sha1(b), sha1(a)]
    assert [(pair["a"], pair["b"]) for pair in group["pairs"]] == [(0, 3)]
    assert answer["failures"] == [{"id": 2, "name": "2.png", "stage": "decode", "reason": "not an image: text"}]
    assert (answer["method"], answer["images"], answer["summary"]["groups"]) == ("phash", 3, 1)


def test_groups_take_method_threshold_and_grouping(client):
    sent = parts(*(drawn(1, shift=shift) for shift in (0, 20, 40)))
    asked = {"by": "ssim", "threshold": 0.9, "grouping": "clique"}
    answer = client.post("/api/v1/groups", files=sent, params=asked).json()
    assert (answer["method"], answer["threshold"], answer["grouping"]) == ("ssim", 0.9, "clique")
    assert client.post("/api/v1/groups", files=sent, data=asked).json() == answer


@pytest.mark.parametrize(
    "asked",
    [{"by": "pahsh"}, {"by": "onnx:/etc/passwd"}, {"by": "clip-vit-b32"}, {"threshold": "2"}, {"grouping": "x"},
     {"by": "ssim", "turns": "true"}],
)  # fmt: skip
def test_groups_refuse_what_cannot_be(client, asked):
    answer = client.post("/api/v1/groups", files=parts(drawn(1)), params=asked)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert "passwd" not in answer.text


def test_compare_tells_what_every_method_says_of_two(client):
    answer = client.post("/api/v1/compare", files=parts(drawn(1), drawn(1, shift=3))).json()
    assert {m["name"]: m["similarity"] for m in answer["methods"]}["phash"] == 1.0
    assert (answer["a"]["name"], answer["b"]["width"]) == ("0.png", 96)
    for wrong in (parts(drawn(1)), parts(drawn(1), drawn(1), drawn(1)), parts(drawn(1), b"text")):
        assert client.post("/api/v1/compare", files=wrong).status_code == 422


def test_names_of_uploads_reach_no_disk_and_come_back_without_folders(client, service):
    sent = [
        ("a", ("../../../tmp/evil.png", drawn(1))),
        ("b", ("C:\\x\\evil.png", drawn(1))),
        ("c", ("\x01\n.png", b"")),
    ]
    answer = client.post("/api/v1/groups", files=sent).json()
    assert [m["name"] for m in answer["groups"][0]["members"]] == ["evil.png", "evil.png"]
    assert all(c.isprintable() for c in answer["failures"][0]["name"])


def test_an_archive_of_images_is_one_file_and_no_image(client):
    answer = client.post("/api/v1/groups", files=[("a", ("a.zip", b"PK\x03\x04" + bytes(60)))])
    assert [failure["id"] for failure in answer.json()["failures"]] == [0]


def test_number_bytes_and_pixels_are_limited(client):
    small = drawn(1, size=(16, 16))
    assert client.post(LEGACY, files=parts(*[small] * MOST_FILES)).status_code == 200
    assert client.post(LEGACY, files=parts(*[small] * (MOST_FILES + 1))).status_code == 413
    assert client.post(LEGACY, files=parts(os.urandom(MOST_BYTES - 4096))).status_code == 200
    assert client.post(LEGACY, files=parts(os.urandom(MOST_BYTES + 1))).status_code == 413
    big = client.post("/api/v1/groups", files=parts(drawn(1, size=(1001, 1000)))).json()
    assert "too large" in big["failures"][0]["reason"]


def test_a_body_without_a_length_is_limited_as_well(client):
    def chunks():
        yield b'--x\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n'
        for _ in range(MOST_BYTES // 65536 + 1):
            yield bytes(65536)

    answer = client.post(LEGACY, content=chunks(), headers={"content-type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("multipart/form-data", b"", 415),
        ("", b"", 415),
        ("multipart/form-data; boundary=x", b"", 400),
        ("multipart/form-data; boundary=x", b"nonsense", 400),
        ("multipart/form-data; boundary=x", b"--x--\r\n", 422),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n', 400),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a"; filename="', 400),
        ("multipart/form-data; boundary=x", b"--x\r\n" + b"A" * 9000 + b": b\r\n\r\n\r\n--x--\r\n", 400),
        ("multipart/form-data; boundary=x",
         b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + bytes(2000) + b"\r\n--x--\r\n", 413),
        ("multipart/form-data; boundary=x",
         b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n' * 40 + b"--x--\r\n", 413),
    ],
)  # fmt: skip
def test_a_body_that_is_no_form_of_images_is_a_problem(client, kind, body, status):
    answer = client.post(LEGACY, content=body, headers={"content-type": kind})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def hold(service):
    """A request that takes a place and does not end."""
    host, port = re.match(r"http://(.*):(\d+)", service.url).groups()
    connection = socket.create_connection((host, int(port)), timeout=30)
    head = f"POST {LEGACY} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 1000\r\n"
    connection.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n".encode())
    return connection


def metric(client, name):
    return float(re.search(rf"^{name} (\S+)$", client.get("/metrics").text, re.MULTILINE)[1])


def wait_until(client, name, value):
    for _ in range(2000):
        if metric(client, name) == value:
            return
    raise AssertionError(f"{name} never became {value}")


def test_a_full_queue_answers_429_with_a_time_to_come_again(service, client):
    held = [hold(service) for _ in range(3)]
    wait_until(client, "imkin_places_used", 3)
    answer = client.post(LEGACY, files=parts(drawn(1), os.urandom(1024 * 1024)))
    assert (answer.status_code, answer.headers["content-type"]) == (429, "application/problem+json")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    for connection in held:
        connection.close()
    wait_until(client, "imkin_places_used", 0)
    assert client.post(LEGACY, files=parts(drawn(1))).status_code == 200


def test_what_was_spooled_is_gone_when_the_request_is(service, client):
    held = hold(service)
    wait_until(client, "imkin_places_used", 1)
    assert len(spooled(service)) == 1
    held.close()
    wait_until(client, "imkin_places_used", 0)
    client.post(LEGACY, files=parts(drawn(1)))
    client.post(LEGACY, files=parts(*[drawn(1)] * (MOST_FILES + 1)))
    assert spooled(service) == []


def colour(*rgb):
    out = io.BytesIO()
    Image.new("RGB", (64, 64), rgb).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    "lethal", [colour(255, 0, 0), colour(0, 0, 255), colour(0, 255, 0)], ids=["crash", "hang", "memory"]
)
def test_a_file_that_kills_a_worker_is_one_failure_and_the_others_are_answered(client, lethal):
    lost = metric(client, "imkin_workers_lost_total")
    answer = client.post("/api/v1/groups", files=parts(drawn(1), lethal, drawn(2)), params={"by": "strange"})
    assert answer.status_code == 200
    assert [(f["id"], f["reason"]) for f in answer.json()["failures"]] == [
        (1, "it cannot be read in the time and memory allowed")
    ]
    assert sorted(m["id"] for m in answer.json()["groups"][0]["members"]) == [0, 2]
    assert metric(client, "imkin_workers_lost_total") == lost + 2
    assert client.post("/api/v1/groups", files=parts(drawn(1)), params={"by": "phash"}).status_code == 200


def test_a_request_full_of_lethal_files_is_refused(client):
    answer = client.post("/api/v1/groups", files=parts(*[colour(255, 0, 0)] * 6), params={"by": "strange"})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:imkin:lethal")


def test_a_bomb_of_a_picture_takes_nothing_down(client):
    width = height = 60_000
    raw = zlib.compressobj()
    rows = raw.compress(bytes(10_000_000)) + raw.flush()

    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\x00\x00\x00"
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    answer = client.post("/api/v1/groups?by=phash", files=parts(bomb, drawn(1))).json()
    assert [failure["id"] for failure in answer["failures"]] == [0]
    assert answer["images"] == 1


def test_a_killed_worker_costs_nobody_an_answer(service, client):
    for child in psutil.Process(service.process.pid).children():
        if "resource_tracker" not in " ".join(child.cmdline()):
            child.kill()
    assert client.post(LEGACY, files=parts(drawn(1))).json() == {"lists": [[sha1(drawn(1))]]}


def test_nothing_that_was_answered_or_logged_names_a_path_or_a_version(service, client):
    answers = [
        client.post("/api/v1/groups?by=phash", files=parts(drawn(1), b"x", drawn(1))),
        client.post("/api/v1/groups", files=parts(colour(0, 255, 255)), params={"by": "strange"}),
        client.post("/api/v1/compare", files=parts(drawn(1), b"x")),
        client.get("/openapi.json"),
        client.get("/metrics"),
        client.get("/api/v1/methods"),
    ]
    for answer in answers:
        assert answer.status_code != 500
        whole = str(answer.headers) + answer.text
        for word in (
            "/tmp",
            "Traceback",
            "site-packages",
            "imkin-serve-",
            f"{os.path.expanduser('~')}{os.sep}",
            "uvicorn",
            "astapi",
        ):
            assert word not in whole


def test_the_log_has_a_line_for_each_request_without_its_query(service, client):
    client.get("/healthz?token=secret-of-somebody")
    client.get("/a%0Ab")
    said = service.said()
    assert re.search(r"127\.0\.0\.1 GET /healthz 200 15 0\.\d{3}\n", said)
    assert "/a%0Ab 404" in said
    assert "secret" not in said


def test_metrics_count_requests_by_route_and_never_by_what_a_client_wrote(client):
    client.get("/healthz")
    before = metric(client, r'imkin_http_requests_total\{method="GET",route="/healthz",status="200"\}')
    client.get("/healthz")
    client.get("/api/v1/invented")
    text = client.get("/metrics").text
    assert f'{{method="GET",route="/healthz",status="200"}} {before + 1:g}\n' in text
    assert 'imkin_http_requests_total{method="",route="",status="404"}' in text
    assert "invented" not in text
    assert 'imkin_http_request_seconds_bucket{route="/healthz",le="+Inf"}' in text
