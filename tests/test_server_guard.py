"""Who may speak to the service, and what its refusals tell."""

import hmac
import subprocess
import sys

import pytest
from starlette.testclient import TestClient

from imkin.errors import MissingPathError, UsageError
from imkin.server import guard
from imkin.server.app import create_app
from imkin.server.settings import Settings, is_loopback, read_token

TOKEN = "correct-horse-battery-staple"


def client(base_url="http://127.0.0.1:9082", **settings):
    return TestClient(create_app(Settings(**settings)), base_url=base_url, follow_redirects=False)


def with_token(**settings):
    return client(token=TOKEN, host="0.0.0.0", **settings)


def test_a_healthy_service_says_so():
    answer = client().get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.1:80", "[::1]:9082", "LOCALHOST:1"])
def test_names_of_this_machine_are_ours(host):
    assert client().get("/openapi.json", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:9082", "127.0.0.1.evil.example", "10.0.0.7", "", "localhost@evil", "a b"]
)
def test_a_name_that_anybody_may_point_at_us_is_refused(host):
    answer = client().get("/openapi.json", headers={"host": host})
    assert answer.status_code == 421
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_name_that_was_allowed_is_ours():
    assert client(hosts=("photos.example",)).get("/healthz", headers={"host": "photos.example"}).status_code == 200


def test_beyond_loopback_an_address_is_ours_and_a_name_is_not():
    there = with_token()
    assert there.get("/healthz", headers={"host": "192.168.1.4:9082"}).status_code == 200
    assert there.get("/healthz", headers={"host": "evil.example"}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:3000"},
        {"origin": "http://127.0.0.1:9082.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    ],
)
def test_a_page_of_elsewhere_must_not_use_the_service(headers):
    for method in ("GET", "POST"):
        assert client().request(method, "/openapi.json", headers=headers).status_code == 403


def test_a_page_of_our_own_may_use_the_service():
    ours = {"origin": "http://127.0.0.1:9082", "sec-fetch-site": "same-origin"}
    assert client().get("/openapi.json", headers=ours).status_code == 200


def test_behind_a_proxy_that_encrypts_our_page_is_ours():
    ours = {"host": "photos.example", "origin": "https://photos.example"}
    assert client(hosts=("photos.example",)).get("/openapi.json", headers=ours).status_code == 200


def test_a_link_on_another_page_may_lead_here_and_a_form_may_not():
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client().get("/openapi.json", headers=link).status_code == 200
    assert client().post("/openapi.json", headers=link).status_code == 403


def test_no_other_site_is_ever_allowed_to_read_an_answer():
    preflight = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    answer = client().options("/openapi.json", headers=preflight)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong-horse-battery-staple"},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": f"Bearer {TOKEN[:-1]}"},
        {"authorization": "Bearer"},
        {"authorization": "Basic !!!"},
        {"authorization": f"Digest {TOKEN}"},
        {"cookie": f"{guard.COOKIE.format(port=9082)}=wrong"},
        {"cookie": "a=b; ;;=;"},
    ],
)
def test_without_the_token_nothing_is_answered(headers):
    answer = with_token().get("/openapi.json", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert with_token().get("/openapi.json?token=wrong", headers=headers).status_code == 401


def test_the_token_is_taken_as_bearer_as_password_and_as_cookie():
    assert with_token().get("/openapi.json", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert with_token().get("/openapi.json", auth=("anybody", TOKEN)).status_code == 200
    assert (
        with_token().get("/openapi.json", headers={"cookie": f"{guard.COOKIE.format(port=9082)}={TOKEN}"}).status_code
        == 200
    )


def test_a_link_with_the_token_leaves_it_in_a_cookie_and_out_of_the_address():
    answer = with_token().get(f"/openapi.json?a=1&token={TOKEN}&b=2")
    assert (answer.status_code, answer.headers["location"]) == (303, "/openapi.json?a=1&b=2")
    assert "httponly" in answer.headers["set-cookie"].lower()
    assert "samesite=strict" in answer.headers["set-cookie"].lower()


def test_a_link_with_the_token_leads_to_no_other_site():
    answer = with_token().get(f"http://127.0.0.1:9082//evil.example/?token={TOKEN}")
    assert answer.headers["location"] == "/evil.example/"


def test_the_token_is_compared_in_constant_time(monkeypatch):
    compared, original = [], hmac.compare_digest

    def compare(a, b):
        compared.append((a, b))
        return original(a, b)

    monkeypatch.setattr(guard.hmac, "compare_digest", compare)
    with_token().get("/openapi.json", headers={"authorization": "Bearer guess"})
    assert compared == [(b"guess", TOKEN.encode())]


def test_only_whether_it_lives_is_told_without_the_token():
    assert with_token().get("/healthz").status_code == 200
    assert with_token().get("/healthz/").status_code == 401


def test_answers_carry_the_headers_that_keep_browsers_strict():
    for path in ("/healthz", "/nothing"):
        headers = client().get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "server" not in headers


def test_what_is_not_there_is_a_problem():
    answer = client().get("/api/v1/nothing")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {"type": "about:blank", "title": "Not Found", "status": 404, "detail": ""}
    wrong = client().delete("/healthz")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET")


def test_an_error_of_our_own_tells_nothing_of_how_the_service_is_made():
    app = create_app(Settings())

    @app.get("/broken")
    async def broken():
        raise RuntimeError(f"at {__file__}")

    answer = TestClient(app, base_url="http://localhost", raise_server_exceptions=False).get("/broken")
    assert answer.status_code == 500
    assert answer.json()["detail"] == "the service met an error of its own; its log says which"
    assert answer.headers["content-type"] == "application/problem+json"
    for word in ("Traceback", "RuntimeError", ".py", "/"):
        assert word not in answer.text.replace("about:blank", "")


@pytest.mark.parametrize(
    ("host", "alone"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("127.8.9.1", True), ("0.0.0.0", False), ("::", False),
     ("192.168.0.2", False), ("photos.example", False), ("", False)],
)  # fmt: skip
def test_loopback_is_told_from_what_others_reach(host, alone):
    assert is_loopback(host) is alone


def test_beyond_loopback_the_command_wants_a_token(tmp_path):
    command = [sys.executable, "-m", "imkin", "serve", "--host", "0.0.0.0", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "--token-file" in done.stderr


def test_a_token_file_gives_its_first_line(tmp_path):
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\nanything\n")
    assert read_token(str(file)) == TOKEN
    for content in (b"", b"\n", b"two words\n", b"\xff\xfe\n"):
        file.write_bytes(content)
        with pytest.raises(UsageError):
            read_token(str(file))
    with pytest.raises(MissingPathError):
        read_token(str(tmp_path / "missing"))


def test_a_short_token_is_refused():
    with pytest.raises(UsageError, match="at least 16"):
        Settings(token="short")


def test_a_root_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(MissingPathError):
        Settings(roots=(str(tmp_path / "missing"),))
