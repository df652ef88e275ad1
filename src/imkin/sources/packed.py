"""Packed streams, read from front to back: gzip, bzip2, xz and Zstandard."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from types import ModuleType
from typing import IO, Any, cast

from imkin.errors import MissingExtraError

# Zstandard frames may ask for a window of up to 2 GiB; the format's own advice for decoders is 8 MiB, `--long` is 128.
ZSTD_WINDOW_BITS = 27


def open_packed(path: str) -> IO[bytes]:
    """The unpacked bytes of path, by its ending; of any other file its own. Raises MissingExtraError, OSError."""
    name = path.lower()
    if name.endswith((".gz", ".tgz")):
        return cast(IO[bytes], gzip.open(path))
    if name.endswith((".bz2", ".tbz2", ".tbz")):
        return bz2.open(path)
    if name.endswith((".xz", ".txz")):
        return lzma.open(path)
    if name.endswith((".zst", ".tzst")):
        return _open_zstd(path)
    return open(path, "rb")


def unzstd(packed: bytes, most: int) -> bytes:
    """The first `most` bytes of a Zstandard frame. Raises OSError if it is damaged, or cannot be read at all."""
    try:
        with _zstd_reader(io.BytesIO(packed)) as stream:
            return read_from(stream, most)
    except MissingExtraError as error:
        raise OSError(str(error)) from None


def read_from(stream: IO[bytes], count: int) -> bytes:
    """At most count bytes, fewer only at the end. Damage of any packing is an OSError."""
    try:
        return stream.read(count)
    except OSError:
        raise
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise OSError(f"damaged: {error}") from None
    except Exception as error:
        # Zstandard's own error, whose module may not be installed.
        if type(error).__name__ != "ZstdError":
            raise
        raise OSError(f"damaged: {error}") from None


def _open_zstd(path: str) -> IO[bytes]:
    file = open(path, "rb")  # noqa: SIM115 - closed by the stream
    try:
        return _zstd_reader(file)
    except BaseException:
        file.close()
        raise


def _zstd_reader(file: IO[bytes]) -> IO[bytes]:
    module = _zstd()
    if module.__name__ == "zstandard":
        window = 1 << ZSTD_WINDOW_BITS
        reader: Any = module.ZstdDecompressor(max_window_size=window).stream_reader(
            file, read_across_frames=True, closefd=True
        )
    else:
        options = {module.DecompressionParameter.window_log_max: ZSTD_WINDOW_BITS}
        reader = module.ZstdFile(file, options=options)
    return reader  # type: ignore[no-any-return]


def _zstd() -> ModuleType:
    from importlib import import_module

    for name in ("compression.zstd", "zstandard"):
        try:
            return import_module(name)
        except ImportError:
            continue
    raise MissingExtraError("reading Zstandard", "archives")
