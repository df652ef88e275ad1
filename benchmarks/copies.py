"""How many edited copies each method finds at its default threshold, and how many false pairs it makes.

    python benchmarks/copies.py EDITS [METHOD ...]

EDITS: a folder of files named <photo>__<edit>.jpg; two files show the same picture if the part before `__` is equal.
For each edit: the share of copies that are a pair with their original, and that are in one group with it.
"""

import sys
from collections import Counter
from pathlib import Path

import imkin

# Edits that leave every part of the picture in its place.
SLIGHT = ("jpeg30", "jpeg10", "half", "quarter", "aspect", "bright", "contrast", "colour", "gray")


def main() -> None:
    folder, methods = sys.argv[1], sys.argv[2:] or ["phash"]
    for by in methods:
        result = imkin.group(folder, by)
        place = {member.path: number for number, group in enumerate(result.groups) for member in group.members}
        names = {str(path): path.stem.split("__") for path in Path(folder).glob("*.jpg")}
        total = Counter(edit for _, edit in names.values() if edit != "orig")
        direct: Counter[str] = Counter()
        false = 0
        for pair in (pair for group in result.groups for pair in group.pairs):
            (photo_a, a), (photo_b, b) = names[pair.a], names[pair.b]
            if photo_a != photo_b:
                false += 1
            elif "orig" in (a, b):
                direct[a if b == "orig" else b] += 1
        home = {photo: place.get(path) for path, (photo, edit) in names.items() if edit == "orig"}
        grouped = Counter(edit for path, (photo, edit) in names.items() if path in place and place[path] == home[photo])
        print(f"{by}: {false} false pairs; found directly, and in one group with the original")
        for edit in sorted(total):
            print(f"  {edit:<10}{direct[edit] / total[edit]:.3f}  {grouped[edit] / total[edit]:.3f}")
        rows = [edit for edit in SLIGHT if edit in total]
        if rows:
            count = sum(total[edit] for edit in rows)
            shares = (sum(part[edit] for edit in rows) / count for part in (direct, grouped))
            print("  recompressed, rescaled, recoloured together: {:.4f}  {:.4f}".format(*shares))


if __name__ == "__main__":
    main()
