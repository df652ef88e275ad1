"""What the service was started with. Frozen: nothing a client says changes it."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field

from imkin.engine.local import default_jobs
from imkin.errors import MissingPathError, UsageError

# Of a secret that is guessed over a network: 16 random letters and digits are 95 bits.
SHORTEST_TOKEN = 16


@dataclass(frozen=True, slots=True)
class Uploads:
    """What one request may bring.

    pixels: of each picture. idle_s: how long its sender may be silent; total_s: how long it may take to arrive.
    """

    files: int = 200
    bytes: int = 256 * 1024 * 1024
    pixels: int = 64_000_000
    idle_s: float = 30.0
    total_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Work:
    """What the worker processes may take.

    processes: how many requests are worked on at once. queue: how many more may wait. task_s: seconds a request's
    work may last. memory: bytes of address space of a worker, of which it needs 500 MB before it sees a picture.
    job_memory: the same of a job, which holds the fingerprints of all that it scans.
    """

    processes: int = field(default_factory=default_jobs)
    queue: int = 32
    task_s: float = 60.0
    memory: int = 3 * 1024**3
    job_memory: int = 8 * 1024**3

    @property
    def file_s(self) -> float:
        """Seconds a single picture may take, where those of a request are tried one by one."""
        return self.task_s / 4


@dataclass(frozen=True, slots=True)
class Settings:
    """What a service is.

    roots: absolute folders, all of the disk that clients can reach. token: empty where none is asked for.
    hosts: names beside its own under which it may be called, as behind a proxy. catalogue: a file, or None: memory.
    """

    host: str = "127.0.0.1"
    port: int = 9082
    roots: tuple[str, ...] = ()
    token: str = ""
    hosts: tuple[str, ...] = ()
    catalogue: str | None = None
    uploads: Uploads = Uploads()
    work: Work = Work()

    def __post_init__(self) -> None:
        for root in self.roots:
            if not os.path.isabs(root) or not os.path.isdir(root):
                raise MissingPathError(f"the root {root} is no folder; --root takes folders that are there")
        if self.token and len(self.token) < SHORTEST_TOKEN:
            raise UsageError(f"the token has {len(self.token)} characters; give it at least {SHORTEST_TOKEN}")


def is_loopback(host: str) -> bool:
    """Whether a name or address to listen on is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def read_token(path: str) -> str:
    """The token in a file, its first line. Raises MissingPathError, UsageError."""
    try:
        with open(path, encoding="ascii") as file:
            token = file.readline().strip()
    except OSError as error:
        raise MissingPathError(f"cannot read the token file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"the token file {path} holds no plain text") from None
    if not token or not token.isprintable() or " " in token:
        raise UsageError(f"the first line of the token file {path} is no token: letters, digits and signs, no space")
    return token
