#!/usr/bin/env python3
"""Fits the weights of `auto`'s similarity (imkin.join.fused) and shows what they are worth, by cross-validation.

usage: auto_fit.py PHOTOS WORK

PHOTOS: the photos that the network `kin` was trained on. The 400 that training held out (drawn by its seed) are the
database; of 100 of them 34 edited copies each are the queries. WORK: a folder for the copies and a catalogue.
Prints the weights, uAP and recall at 1 false pair in 100,000 on photos the weights were not fitted on, and how often
pairs of a given probability are right. A pasted picture is a match too, so such pairs are left out.
"""

import random
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps
from scipy.optimize import minimize

import imkin
from imkin.join import align, fused
from imkin.prints import auto

HELD_OUT, EDITED_EVERY, SEED = 400, 4, 0
FALSE_RATE = 1e-5
BICUBIC, TURN = Image.Resampling.BICUBIC, Image.Transpose
PASTED = ("collage", "onphoto")


def crop(im, area, rng):
    ratio = 1 + rng.uniform(-0.2, 0.2)
    across, down = min(1, (area * ratio) ** 0.5), min(1, (area / ratio) ** 0.5)
    w, h = max(8, int(im.width * across)), max(8, int(im.height * down))
    x, y = rng.randint(0, im.width - w), rng.randint(0, im.height - h)
    return im.crop((x, y, x + w, y + h))


def colour(rng):
    any_ink = tuple(rng.randint(0, 255) for _ in range(3))
    return any_ink if rng.random() < 0.6 else rng.choice([(0, 0, 0), (255, 255, 255)])


