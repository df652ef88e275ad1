"""Real servers on loopback for the tests: one of pictures with every bad habit, one that plays Google Sheets."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

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
