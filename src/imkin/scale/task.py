"""What a job over shards is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imkin import image
from imkin.scale.job import SHARD
from imkin.sources import Filter
from imkin.types import Fingerprinter, Spec

Make = Callable[[], Fingerprinter]


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be found. make: loads the method, once a worker. coarse: vectors within coarse cells only."""

    paths: Sequence[str]
    work: str
    spec: Spec
    make: Make
    threshold: float
    across: bool = False
    references: int = 0
    wanted: Filter = Filter()
    limits: image.Limits = image.Limits()
    gpus_per_worker: float = 0.0
    coarse: bool = False
    shard: int = SHARD
