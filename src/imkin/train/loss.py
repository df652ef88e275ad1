"""Losses on unit vectors. Row i and row i + n of the 2n rows show the same picture."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

TEMPERATURE = 0.05
ENTROPY_WEIGHT = 0.3


def infonce(vectors: Tensor, *, temperature: float = TEMPERATURE, memory: Tensor | None = None) -> Tensor:
    """Contrastive loss over a batch of pairs (NT-Xent: Chen et al. 2020, eq. 1; Pizzi et al. 2022, eq. 1).

    vectors: (2n, dim) unit vectors. memory: (m, dim) further negatives without gradient (Wang et al. 2020), or none;
    the caller leaves out what shows a picture of the batch. Returns the mean over all 2n anchors.
    """
    count = len(vectors)
    logits = vectors @ vectors.T / temperature
    logits.fill_diagonal_(float("-inf"))
    if memory is not None and len(memory):
        logits = torch.cat([logits, vectors @ memory.T / temperature], dim=1)
    partner = torch.arange(count, device=vectors.device).roll(count // 2)
    return functional.cross_entropy(logits, partner)


def entropy(vectors: Tensor, *, floor: float = 1e-4) -> Tensor:
    """Differential entropy term: minus the mean log distance to the nearest vector of another picture.

    Sablayrolles et al. 2019, eq. 2, with positives left out as in Pizzi et al. 2022, section 4.2: it spreads the
    vectors over the sphere, so that one threshold serves all pictures. vectors: (2n, dim). floor: least distance.
    """
    count = len(vectors)
    with torch.no_grad():
        similarity = vectors @ vectors.T
        similarity.fill_diagonal_(-2.0)
        rows = torch.arange(count, device=vectors.device)
        similarity[rows, rows.roll(count // 2)] = -2.0
        nearest = similarity.argmax(dim=1)
    distance = (vectors - vectors[nearest]).norm(dim=1)
    spread: Tensor = distance.clamp(min=floor).log().mean()
    return -spread


def batch_accuracy(vectors: Tensor) -> float:
    """Share of the 2n rows whose nearest other row is their partner."""
    with torch.no_grad():
        similarity = vectors @ vectors.T
        similarity.fill_diagonal_(-2.0)
        count = len(vectors)
        partner = torch.arange(count, device=vectors.device).roll(count // 2)
        return float((similarity.argmax(dim=1) == partner).float().mean())
