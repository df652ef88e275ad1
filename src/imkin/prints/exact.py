"""exact: the sha256 of the file's bytes. Nothing is decoded: the digests come from the scan itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imkin.errors import UsageError
from imkin.types import Pixels, Spec

SPEC = Spec("exact", 1, "bytes", 256, 1.0, 0)


@dataclass(frozen=True, slots=True)
class Exact:
    """The method's spec. Pixels cannot tell a file's bytes, so there is nothing to embed."""

    spec: Spec = SPEC

    def embed_batch(self, images: Sequence[Pixels]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """UsageError, always: values of this kind are made of `File.sha256`."""
        raise UsageError(
            f"method `exact` compares files, not pictures; {len(images)} pictures were given without files"
        )


def fingerprinter() -> Exact:
    """The method `exact`."""
    return Exact()
