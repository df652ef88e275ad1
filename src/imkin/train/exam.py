"""What the best weights are chosen by: hard edits of photos that training never sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from imkin.train.augment import Edits, Scrapbook, edited_pairs
from imkin.train.data import SIDE, Photos
from imkin.train.network import mixed

MEAN, STD = 0.45, 0.26
VALIDATION_EDITS = 4


def normalised(pictures: Tensor) -> Tensor:
    """The network's input from pictures in 0..1."""
    return ((pictures - MEAN) / STD).contiguous(memory_format=torch.channels_last)


def embed(network: nn.Module, pictures: Tensor, *, side: int, batch: int = 128, device: str = "cpu") -> Tensor:
    """Unit vectors (n, dim) of pictures (n, 3, h, w) in 0..1, reduced over areas to `side`; on the processor."""
    network.eval()
    with torch.no_grad(), mixed(device):
        parts = [
            network(normalised(functional.interpolate(part.to(device), size=side, mode="area"))).float().cpu()
            for part in torch.split(pictures, batch)
        ]
    return torch.cat(parts)


def micro_average_precision(similarity: Tensor, truth: Tensor) -> float:
    """Micro average precision over all pairs (uAP: Douze et al. 2021), ties counted against; (queries, database)."""
    flat, good = similarity.flatten().numpy(), truth.flatten().numpy()
    hits = good[np.lexsort((good, -flat))]
    precision = np.cumsum(hits) / np.arange(1, hits.size + 1)
    return float((precision * hits).sum() / hits.sum())


def recall_at_false_rate(similarity: Tensor, truth: Tensor, *, rate: float = 1e-5) -> float:
    """Share of true pairs above the threshold that lets `rate` of the false pairs through."""
    return float((similarity[truth] > false_limit(similarity, truth, rate=rate)).float().mean())


def false_limit(similarity: Tensor, truth: Tensor, *, rate: float = 1e-5) -> float:
    """The similarity that the share `rate` of the false pairs exceeds."""
    false = similarity[~truth].sort(descending=True).values
    return float(false[int(rate * len(false))])


@dataclass(frozen=True, slots=True)
class Mark:
    """uAP; recall at 1 false pair in 100,000, and the similarity that these exceed."""

    uap: float
    recall: float
    limit: float


class Exam:
    """Held-out photos with hard edits, made once: what the best weights are chosen by."""

    def __init__(self, photos: Photos, book: Scrapbook, *, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed + 17)
        pixels = torch.from_numpy(photos.squares(np.arange(len(photos)))).float().div_(255)
        aspect = torch.from_numpy(photos.aspects(np.arange(len(photos))))
        self.originals = pixels
        edits = Edits(side=SIDE, strength=0.9, mild=1.0)
        made = [
            edited_pairs(pixels, aspect, pixels.roll(1 + i, 0)[:64], book, edits, generator=generator)[len(pixels) :]
            for i in range(VALIDATION_EDITS)
        ]
        self.edited = torch.cat(made)
        label = torch.from_numpy(photos.labels(np.arange(len(photos))))
        self.truth = (label[:, None] == label).repeat(VALIDATION_EDITS, 1)

    def mark(self, network: nn.Module, *, side: int, device: str = "cpu") -> Mark:
        """How well the network tells the edits' originals."""
        edited, originals = (embed(network, each, side=side, device=device) for each in (self.edited, self.originals))
        similarity = edited @ originals.T
        return Mark(
            micro_average_precision(similarity, self.truth),
            recall_at_false_rate(similarity, self.truth),
            false_limit(similarity, self.truth),
        )
