"""Structural similarity of drawn screenshots: one pair, all pairs of n, and memory, beside scikit-image.

    python benchmarks/ssim.py                 one pair, and n = 50, 100, 200, 400 (about a minute)
    python benchmarks/ssim.py --verify 200    every pair of 200 screens by another way of computing; some minutes
    python benchmarks/ssim.py --memory 600    peak memory for 600 full-HD screens
    python benchmarks/ssim.py --files 10000   the command on as many full-HD PNG files: memory, time, temporary disk

scikit-image is timed on a sample of pairs and multiplied: all pairs of 200 screens would take half an hour.
Times are wall times, the median of several runs, and the processor's time of all threads in brackets.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse.csgraph import connected_components
from skimage.metrics import structural_similarity

from imkin.join.ssim import self_join, ssim_pair
from imkin.join.ssim_store import GrayStore

Gray = NDArray[np.uint8]
THRESHOLD = 0.95
SIZES = (50, 100, 200, 400)
SAMPLE = 12
GLYPH_ROWS, GLYPH_COLUMNS = 9, 6


@dataclass(frozen=True)
class Line:
    """Where a line of text stands, and in which colours."""

    top: int
    left: int
    right: int
    paper: int
    ink: int


class Screens:
    """Draws families of screens: windows with text on a desktop, or one page; variants differ in a line or two."""

    def __init__(self, seed: int, height: int = 768, width: int = 1024) -> None:
        self.rng = np.random.default_rng(seed)
        self.height, self.width = height, width
        self.glyphs = self.rng.random((64, GLYPH_ROWS, GLYPH_COLUMNS)) < 0.42
        self.glyphs[0], self.glyphs[:, 0], self.glyphs[:, :, -1] = False, False, False

    def draw(self, count: int, append: Callable[[Gray], object]) -> None:
        """Families of 2 to 15 screens, until there are enough."""
        drawn = 0
        while drawn < count:
            base, lines = self.base()
            for _ in range(min(int(self.rng.integers(2, 16)), count - drawn)):
                append(self.variant(base, lines))
                drawn += 1

    def text(self, screen: Gray, line: Line, chars: int) -> None:
        codes = self.rng.integers(1, 64, chars)
        codes[self.rng.random(chars) < 0.16] = 0
        mask = np.concatenate(self.glyphs[codes], axis=1)
        area = screen[line.top : line.top + GLYPH_ROWS, line.left : line.right]
        mask = mask[: area.shape[0], : area.shape[1]]
        area[:, : mask.shape[1]][mask] = line.ink

    def window(self, screen: Gray, box: tuple[int, int, int, int], *, paper: int, ink: int, bar: int) -> list[Line]:
        top, left, height, width = box
        bottom, right = top + height, left + width
        screen[top:bottom, left:right] = 60
        screen[top:bottom, left + 1 : right - 1] = paper
        screen[top : top + 18, left:right] = bar
        self.text(screen, Line(top + 5, left + 8, right, bar, 255 - bar), 20)
        lines = []
        for y in range(top + 26, bottom - 12, int(self.rng.integers(13, 18))):
            if self.rng.random() < 0.12:
                continue
            line = Line(y, left + 8, right - 6, paper, ink)
            self.text(screen, line, int(self.rng.integers(8, (width - 20) // GLYPH_COLUMNS)))
            lines.append(line)
        return lines

    def base(self) -> tuple[Gray, list[Line]]:
        screen = np.empty((self.height, self.width), np.uint8)
        kind = self.rng.integers(0, 3)
        screen[:] = np.linspace(60, 160, self.height)[:, None] if kind == 0 else self.rng.integers(20, 240)
        screen[-28:] = self.rng.integers(20, 60)
        if kind == 2:
            box = 20, 30, self.height - 60, self.width - 60
            return screen, self.window(screen, box, paper=255, ink=20, bar=220)
        lines = []
        for _ in range(int(self.rng.integers(2, 5))):
            height, width = int(self.rng.integers(200, 560)), int(self.rng.integers(280, 760))
            top = int(self.rng.integers(0, self.height - height - 28))
            left = int(self.rng.integers(0, self.width - width))
            paper, ink = (30, 210) if self.rng.random() < 0.35 else (250, 30)
            bar = int(self.rng.integers(40, 230))
            lines += self.window(screen, (top, left, height, width), paper=paper, ink=ink, bar=bar)
        return screen, lines

    def variant(self, base: Gray, lines: list[Line]) -> Gray:
        screen = base.copy()
        for _ in range(int(self.rng.integers(1, 3))):
            line = lines[int(self.rng.integers(0, len(lines)))]
            screen[line.top : line.top + GLYPH_ROWS, line.left : line.right] = line.paper
            self.text(screen, line, int(self.rng.integers(5, max(6, (line.right - line.left) // GLYPH_COLUMNS))))
        self.text(screen, Line(self.height - 18, self.width - 80, self.width, 0, 230), 10)
        return screen


def seconds(run: Callable[[], object], times: int) -> tuple[float, float]:
    """Medians of the wall time and of the processor's time."""
    wall, processor = [], []
    for _ in range(times):
        start, cpu = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - cpu)
    return statistics.median(wall), statistics.median(processor)


