"""The training loop: a curriculum of edits, moving average of the weights, checkpoints, exact resume."""

from __future__ import annotations

import copy
import math
import os
import pickle
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from imkin.errors import OutputError, UsageError
from imkin.train.augment import Edits, Scrapbook, edited_pairs
from imkin.train.data import SIDE, Photos
from imkin.train.drawn import drawn_pictures, letterings
from imkin.train.loss import ENTROPY_WEIGHT, batch_accuracy, entropy, infonce
from imkin.train.network import KinNet

MEAN, STD = 0.45, 0.26
VALIDATION_PHOTOS = 400
VALIDATION_EDITS = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does. Ends after `minutes`, or after `steps` where given: then it is exact to the bit.

    sides: (share of the run, side) pairs in order: from that share on pictures are that many pixels wide.
    shipped_side: pixels of a picture's side when the network is used. A sixth more than in training is better, as
    crops made things look larger there (Touvron et al. 2019): 112 against 96 gives recall 0.805 against 0.726.
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


@dataclass(frozen=True, slots=True)
class Best:
    """The best weights so far: a KinNet state, their validation uAP, and the step they come from."""

    weights: dict[str, Tensor]
    uap: float
    step: int


class Pool:
    """Photos and drawn pictures as one list, cut into batches that depend on seed and step alone."""

    def __init__(self, photos: Photos, plan: Plan) -> None:
        drawn = drawn_pictures(plan.drawn, side=SIDE, seed=plan.seed)
        self.drawn = np.ascontiguousarray(drawn.transpose(0, 3, 1, 2))
        self.photos, self.plan = photos, plan
        self.size = len(photos) + plan.drawn

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
        pairs = min(self.plan.pairs, self.size)
        per_epoch = self.size // pairs
        epoch, index = divmod(step, per_epoch)
        order = np.random.default_rng((self.plan.seed, 1, epoch)).permutation(self.size)
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


def normalised(pictures: Tensor) -> Tensor:
    """The network's input from pictures in 0..1."""
    return ((pictures - MEAN) / STD).contiguous(memory_format=torch.channels_last)


def embed(network: nn.Module, pictures: Tensor, *, side: int, batch: int = 128) -> Tensor:
    """Unit vectors (n, dim) of pictures (n, 3, h, w) in 0..1, reduced over areas to `side`."""
    network.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        parts = [
            network(normalised(functional.interpolate(part, size=side, mode="area")))
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
    false = similarity[~truth].sort(descending=True).values
    return float((similarity[truth] > false[int(rate * len(false))]).float().mean())


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
        self.truth = torch.eye(len(pixels), dtype=torch.bool).repeat(VALIDATION_EDITS, 1)

    def mark(self, network: nn.Module, *, side: int) -> tuple[float, float]:
        """Give uAP and recall at 1 false pair in 100,000."""
        similarity = embed(network, self.edited, side=side) @ embed(network, self.originals, side=side).T
        return micro_average_precision(similarity, self.truth), recall_at_false_rate(similarity, self.truth)


def channels_last(network: nn.Module) -> None:
    """Lay the weights out as the pictures are: twice as fast on a CPU."""
    for weight in network.parameters():
        if weight.dim() == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)


def network_of(best: Best) -> KinNet:
    """The network with the best weights."""
    network = KinNet()
    network.load_state_dict(best.weights)
    return network


