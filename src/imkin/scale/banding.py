"""The Hamming join over a cluster: exact. Every code goes to each table of a plan, keyed by the bits it must share.

The plan, and which table tells of a pair, are those of one machine (`join.hamming_plan`), with the price of a row
that travels; in a part the same buckets are compared by the same code.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from imkin import join
from imkin.engine import Always, Blocks, Engine, Rows
from imkin.join.hamming import collect, to_words
from imkin.join.hamming_plan import Plan, Sample, Table, Words, choose, measure, reordered, take_bits
from imkin.join.hamming_tables import run_table
from imkin.scale.equals import ODD, bytes_of
from imkin.scale.pairing import PAIR, Near, pair_rows
from imkin.types import Spec

# A row that is made, sorted, written, read and put in its bucket, in nanoseconds of one core, beside 35 in memory;
# `benchmarks/scale.py shuffle` measured 625. A network is not in it.
SHUFFLED_ROW_NS = 600.0
# Candidates an image: with a plan of so many at most the work grows with the images, not with their square.
LINEAR = 3000
# From so many distinct codes with one key on a bucket is told of: it is compared, but something is amiss with the data.
HOT_CODES = 20_000


@dataclass(frozen=True, slots=True)
class Banding:
    """How a set of codes is joined. order: of the bits, None as they are. first: words that are compared first."""

    plan: Plan
    radius: int
    bits: int
    turns: int
    order: NDArray[np.intp] | None
    first: int

    def tables(self) -> list[Table]:
        """The tables, which rows name by their number."""
        return list(self.plan.tables())

    @property
    def row_bytes(self) -> int:
        """What an image becomes: a row a table and turn."""
        return len(self.tables()) * self.turns * row_type(-(-self.bits // 64)).itemsize


def banding_for(spec: Spec, threshold: float, values: NDArray[np.uint8], count: int) -> Banding | None:
    """The plan for `count` codes like the sample `values`; None if all should be compared with all."""
    if spec.kind != "bits" or "parts" in spec.params:
        return None
    radius, bits = join.radius(spec, threshold), join.code_bits(spec)
    turns = int(str(spec.params.get("turns", 1)))
    upright = np.ascontiguousarray(values[:, : bits // 8])
    sample: Sample = measure([to_words(upright)], bits, radius=radius)
    plan = plan_for(sample, radius, rows=count * turns, pairs=count * count / 2 * turns)
    if radius == 0 and turns == 1:
        plan = Plan()
    return Banding(plan, radius, bits, turns, sample.order, sample.words) if plan.blocks else None


def plan_for(sample: Sample, radius: int, *, rows: int, pairs: float) -> Plan:
    """The cheapest plan of LINEAR candidates a row; where there is none, the cheapest of all."""
    plan = choose(sample, radius, rows=rows, pairs=pairs, row_ns=SHUFFLED_ROW_NS, most=LINEAR * rows)
    return plan if plan.blocks else choose(sample, radius, rows=rows, pairs=pairs, row_ns=SHUFFLED_ROW_NS)


def row_type(words: int) -> np.dtype[np.void]:
    """Rows of codes in tables. turn: 0 for the code of the upright picture."""
    return np.dtype(
        [("key", np.uint64), ("table", np.int32), ("turn", np.int8), ("image", np.int64), ("code", np.uint64, (words,))]
    )


@dataclass(frozen=True, slots=True)
class Bands:
    """Distinct rows → a row for every code and table. numbers: of the tables that are wanted."""

    banding: Banding
    numbers: range

    def __call__(self, rows: Rows) -> Rows:
        """See the class."""
        values, banding = bytes_of(rows, "value"), self.banding
        width, made = banding.bits // 8, []
        for turn in range(banding.turns):
            words = to_words(np.ascontiguousarray(values[:, turn * width : (turn + 1) * width]))
            if banding.order is not None:
                words = reordered(words, banding.order)
            tables = banding.tables()
            for number in self.numbers:
                out = np.empty(len(rows), row_type(len(words)))
                out["key"] = key_of(words, tables[number], number)
                out["table"], out["turn"], out["image"], out["code"] = number, turn, rows["image"], words.T
                made.append(out)
        return np.concatenate(made)


def key_of(words: Words, table: Table, number: int) -> Words:
    """(n,) the kept bits and the table in one number. Codes that agree in them have the same."""
    key = np.full(words.shape[1], number + 1, np.uint64) * ODD
    for lo, hi in table.kept:
        for at in range(lo, hi, 64):
            key = (key ^ (key >> np.uint64(29))) * ODD + take_bits(words, (at, min(at + 64, hi)))
    return key


@dataclass(frozen=True, slots=True)
class Compare:
    """The rows of a part → the pairs that its tables tell of."""

    banding: Banding

    def __call__(self, rows: Rows) -> Near:
        """See the class."""
        counts = np.unique(rows["key"][rows["turn"] == 0], return_counts=True)[1]
        hot = tuple(sorted(counts[counts >= HOT_CODES].tolist(), reverse=True))
        order = np.argsort(rows["table"], kind="stable")
        starts = np.searchsorted(rows["table"][order], np.arange(len(self.banding.tables()) + 1))
        found = [
            pairs
            for number, table in enumerate(self.banding.tables())
            for pairs in self._table(rows[order[starts[number] : starts[number + 1]]], table)
        ]
        return Near(np.concatenate([np.empty(0, PAIR), *found]), hot)

    def _table(self, rows: Rows, table: Table) -> list[NDArray[np.void]]:
        upright, turned = rows[rows["turn"] == 0], rows[rows["turn"] > 0]
        made = []
        for others in (None, turned):
            if len(upright) == 0 or (others is not None and len(others) == 0):
                continue
            b = None if others is None else _words(others)
            task = partial(run_table, _words(upright), b, self.banding.radius, table, self.banding.first)
            left, right, apart = collect(task)
            similarity = (1 - apart / np.float32(self.banding.bits)).astype(np.float32)
            second = upright if others is None else others
            made.append(pair_rows(upright["image"][left], second["image"][right], similarity))
        return made


def _words(rows: Rows) -> Words:
    return np.ascontiguousarray(rows["code"].T)


def banded(
    engine: Engine, rows: Blocks[Rows], banding: Banding, parts: int, numbers: range | None = None
) -> Blocks[Near]:
    """All pairs within the radius, each from one task; with turns a pair may come from several.

    numbers: of the tables, all by default; another call finds what the others tell of.
    """
    chosen = range(len(banding.tables())) if numbers is None else numbers
    return engine.partition(rows.map(Always(Bands(banding, chosen))), parts, Always(Compare(banding)))