def one_pair(screens: list[Gray]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, screens[0].shape).astype(np.uint8)
    print("one pair of 1024 × 768    similarity  scikit-image       imkin          ratio")
    for name, a, b in (
        ("unlike screens", screens[0], screens[-1]),
        ("all pixels differ", screens[0], noise),
        ("one or two lines differ", screens[0], screens[1]),
    ):
        slow, slow_cpu = seconds(lambda a=a, b=b: structural_similarity(a, b), 7)
        fast, fast_cpu = seconds(lambda a=a, b=b: ssim_pair(a, b), 15)
        print(
            f"{name:25} {ssim_pair(a, b):10.4f} {slow * 1e3:6.1f} ({slow_cpu * 1e3:5.1f}) ms"
            f" {fast * 1e3:6.2f} ({fast_cpu * 1e3:5.2f}) ms {slow / fast:6.1f} ({slow_cpu / fast_cpu:.1f})"
        )


def all_pairs(screens: list[Gray]) -> None:
    rng = np.random.default_rng(2)
    sample = [rng.choice(len(screens), 2, replace=False) for _ in range(SAMPLE)]
    pair = [seconds(lambda i=i, j=j: structural_similarity(screens[i], screens[j]), 1) for i, j in sample]
    slow, slow_cpu = (statistics.median(column) for column in zip(*pair, strict=True))
    print("\n   n   pairs  found  scikit-image        all pairs     ratio          groups     ratio")
    for n in SIZES:
        part = screens[:n]
        shapes = np.array([p.shape for p in part])
        count = n * (n - 1) // 2

        def run(part: list[Gray] = part, shapes: NDArray[np.int64] = shapes, *, groups: bool = False) -> int:
            return len(self_join(lambda at: [part[i] for i in at], shapes, THRESHOLD, connect_only=groups)[0])

        every, every_cpu = seconds(run, 3)
        groups, groups_cpu = seconds(lambda run=run: run(groups=True), 3)
        print(
            f"{n:4} {count:7} {run():6} {slow * count:7.0f} ({slow_cpu * count:5.0f}) s"
            f" {every:6.2f} ({every_cpu:5.2f}) s {slow * count / every:5.0f} ({slow_cpu * count / every_cpu:.0f})"
            f" {groups:6.2f} ({groups_cpu:5.2f}) s {slow * count / groups:5.0f} ({slow_cpu * count / groups_cpu:.0f})"
        )


