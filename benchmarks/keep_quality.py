"""How far re-saving and blurring move the measure behind the keep rule `quality`, on real photos.

    python benchmarks/keep_quality.py ../shared/photos/dev

Prints, for each edit of each photo, the quartiles of the change of blur, and how often the rule keeps the original.
"""

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from imkin.facts import measure
from imkin.policy import choose, parse_rules
from imkin.types import File

EDITS = {
    "JPEG 95": (0.0, 95),
    "JPEG 80": (0.0, 80),
    "JPEG 60": (0.0, 60),
    "JPEG 30": (0.0, 30),
    "blur 0.5 px": (0.5, 95),
    "blur 1 px": (1.0, 95),
    "blur 2 px": (2.0, 95),
}
PHOTOS = 60


def main(folder, scratch):
    changes = {name: [] for name in EDITS}
    kept = dict.fromkeys(EDITS, 0)
    paths = sorted(Path(folder).rglob("*.[jJ][pP]*[gG]"))[:PHOTOS]
    for path in paths:
        picture = Image.open(path).convert("RGB")
        whole = write(scratch / "whole.png", picture, "PNG", {"compress_level": 1})
        base = measure(whole).blur
        for name, (radius, quality) in EDITS.items():
            edited = picture.filter(ImageFilter.GaussianBlur(radius)) if radius else picture
            copy = write(scratch / "copy.jpg", edited, "JPEG", {"quality": quality})
            changes[name].append(measure(copy).blur - base)
            kept[name] += choose([copy, whole], parse_rules("quality"), facts=measure)[0]
    print(f"{len(paths)} photos   change of blur: 5 %  median  95 %   original kept")
    for name, values in changes.items():
        low, middle, high = np.percentile(values, [5, 50, 95])
        print(f"{name:<12} {low:20.3f} {middle:7.3f} {high:6.3f} {kept[name] / len(paths):12.0%}")


def write(path, picture, kind, options):
    out = io.BytesIO()
    picture.save(out, kind, **options)
    path.write_bytes(out.getvalue())
    return File(str(path), out.tell(), 0, "00" * 32, "00" * 20, *picture.size, kind)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        main(sys.argv[1], Path(scratch))
