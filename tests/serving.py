"""A real service in a process of its own, on a free port of loopback."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx2


@dataclass(frozen=True)
class Running:
    """url: where it listens. process: the service itself. log: a file with all that it said."""

    url: str
    process: subprocess.Popen
    log: str

    def client(self, **options) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, timeout=60, **options)

    def said(self) -> str:
        with open(self.log) as file:
            return file.read()


@contextmanager
def serving(folder, *options, **environment) -> Iterator[Running]:
    """The service while the block runs. folder: for its log and catalogue."""
    log = os.path.join(folder, "served.log")
    command = [sys.executable, "-u", "-m", "imkin", "serve", "--port", "0"]
    command += ["--catalogue", os.path.join(folder, "catalogue.sqlite"), *options]
    with open(log, "w") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, **environment}
        )
    try:
        yield Running(_url(process, log), process, log)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _url(process, log):
    # Its log is followed like a pipe: the line comes when the socket listens.
    with open(log) as file:
        while process.poll() is None:
            line = file.readline()
            if found := re.search(r"serving on (http://\S+)\n", line):
                return found[1]
            if not line:
                os.sched_yield()
    with open(log) as file:
        raise AssertionError(f"the service ended: {file.read()}")
