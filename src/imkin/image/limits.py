"""What is refused before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from imkin.errors import UsageError

# Pillow's names, and RAW for camera files (extra `raw`). Left out on purpose: readers that start other
# programs (EPS), need a system's own (WMF), are containers (MPEG, FITS, HDF5, GRIB) or decode in pure Python.
FORMATS: tuple[str, ...] = (
    "AVIF", "BMP", "GIF", "HEIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "PSD", "RAW", "TGA", "TIFF", "WEBP",
)  # fmt: skip


class RefusedError(Exception):
    """One file that is not decoded; its text is the reason of the `Failure`. Never leaves this package."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused.

    max_pixels: of the full-size picture, as its header tells, whatever size is asked for.
    formats: names out of FORMATS; the others are failures.
    tolerate_truncated: takes what can be decoded of a file that is cut short or broken, the rest is black.
    """

    max_pixels: int = 178_000_000
    formats: tuple[str, ...] = FORMATS
    tolerate_truncated: bool = False

    def __post_init__(self) -> None:
        unknown = sorted(set(self.formats) - set(FORMATS))
        if unknown:
            raise UsageError(f"unknown image format {', '.join(unknown)}; known: {', '.join(FORMATS)}")
        if self.max_pixels < 1:
            raise UsageError(f"max_pixels must be at least 1, not {self.max_pixels}")

    def check_size(self, width: int, height: int) -> None:
        """Raise RefusedError for a picture that is over the limit."""
        if width * height > self.max_pixels:
            raise RefusedError(f"too large: {width} x {height} pixels are over the limit of {self.max_pixels:,} pixels")

    def check_format(self, name: str) -> None:
        """Raise RefusedError for a format that is not allowed."""
        if name not in self.formats:
            raise RefusedError(f"format {name} is not among the allowed ones: {', '.join(self.formats)}")