def verify(screens: list[Gray]) -> None:
    """Every pair by summed-area tables: other sums, another order, no bound and no early end."""
    n = len(screens)

    def boxes(values: NDArray[np.integer]) -> NDArray[np.int32]:
        # The table may pass 2^31 and wrap around: the difference of four corners is exact all the same.
        table = np.zeros((values.shape[0] + 1, values.shape[1] + 1), np.int32)
        table[1:, 1:] = values.cumsum(axis=0, dtype=np.int32).cumsum(axis=1, dtype=np.int32)
        return table[7:, 7:] - table[:-7, 7:] - table[7:, :-7] + table[:-7, :-7]

    wide = [screen.astype(np.int32) for screen in screens]
    means = [(boxes(x) / 49).astype(np.float64) for x in wide]
    variances = [(boxes(x * x) / 49 - m * m) * (49 / 48) for x, m in zip(wide, means, strict=True)]
    similarity = np.zeros((n, n))
    for i, j in itertools.combinations(range(n), 2):
        product = means[i] * means[j]
        value = 2 * product + 6.5025
        value /= means[i] ** 2 + means[j] ** 2 + 6.5025
        value *= 2 * (boxes(wide[i] * wide[j]) / 49 - product) * (49 / 48) + 58.5225
        value /= variances[i] + variances[j] + 58.5225
        similarity[i, j] = value.mean()
    shapes = np.array([p.shape for p in screens])
    left, right, found = self_join(lambda at: [screens[i] for i in at], shapes, THRESHOLD)
    assert np.array_equal(np.stack([left, right], axis=1), np.argwhere(similarity >= THRESHOLD)), "pairs differ"
    error = np.abs(found - similarity[left, right]).max()
    sample = np.random.default_rng(3).choice(n, (20, 2))
    off = [abs(structural_similarity(screens[i], screens[j]) - similarity[i, j]) for i, j in sample if i < j]
    a, b, _ = self_join(lambda at: [screens[i] for i in at], shapes, THRESHOLD, connect_only=True)
    links, connected = np.zeros((n, n)), np.zeros((n, n))
    links[left, right] = 1
    connected[a, b] = 1
    groups = connected_components(links, directed=False)
    assert np.array_equal(groups[1], connected_components(connected, directed=False)[1]), "groups differ"
    print(
        f"{n} screens, {n * (n - 1) // 2} pairs: the same {len(left)} pairs and {groups[0]} groups; similarities off by"
    )
    print(f"{error:.1e} at most, the table's from scikit-image's on {len(off)} pairs by {max(off):.1e}")


def memory(count: int) -> None:
    with GrayStore() as store:
        Screens(4, 1080, 1920).draw(count, store.append)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        start, cpu = time.perf_counter(), time.process_time()
        found = len(self_join(store.load, store.shapes, THRESHOLD)[0])
        wall, processor = time.perf_counter() - start, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{count} screens of 1920 × 1080 ({count * 1920 * 1080 / 2**20:.0f} MiB): {found} pairs")
        print(f"{wall:.1f} ({processor:.1f}) s, {store.bytes / 2**20:.0f} MiB on disk")
        print(f"peak memory {peak:.0f} MiB, {before:.0f} before the join")


def files(count: int) -> None:
    """`imkin group --by ssim` on drawn PNG files. Temporary disk: the sizes of the unlinked files that it has open."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "screens"
        folder.mkdir()
        numbers = itertools.count()

        def write(screen: Gray) -> None:
            Image.fromarray(screen).save(folder / f"{next(numbers):05}.png", compress_level=1)

        Screens(4, 1080, 1920).draw(count, write)
        size = sum(path.stat().st_size for path in folder.iterdir())
        print(f"{count} PNG files of 1920 × 1080, {size / 2**20:.0f} MiB", flush=True)
        command = [sys.executable, "-m", "imkin", "group", folder, "--by", "ssim", "--no-catalogue", "--json"]
        start, disk = time.perf_counter(), 0
        with open(f"{name}/out.json", "w+") as out:
            child = subprocess.Popen(command, stdout=out)
            while child.poll() is None:
                time.sleep(0.5)
                disk = max(disk, unlinked_bytes(child.pid))
            wall = time.perf_counter() - start
            out.seek(0)
            summary = json.load(out)["summary"]
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(f"{summary['pairs']} pairs, {summary['groups']} groups")
        print(f"{wall:.1f} ({used.ru_utime + used.ru_stime:.1f}) s, {disk / 2**20:.0f} MiB of temporary disk")
        print(f"peak memory {used.ru_maxrss / 1024:.0f} MiB")


def unlinked_bytes(pid: int) -> int:
    """Of all files without a name that process pid has open; Linux only."""
    total = 0
    for entry in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            if os.readlink(entry).endswith(" (deleted)"):
                total += entry.stat().st_size
        except OSError:
            continue  # closed meanwhile
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--verify", type=int, metavar="N", help="compute all pairs of N screens another way")
    parser.add_argument("--memory", type=int, metavar="N", help="join N full-HD screens from a store on disk")
    parser.add_argument("--files", type=int, metavar="N", help="run the command on N full-HD files")
    options = parser.parse_args()
    if options.files:
        files(options.files)
        return
    if options.memory:
        memory(options.memory)
        return
    screens: list[Gray] = []
    Screens(4).draw(options.verify or max(SIZES), screens.append)
    if options.verify:
        verify(screens)
        return
    one_pair(screens)
    all_pairs(screens)


if __name__ == "__main__":
    sys.exit(main())
