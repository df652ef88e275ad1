"""What lives as long as the application: its workers, jobs and plans, and where uploads are spooled."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Annotated, Any, cast

from fastapi import Depends, Request

from imkin.server.jobs import Jobs
from imkin.server.plans import Plans
from imkin.server.problems import Problem
from imkin.server.settings import Settings
from imkin.server.shelf import Shelf
from imkin.server.uploads import Received, drain, received
from imkin.server.workers import Pool, RefusedError, WorkerLostError
from imkin.server.working import Pictures

# What the folder of a service's uploads is called; its process follows.
SPOOL = "imkin-serve-"
# So many files that kill a worker are told apart from the rest of their request; with more it is refused.
MOST_LETHAL = 3
LETHAL = "it cannot be read in the time and memory allowed"


class Service:
    """The parts of a running service. Made when the application starts, closed when it ends."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        _sweep(tempfile.gettempdir())
        self._folder = tempfile.TemporaryDirectory(prefix=f"{SPOOL}{os.getpid()}-")
        self.spool = self._folder.name
        self.pool = Pool(settings.work)
        self.jobs = Jobs(settings.catalogue, settings.work.job_memory)
        self.plans = Plans()
        self.shelf = Shelf(settings.catalogue)

    def close(self) -> None:
        """Stop the jobs, end the workers and remove what is spooled."""
        self.jobs.close()
        self.shelf.close()
        self.pool.close()
        self._folder.cleanup()

    @asynccontextmanager
    async def uploads(self, request: Request) -> AsyncIterator[Received]:
        """The uploads of a request, with a place in the queue of work. Raises Problem, 429 where there is no place."""
        try:
            with self.pool.place():
                async with received(request, self.settings.uploads, spool=self.spool) as uploads:
                    yield uploads
        except Problem:
            await drain(request)
            raise

    async def work(
        self, task: str, uploads: Received, *, by: str, turns: bool = False, **values: object
    ) -> dict[str, Any]:
        """What a worker answers about uploads; files that kill it are failures, found by trying each alone.

        Raises Problem where the whole is too much, or too many of the files are lethal.
        """
        task_s = self.settings.work.task_s
        pictures = Pictures(uploads.paths, by, turns, self.settings.uploads.pixels, [])
        try:
            return await self.pool.run(task, task_s, pictures, **values)
        except RefusedError as error:
            raise Problem(422, "wrong-value", str(error)) from None
        except WorkerLostError:
            lethal = await self._lethal(pictures)
        try:
            answer = await self.pool.run(task, task_s, replace(pictures, skip=lethal), **values)
        except WorkerLostError:
            raise Problem(
                413, "too-much-work", "these images together take more time or memory than is allowed; send fewer"
            ) from None
        failures = [*answer["failures"], *({"id": at, "stage": "decode", "reason": LETHAL} for at in lethal)]
        return {**answer, "failures": sorted(failures, key=lambda failure: failure["id"])}

    async def _lethal(self, pictures: Pictures) -> list[int]:
        """Places of the files that a worker does not survive. Raises Problem if they are too many."""
        lethal = []
        for at, path in enumerate(pictures.paths):
            try:
                await self.pool.run("probe", self.settings.work.file_s, replace(pictures, paths=[path]))
            except WorkerLostError:
                lethal.append(at)
                if len(lethal) > MOST_LETHAL:
                    raise Problem(
                        422, "lethal", "several of the files cannot be read in the time and memory allowed"
                    ) from None
        return lethal


def _sweep(folder: str) -> None:
    """Remove what services that were killed have left of their uploads."""
    if os.name != "posix":
        return
    for name in os.listdir(folder):
        found = re.match(rf"{SPOOL}(\d+)-", name)
        if found and not _lives(int(found[1])):
            shutil.rmtree(os.path.join(folder, name), ignore_errors=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def service_of(request: Request) -> Service:
    """The service of the application that a request is for."""
    return cast(Service, request.app.state.service)


OfService = Annotated[Service, Depends(service_of)]


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Service]:
    """A service while the application runs."""
    service = await asyncio.to_thread(Service, settings)
    try:
        yield service
    finally:
        await asyncio.to_thread(service.close)
