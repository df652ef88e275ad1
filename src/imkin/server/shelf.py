"""The libraries of the catalogue, kept open between requests: what a search has read, the next one needs again."""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from imkin import prints
from imkin.collection import Collection
from imkin.errors import UsageError
from imkin.library import Library
from imkin.plan import inside
from imkin.prints import values_of
from imkin.server.names import plain, told
from imkin.server.problems import Problem
from imkin.types import Prints, Spec


class Shelf:
    """Collections by name. catalogue: a file, or None: they last as long as the service."""

    def __init__(self, catalogue: str | None) -> None:
        self._library = Library(catalogue)
        self._open: dict[str, Collection] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Give the catalogue back."""
        self._library.close()

    def all(self) -> tuple[Collection, ...]:
        """Every collection, by name."""
        return Collection.all(self._library)

    def make(self, name: str, by: str, *, turns: bool) -> Collection:
        """A new collection. Raises Problem 409 if there is one of this name, 422 for a method that keeps nothing."""
        with self._lock:
            if any(one.name == name for one in self.all()):
                raise Problem(409, "library-is-there", "there is a library of this name")
            try:
                return Collection(self._library, name, by, turns=turns)
            except UsageError as error:
                raise Problem(422, "wrong-value", str(error)) from None

    def find(self, name: str) -> Collection:
        """The collection of a name, as other processes may have made it anew. Raises Problem 404."""
        with self._lock:
            try:
                now = Collection(self._library, name, create=False)
            except UsageError:
                self._open.pop(name, None)
                raise Problem(404, "unknown-library", "there is no such library") from None
            known = self._open.get(name)
            if known is None or known.created_ns != now.created_ns:
                self._open[name] = known = now
            return known


def served(collection: Collection) -> tuple[str, bool]:
    """Method and turns to fingerprint uploads by. Raises Problem for a method that clients may not name."""
    if collection.method not in prints.names():
        raise Problem(409, "method-not-served", "the library's method is a network that the service does not run")
    return collection.method, "turns" in collection.spec.params


def unpacked(rows: Sequence[dict[str, Any]], spec: Spec) -> Prints:
    """Fingerprints as a worker told them."""
    values = values_of([base64.b64decode(row["value"]) for row in rows], spec)
    return Prints(spec, values, np.array([row["quality"] for row in rows], np.float32))


def member_name(name: str, roots: Sequence[str]) -> str:
    """What clients see of a member's name, which may be a path of this machine."""
    if not os.path.isabs(name):
        return plain(name)
    return told(name, roots) if inside(name, tuple(roots)) else plain(os.path.basename(name))
