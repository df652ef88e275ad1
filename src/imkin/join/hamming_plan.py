"""How a Hamming join is done: which bits must agree for two codes to be compared, chosen by estimated cost.

Two codes at most `radius` bits apart are found by hashing on bits they must share. Cut the bits in blocks, allow
block i `errors[i]` differing bits: if the sum of (errors[i] + 1) exceeds the radius, some block keeps to its
allowance (Norouzi, Punjani, Fleet 2012, «Fast search in Hamming space with multi-index hashing», with unequal
radii). Cut that block in parts: at least `parts - errors` of them agree exactly, so one of C(parts, errors)
tables, each keyed by all parts but `errors` of them, holds the two codes in one bucket.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise
from math import comb, gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
"""(w, n) uint64: n codes, one word of all codes after the other; bit b of a code is bit b % 64 of word b // 64."""
Bits = tuple[int, int]
"""Bits lo..hi-1 of a code."""

# Nanoseconds of one core, measured on a 2.7 GHz Xeon with numpy 2.4; only their ratios matter. A comparison of one
# word by brute force and in a bucket; a code sorted into a table; a table.
BRUTE_NS = 0.8
PAIR_NS = 1.5
ROW_NS = 35.0
TABLE_NS = 300_000.0
# Tables must promise to take this share of the time of brute force, whose estimate is the safer one.
MARGIN = 0.7
MOST_TABLES = 1500
# A key and the index of its code are sorted as one uint64; more bits than this are folded into so many.
KEY_BITS = 32
SAMPLE = 4096
# Of the pairs of a sample, how many may pass the first words' test before another word is added to it.
PASS_FRACTION = 0.01
# The share of pairs that agree in a bit, 0.5 at best, above which the bits are put in another order.
MOST_AGREEING = 0.55


