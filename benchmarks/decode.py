"""How near `image.decode` comes to bare Pillow: `python benchmarks/decode.py [--quick]`.

Bare is `Image.open`, `draft` to the same scale (1/8 at most) and `load`: no orientation, profile, limits, or array.
Both do the same bytes, taking turns, so that a busy machine slows both; the figure to look at is the ratio.
Where the `simplejpeg` package is installed, its scaled decode (with an array) is timed as well.
"""

import io
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from imkin import image

try:
    import simplejpeg
except ImportError:
    simplejpeg = None


def drawn_jpeg(width, height, seed):
    """A JPEG of quality 90: gradients, ellipses, and noise as of a camera (about 0.3 bytes a pixel)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    colour = np.stack([x / width * 200, y / height * 200, (x + y) / (width + height) * 255], -1)
    picture = Pillow.fromarray(colour.astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(80):
        cx, cy, half = (int(rng.integers(limit)) for limit in (width, height, height // 5))
        draw.ellipse((cx - half, cy - half, cx + half, cy + half), fill=tuple(rng.integers(0, 256, 3).tolist()))
    noisy = np.asarray(picture, np.float32) + rng.normal(0, 14, (height, width, 1)).astype(np.float32)
    out = io.BytesIO()
    Pillow.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(out, "JPEG", quality=90)
    return out.getvalue()


def scale(size, side):
    factor = 1
    while factor < 8 and min(size) // (2 * factor) >= side:
        factor *= 2
    return factor


def bare(data, side):
    opened = Pillow.open(io.BytesIO(data))
    by = scale(opened.size, side)
    opened.draft(None, (opened.width // by, opened.height // by))
    opened.load()


def ours(data, side):
    if not isinstance(image.decode(data, path="drawn", side=side), image.Image):
        raise SystemExit("a drawn picture was not decoded")


def simple(data, side):
    height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    by = scale((width, height), side)
    simplejpeg.decode_jpeg(data, "RGB", min_height=height // by, min_width=width // by, strict=True)


def seconds_each(decoder, files, side, pool):
    start = time.perf_counter()
    if pool is None:
        for data in files:
            decoder(data, side)
    else:
        list(pool.map(lambda data: decoder(data, side), files))
    return (time.perf_counter() - start) / len(files)


def main(argv):
    rounds = 5 if "--quick" in argv else 15
    decoders = {"bare": bare, "imkin": ours} | ({"simplejpeg": simple} if simplejpeg else {})
    print(
        "| pictures | side | threads | "
        + " | ".join(f"{name} ms" for name in decoders)
        + " | imkin/s | speed of bare |"
    )
    print("|---" * (len(decoders) + 5) + "|")
    for width, height, count in ((4000, 3000, 4), (500, 400, 40)):
        files = [drawn_jpeg(width, height, seed) for seed in range(count)]
        size = statistics.mean(map(len, files)) / 1e6
        for side in (64, 128, 256):
            for threads in (1, 2):
                with ThreadPoolExecutor(threads) as workers:
                    pool = workers if threads > 1 else None
                    times = {name: [] for name in decoders}
                    for _ in range(rounds):
                        for name, decoder in decoders.items():
                            times[name].append(seconds_each(decoder, files, side, pool))
                ratio = statistics.median(b / o for b, o in zip(times["bare"], times["imkin"], strict=True))
                median = {name: statistics.median(values) for name, values in times.items()}
                cells = " | ".join(f"{1000 * value:.3f}" for value in median.values())
                print(f"| {width} x {height}, {size:.2f} MB | {side} | {threads} | {cells} "
                      f"| {1 / median['imkin']:.0f} | {ratio:.0%} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
