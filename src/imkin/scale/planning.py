"""What a Hamming join of N random codes costs, on paper, with constants that were measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from imkin.errors import UsageError
from imkin.join.hamming_plan import BRUTE_NS, PAIR_NS, Plan, Sample
from imkin.scale.banding import LINEAR, SHUFFLED_ROW_NS, plan_for, row_type
from imkin.scale.joining import parts_for

# More than this is called infeasible: a week of the cluster, or a hundred terabytes through its disks.
MOST_HOURS = 168.0
MOST_BYTES = 1e14
# Of the driver for each image: which it equals, its forest's edge, its pair. Of a task for each byte of its rows:
# the rows, their order, the columns by word.
IMAGE_BYTES = 48
COPIES = 4


@dataclass(frozen=True, slots=True)
class Estimate:
    """tables: 0 compares all with all. key_bits: that agree in a bucket, of the shortest key. rows: that travel.
    candidates: pairs that are compared. linear: they grow with the images; else with their square, slowly at first.
    hours: of the clock, on all cores. instead: what to use where it is not feasible or not linear; else "".
    """

    images: int
    bits: int
    radius: int
    cores: int
    plan: str
    tables: int
    key_bits: int
    rows: int
    row_bytes: int
    candidates: float
    linear: bool
    driver_bytes: int
    task_bytes: int
    hours: float
    feasible: bool
    instead: str = ""

    def lines(self) -> Iterator[tuple[str, str]]:
        """For a person."""
        yield "plan", self.plan
        yield "tables", f"{self.tables:,}"
        yield "key bits", f"{self.key_bits}"
        yield "rows shuffled", f"{self.rows:.3g} ({_size(self.rows * self.row_bytes)})"
        growth = "growing with the images" if self.linear else "growing with the square of the images"
        yield "candidates", f"{self.candidates:.3g} ({self.candidates / self.images:.3g} an image, {growth})"
        yield "memory of a task", _size(self.task_bytes)
        yield "memory of the driver", _size(self.driver_bytes)
        yield f"hours on {self.cores} cores", f"{self.hours:.3g}"
        yield "feasible", "yes" if self.feasible else "no"
        if self.instead:
            yield "instead", self.instead


def estimate(*, images: int, bits: int, radius: int, cores: int) -> Estimate:
    """The cheapest plan and its cost. UsageError for numbers that cannot be."""
    if images < 1 or cores < 1 or bits < 8 or bits % 8:
        raise UsageError("--images and --cores are at least 1, --bits a multiple of 8")
    if not 0 <= radius <= bits:
        raise UsageError(f"--radius must be 0..{bits}, not {radius}")
    made = _estimate(images, bits, radius, cores)
    return made if made.feasible and made.linear else replace(made, instead=_instead(made))


def _estimate(images: int, bits: int, radius: int, cores: int) -> Estimate:
    words, pairs = -(-bits // 64), images * images / 2
    # Two random codes agree in w bits with probability 2**-w, and one word tells most of them apart.
    sample = Sample(bits, 1, None, np.array([0.0, float(bits)]), np.array([0.0, -float(bits)]))
    plan = plan_for(sample, radius, rows=images, pairs=pairs) if radius else Plan()
    tables = list(plan.tables())
    rows, item = images * len(tables), row_type(words).itemsize
    keys = [table.key_bits for table in tables]
    candidates = pairs * sum(2.0**-key for key in keys) if tables else (pairs if radius else 0.0)
    ns = rows * SHUFFLED_ROW_NS + candidates * (PAIR_NS if tables else BRUTE_NS * words)
    hours = ns / 1e9 / 3600 / cores
    return Estimate(
        images=images,
        bits=bits,
        radius=radius,
        cores=cores,
        plan=str(plan) if radius else "equal codes meet by themselves",
        tables=len(tables),
        key_bits=min(keys, default=0),
        rows=rows,
        row_bytes=item,
        candidates=candidates,
        linear=candidates <= LINEAR * images,
        driver_bytes=images * IMAGE_BYTES,
        task_bytes=-(-images // parts_for(images, len(tables) * item)) * max(1, len(tables)) * item * COPIES,
        hours=hours,
        feasible=hours <= MOST_HOURS and rows * item <= MOST_BYTES,
    )


def _instead(made: Estimate) -> str:
    """What would do: a smaller radius, a longer hash with as many bits in a hundred, or vectors in cells."""
    ways = []
    for radius in range(made.radius - 1, 0, -1):
        smaller = _estimate(made.images, made.bits, radius, made.cores)
        if smaller.feasible and smaller.linear:
            ways.append(f"radius {radius}")
            break
    if made.bits < 256:
        longer = _estimate(made.images, 256, 31, made.cores)
        if longer.feasible and not made.feasible:
            ways.append(f"`--by pdq` (256 bits, radius 31: {longer.hours:.3g} hours)")
    ways.append("`--by kin --cells` (vectors in coarse cells; not exact, recall told)")
    return ", or ".join(ways)


def _size(count: float) -> str:
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
