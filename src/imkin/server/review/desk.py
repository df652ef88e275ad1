"""What the page speaks about: one session, and one piece of work at a time."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from imkin.actions import Wish
from imkin.catalogue import Database
from imkin.grouping import Grouping
from imkin.library import Library
from imkin.review import Session, Task, open_session, thumbnails_of
from imkin.review.shown import CONTENT_DIGITS
from imkin.server.problems import Problem
from imkin.types import File


@dataclass(frozen=True, slots=True)
class How:
    """How a root's pictures are compared and grouped."""

    by: str
    turns: bool
    threshold: float
    grouping: Grouping


class Desk:
    """The session under review: the one given, or one that is opened on one of the roots when the page asks for it.

    roots: absolute folders. catalogue: a file, or None: memory. Close it to give the catalogue back.
    """

    def __init__(
        self, session: Session | None = None, *, roots: tuple[str, ...] = (), catalogue: str | None = None
    ) -> None:
        self.roots = roots
        self._session, self._catalogue = session, catalogue
        self._held = ExitStack()
        self._task: Task | None = None
        self._lock = threading.Lock()
        self._contents: dict[str, File] = {}
        if session is not None:
            self._take(session)

    def close(self) -> None:
        """End what is under way, and give the catalogue back."""
        if self._task is not None:
            self._task.stop()
            self._task.wait()
        self._held.close()

    @property
    def is_open(self) -> bool:
        """Whether there is a session."""
        return self._session is not None

    @property
    def session(self) -> Session:
        """The session; a refusal where no folder is open yet."""
        if self._session is None:
            raise Problem(409, "closed", "choose a folder first")
        return self._session

    def open(self, root: int, how: How) -> Task:
        """Scan a root, and review it from then on."""
        if not 0 <= root < len(self.roots):
            raise Problem(404, "", "there is no such root")
        return self.start(lambda: Task("scan", lambda task: self._open(self.roots[root], how, task)))

    def _open(self, folder: str, how: How, task: Task) -> None:
        with ExitStack() as held:
            library = held.enter_context(Library(self._catalogue))
            database = held.enter_context(Database(self._catalogue, durable=True))
            scanned = library.scan([folder], how.by, turns=how.turns, progress=task.progress, stop=task.stopped)
            session = open_session(
                library,
                scanned,
                wish=Wish("trash", (folder,)),
                threshold=how.threshold,
                database=database,
                grouping=how.grouping,
                thumbnails=thumbnails_of(self._catalogue),
            )
            self._held.close()
            self._held = held.pop_all()
        self._take(session)

    def _take(self, session: Session) -> None:
        self._contents = {}
        for file in session.files:
            self._contents.setdefault(file.sha256[:CONTENT_DIGITS], file)
        # A page that was loaded of an earlier session, or an earlier start, speaks of other groups.
        session.revision += secrets.randbelow(2**40)
        self._session = session

    def file(self, content: str) -> File:
        """A scanned file with this content, by the first digits of its sha256."""
        if content not in self._contents:
            raise Problem(404, "", "there is no such picture")
        return self._contents[content]

    def is_past(self, revision: int) -> bool:
        """Whether what is asked is about groups that are no more."""
        return revision != self.session.revision

    def check(self, revision: int) -> None:
        """Refuse what was said about groups that are no more."""
        if self.is_past(revision):
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
