"""Bytes of small pictures for uploads."""

import hashlib
import io

import numpy as np
from PIL import Image


def drawn(seed, *, size=(96, 96), shift=0):
    """Bytes of a picture of coarse random blocks; of one seed with another shift a copy that is a little lighter."""
    blocks = np.random.default_rng(seed).integers(0, 200, (8, 8, 3), np.uint8)
    picture = Image.fromarray(blocks).resize(size, Image.Resampling.BICUBIC)
    out = io.BytesIO()
    Image.fromarray(np.asarray(picture) + np.uint8(shift)).save(out, "PNG")
    return out.getvalue()


def sha1(data):
    return hashlib.sha1(data).hexdigest()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def parts(*pictures):
    """The pictures as files of a form, each under a name of its own."""
    return [(f"field{at}", (f"{at}.png", data)) for at, data in enumerate(pictures)]
