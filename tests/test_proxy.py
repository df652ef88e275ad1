"""Behind nginx, set up as the guide says: token, pages, uploads and server-sent events come through."""

import os
import re
import shutil
import socket
import ssl
import subprocess
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from pictures import drawn, parts
from serving import serving

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "guides" / "service.md"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
TOKEN = "a-token-of-24-characters"


@contextmanager
def proxied(folder, port):
    """The server of the guide in front of a service; gives the port where it listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        public = free.getsockname()[1]
    certificate = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=photos.example"]
    files = ["-keyout", str(folder / "photos.example.key"), "-out", str(folder / "photos.example.pem")]
    subprocess.run(["openssl", *certificate, *files], check=True, capture_output=True, timeout=60)
    (block,) = re.findall(r"```text\n(server \{.*?)```", GUIDE.read_text(), re.DOTALL)
    block = block.replace("443 ssl", f"127.0.0.1:{public} ssl").replace("127.0.0.1:9082", f"127.0.0.1:{port}")
    kept = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log off; {kept}\n{block}}}\n"
    )
    command = [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    process = subprocess.Popen(command)
    try:
        while process.poll() is None:
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", public)) == 0:
                    break
        assert process.poll() is None, (folder / "error.log").read_text()
        yield public
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.skipif(NGINX is None or not shutil.which("openssl"), reason="needs nginx and openssl, which are not here")
def test_the_nginx_of_the_guide_lets_through_what_the_service_offers(tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "photos" / name).write_bytes(drawn(1))
    (tmp_path / "token").write_text(TOKEN)
    options = ("--root", str(tmp_path / "photos"), "--token-file", str(tmp_path / "token"), "--workers", "1")
    with (
        serving(tmp_path, *options, "--allow-host", "photos.example") as running,
        proxied(tmp_path, running.url.rpartition(":")[2]) as port,
        httpx2.Client(base_url=f"https://127.0.0.1:{port}", verify=_trusting(), timeout=60) as client,
    ):
        own = f"photos.example:{port}"
        client.headers["host"] = own
        assert client.get("/healthz").status_code == 200
        assert client.get("/api/v1/methods").status_code == 401
        shown = client.get(f"/review/?token={TOKEN}")
        assert shown.status_code == 303
        assert "Secure" in shown.headers["set-cookie"]
        client.headers["authorization"] = f"Bearer {TOKEN}"
        client.headers["origin"] = f"https://{own}"
        found = client.post("/api/v1/groups?by=phash", files=parts(drawn(1), drawn(1), os.urandom(20_000_000)))
        assert (found.json()["summary"]["groups"], len(found.json()["failures"])) == (1, 1)
        job = client.post("/api/v1/jobs", json={"by": "phash"}).json()
        events = client.get(f"/api/v1/jobs/{job['id']}/events").text
        assert re.findall(r"^event: (\w+)", events, re.MULTILINE)[-1] == "end"
        client.headers["origin"] = "https://elsewhere.example"
        assert client.post("/api/v1/jobs", json={}).status_code == 403
        client.headers["host"] = "elsewhere.example"
        assert client.get("/api/v1/methods").status_code == 421


def _trusting():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
