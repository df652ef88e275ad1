"""Names for what lies in the roots: clients see a root's own name and what is below it, never where it lies."""

from __future__ import annotations

import os
from collections.abc import Sequence

from imkin.plan import inside


def root_names(roots: Sequence[str]) -> list[str]:
    """A name for each root: its last part, with a number where two are called alike."""
    names: list[str] = []
    for root in roots:
        name = plain(os.path.basename(root.rstrip(os.sep))) or "root"
        number = 2
        chosen = name
        while chosen in names:
            chosen, number = f"{name}-{number}", number + 1
        names.append(chosen)
    return names


def told(text: str, roots: Sequence[str]) -> str:
    """Text with the paths of the roots replaced by their names."""
    pairs = sorted(zip(roots, root_names(roots), strict=True), key=lambda pair: -len(pair[0]))
    for root, name in pairs:
        text = text.replace(root, name)
    return plain(text)


def reachable(path: str, roots: Sequence[str]) -> bool:
    """Whether an absolute path lies in one of the roots."""
    return inside(path, tuple(roots))


def plain(text: str) -> str:
    """Text that can be written as UTF-8: what is none in a file's name becomes a sign that says so."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
