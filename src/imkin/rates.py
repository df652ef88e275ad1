"""How often different pictures reach a similarity by chance: counted where it was seen, a stated model beyond.

All rates are shares of pairs of different pictures. Pairs of n pictures are n(n-1)/2; below about ten times one in so
many nothing can be counted, and `FalseRate` goes on with an exponential tail, which is told apart as extrapolated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]

# A count of 10 is off by a third or less in two cases of three (Poisson): fewer are no measurement.
LEAST_SEEN = 10
# The tail is fitted to the similarities of so many most alike pairs of pictures.
TAIL_PAIRS = 100
# A tail is not believed further than this below what was counted: 190 pairs do not tell of one in a million.
FARTHEST = 1e-4
# Recommended thresholds of methods without bits are rounded up to it: nobody types more digits.
ROUNDING = 1e-4


@dataclass(frozen=True, slots=True)
class FalseRate:
    """The share of false pairs at or above a similarity.

    scores: (m,) float64, rising, of pairs of different pictures. seen_to: the similarity that LEAST_SEEN pairs of
    pictures reached; above it the rate falls by the factor e every `scale`. step: between two neighbouring values of
    a hash's similarity, one bit; 0 for others.
    """

    scores: NDArray[np.float64]
    seen_to: float
    scale: float
    step: float = 0.0

    def at(self, threshold: float) -> float:
        """Share of false pairs with similarity >= threshold, in 0..1."""
        counted = min(threshold, self.seen_to)
        share = (len(self.scores) - np.searchsorted(self.scores, counted - self._slack)) / len(self.scores)
        return float(share * max(FARTHEST, math.exp(-max(0.0, threshold - self.seen_to) / self.scale)))

    def extrapolated(self, threshold: float) -> bool:
        """Whether too few pairs reached a similarity for its rate to be counted."""
        return threshold > self.seen_to + self._slack

    def threshold(self, rate: float) -> float | None:
        """The least similarity with at most this rate; None if even 1 has a higher one, or it cannot be told."""
        allowed = int(rate * len(self.scores) + 1e-9)
        if self.at(self.seen_to) <= rate:
            beyond = float(self.scores[len(self.scores) - 1 - min(allowed, len(self.scores) - 1)])
            found = self._above(beyond)
        else:
            found = self._rounded_up(min(2.0, self.seen_to + self.scale * math.log(self.at(self.seen_to) / rate)))
        return found if found <= 1.0 and self.at(found) <= rate * (1 + 1e-9) else None

    def _above(self, score: float) -> float:
        """The next similarity above a score."""
        if self.step:
            return 1 - (round((1 - score) / self.step) - 1) * self.step
        return round((math.floor(score / ROUNDING + 1e-9) + 1) * ROUNDING, 4)

    def _rounded_up(self, score: float) -> float:
        if self.step:
            return 1 - math.floor((1 - score) / self.step + 1e-9) * self.step
        return round(math.ceil(score / ROUNDING - 1e-9) * ROUNDING, 4)

    @property
    def _slack(self) -> float:
        """Similarities are stored in single precision: the same number of bits must be the same value."""
        return self.step / 4 if self.step else 0.0


def false_rate(scores: Scores, by_pair: Scores, *, step: float = 0.0) -> FalseRate:
    """The rate of false pairs from similarities of different pictures.

    scores: (m,) similarities of all comparisons. by_pair: (k,) the largest one of each pair of pictures: edits of one
    picture are alike, and count once where it is asked how much was seen. step: as in FalseRate. Both not empty.
    The tail above is exponential, its scale the mean excess over the TAIL_PAIRS-th pair's similarity (the maximum
    likelihood estimate; of a lattice that of a geometric distribution). With k under 4 LEAST_SEEN the fit begins lower.
    """
    rising = np.sort(np.asarray(scores, np.float64))
    ranked = np.sort(np.asarray(by_pair, np.float64))[::-1]
    seen_to = float(ranked[min(LEAST_SEEN, len(ranked)) - 1])
    begin = float(ranked[min(TAIL_PAIRS, max(LEAST_SEEN, len(ranked) // 4), len(ranked)) - 1])
    excess = float((rising[np.searchsorted(rising, begin - step / 4) :] - begin).mean())
    scale = step / math.log1p(step / max(excess, step / 10)) if step else max(excess, ROUNDING)
    return FalseRate(rising, seen_to, scale, step)
