"""Bytes to pixels and back: decode, shrink, encode. The only importer of Pillow, pi-heif and rawpy.

What comes out shows what a viewer shows: upright (EXIF), opaque (over white), sRGB (ICC), 8 bits, first frame.
"""

from imkin.image.decoding import Image, decode, measure
from imkin.image.limits import FORMATS, Limits
from imkin.image.origin import Origin, origin
from imkin.image.shrink import (
    area_gray,
    area_rgb,
    areas_rgb,
    encode_jpeg,
    encode_png,
    gray,
    resize_gray,
    small_gray,
    thumbnail,
)
from imkin.image.sniff import looks_like_an_image

VERSION = 1
"""Part of every fingerprint's key: raised whenever the pixels of any file change."""

__all__ = [
    "FORMATS",
    "VERSION",
    "Image",
    "Limits",
    "Origin",
    "area_gray",
    "area_rgb",
    "areas_rgb",
    "decode",
    "encode_jpeg",
    "encode_png",
    "gray",
    "looks_like_an_image",
    "measure",
    "origin",
    "resize_gray",
    "small_gray",
    "thumbnail",
]
