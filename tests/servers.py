"""Real servers on loopback for the tests: one of pictures with every bad habit, one that plays Google Sheets."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from PIL import Image


def picture(seed: int, *, format_name: str = "JPEG", side: int = 64) -> bytes:
    """A picture of seeded blocks as a file; another seed is nothing like it."""
    blocks = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(blocks).resize((side, side), Image.Resampling.BICUBIC).save(out, format_name)
    return out.getvalue()


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True
    # The default of 5 makes 32 connections at once wait for the kernel's retry of a second.
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients hang up in most of these tests; that is no news."""


@contextlib.contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[str]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class PictureServer(QuietServer):
    """Counts what it is asked. asked: path → requests. most_at_once: the most requests in work together."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), PictureHandler)
        self.asked: Counter[str] = Counter()
        self.agents: set[str] = set()
        self.hosts: set[str] = set()
        self.most_at_once = 0
        self.at_once = 0
        self.lock = threading.Lock()
        self.ending = threading.Event()


@contextlib.contextmanager
def pictures() -> Iterator[tuple[PictureServer, str]]:
    server = PictureServer()
    with running(server) as base:
        try:
            yield server, base
        finally:
            server.ending.set()


class PictureHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: PictureServer

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server
        path = self.path
        if path.startswith("http://"):  # asked as a proxy
            path = "/" + path.split("/", 3)[3]
        with server.lock:
            server.asked[self.path] += 1
            server.agents.add(self.headers.get("User-Agent", ""))
            server.hosts.add(self.headers.get("Host", ""))
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        try:
            word, _, rest = path.lstrip("/").partition("/")
            getattr(self, f"get_{word}", self.get_gone)(rest)
        finally:
            with server.lock:
                server.at_once -= 1

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def get_img(self, rest: str) -> None:
        """/img/SEED.FORMAT"""
        seed, _, ending = rest.partition("?")[0].partition(".")
        self.answer(200, picture(int(seed), format_name=ending or "JPEG"))

    def get_slow(self, rest: str) -> None:
        time.sleep(0.02)
        self.get_img(rest)

    def get_hop(self, rest: str) -> None:
        """/hop/N/SEED: N redirects, then the picture."""
        left, seed = rest.split("/")
        where = f"/img/{seed}" if left == "0" else f"/hop/{int(left) - 1}/{seed}"
        self.answer(302, b"", Location=where)

    def get_loop(self, rest: str) -> None:
        self.answer(302, b"", Location=self.path)

    def get_to(self, rest: str) -> None:
        """/to/URL, quoted: a redirect there."""
        self.answer(302, b"", Location=unquote(rest))

    def get_gone(self, rest: str) -> None:
        self.answer(404, b"")

    def get_html(self, rest: str) -> None:
        self.answer(200, b"<!doctype html><title>Sign in</title>", Content_Type="text/html")

    def get_text(self, rest: str) -> None:
        self.answer(200, b"no picture", Content_Type="image/jpeg")

    def get_empty(self, rest: str) -> None:
        self.answer(200, b"")

    def get_gzip(self, rest: str) -> None:
        self.answer(200, b"\x1f\x8b", Content_Encoding="gzip")

    def get_busy(self, rest: str) -> None:
        """/busy/TIMES/SEED?RETRY-AFTER: 429 that many times, then the picture."""
        times, _, seed = rest.partition("/")
        seed, _, wait = seed.partition("?")
        if self.server.asked[self.path] <= int(times):
            self.answer(429, b"", **({"Retry_After": wait} if wait else {}))
        else:
            self.get_img(seed)

    def get_broken(self, rest: str) -> None:
        """/broken/TIMES/SEED: 503 that many times, then the picture."""
        times, _, seed = rest.partition("/")
        if self.server.asked[self.path] <= int(times):
            self.answer(503, b"")
        else:
            self.get_img(seed)

    def get_cut(self, rest: str) -> None:
        """A body that ends before its time."""
        self.send_response(200)
        self.send_header("Content-Length", "5000")
        self.end_headers()
        self.wfile.write(b"x" * 100)
        self.close_connection = True

    def get_huge(self, rest: str) -> None:
        """10 GB announced, and none of it sent."""
        self.send_response(200)
        self.send_header("Content-Length", str(10 << 30))
        self.end_headers()
        self.close_connection = True

    def get_endless(self, rest: str) -> None:
        """A body without a length that never ends."""
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        while not self.server.ending.is_set():
            self.wfile.write(b"x" * 65536)

    def get_drip(self, rest: str) -> None:
        """A byte now and then, for ever: below every limit on silence."""
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        self.close_connection = True
        while not self.server.ending.wait(0.05):
            self.wfile.write(b"x")

    def get_headers(self, rest: str) -> None:
        """Headers a byte at a time, for ever."""
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-A: ")
        while not self.server.ending.wait(0.05):
            self.wfile.write(b"x")

    def get_silent(self, rest: str) -> None:
        self.close_connection = True
        self.server.ending.wait(30)

    def get_reset(self, rest: str) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


class Formula(NamedTuple):
    """A cell that is worked out."""

    text: str
    value: object


@dataclass
class Fault:
    """What the server answers instead of the next requests whose method and path hold `to`."""

    to: str
    status: int
    times: int = 1
    message: str = "injected"
    retry_after: str = ""


class SheetServer(QuietServer):
    """Plays the endpoints of Google's tokens, Sheets v4 and Drive v3 that a client of ranges needs.

    sheets: spreadsheet id → (its title, {worksheet: rows of cells}). said: requests in order, `METHOD path`.
    """

    def __init__(self, public_key: object) -> None:
        super().__init__(("127.0.0.1", 0), SheetHandler)
        self.public_key = public_key
        self.sheets: dict[str, tuple[str, dict[str, list[list[object]]]]] = {}
        self.forbidden: set[str] = set()
        self.faults: list[Fault] = []
        self.said: list[str] = []
        self.bodies: list[dict[str, object]] = []
        self.lock = threading.Lock()


class SheetHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SheetServer

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.do("GET", {})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        self.do("POST", parse_qs(raw.decode()) if self.path == "/token" else json.loads(raw))

    def do(self, method: str, body: dict) -> None:
        url = urlsplit(self.path)
        said = f"{method} {unquote(url.path)}"
        with self.server.lock:
            self.server.said.append(said)
            self.server.bodies.append(body)
            fault = next((one for one in self.server.faults if one.to in said and one.times > 0), None)
            if fault:
                fault.times -= 1
                headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
                return self.answer(fault.status, {"error": {"code": fault.status, "message": fault.message}}, headers)
            if url.path == "/token":
                return self.token(body["assertion"][0])
            if self.headers.get("Authorization") != "Bearer a-token":
                return self.fail(401, "no token")
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            if url.path == "/drive/v3/files":
                return self.files(query["q"])
            return self.spreadsheet(unquote(url.path).removeprefix("/v4/spreadsheets/"), query, body)

    def answer(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)

    def fail(self, status: int, message: str) -> None:
        self.answer(status, {"error": {"code": status, "message": message}})

    def token(self, assertion: str) -> None:
        """Checks the signature over the claims, as Google does."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        signed, _, signature = assertion.rpartition(".")
        try:
            self.server.public_key.verify(_unpadded(signature), signed.encode(), PKCS1v15(), SHA256())
        except InvalidSignature:
            self.answer(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
            return
        claims = json.loads(_unpadded(signed.partition(".")[2]))
        assert "https://www.googleapis.com/auth/spreadsheets" in claims["scope"]
        self.answer(200, {"access_token": "a-token", "expires_in": 3600, "token_type": "Bearer"})

    def files(self, query: str) -> None:
        name = query.partition("name = '")[2].partition("' and")[0].replace("\\'", "'").replace("\\\\", "\\")
        found = [{"id": one, "name": title} for one, (title, _) in self.server.sheets.items() if title == name]
        self.answer(200, {"files": found})

    def spreadsheet(self, path: str, query: dict[str, str], body: dict) -> None:
        key = path.partition("/")[0].partition(":")[0]
        if key not in self.server.sheets:
            self.fail(404, "Requested entity was not found.")
        elif key in self.server.forbidden:
            self.fail(403, "The caller does not have permission")
        else:
            title, worksheets = self.server.sheets[key]
            self.answer(200, {"spreadsheetId": key} | self.act(path.removeprefix(key), query, body, title, worksheets))

    def act(self, rest: str, query: dict[str, str], body: dict, title: str, worksheets: dict) -> dict[str, object]:
        if rest == "/values:batchUpdate":
            assert body["valueInputOption"] == "RAW"
            for one in body["data"]:
                self.write(worksheets, one["range"], one["values"])
            return {}
        if rest == ":batchUpdate":
            for request in body["requests"]:
                span = request["deleteDimension"]["range"]
                rows = list(worksheets.values())[span["sheetId"] - 100]
                del rows[span["startIndex"] : span["endIndex"]]
            return {}
        if rest.startswith("/values/"):
            return self.read(worksheets, rest.removeprefix("/values/"), query["valueRenderOption"])
        grid = {"rowCount": 1000, "columnCount": 26}
        sheets = [{"sheetId": 100 + at, "title": name, "gridProperties": grid} for at, name in enumerate(worksheets)]
        return {"properties": {"title": title}, "sheets": [{"properties": sheet} for sheet in sheets]}

    def read(self, worksheets: dict[str, list[list[object]]], a1: str, rendered: str) -> dict[str, object]:
        rows, (top, left, bottom, right) = _cells(worksheets, a1)
        place = 1 if rendered == "UNFORMATTED_VALUE" else 0
        found = [
            [cell[place] if isinstance(cell, Formula) else cell for cell in row[left:right]] for row in rows[top:bottom]
        ]
        for row in found:
            while row and row[-1] == "":
                row.pop()
        while found and not found[-1]:
            found.pop()
        return {"range": a1, "majorDimension": "ROWS"} | ({"values": found} if found else {})

    def write(self, worksheets: dict[str, list[list[object]]], a1: str, values: list[list[object]]) -> None:
        rows, (top, left, bottom, _) = _cells(worksheets, a1)
        assert bottom is None or len(values) <= bottom - top
        for at, new in enumerate(values, start=top):
            rows.extend([] for _ in range(at + 1 - len(rows)))
            rows[at].extend("" for _ in range(left + len(new) - len(rows[at])))
            rows[at][left : left + len(new)] = new


def _cells(worksheets: dict[str, list[list[object]]], a1: str) -> tuple[list[list[object]], tuple]:
    """A worksheet's rows, and top, left, bottom, right of a range as slices take them."""
    title, _, area = a1.rpartition("!") if "!" in a1 else (a1, "", "A1:Z")
    match = re.fullmatch(r"([A-Z]+)([0-9]+)(?::([A-Z]+)([0-9]*))", area)
    assert match, f"Google would not understand {a1}"
    left, right = ord(match[1]) - 65, ord(match[3]) - 64
    rows = worksheets[title.removeprefix("'").removesuffix("'").replace("''", "'")]
    return rows, (int(match[2]) - 1, left, int(match[4]) if match[4] else None, right)


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@contextlib.contextmanager
def sheets(private_key: object) -> Iterator[tuple[SheetServer, str]]:
    server = SheetServer(private_key.public_key())
    with running(server) as base:
        yield server, base