def text(im, rng):
    im = im.copy()
    draw = ImageDraw.Draw(im)
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, im.width // 2), rng.randint(0, max(1, im.height - 16))
        words = rng.choice(["hello world", "SALE 50%", "@someone", "lorem ipsum dolor", "2026-03-04"])
        draw.text(at, words, fill=colour(rng), font_size=max(10, im.height // rng.randint(6, 16)))
    return im


def box(im, rng):
    im = im.copy()
    w, h = int(im.width * rng.uniform(0.15, 0.5)), int(im.height * rng.uniform(0.15, 0.4))
    x, y = rng.randint(0, im.width - w), rng.randint(0, im.height - h)
    ImageDraw.Draw(im).rectangle((x, y, x + w, y + h), fill=colour(rng))
    return im


def border(im, rng):
    frame = tuple(int(rng.uniform(0.02, 0.22) * side) for side in (im.width, im.height) * 2)
    return ImageOps.expand(im, frame, colour(rng))


def letterbox(im, rng):
    bar = int(im.width * rng.uniform(0.1, 0.3))
    return ImageOps.expand(im, (bar, 0) if rng.random() < 0.5 else (0, bar), rng.choice([(0, 0, 0), (255, 255, 255)]))


def onphoto(im, rng, other):
    ground = other.resize((int(im.width * 1.4), int(im.height * 1.4))).filter(ImageFilter.GaussianBlur(3))
    ground.paste(im, (rng.randint(0, ground.width - im.width), rng.randint(0, ground.height - im.height)))
    return ground


def collage(im, rng, other):
    both = [im, other.resize(im.size)]
    rng.shuffle(both)
    two = Image.new("RGB", (im.width * 2, im.height))
    two.paste(both[0], (0, 0))
    two.paste(both[1], (im.width, 0))
    return two


def screenshot(im, rng):
    w, h = int(im.width * rng.uniform(1.1, 1.8)), int(im.height * rng.uniform(1.2, 1.9))
    screen = Image.new("RGB", (w, h), rng.choice([(255, 255, 255), (24, 24, 28), (240, 242, 245)]))
    draw = ImageDraw.Draw(screen)
    draw.rectangle((0, 0, w, h // 14), fill=(60, 90, 160))
    draw.text((6, 2), "Photos  File  Edit", fill=(255, 255, 255), font_size=max(8, h // 20))
    x, y = rng.randint(0, w - im.width), max(h // 14, rng.randint(0, h - im.height))
    screen.paste(im, (x, y))
    for line in range(4):
        at = 6, min(h - 10, y + im.height + 4 + 12 * line)
        draw.text(at, "comment about this picture, 12 likes", fill=(120, 120, 120), font_size=10)
    return screen


def perspective(im, rng):
    w, h = im.size
    shifts = [rng.uniform(-0.12, 0.12) * side for side in (w, h) * 4]
    corners = [c + s for c, s in zip((0, 0, 0, h, w, h, w, 0), shifts, strict=True)]
    return im.transform((w, h), Image.Transform.QUAD, corners, BICUBIC, fillcolor=(128, 128, 128))


def by_array(change):
    def edit(im, rng):
        return Image.fromarray(np.clip(change(np.asarray(im, float), rng), 0, 255).astype(np.uint8))

    return edit


def scale(im, rng, low, high):
    factor = rng.uniform(low, high)
    return im.resize((max(12, int(im.width * factor)), max(12, int(im.height * factor))))


def pixelate(im, rng):
    return im.resize((max(8, im.width // rng.randint(3, 7)), max(8, im.height // 4))).resize(im.size, 0)


def gamma(im, rng):
    power = rng.choice([0.5, 0.65, 1.6, 2.0])
    return im.point([int(255 * (i / 255) ** power) for i in range(256)] * 3)


def gray(im):
    return im.convert("L").convert("RGB")


tint = by_array(lambda a, rng: a @ (np.eye(3) + [[rng.uniform(-0.25, 0.25) for _ in range(3)] for _ in range(3)]))
sepia = by_array(lambda a, _: (a @ [0.299, 0.587, 0.114])[..., None] * [1.07, 0.9, 0.7])
noise = by_array(lambda a, rng: a + np.random.default_rng(rng.randint(0, 2**31)).normal(0, rng.uniform(8, 30), a.shape))
TURNS = (TURN.ROTATE_90, TURN.ROTATE_180, TURN.ROTATE_270, TURN.FLIP_TOP_BOTTOM, TURN.TRANSPOSE)
GRAYS = ((0, 0, 0), (255, 255, 255), (128, 128, 128))
EDITS = {
    "jpeg": lambda im, _: im,
    "small": lambda im, r: scale(im, r, 0.2, 0.6),
    "large": lambda im, r: scale(im, r, 1.2, 2.5),
    "aspect": lambda im, r: im.resize((int(im.width * r.choice([0.7, 0.8, 1.25, 1.4])), im.height)),
    "bright": lambda im, r: ImageEnhance.Brightness(im).enhance(r.choice([0.5, 0.7, 1.3, 1.6])),
    "contrast": lambda im, r: ImageEnhance.Contrast(im).enhance(r.choice([0.5, 0.7, 1.5, 1.9])),
    "saturation": lambda im, r: ImageEnhance.Color(im).enhance(r.choice([0.3, 1.8, 2.6])),
    "gamma": gamma,
    "gray": lambda im, _: gray(im),
    "sepia": sepia,
    "tint": tint,
    "blur": lambda im, r: im.filter(ImageFilter.GaussianBlur(r.uniform(1, 2.5))),
    "pixelate": pixelate,
    "noise": noise,
    "crop85": lambda im, r: crop(im, 0.85, r),
    "crop65": lambda im, r: crop(im, 0.65, r),
    "crop50": lambda im, r: crop(im, 0.5, r),
    "crop35": lambda im, r: crop(im, 0.35, r),
    "crop mirror": lambda im, r: ImageOps.mirror(crop(im, 0.6, r)),
    "crop tint": lambda im, r: tint(crop(im, 0.7, r), r),
    "crop text": lambda im, r: text(crop(im, 0.7, r), r),
    "crop gray": lambda im, r: gray(crop(im, 0.75, r)),
    "text": text,
    "text small": lambda im, r: scale(text(im, r), r, 0.4, 0.7),
    "box": box,
    "border": border,
    "letterbox": letterbox,
    "screenshot": screenshot,
    "collage": collage,
    "onphoto": onphoto,
    "mirror": lambda im, _: ImageOps.mirror(im),
    "turn": lambda im, r: im.transpose(r.choice(TURNS)),
    "tilt": lambda im, r: im.rotate(r.choice([-10, -6, -3, 3, 6, 10]), resample=BICUBIC, fillcolor=r.choice(GRAYS)),
    "perspective": perspective,
}


def write(photos, out):
    """Originals and copies. Returns of each file its photo, its edit, and the photo pasted into it or -1."""
    paths = sorted(path for path in photos.rglob("*") if path.is_file())
    order = np.random.default_rng((SEED, 0)).permutation(len(paths))
    held = [Image.open(paths[i]).convert("RGB") for i in np.sort(order[:HELD_OUT])]
    out.mkdir(parents=True, exist_ok=True)
    facts = {}
    for number, im in enumerate(held):
        copies = {"original": lambda im, _: im} | (EDITS if number % EDITED_EVERY == 0 else {})
        for name, edit in copies.items():
            rng, other = random.Random(f"{number}/{name}"), -1
            if name in PASTED:
                other = rng.randrange(HELD_OUT)
                done = edit(im, rng, held[other])
            else:
                done = edit(im, rng)
            quality = {"original": 92, "jpeg": rng.choice([6, 10, 15, 25, 40]), "text small": 30}.get(name, 85)
            path = out / f"{number:04}-{name.replace(' ', '-')}.jpg"
            done.save(path, quality=quality)
            facts[str(path)] = (number, name, other)
    return facts


def fit(features, truth):
    """Weights and bias of a logistic regression."""
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-9
    scaled = (features - mean) / deviation

    def loss(t):
        odds = scaled @ t[1:] + t[0]
        apart = 1 / (1 + np.exp(-odds)) - truth
        slope = np.concatenate([[apart.mean()], (scaled * apart[:, None]).mean(axis=0) + 2e-4 * t[1:]])
        return (np.logaddexp(0, odds) - truth * odds).mean() + 1e-4 * (t[1:] ** 2).sum(), slope

    best = minimize(loss, np.zeros(features.shape[1] + 1), jac=True, method="L-BFGS-B").x
    return np.concatenate([best[1:] / deviation, [best[0] - (mean * best[1:] / deviation).sum()]])


def signals(a, b, left, right):
    """Features (n, 4) of pairs: whole, region, codes, laid; every pair is laid."""
    whole, region = fused._pair_cosines(a.vectors[left], b.vectors[right])
    bits, turn = fused._capped(*fused.nearest_turn(a, b, left, right))
    laid = fused._overlaid(a, b, left, right, turn)
    far = bits > fused.RADIUS
    laid[far] = align.align(align.details(a.thumbs[left[far]]), align.details(b.thumbs[right[far]])).score
    codes = np.maximum(0, fused.RADIUS + 1 - bits) / (fused.RADIUS + 1)
    return np.stack([whole, region, codes, laid], axis=1).astype(np.float64)


def main():
    facts = write(Path(sys.argv[1]), Path(sys.argv[2]) / "edits")
    made = imkin.fingerprint(list(facts), by="auto", catalogue=Path(sys.argv[2]) / "catalogue.sqlite")
    photo, name, pasted = (np.array(part) for part in zip(*(facts[path] for path in made.paths), strict=True))
    original = name == "original"
    records = auto.unpack(made.values)
    a, b = records.take(np.flatnonzero(~original)), records.take(np.flatnonzero(original))
    base = photo[~original][:, None] == photo[original][None, :]
    use = pasted[~original][:, None] != photo[original][None, :]
    whole, region = fused._cosines(a.vectors, b.vectors)
    far = np.full(1, fused.RADIUS + 1, np.int16)
    # The others are all unlike by a wide margin, and there are a million of them.
    chance = fused.in_doubt(fused.log_odds(whole, region, far))
    left, right = np.nonzero(use & (chance | base))
    print(f"{int(use.sum())} pairs, {int((base & use).sum())} of one picture; {len(left)} with a chance")
    features = np.concatenate(
        [signals(a, b, left[at : at + 4096], right[at : at + 4096]) for at in range(0, len(left), 4096)]
    )
    truth, half = base[left, right], (photo[~original][left] // EDITED_EVERY) % 2
    odds = np.empty(len(left))
    for side in (0, 1):
        weights = fit(features[half != side], truth[half != side].astype(float))
        odds[half == side] = features[half == side] @ weights[:-1] + weights[-1]
    print("whole, region, codes, laid, bias:", np.round(fit(features, truth.astype(float)), 1).tolist())
    order = np.lexsort((truth, -odds))
    hits = truth[order]
    print("uAP", round(float((np.cumsum(hits) / np.arange(1, hits.size + 1) * hits).sum() / hits.sum()), 4))
    limit = np.sort(odds[~truth])[::-1][int(FALSE_RATE * (use & ~base).sum())]
    print("recall at 1 false pair in 100,000:", round(float((odds[truth] > limit).mean()), 4))
    kinds = name[~original][left]
    weak = {k: round(float((odds[truth & (kinds == k)] > limit).mean()), 2) for k in EDITS}
    print({k: share for k, share in weak.items() if share < 0.98})
    probability = 1 / (1 + np.exp(-odds))
    for low, high in ((0.1, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.85), (0.85, 0.95), (0.95, 0.99), (0.99, 1)):
        inside = (probability >= low) & (probability < high)
        print(f"{low:.2f} to {high:.2f}: {int(inside.sum()):>5} pairs, {truth[inside].mean():.3f} right")


if __name__ == "__main__":
    main()
