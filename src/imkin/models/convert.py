"""SSCD's TorchScript file to ONNX: the graph as it is, whatever its names, and the result is checked."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import warnings
from typing import Any

import numpy as np

from imkin.errors import MissingExtraError, MissingPathError, UsageError
from imkin.models import cache
from imkin.models.cards import CARDS, SSCD_DIM, SSCD_SIDE
from imkin.prints.session import open_session

NAME = "sscd"
OPSET = 17
# Of any component of a vector of length 1, torch against onnxruntime.
LARGEST_DIFFERENCE = 1e-4
TRIED = 4


def import_sscd(file: str) -> tuple[str, float]:
    """Convert `sscd_disc_mixup.torchscript.pt` and put it into the cache; its path and the largest difference.

    UsageError: not a TorchScript file, not a network of 512 numbers, or ONNX gives other vectors than torch does.
    MissingExtraError: torch is not installed.
    """
    if not os.path.isfile(file):
        raise MissingPathError(f"there is no file {file}")
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError("converting SSCD's TorchScript file", "train")
    import torch

    pictures = torch.rand(TRIED, 3, SSCD_SIDE, SSCD_SIDE, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        # torch announces the end of TorchScript, which is what the file is.
        warnings.simplefilter("ignore")
        try:
            network: Any = torch.jit.load(file, map_location="cpu").eval()  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError) as error:
            raise UsageError(f"{file} is no TorchScript file: {str(error).strip().splitlines()[0]}") from error
        wanted = _vectors(network, pictures, file)
        if wanted.shape != (TRIED, SSCD_DIM) or not np.isfinite(wanted).all():
            raise UsageError(f"{file} gives {wanted.shape[1:]} numbers a picture, not {SSCD_DIM}: it is not SSCD")
        with cache.workplace() as place:
            model = os.path.join(place, f"{NAME}.onnx")
            _export(network, model, file)
            found = _onnx_vectors(model, pictures.numpy())
            difference = float(np.abs(found - wanted).max())
            if not difference <= LARGEST_DIFFERENCE:
                raise UsageError(f"the ONNX made of {file} differs from it by {difference:.2g}; it is not used")
            return cache.put(CARDS[NAME], model, _checked_above, commit=None, how="imported")[0], difference


def _vectors(network: Any, pictures: Any, file: str) -> Any:
    import torch

    try:
        with torch.no_grad():
            return network(pictures).numpy()
    except (RuntimeError, AttributeError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise UsageError(f"{file} cannot be used on pictures of {pictures.shape[-1]} pixels: {reason}") from error


def _export(network: Any, model: str, file: str) -> None:
    """Any number of pictures a run; where the graph asks for its own sizes, one."""
    import torch

    failed: Exception | None = None
    for count, dynamic in ((2, {"pictures": {0: "n"}, "vectors": {0: "n"}}), (1, {})):
        try:
            # The exporter prints the whole graph when it fails.
            with contextlib.redirect_stdout(io.StringIO()):
                torch.onnx.export(
                    network, (torch.zeros(count, 3, SSCD_SIDE, SSCD_SIDE),), model, dynamo=False, opset_version=OPSET,
                    input_names=["pictures"], output_names=["vectors"], dynamic_axes=dynamic,
                )  # fmt: skip
        except Exception as error:  # of many kinds, by what the exporter does not know
            failed = error
        else:
            return
    raise UsageError(f"{file} cannot be written as ONNX: {str(failed).strip().splitlines()[0]}") from failed


def _checked_above(_: str) -> None:
    """What came out of the converter was compared with what went in."""


def _onnx_vectors(model: str, pictures: Any) -> Any:
    session = open_session(model, name=model)
    runs = [session.run(["vectors"], {"pictures": pictures[i : i + 1]})[0] for i in range(len(pictures))]
    return np.concatenate(runs)
