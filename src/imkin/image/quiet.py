"""Pillow's warnings and its own pixel limit, off while this thread decodes, and only then.

`warnings.catch_warnings` swaps the filters of the whole process and so races between threads (before Python 3.14),
and `PIL.Image.MAX_IMAGE_PIXELS` is one number for the whole process: a host program's setting would decide what imkin
reads, and changing it would change what the host refuses. So the two names through which Pillow warns and refuses
are replaced once by ones that ask a thread-local switch first, and do as before while it is off.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from PIL import IcoImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin
from PIL import Image as Pillow


class _Switch(threading.local):
    on = False


_switch = _Switch()


class _Warnings:
    """Stands for the module `warnings` inside Pillow's readers."""

    def __getattr__(self, name: str) -> Any:
        return getattr(warnings, name)

    def warn(
        self, message: str | Warning, category: type[Warning] | None = None, stacklevel: int = 1, **options: Any
    ) -> None:
        if not _switch.on:
            warnings.warn(message, category, stacklevel + 1, **options)


def _unless_quiet(check: Callable[..., None]) -> Callable[..., None]:
    def guarded(size: tuple[int, int], **options: Any) -> None:
        if not _switch.on:
            check(size, **options)

    return guarded


@contextmanager
def quiet() -> Iterator[None]:
    """No warning and no limit of Pillow's in this thread; the caller checks `Limits.max_pixels` instead."""
    before, _switch.on = _switch.on, True
    try:
        yield
    finally:
        _switch.on = before


for _module in (Pillow, IcoImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin):
    setattr(_module, "warnings", _Warnings())  # noqa: B010
setattr(Pillow, "_decompression_bomb_check", _unless_quiet(getattr(Pillow, "_decompression_bomb_check")))  # noqa: B009, B010
