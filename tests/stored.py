"""Rows of a catalogue for tests, and a way to cut its connections."""

import psycopg

from imkin.catalogue import PrintStore
from imkin.types import File


def file_of(number):
    return File(f"/p/{number}.jpg", 10 + number, 20, f"{number:064x}", f"{number:040x}", 6, 4, "JPEG")


def save(database, numbers, value=b"value"):
    store = PrintStore(database, spec="s", recipe="r")
    files = [file_of(number) for number in numbers]
    store.save(
        [(f.path, f.size, f.mtime_ns, bytes.fromhex(f.sha256)) for f in files], [(f, value, 0.5) for f in files], []
    )


def known(database, numbers):
    store = PrintStore(database, spec="s", recipe="r")
    return {int(sha256.hex(), 16) for sha256 in store.known(bytes.fromhex(file_of(n).sha256) for n in numbers)}


def cut(url):
    """End every other connection to the database, as a restart of the server or a firewall would."""
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
