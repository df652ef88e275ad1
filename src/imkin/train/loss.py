"""Losses on unit vectors. Row i and row i + n of the 2n rows show the same picture."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

TEMPERATURE = 0.05
ENTROPY_WEIGHT = 0.3
# Of squared distances of unit vectors (Schroff et al. 2015, section 3.2).
MARGIN = 0.2


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


def triplet(vectors: Tensor, names: Tensor, *, margin: float = MARGIN) -> Tensor:
    """Triplet loss with semi-hard negatives (Schroff et al. 2015, eq. 3 and section 3.2), over all pairs of a name.

    vectors: (m, dim) unit vectors, of one network for all sides. names: (m,) int64, equal where the same is shown.
    The negative of an anchor and a positive is the nearest one that is farther than the positive; where there is none,
    the farthest of all. Distances are squared. Returns the mean over all (anchor, positive).
    """
    distance = (2 - 2 * vectors.float() @ vectors.float().T).clamp(min=0)
    same = names[:, None] == names
    with torch.no_grad():
        wrong = distance.masked_fill(same, float("inf"))
        # (anchor, positive, negative): negatives not farther than the positive do not count.
        beyond = wrong[:, None, :].masked_fill(wrong[:, None, :] <= distance[:, :, None], float("inf"))
        nearest, negative = beyond.min(dim=2)
        farthest = distance.masked_fill(same, -1.0).argmax(dim=1)
        negative = torch.where(nearest.isinf(), farthest[:, None], negative)
    positive = same & ~torch.eye(len(names), dtype=torch.bool, device=names.device)
    losses = (distance - distance.gather(1, negative) + margin).clamp(min=0)
    return losses[positive].mean()


def batch_accuracy(vectors: Tensor) -> float:
    """Share of the 2n rows whose nearest other row is their partner."""
    with torch.no_grad():
        similarity = vectors @ vectors.T
        similarity.fill_diagonal_(-2.0)
        count = len(vectors)
        partner = torch.arange(count, device=vectors.device).roll(count // 2)
        return float((similarity.argmax(dim=1) == partner).float().mean())
