"""Any place a person may name: a folder, an image file, an archive or a table of URLs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

from imkin.sources import Filter, Item, archive, folder, table
from imkin.types import Failure


def walk(paths: Sequence[str], wanted: Filter, *, first: int = 0) -> Iterator[Item | Failure]:
    """Yield the images of each place: first those of folders and files, then those of archives, then of tables.

    first: the number of the first place as a root.
    Raises MissingPathError for a place that is not there, before anything is yielded from it.
    """
    archives = [at for at, path in enumerate(paths) if archive.is_archive(path) and not os.path.isdir(path)]
    tables = [at for at, path in enumerate(paths) if table.is_table(path) and not os.path.isdir(path)]
    special = {*archives, *tables}
    plain = [at for at in range(len(paths)) if at not in special]
    for entry in folder.walk([paths[at] for at in plain], wanted):
        if isinstance(entry, folder.FileItem) and (special or first):
            yield replace(entry, root=first + plain[entry.root])
        else:
            yield entry
    for at in archives:
        yield from archive.walk(paths[at], wanted, root=first + at)
    for at in tables:
        from imkin.sources import fetched

        yield from fetched.walk(paths[at], root=first + at)