def card(plan: Plan, best: Best, *, photos: int, data_sheet: str) -> dict[str, object]:
    """What the exported model's card says about its input and its making."""
    return {
        "mean": [MEAN] * 3, "std": [STD] * 3, "resize": "area", "seed": plan.seed, "steps": best.step,
        "photos": photos, "drawn": plan.drawn, "validation_uap": round(best.uap, 4), "data_sheet": data_sheet,
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Part:
    """One thread's part of a batch."""

    network: nn.Module
    rows: np.ndarray
    others: np.ndarray
    seed: int


def _share_weights(replica: nn.Module, network: nn.Module) -> None:
    """Make the replica's parameters the network's own; buffers stay apart."""
    for part, source in zip(replica.modules(), network.modules(), strict=True):
        for name, weight in source.named_parameters(recurse=False):
            setattr(part, name, weight)


class Run:
    """One run of training, from its first step or from a checkpoint."""

    def __init__(self, photos: Photos, plan: Plan, checkpoint: str, *, network: KinNet | None = None) -> None:
        torch.manual_seed(plan.seed)
        torch.set_num_threads(1)
        held = min(VALIDATION_PHOTOS, len(photos) // 4)
        order = np.random.default_rng((plan.seed, 0)).permutation(len(photos))
        self.plan, self.checkpoint = plan, checkpoint
        self.book = Scrapbook(torch.from_numpy(letterings(96, side=SIDE, seed=plan.seed)))
        self.exam = Exam(photos.take(np.sort(order[:held])), self.book, seed=plan.seed)
        self.pool = Pool(photos.take(np.sort(order[held:])), plan)
        self.network = network or KinNet()
        channels_last(self.network)
        self.average = copy.deepcopy(self.network)
        self.replicas = [self.network, *(copy.deepcopy(self.network) for _ in range(plan.threads - 1))]
        for replica in self.replicas[1:]:
            _share_weights(replica, self.network)
        # One thread a part of the batch: where other work takes turns on the cores, a step is 2 to 4 times faster
        # than with threads that wait for each other inside every operation.
        self.workers = ThreadPoolExecutor(plan.threads)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=plan.rate, weight_decay=plan.decay)
        self.step, self.elapsed_s = 0, 0.0
        self.memory, self.memory_rows = torch.zeros(0, 0), torch.zeros(0, dtype=torch.int64)
        self.best: Best | None = None

    @property
    def done(self) -> float:
        """Share of the run that is over, in 0..1."""
        if self.plan.steps:
            return min(1.0, self.step / self.plan.steps)
        return min(1.0, self.elapsed_s / (60 * self.plan.minutes))

    def save(self) -> None:
        """Write the checkpoint; the old one stays until the new one is whole."""
        state = {
            "network": self.network.state_dict(), "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(), "step": self.step, "elapsed_s": self.elapsed_s,
            "memory": self.memory, "memory_rows": self.memory_rows,
            "best": None if self.best is None else (self.best.weights, self.best.uap, self.best.step),
        }  # fmt: skip
        partial = self.checkpoint + ".partial"
        try:
            torch.save(state, partial)
            os.replace(partial, self.checkpoint)
        except (OSError, RuntimeError) as error:  # torch's writer reports a full disk as a RuntimeError
            raise OutputError(f"cannot write the checkpoint {self.checkpoint}: {error}") from error

    def load(self) -> None:
        """Go on from the checkpoint, as if the run had never stopped."""
        try:
            state = torch.load(self.checkpoint, weights_only=True)
        except (OSError, RuntimeError, pickle.UnpicklingError) as error:
            raise UsageError(f"cannot go on from {self.checkpoint}: {error}") from error
        for replica in self.replicas:
            replica.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.elapsed_s = state["step"], state["elapsed_s"]
        self.memory, self.memory_rows = state["memory"], state["memory_rows"]
        self.best = None if state["best"] is None else Best(*state["best"])

    def advance(self) -> dict[str, float]:
        """One step; returns what to log."""
        plan, done = self.plan, self.done
        began = time.perf_counter()
        edits = Edits(side=plan.side(done), strength=plan.strength(done))
        rows, others = self.pool.rows(self.step)
        cuts = (np.array_split(rows, plan.threads), np.array_split(others, plan.threads))
        first_seed = (plan.seed * 1_000_003 + self.step) * 64
        jobs = [_Part(*job) for job in zip(self.replicas, *cuts, range(first_seed, first_seed + 64), strict=False)]
        parts = list(self.workers.map(lambda part: self._forward(part, edits), jobs))
        views = [part.detach().requires_grad_() for part in parts]
        vectors = torch.cat([view[: len(view) // 2] for view in views] + [view[len(view) // 2 :] for view in views])
        names = torch.from_numpy(rows).repeat(2)
        loss = infonce(vectors, memory=self._negatives(names, done)) + ENTROPY_WEIGHT * entropy(vectors)
        torch.autograd.backward(loss)
        self._backward(parts, [view.grad for view in views if view.grad is not None])
        for group in self.optimizer.param_groups:
            group["lr"] = plan.learning_rate(self.step, done)
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        self._follow()
        self._remember(vectors.detach(), names)
        self.step += 1
        return {
            "step": self.step, "done": round(self.done, 4), "loss": float(loss.detach()),
            "accuracy": batch_accuracy(vectors.detach()), "strength": edits.strength, "side": edits.side,
            "step_s": time.perf_counter() - began,
        }  # fmt: skip

    def _forward(self, part: _Part, edits: Edits) -> Tensor:
        """Vectors (2m, dim) of two edits of each of a part's m photos, with their graph."""
        generator = torch.Generator().manual_seed(part.seed)
        pictures = edited_pairs(
            self.pool.pictures(part.rows), self.pool.aspect(part.rows), self.pool.pictures(part.others), self.book,
            edits, generator=generator,
        )  # fmt: skip
        part.network.train()
        with torch.autocast("cpu", torch.bfloat16):
            vectors: Tensor = part.network(normalised(pictures))
        return vectors

    def _backward(self, parts: list[Tensor], ascents: list[Tensor]) -> None:
        """Sum the parts' gradients into the network's, and give all replicas the same weights and statistics."""
        weights = list(self.network.parameters())

        def gradients(job: tuple[Tensor, Tensor, nn.Module]) -> tuple[Tensor, ...]:
            return torch.autograd.grad(job[0], list(job[2].parameters()), job[1])

        found = list(self.workers.map(gradients, zip(parts, ascents, self.replicas, strict=True)))
        for weight, *shares in zip(weights, *found, strict=True):
            weight.grad = torch.stack(shares).sum(dim=0)
        with torch.no_grad():
            for buffers in zip(*(replica.buffers() for replica in self.replicas), strict=True):
                if buffers[0].dtype.is_floating_point:
                    mean = torch.stack(buffers).mean(dim=0)
                    for buffer in buffers:
                        buffer.copy_(mean)

    def _negatives(self, names: Tensor, done: float) -> Tensor | None:
        if done < self.plan.memory_from or not len(self.memory):
            return None
        other: Tensor = self.memory[~torch.isin(self.memory_rows, names)]
        return other

    def _remember(self, vectors: Tensor, names: Tensor) -> None:
        if not len(self.memory):
            self.memory = vectors[:0]
        self.memory = torch.cat([vectors, self.memory])[: self.plan.memory].clone()
        self.memory_rows = torch.cat([names, self.memory_rows])[: self.plan.memory].clone()

    def _follow(self) -> None:
        keep = min(self.plan.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for slow, fast in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
                if slow.dtype.is_floating_point:
                    slow.lerp_(fast, 1 - keep)
                else:
                    slow.copy_(fast)

    def examine(self) -> dict[str, float]:
        """Mark the averaged weights on the held-out photos, and keep them if they are the best so far."""
        uap, recall = self.exam.mark(self.average, side=self.plan.shipped_side)
        if self.best is None or uap >= self.best.uap:
            weights = {name: value.clone() for name, value in self.average.state_dict().items()}
            self.best = Best(weights, uap, self.step)
        return {"step": self.step, "uAP": uap, "R@FPR": recall}


def train(run: Run, *, log: Callable[[dict[str, float]], None]) -> Best:
    """Train until the plan is over or Ctrl-C; saves on the way and returns the best weights."""
    plan = run.plan
    last = saved = time.monotonic()
    try:
        while run.done < 1.0:
            facts = run.advance()
            now = time.monotonic()
            run.elapsed_s, last = run.elapsed_s + now - last, now
            log(facts)
            if now - saved >= plan.save_every_s:
                log(run.examine())
                run.save()
                saved = time.monotonic()
    except KeyboardInterrupt:
        log({"step": run.step, "interrupted": 1})
    log(run.examine())
    run.save()
    assert run.best is not None  # noqa: S101
    return run.best
