"""Pillow's warnings and its own pixel limit, and libtiff's messages, off while imkin decodes, and only then.

`warnings.catch_warnings` swaps the filters of the whole process and so races between threads (before Python 3.14),
and `PIL.Image.MAX_IMAGE_PIXELS` is one number for the whole process: a host program's setting would decide what imkin
reads, and changing it would change what the host refuses. So the two names through which Pillow warns and refuses
are replaced once by ones that ask a thread-local switch first, and do as before while it is off.

libtiff writes to stderr from C and has one handler for the process: it is taken away while any thread decodes a TIFF.
"""

from __future__ import annotations

import ctypes
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from PIL import IcoImagePlugin, PngImagePlugin, TiffImagePlugin, _imaging
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


class _Libtiff:
    """libtiff's two message handlers: away while at least one thread is inside, and put back by the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._setters: list[Callable[[int | None], int | None]] = []
        self._before: list[int | None] = []
        try:
            library = ctypes.CDLL(_imaging.__file__)  # finds what the module was linked with
            for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
                setter = getattr(library, name)
                setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
                self._setters.append(setter)
        except (AttributeError, OSError):
            self._setters = []  # linked in a way that shows no names (Windows): messages stay

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = [setter(None) for setter in self._setters]
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                for setter, handler in zip(self._setters, self._before, strict=True):
                    setter(handler)


libtiff_is_quiet = _Libtiff()

for _module in (Pillow, IcoImagePlugin, PngImagePlugin, TiffImagePlugin):
    setattr(_module, "warnings", _Warnings())  # noqa: B010
setattr(Pillow, "_decompression_bomb_check", _unless_quiet(getattr(Pillow, "_decompression_bomb_check")))  # noqa: B009, B010
