"""`--work`, `--engine`: the same commands over shards; `imkin plan-join`: what a join of many images costs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from imkin.cli.options import Json, Method, Scale, Setup
from imkin.cli.run import command, progress_bar, say, write

if TYPE_CHECKING:
    from imkin.cli.find import Job
    from imkin.library import Library
    from imkin.scale.outcome import Found
    from imkin.scale.task import Task
    from imkin.types import Fingerprinter


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "plan-join")(plan_join)


@dataclass(frozen=True, slots=True)
class Made:
    """Loads a method wherever a worker is: a loaded network does not travel."""

    method: Method

    def __call__(self) -> Fingerprinter:
        """The fingerprinter."""
        from imkin import prints

        by = self.method.fingerprinter()
        return prints.fingerprinter(by, turns=self.method.turns) if isinstance(by, str) else by


def plain(scale: Scale) -> bool:
    """Whether one machine's threads do, without shards."""
    return scale.work is None and scale.engine == "local" and not scale.cells


@contextmanager
def find(job: Job, scale: Scale, method: Method, library: Library, setup: Setup) -> Iterator[Found | None]:
    """What a job over shards found; None where one machine's threads do without. UsageError for options that clash."""
    from imkin.errors import UsageError

    if scale.gpus_per_actor < 0:
        raise UsageError(f"--gpus-per-actor is 0 or more, not {scale.gpus_per_actor:g}")
    if scale.gpus_per_actor and not (scale.engine == "ray" or scale.engine.startswith("ray:")):
        raise UsageError("--gpus-per-actor goes with --engine ray")
    if plain(scale):
        yield None
        return
    # 0.4 s to load, with SciPy.
    from imkin.scale.run import running

    with ExitStack() as stack:
        progress = stack.enter_context(progress_bar(setup))
        found = stack.enter_context(
            running(
                _task(job, scale, method, setup),
                scale.engine,
                jobs=setup.jobs,
                verdicts=library.decisions(),
                progress=progress,
            )
        )
        _tell(found, scale, setup)
        yield found


def _task(job: Job, scale: Scale, method: Method, setup: Setup) -> Task:
    from imkin.scale.task import SHARD, Task

    make = Made(method)
    return Task(
        paths=(*job.scope.reference, *job.paths),
        work=scale.work or "",
        spec=make().spec,
        make=make,
        threshold=job.threshold,
        across=job.scope.across,
        references=len(job.scope.reference),
        wanted=setup.wanted(),
        sample=job.sample,
        limits=setup.limits(),
        gpus_per_worker=scale.gpus_per_actor,
        coarse=scale.cells,
        shard=SHARD,
    )


def _tell(found: Found, scale: Scale, setup: Setup) -> None:
    where = f" in {scale.work}" if scale.work else ""
    say(f"{found.images:,} images in shards{where}", setup=setup)
    if found.hot:
        say(f"{len(found.hot):,} hot buckets, the largest of {found.hot[0]:,} different fingerprints", setup=setup)
    if found.recall is not None:
        there, met = found.recall
        share = f"{met / there:.4f}" if there else "unknown"
        say(f"recall {share}: {met:,} of {there:,} pairs of a sample, by brute force", setup=setup)
    for failure in found.lost:
        say(f"lost: {failure.path}: {failure.reason}", setup=setup)


def check_lost(found: Found | None) -> None:
    """End with exit code 3 if a shard was lost: the answer is not that of all images."""
    from imkin.errors import EXIT_FAILURES

    if found is not None and found.lost:
        raise typer.Exit(EXIT_FAILURES)


def plan_join(
    *,
    images: Annotated[int, typer.Option("--images", metavar="N", help="How many.", show_default=False)],
    bits: Annotated[int, typer.Option("--bits", metavar="B", help="Bits of a hash: 64, or 256 of pdq.")] = 64,
    radius: Annotated[int, typer.Option("--radius", metavar="R", help="Bits that may differ.")] = 6,
    cores: Annotated[int, typer.Option("--cores", metavar="N", help="Of the cluster.")] = 64,
    as_json: Json = False,
) -> None:
    """Tell what finding all near pairs of N hashes takes, and what to use where it is too much.

    Reckoned for hashes as random as can be; those of real pictures have more in common and take longer.
    """
    from imkin.scale.planning import estimate

    found = estimate(images=images, bits=bits, radius=radius, cores=cores)
    if as_json:
        write(json.dumps(asdict(found)) + "\n")
        return
    for name, value in found.lines():
        write(f"{name:<22}{value}\n")
