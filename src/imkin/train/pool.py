"""Photos and drawn pictures as one list, cut into batches that depend on seed and step alone."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from imkin.train.data import SIDE, Photos
from imkin.train.drawn import drawn_pictures
from imkin.train.plan import Plan


class Pool:
    """Photos and drawn pictures as one list, cut into batches that depend on seed and step alone."""

    def __init__(self, photos: Photos, plan: Plan) -> None:
        drawn = drawn_pictures(plan.drawn, side=SIDE, seed=plan.seed)
        self.drawn = np.ascontiguousarray(drawn.transpose(0, 3, 1, 2))
        self.photos, self.plan = photos, plan
        self.size = len(photos) + plan.drawn
        # Of each row: what it shows. Photos without labels and drawn pictures each show something of their own.
        self.label = np.arange(self.size)
        if photos.label is not None:
            self.label[: len(photos)] = photos.label[photos.rows] + self.size
        self.identities = np.unique(self.label)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which everything shown comes once."""
        return max(1, len(self.identities) // min(self.plan.pairs, len(self.identities)))

    def names(self, rows: np.ndarray) -> np.ndarray:
        """(len(rows),) int64, equal where the same is shown."""
        return np.asarray(self.label[rows])

    def partners(self, rows: np.ndarray, step: int) -> np.ndarray:
        """For each row of a batch another one that shows the same, or itself where there is none."""
        if self.photos.label is None:
            return rows
        rng = np.random.default_rng((self.plan.seed, 3, step))
        found = []
        for row in rows.tolist():
            same = np.flatnonzero(self.label == self.label[row])
            others = same[same != row]
            found.append(int(rng.choice(others)) if len(others) else row)
        return np.array(found)

    def pictures(self, rows: np.ndarray) -> Tensor:
        """(len(rows), 3, SIDE, SIDE) float32 in 0..1."""
        drawn = rows >= len(self.photos)
        out = np.empty((len(rows), 3, SIDE, SIDE), dtype=np.uint8)
        out[~drawn] = self.photos.squares(rows[~drawn])
        out[drawn] = self.drawn[rows[drawn] - len(self.photos)]
        return torch.from_numpy(out).float().div_(255)

    def aspect(self, rows: np.ndarray) -> Tensor:
        """(len(rows),) width / height; drawn pictures are squares."""
        out = np.ones(len(rows), dtype=np.float32)
        photo = rows < len(self.photos)
        out[photo] = self.photos.aspects(rows[photo])
        return torch.from_numpy(out)

    def rows(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """The batch's rows and the rows to paste (half of them drawn, where there are drawn ones)."""
        pairs = min(self.plan.pairs, len(self.identities))
        epoch, index = divmod(step, self.steps_per_epoch)
        order = self._order(np.random.default_rng((self.plan.seed, 1, epoch)))
        batch = order[index * pairs : (index + 1) * pairs]
        rest = np.concatenate([order[: index * pairs], order[(index + 1) * pairs :]])
        rng = np.random.default_rng((self.plan.seed, 2, step))
        if not len(rest):
            return batch, batch[: self.plan.others]
        others = rng.choice(rest, self.plan.others)
        drawn = rest[rest >= len(self.photos)]
        if len(drawn):
            others[::2] = rng.choice(drawn, len(others[::2]))
        return batch, others

    def _order(self, rng: np.random.Generator) -> np.ndarray:
        """All rows at random; with labels one of each first: no batch shows the same in two pairs."""
        order = rng.permutation(self.size)
        if self.photos.label is None:
            return order
        _, first = np.unique(self.label[order], return_index=True)
        rest = np.ones(self.size, bool)
        rest[first] = False
        return np.concatenate([order[np.sort(first)], order[rest]])
