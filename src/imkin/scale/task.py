"""What a job over shards is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imkin import image
from imkin.library import Sample
from imkin.sources import Filter
from imkin.types import Fingerprinter, Spec

Make = Callable[[], Fingerprinter]

# A shard is what a lost worker costs: seconds to minutes of work; a thousand rows make a Parquet file worth its name.
SHARD = 1000


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be found. paths: the references first. work: a folder or a store's URL. make: loads the method, once a
    worker. coarse: vectors within coarse cells only.
    """

    paths: Sequence[str]
    work: str
    spec: Spec
    make: Make
    threshold: float
    across: bool = False
    references: int = 0
    wanted: Filter = Filter()
    sample: Sample = Sample()
    limits: image.Limits = image.Limits()
    gpus_per_worker: float = 0.0
    coarse: bool = False
    shard: int = SHARD


@dataclass(frozen=True, slots=True)
class Named:
    """Loads a method by its name, wherever a worker is."""

    by: str
    turns: bool = False

    def __call__(self) -> Fingerprinter:
        """The fingerprinter."""
        from imkin import prints

        return prints.fingerprinter(self.by, turns=self.turns)


@dataclass(frozen=True, slots=True)
class Given:
    """A fingerprinter that is there; it travels to the workers as it is, and must pickle."""

    by: Fingerprinter

    def __call__(self) -> Fingerprinter:
        """The fingerprinter."""
        return self.by
