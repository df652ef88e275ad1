"""What the page speaks about: one session, and one piece of work at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable

from imkin.review import Session, Task
from imkin.review.shown import CONTENT_DIGITS
from imkin.server.problems import Problem
from imkin.types import File


class Desk:
    """A session under review."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._task: Task | None = None
        self._lock = threading.Lock()
        self._contents: dict[str, File] = {}
        for file in session.files:
            self._contents.setdefault(file.sha256[:CONTENT_DIGITS], file)

    def file(self, content: str) -> File:
        """A scanned file with this content, by the first digits of its sha256."""
        if content not in self._contents:
            raise Problem(404, "", "there is no such picture")
        return self._contents[content]

    def check(self, revision: int) -> None:
        """Refuse what was said about groups that are no more."""
        if revision != self.session.revision:
            raise Problem(409, "regrouped", "the groups have changed meanwhile; they are shown anew")

    def idle(self) -> None:
        """Refuse to change anything while files are changed."""
        if self._task is not None and self._task.state == "running":
            raise Problem(409, "busy", "something is still under way")

    def start(self, make: Callable[[], Task]) -> Task:
        """Begin a piece of work, if none is under way."""
        with self._lock:
            self.idle()
            self._task = make()
            return self._task

    @property
    def task(self) -> Task:
        """The last piece of work."""
        if self._task is None:
            raise Problem(404, "", "nothing was begun")
        return self._task
