"""The training loop: a curriculum of edits, moving average of the weights, checkpoints, exact resume."""

from __future__ import annotations

import contextlib
import copy
import os
import pickle
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from imkin.errors import OutputError, UsageError
from imkin.train.augment import Edits, Scrapbook, edited_pairs
from imkin.train.data import SIDE, Photos
from imkin.train.drawn import letterings
from imkin.train.exam import MEAN, STD, Exam, normalised
from imkin.train.loss import ENTROPY_WEIGHT, batch_accuracy, entropy, infonce, triplet
from imkin.train.network import KinNet, mixed
from imkin.train.plan import Plan
from imkin.train.pool import Pool

VALIDATION_PHOTOS = 400


@dataclass(frozen=True, slots=True)
class Best:
    """The best weights so far: a network's state, their validation uAP, and the step they come from.

    limit: the similarity that 1 of 100,000 pairs of different held-out pictures exceeds, in 0..1.
    """

    weights: dict[str, Tensor]
    uap: float
    step: int
    limit: float = 1.0


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
    partners: np.ndarray
    others: np.ndarray
    seed: int


def _share_weights(replica: nn.Module, network: nn.Module) -> None:
    """Make the replica's parameters the network's own; buffers stay apart."""
    for part, source in zip(replica.modules(), network.modules(), strict=True):
        for name, weight in source.named_parameters(recurse=False):
            setattr(part, name, weight)


