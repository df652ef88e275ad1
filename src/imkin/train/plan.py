"""What a run of training does, and how its strength and rate change on the way."""

from __future__ import annotations

import math
from dataclasses import dataclass

LOSSES = ("ssl", "triplet")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does. Ends after `minutes`, or after `steps` where given: then it is exact to the bit.

    sides: (share of the run, side) pairs in order: from that share on pictures are that many pixels wide.
    shipped_side: pixels of a picture's side when the network is used. A sixth more than in training is better, as
    crops made things look larger there (Touvron et al. 2019): 112 against 96 gives recall 0.805 against 0.726.
    loss: ssl (InfoNCE and entropy) or triplet. examine_every: steps between two looks at the held-out photos; 0: by
    `save_every_s`. patience: looks without better weights after which the run ends; 0: it goes on to its end.
    device: cpu or cuda; the network runs there, the edits are made on the processor.
    memory: vectors of earlier steps that serve as negatives from `memory_from` of the run on. None by default: in the
    run that was tried the validation uAP fell from 0.68 to 0.46 within 460 steps of the memory's start.
    """

    minutes: float = 115.0
    steps: int = 0
    seed: int = 0
    pairs: int = 128
    rate: float = 2e-3
    decay: float = 2e-2
    average: float = 0.995
    warm_steps: int = 100
    sides: tuple[tuple[float, int], ...] = ((0.0, 96),)
    shipped_side: int = 112
    memory: int = 0
    memory_from: float = 0.5
    drawn: int = 1200
    others: int = 32
    save_every_s: float = 600.0
    threads: int = 2
    loss: str = "ssl"
    examine_every: int = 0
    patience: int = 0
    device: str = "cpu"

    def side(self, done: float) -> int:
        """Pixels of a picture's side when `done` of the run is over."""
        return [side for share, side in self.sides if done >= share][-1]

    def strength(self, done: float) -> float:
        """The curriculum: edits grow from 0.15 to 1 over the first half."""
        return min(1.0, 0.15 + 1.7 * done)

    def learning_rate(self, step: int, done: float) -> float:
        """Linear warm-up, then half a cosine down to 1 % of `rate`."""
        cosine = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        return self.rate * cosine * min(1.0, (step + 1) / self.warm_steps)