@dataclass(frozen=True, slots=True)
class Block:
    """Bits lo..hi-1 in `parts` parts, of which all but `errors` must agree."""

    lo: int
    hi: int
    errors: int
    parts: int

    def __post_init__(self) -> None:
        if not 0 <= self.errors < self.parts <= self.hi - self.lo:
            raise ValueError(f"a block needs 0 <= errors < parts <= bits: {self}")

    def bounds(self) -> list[Bits]:
        """The bits of each part; widths differ by one at most."""
        return list(pairwise(self.lo + (self.hi - self.lo) * p // self.parts for p in range(self.parts + 1)))


@dataclass(frozen=True)
class Table:
    """One table of a plan. A pair that several tables find is emitted by the one that `owns` it.

    kept: the bits of the key. block: the table's block. earlier: the blocks before it.
    differ: the left-out parts that come after the first kept one.
    """

    kept: tuple[Bits, ...]
    differ: tuple[Bits, ...]
    block: Block
    earlier: tuple[Block, ...]

    @cached_property
    def key_bits(self) -> int:
        """Number of bits that agree in a bucket."""
        return sum(hi - lo for lo, hi in self.kept)

    def owned(self, xor: Words) -> NDArray[np.intp]:
        """Which columns of xor (w, m), differences in one bucket within the radius, this table emits.

        The owner of a pair is the first block that keeps to its allowance, and in it the table that leaves out
        the parts that differ and, to make up the number, the first of those that do not.
        """
        index = np.arange(xor.shape[1])
        for bits, least, most in self.limits:
            count = count_bits(xor, bits)
            kept = np.flatnonzero(count >= least if least else count <= most)
            if len(kept) < len(index):
                xor, index = xor.take(kept, axis=1), index[kept]
        return index

    @cached_property
    def limits(self) -> list[tuple[Bits, int, int]]:
        """Of which bits how many must differ, at least and at most, in a pair that the table owns."""
        block, many = self.block, 1 << 16
        return [
            *(((b.lo, b.hi), b.errors + 1, many) for b in self.earlier),
            *((part, 1, many) for part in self.differ),
            ((block.lo, block.hi), 0, block.errors),
            # Only folded keys can be equal where the bits are not.
            *((part, 0, 0) for part in self.kept if self.key_bits > KEY_BITS),
        ]


@dataclass(frozen=True, slots=True)
class Plan:
    """Blocks to make tables of; none: compare all with all."""

    blocks: tuple[Block, ...] = ()

    def covers(self, radius: int) -> bool:
        """Whether no pair within the radius can escape."""
        apart = all(a.hi <= b.lo for a, b in pairwise(self.blocks))
        return not self.blocks or (apart and sum(block.errors + 1 for block in self.blocks) > radius)

    def tables(self) -> Iterator[Table]:
        """All tables, in the order in which they own pairs."""
        for at, block in enumerate(self.blocks):
            bounds = block.bounds()
            for left_out in combinations(range(block.parts), block.errors):
                kept = [p for p in range(block.parts) if p not in left_out]
                yield Table(
                    merged([bounds[p] for p in kept]),
                    tuple(bounds[p] for p in left_out if p > kept[0]),
                    block,
                    self.blocks[:at],
                )

    def __str__(self) -> str:
        if not self.blocks:
            return "brute force"
        shapes = [f"{b.hi - b.lo} bits: {b.parts - b.errors} of {b.parts} parts" for b in self.blocks]
        counts = {shape: shapes.count(shape) for shape in shapes}
        tables = sum(comb(b.parts, b.errors) for b in self.blocks)
        return f"{tables} tables (" + "; ".join(f"{many} x {shape}" for shape, many in counts.items()) + ")"


def merged(ranges: list[Bits]) -> tuple[Bits, ...]:
    """The same bits in as few ranges as can be."""
    out: list[Bits] = []
    for lo, hi in ranges:
        if out and out[-1][1] == lo:
            out[-1] = (out[-1][0], hi)
        else:
            out.append((lo, hi))
    return tuple(out)


def count_bits(words: Words, bits: Bits) -> NDArray[np.unsignedinteger[Any]]:
    """(n,) number of ones among the given bits of words (w, n)."""
    lo, hi = bits
    counts: list[NDArray[np.unsignedinteger[Any]]] = []
    for word in range(lo // 64, (hi - 1) // 64 + 1):
        first, last = max(lo - 64 * word, 0), min(hi - 64 * word, 64)
        counts.append(np.bitwise_count(words[word] & np.uint64((1 << last) - (1 << first))))
    return counts[0] if len(counts) == 1 else np.stack(counts).sum(axis=0, dtype=np.uint16)


def take_bits(words: Words, bits: Bits) -> Words:
    """(n,) the given bits, 64 at most, of words (w, n) as a number."""
    (word, shift), width = divmod(bits[0], 64), bits[1] - bits[0]
    value: Words = words[word] >> np.uint64(shift)
    if shift + width > 64:
        value |= words[word + 1] << np.uint64(64 - shift)
    if width < 64:
        value &= np.uint64((1 << width) - 1)
    return value


def single_bits(words: Words) -> NDArray[np.uint8]:
    """(64 * w, n) uint8: the bits of words (w, n), one row for each."""
    bits = (words[:, None] >> np.arange(64, dtype=np.uint64)[:, None]) & np.uint64(1)
    return bits.astype(np.uint8).reshape(-1, words.shape[1])


def reordered(words: Words, places: NDArray[np.intp]) -> Words:
    """Codes made of the bits at the given places, in that order."""
    out = np.zeros(((len(places) + 63) // 64, words.shape[1]), np.uint64)
    for to, place in enumerate(places.tolist()):
        bit = words[place // 64] >> np.uint64(place % 64)
        bit &= np.uint64(1)
        bit <<= np.uint64(to % 64)
        out[to // 64] |= bit
    return out


@dataclass(frozen=True, slots=True)
class Sample:
    """What a sample of the codes tells. bits: their length. words: how many words to test before all of them.

    order: the bits' order that the rest is true of; None: as they are.
    widths, log2_collisions: how likely it is that two codes agree in a run of so many bits.
    """

    bits: int
    words: int
    order: NDArray[np.intp] | None
    widths: NDArray[np.float64]
    log2_collisions: NDArray[np.float64]

    def collision(self, width: float) -> float:
        """Chance that two codes agree in `width` neighbouring bits."""
        beyond = max(width - self.widths[-1], 0.0)  # no sample of this size sees past the last width: assume no gain
        return float(2.0 ** (np.interp(width, self.widths, self.log2_collisions) - 0.5 * beyond))


def measure(sets: list[Words], bits: int, *, radius: int) -> Sample:
    """Look at some SAMPLE codes, evenly spaced, and at the pairs of them that agree in runs of bits."""
    step = max(1, sum(words.shape[1] for words in sets) // SAMPLE)
    some = np.concatenate([words[:, ::step] for words in sets], axis=1)
    order = spread(single_bits(some)[:bits].mean(axis=1))
    if order is not None:
        some = reordered(some, order)
    n = some.shape[1]
    pairs = n * (n - 1) / 2
    widths, logs = [0.0], [0.0]
    for width in range(4, min(bits, 32) + 1, 4):
        offsets = sorted({(bits - width) * k // 5 for k in range(6)})
        hits = 0.0
        for lo in offsets:
            sizes = np.unique(take_bits(some, (lo, lo + width)), return_counts=True)[1].astype(np.float64)
            hits += float((sizes * (sizes - 1) / 2).sum())
        # Too few to go by: carry on at the rate of the bits so far.
        rate = logs[-1] / widths[-1] if len(widths) > 1 else -1.0
        logs.append(float(np.log2(hits / (pairs * len(offsets)))) if hits > 20 else logs[-1] + rate * 4)
        widths.append(float(width))
    apart = np.bitwise_count(some[:, : n // 2] ^ some[:, n - n // 2 :]).astype(np.uint16).cumsum(axis=0)
    enough = np.flatnonzero((apart <= radius).mean(axis=1) <= PASS_FRACTION)
    words = int(enough[0]) + 1 if len(enough) else len(some)
    return Sample(bits, words, order, np.array(widths), np.array(logs))


def spread(ones: NDArray[np.float64]) -> NDArray[np.intp] | None:
    """An order of the bits in which every run tells codes apart about as well; None if any order does.

    ones: (bits,) share of codes with that bit set. Where most pictures agree in some bits, as near-blank ones do, a
    key made of such bits alone has hot buckets: on 200,000 such codes, radius 6, this saves three quarters.
    """
    agree = ones**2 + (1 - ones) ** 2
    if agree.max() <= MOST_AGREEING:
        return None
    count = len(ones)
    stride = next(s for s in range(int(0.618 * count), 2 * count) if gcd(s, count) == 1)
    order = np.empty(count, np.intp)
    order[np.arange(count) * stride % count] = np.argsort(agree, kind="stable")
    return order


def choose(
    sample: Sample, radius: int, *, rows: int, pairs: float, row_ns: float = ROW_NS, most: float = float("inf")
) -> Plan:
    """The cheapest plan for `pairs` possible pairs of `rows` codes: brute force or the best split in blocks.

    row_ns: what a code in a table costs, in nanoseconds; more where it travels between machines. most: candidates at
    most; brute force if no split has so few.
    """
    best, lowest = Plan(), pairs * BRUTE_NS * sample.words * MARGIN
    known: dict[tuple[int, int, int], tuple[float, int]] = {}

    def cost(width: int, errors: int, count: int) -> tuple[float, int]:
        key = width, errors, count if most < float("inf") else 1
        if key not in known:
            # Each block may have its share of the candidates.
            known[key] = block_cost(sample, width, errors, rows=rows, pairs=pairs, row_ns=row_ns, most=most / count)
        return known[key]

    for count in range(1, min(radius + 1, sample.bits) + 1):
        errors = [(radius + 1) // count - (at >= (radius + 1) % count) for at in range(count)]
        for extra in (0, 1, 2, 4, 8, 64):
            edges = np.concatenate([[0.0], np.cumsum([e + extra for e in errors])])
            if edges[-1] == 0:
                continue
            at = np.rint(edges * sample.bits / edges[-1]).astype(int).tolist()
            costs = [cost(hi - lo, e, count) for (lo, hi), e in zip(pairwise(at), errors, strict=True)]
            total = sum(c for c, _ in costs)
            if total < lowest:
                lowest = total
                best = Plan(
                    tuple(Block(lo, hi, e, c[1]) for (lo, hi), e, c in zip(pairwise(at), errors, costs, strict=True))
                )
    return best


def block_cost(
    sample: Sample,
    width: int,
    errors: int,
    *,
    rows: int,
    pairs: float,
    row_ns: float = ROW_NS,
    most: float = float("inf"),
) -> tuple[float, int]:
    """Nanoseconds of a block of so many bits, and the number of parts for which that holds; most: candidates."""
    best = (float("inf"), 0)
    for parts in range(errors + 1, width + 1):
        tables = comb(parts, errors)
        if tables > MOST_TABLES:
            break
        key = width * (parts - errors) / parts
        candidates = pairs * sample.collision(key)
        if tables * candidates > most:
            continue
        best = min(best, (tables * (TABLE_NS + rows * row_ns + candidates * PAIR_NS * sample.words), parts))
    return best