class Run:
    """One run of training, from its first step or from a checkpoint."""

    def __init__(
        self, photos: Photos, plan: Plan, checkpoint: str, *, network: nn.Module | None = None, key: str = ""
    ) -> None:
        """key: what the run is made of; a checkpoint of another one is refused."""
        torch.manual_seed(plan.seed)
        torch.set_num_threads(1)
        held, rest = held_out(photos, seed=plan.seed)
        self.plan, self.checkpoint, self.key = plan, checkpoint, key
        self.book = Scrapbook(torch.from_numpy(letterings(96, side=SIDE, seed=plan.seed)))
        self.exam = Exam(photos.take(held), self.book, seed=plan.seed)
        self.pool = Pool(photos.take(rest), plan)
        self.network = (network or KinNet()).to(plan.device)
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
        self.stale = 0

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
            "best": None if self.best is None else (self.best.weights, self.best.uap, self.best.step, self.best.limit),
            "stale": self.stale, "key": self.key,
        }  # fmt: skip
        partial = self.checkpoint + ".partial"
        try:
            torch.save(state, partial)
            os.replace(partial, self.checkpoint)
        except (OSError, RuntimeError) as error:  # torch's writer reports a full disk as a RuntimeError
            with contextlib.suppress(OSError):
                os.remove(partial)
            raise OutputError(f"cannot write the checkpoint {self.checkpoint}: {error}") from error

    def load(self) -> None:
        """Go on from the checkpoint, as if the run had never stopped."""
        try:
            state = torch.load(self.checkpoint, map_location=self.plan.device, weights_only=True)
        except (OSError, RuntimeError, pickle.UnpicklingError) as error:
            raise UsageError(f"cannot go on from {self.checkpoint}: {error}") from error
        if state.get("key", "") != self.key:
            raise UsageError(
                f"{self.checkpoint} is of a run with other pictures or options; give the same, or begin anew elsewhere"
            )
        for replica in self.replicas:
            replica.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.elapsed_s = state["step"], state["elapsed_s"]
        self.memory, self.memory_rows = state["memory"], state["memory_rows"]
        self.best = None if state["best"] is None else Best(*state["best"])
        self.stale = state.get("stale", 0)

    def advance(self) -> dict[str, float]:
        """One step; returns what to log."""
        plan, done = self.plan, self.done
        began = time.perf_counter()
        edits = Edits(side=plan.side(done), strength=plan.strength(done))
        rows, others = self.pool.rows(self.step)
        partners = self.pool.partners(rows, self.step)
        cuts = [np.array_split(each, plan.threads) for each in (rows, partners, others)]
        first_seed = (plan.seed * 1_000_003 + self.step) * 64
        jobs = [_Part(*job) for job in zip(self.replicas, *cuts, range(first_seed, first_seed + 64), strict=False)]
        parts = list(self.workers.map(lambda part: self._forward(part, edits), jobs))
        views = [part.detach().requires_grad_() for part in parts]
        vectors = torch.cat([view[: len(view) // 2] for view in views] + [view[len(view) // 2 :] for view in views])
        names = torch.from_numpy(self.pool.names(rows)).repeat(2).to(vectors.device)
        if plan.loss == "triplet":
            loss = triplet(vectors, names)
        else:
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
            edits, generator=generator, partners=self._partners(part),
        )  # fmt: skip
        part.network.train()
        with mixed(self.plan.device):
            vectors: Tensor = part.network(normalised(pictures.to(self.plan.device)))
        return vectors

    def _partners(self, part: _Part) -> tuple[Tensor, Tensor] | None:
        """The other pictures of a part's second views, where they are others."""
        if np.array_equal(part.rows, part.partners):
            return None
        return self.pool.pictures(part.partners), self.pool.aspect(part.partners)

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
        mark = self.exam.mark(self.average, side=self.plan.shipped_side, device=self.plan.device)
        if self.best is None or mark.uap >= self.best.uap:
            self.stale = 0 if self.best is None or mark.uap > self.best.uap else self.stale + 1
            weights = {name: value.clone() for name, value in self.average.state_dict().items()}
            self.best = Best(weights, mark.uap, self.step, mark.limit)
        else:
            self.stale += 1
        return {"step": self.step, "uAP": mark.uap, "R@FPR": mark.recall}

    @property
    def over(self) -> bool:
        """Whether the plan is done, or nothing has become better for so long that it ends early."""
        return self.done >= 1.0 or 0 < self.plan.patience <= self.stale

    def best_network(self) -> nn.Module:
        """A network with the best weights, on the processor. ValueError: none were examined yet."""
        if self.best is None:
            raise ValueError("no weights were examined yet")
        network = copy.deepcopy(self.average).cpu()
        network.load_state_dict(self.best.weights)
        return network


def held_out(photos: Photos, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the photos that mark the weights, and of those to train on, rising; of labels none is in both."""
    most = min(VALIDATION_PHOTOS, len(photos) // 4)
    order = np.random.default_rng((seed, 0)).permutation(len(photos))
    if photos.label is None:
        return np.sort(order[:most]), np.sort(order[most:])
    label = photos.label[photos.rows]
    names, first = np.unique(label[order], return_index=True)
    size = np.array([(label == name).sum() for name in names])
    by_chance = np.argsort(first)
    # At least two of them: without a second there is nothing to be mistaken for.
    count = max(2, int((np.cumsum(size[by_chance]) <= most).sum()))
    chosen = names[by_chance[:count]]
    held = np.isin(label, chosen)
    return np.flatnonzero(held), np.flatnonzero(~held)


def train(run: Run, *, log: Callable[[dict[str, float]], None], stop: Callable[[], bool] | None = None) -> Best:
    """Train until the plan is over, `stop` says so, or Ctrl-C; saves on the way and returns the best weights.

    Stopped between two steps, a run can go on later and ends in the same bits as one that never stopped.
    """
    plan = run.plan
    last = saved = time.monotonic()
    examined = -1
    try:
        while not run.over:
            if stop is not None and stop():
                raise KeyboardInterrupt
            facts = run.advance()
            now = time.monotonic()
            run.elapsed_s, last = run.elapsed_s + now - last, now
            log(facts)
            late = now - saved >= plan.save_every_s
            due = run.step % plan.examine_every == 0 if plan.examine_every else late
            if due:
                log(run.examine())
                examined = run.step
            if due or late:
                run.save()
                saved = time.monotonic()
    except KeyboardInterrupt:
        log({"step": run.step, "interrupted": 1})
        run.save()
        # Not saved: an examination that an unbroken run would not have had could choose other weights in the end.
        log(run.examine())
        return _best(run)
    if run.step != examined:
        log(run.examine())
    run.save()
    return _best(run)


def _best(run: Run) -> Best:
    if run.best is None:
        raise ValueError("a run has been examined when it ends")
    return run.best
