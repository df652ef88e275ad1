"""Labels of images: the class folders they lie in, or a table that names a label for each path."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from imkin.errors import UsageError
from imkin.sources import table
from imkin.sources.archive import INSIDE

FOLDERS = "folders"

PATH_COLUMNS = ("path", "file", "filename", "file_name", "filepath", "image", "image_path")
LABEL_COLUMNS = ("label", "labels", "class", "category", "target")


def folder_label(path: str, root: str) -> str | None:
    """The first folder below root on the way to path; None for a file that lies in root itself, or not below it.

    root may be an archive, whose entries are shown as `album.zip!/cat/1.jpg`.
    """
    for start in (f"{root.rstrip(os.sep)}{os.sep}", f"{root}{INSIDE}"):
        if path.startswith(start):
            first, _, rest = path[len(start) :].lstrip("/").partition("/")
            return first if rest else None
    return None


def read_labels(path: str) -> dict[str, str]:
    """Labels out of a table: absolute path → label. Any table that `imkin fetch` reads; rows without a label are none.

    With a header, the columns are called `path` and `label` (or PATH_COLUMNS, LABEL_COLUMNS); without one they are
    the first two. Paths are absolute, or relative to the table's folder. Raises UsageError, MissingPathError.
    """
    rows, path_at, label_at = _columns(path)
    folder = os.path.dirname(os.path.abspath(path))
    found: dict[str, str] = {}
    for row in rows:
        if max(path_at, label_at) < len(row) and row[path_at].strip() and row[label_at].strip():
            key = os.path.normpath(os.path.join(folder, row[path_at].strip()))
            if found.setdefault(key, row[label_at].strip()) != row[label_at].strip():
                raise UsageError(f"{path} gives {row[path_at]} two labels: {found[key]} and {row[label_at].strip()}")
    return found


def labels_of(
    paths: Sequence[str], roots: Sequence[str], source: str | Mapping[str, str] | None
) -> tuple[str | None, ...]:
    """The label of each path, None where there is none. roots: of each path, the place it was found in.

    source: FOLDERS, the path of a table, or labels by path. UsageError if it has none for any of them.
    """
    if source is None:
        return (None,) * len(paths)
    if source == FOLDERS:
        found = tuple(folder_label(path, root) for path, root in zip(paths, roots, strict=True))
        wrong = "no image lies in a class folder: expected SPLIT/CLASS/image.jpg"
    else:
        known = read_labels(source) if isinstance(source, str) else _absolute(source)
        found = tuple(known.get(os.path.normpath(os.path.abspath(path))) for path in paths)
        name = f"of {source}" if isinstance(source, str) else "given"
        wrong = f"none of the labels {name} is for one of the images; paths are relative to the table's folder"
    if paths and not any(label is not None for label in found):
        raise UsageError(wrong)
    return found


def _absolute(labels: Mapping[str, str]) -> dict[str, str]:
    return {os.path.abspath(path): label for path, label in labels.items()}


def _columns(path: str) -> tuple[Iterable[Sequence[str]], int, int]:
    named = table.open_table(path)
    names = [name.strip().casefold() for name in named.header]
    path_at, label_at = (
        next((names.index(name) for name in wanted if name in names), None) for wanted in (PATH_COLUMNS, LABEL_COLUMNS)
    )
    if path_at is not None and label_at is not None:
        return named.rows(), path_at, label_at
    if path_at is None and label_at is None:
        bare = table.open_table(path, header=False)
        if not bare.header and max((len(row) for row in bare.rows()), default=0) == 2:
            return bare.rows(), 0, 1
    raise UsageError(
        f"{path} needs the columns `path` and `label`, or two columns without a header; "
        f"it has: {', '.join(named.header) or 'none'}"
    )
